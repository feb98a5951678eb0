"""Desired and observed: the two values from which everything else is computed, and what they are made of.

Only frozen values and what follows from them alone; how desired is made stands in `resolve`, how observed is
read in `host`. Names are those of the Compose Specification and of the OCI. Tuples of pairs stand for small mappings.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal

from reconciler.core.canonical import canonical
from reconciler.core.health import Health, Healthcheck
from reconciler.core.jobs import Ended, Job, Schedule
from reconciler.core.networking import Attachment, Destination, Endpoint, Listener, Network, Pairs, Port, SeenNetwork
from reconciler.core.starting import Dependency, Hooks, When
from reconciler.core.tombstones import Removals, Tombstones
from reconciler.core.updates import Draining, Good, Quarantine, Updates

# --- what a container is made of -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeMount:
    """A named volume. `volume` is the volume's full name (`app_data`), the key in `Desired.volumes`."""

    volume: str
    target: str
    read_only: bool = False
    nocopy: bool = False  # a new volume is not filled from the image


@dataclass(frozen=True, slots=True, kw_only=True)
class BindMount:
    """A host path. `source` is absolute; a missing one is made as a folder when `create_host_path`."""

    source: str
    target: str
    read_only: bool = False
    create_host_path: bool = True
    propagation: str = "rprivate"


@dataclass(frozen=True, slots=True, kw_only=True)
class TmpfsMount:
    """Memory. `size` in bytes, `mode` as permission bits; None leaves it to the kernel (half of memory, 1777)."""

    target: str
    size: int | None = None
    mode: int | None = None
    read_only: bool = False
    options: tuple[str, ...] = ()


Mount = VolumeMount | BindMount | TmpfsMount


@dataclass(frozen=True, slots=True, kw_only=True)
class Restart:
    """Compose `restart`. `max_retries` 0 means without end; only `on-failure` has one."""

    policy: Literal["no", "always", "on-failure", "unless-stopped"] = "no"
    max_retries: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PullPolicy:
    """Compose `pull_policy`: when the registry is asked what the tag names. `interval` in seconds, for `every` only."""

    when: Literal["missing", "always", "never", "every"] = "missing"
    interval: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """Limits. `memory` in bytes, `cpus` in processors, `pids` in processes; None is unlimited but for pids."""

    memory: int | None = None
    cpus: float | None = None
    pids: int | None = None


# Changing one of these never needs a new container: they are read where they are needed.
OUTSIDE_REVISION = frozenset(
    {"spec", "restart", "depends_on", "pull_policy", "locked", "updates", "schedule", "scheduled"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """One desired replica, with everything resolved but the image's digest.

    `command`, `entrypoint`: None means the image's own. `user`, `working_dir`, `stop_signal`: "" means the image's.
    `spec` is the path of the declaring file below the spec directory; it holds, but does not identify.
    `locked` is the digest that the lock file gives for the tag in `image`, "" when it gives none. It is no part of
    the revision, which has the digest of the image itself: to lock what runs changes nothing.
    """

    name: str  # app-service-replica, unique on the host
    app: str
    service: str
    replica: int
    spec: str
    image: str  # canonical reference, or oci:/absolute/path[:tag]
    networks: tuple[Attachment, ...] = ()  # in the order of their interfaces; () is nothing but loopback
    host_network: bool = False  # network_mode: host
    shares: str = ""  # the container whose network namespace it uses (network_mode: service:NAME)
    command: tuple[str, ...] | None = None
    entrypoint: tuple[str, ...] | None = None
    environment: Pairs = ()
    labels: Pairs = ()
    working_dir: str = ""
    user: str = ""
    hostname: str = ""  # "" means the first 12 characters of the id
    domainname: str = ""
    dns: tuple[str, ...] = ()  # servers that are asked for outside names, () for the host's own
    dns_search: tuple[str, ...] = ()
    dns_opt: tuple[str, ...] = ()
    extra_hosts: Pairs = ()  # name and address; the address `host-gateway` is the host's own
    sysctls: Pairs = ()
    expose: tuple[str, ...] = ()  # "80/tcp"; for show
    egress: tuple[Destination, ...] | None = None  # x-egress; None is everywhere
    mounts: tuple[Mount, ...] = ()
    ports: tuple[Port, ...] = ()
    cap_add: tuple[str, ...] = ()  # without CAP_, upper case, sorted
    cap_drop: tuple[str, ...] = ()
    read_only: bool = False
    init: bool = False
    stop_signal: str = ""  # SIGTERM when neither spec nor image say
    stop_grace_period: float = 10.0  # seconds
    restart: Restart = field(default_factory=Restart)
    resources: Resources = field(default_factory=Resources)
    depends_on: tuple[Dependency, ...] = ()
    healthcheck: Healthcheck | None = None  # as declared; None is the image's own
    hooks: Hooks = field(default_factory=Hooks)
    steps: Pairs = ()  # pre_start: the containers that are run before it, and what they are, as a digest
    prepares: str = ""  # the service before which it is run, when it is one of these
    platform: str = ""  # os/architecture[/variant], "" means the host's own
    pull_policy: PullPolicy = field(default_factory=PullPolicy)
    locked: str = ""
    updates: Updates = field(default_factory=Updates)
    schedule: Schedule | None = None  # when its runs are; None for what runs all the time
    scheduled: float | None = None  # of which time it is the run, only for one that is being made

    @property
    def pulls(self) -> str:
        """The reference that the registry is asked for."""
        return f"{self.image}@{self.locked}" if self.locked else self.image

    def __hash__(self) -> int:
        """By the name alone, which tells containers apart: each look asks for the revision of every one."""
        return hash(self.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """A named volume. External ones must exist and are never made. `exclusive`: never used by two containers."""

    name: str
    app: str
    spec: str
    external: bool = False
    exclusive: bool | None = None  # None: nobody says
    labels: Pairs = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Desired:
    """What all specs together mean.

    `held`: app or spec path -> why its spec cannot be used; whatever on the host carries that app or path is left
    exactly as it is. `unavailable`: why the source itself cannot be read ("" when it can); then nothing is removed.
    `vanished`: apps on the host that no spec declares any more -> until when they are left alone, for a directory that
    is being replaced is empty for a moment. `unlocked`: what is wrong with the lock file or missing; it holds nothing.
    """

    containers: Mapping[str, Container] = field(default_factory=dict)
    networks: Mapping[str, Network] = field(default_factory=dict)
    volumes: Mapping[str, Volume] = field(default_factory=dict)
    held: Mapping[str, str] = field(default_factory=dict)
    unavailable: str = ""
    vanished: Mapping[str, float] = field(default_factory=dict)
    tombstones: Tombstones = field(default_factory=Tombstones)
    unlocked: tuple[str, ...] = ()


# --- what the host shows ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageConfig:
    """What an image asks for (OCI image-spec config.md); every field is input from a stranger."""

    environment: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    working_dir: str = ""
    user: str = ""
    stop_signal: str = ""
    volumes: tuple[str, ...] = ()
    exposed_ports: tuple[str, ...] = ()  # "80/tcp"
    labels: Pairs = ()
    healthcheck: Healthcheck | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenImage:
    """An image that is whole in the store. `layers` are diffIDs, lowest first; `size` in bytes, unpacked.

    `named` is the digest behind the reference, of an index where there is one. `checked_at` is when the registry
    last said so, `tried_at` when it was last asked, also in vain; both in seconds since the epoch.
    """

    reference: str
    digest: str  # of the manifest that was chosen, sha256:…
    id: str  # of the config, sha256:…
    layers: tuple[str, ...]
    config: ImageConfig
    created: str = ""  # RFC 3339, as the image says
    architecture: str = "amd64"
    size: int = 0
    platform: str = ""  # that was asked for, "" for the host's own
    named: str = ""
    checked_at: float = 0.0
    tried_at: float = 0.0


@dataclass(frozen=True, slots=True)
class Dead:
    """No process, and none is known to have ended since the host booted: never started, or the host rebooted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Created:
    """`runc create` is done, `runc start` is not: an interrupted start."""

    pid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """Runs and is monitored. `stop_sent` is when the stop signal went out, None when it did not."""

    pid: int
    since: float
    stop_sent: float | None = None
    monitored: bool = True  # False: conmon is gone, so exit code and output can no longer be had


@dataclass(frozen=True, slots=True, kw_only=True)
class Exited:
    """Ended. `code` is the exit status, 128 + n for signal n (conmon's exit file)."""

    code: int
    at: float
    since: float  # when that run had started
    oom: bool = False
    stopped: bool = False  # we had sent the stop signal
    said: str = ""  # its last line of output, when it failed


State = Dead | Created | Running | Exited


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenContainer:
    """A container of ours on the host, whether its spec still exists or not.

    `restarts` counts all starts after the first; `failures` those in a row that came soon after a start, from
    which the back-off follows. `leftovers` are ended runs whose cgroup and runtime state still exist.
    """

    id: str  # 64 lower-case hex digits, new per instance
    name: str
    app: str
    service: str
    replica: int
    spec: str
    revision: str
    image: str  # the reference it was made from
    image_digest: str
    stop_signal: str  # resolved: a name such as SIGTERM
    stop_grace_period: float
    state: State
    created_at: float
    endpoints: tuple[Endpoint, ...] = ()
    host_network: bool = False
    shares: str = ""  # the id of the container whose network namespace it uses
    nameservers: tuple[str, ...] = ()  # in its resolv.conf, when they are ours
    dns: tuple[str, ...] = ()  # whom outside names are asked of, () for the host's own
    egress: tuple[Destination, ...] | None = None
    net_admin: bool = False  # may give itself other addresses (CAP_NET_ADMIN)
    ports: tuple[Port, ...] = ()
    restart: Restart = field(default_factory=Restart)  # as it was declared when this instance was made
    healthcheck: Healthcheck | None = None  # its spec's, else its image's
    health: Health | None = None  # of this run; None when nobody asks
    hooks: Hooks = field(default_factory=Hooks)
    hooked: frozenset[When] = frozenset()  # what of them is done in this run
    depends_on: tuple[Dependency, ...] = ()  # as it was declared when this instance was made
    mounted: bool = True  # the overlay is mounted
    disconnected: str = ""  # what of its namespace, links, addresses and routes is not as it was made
    restarts: int = 0
    failures: int = 0
    leftovers: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()  # the named ones it has mounted
    scheduled: float | None = None  # of which time of a job it is the run
    draining: Draining | None = None  # of this run
    log_bytes: int = 0  # size of the newest log file
    command: tuple[str, ...] = ()  # what runs, as in the bundle
    damaged: str = ""  # why its record cannot be used, when it cannot

    @property
    def connected(self) -> bool:
        """Whether namespace, links, addresses and routes are as they were made."""
        return not self.disconnected

    @property
    def ready(self) -> bool:
        """Whether new connections may go to it: it runs, nobody stops it, and whoever asks it says that it is well."""
        running = isinstance(self.state, Running) and self.state.stop_sent is None
        return running and (self.health is None or self.health.state == "healthy")

    @property
    def address(self) -> str:
        """Where it is reached first: the IPv4 address of its first endpoint, "" without one."""
        return next((endpoint.address for endpoint in self.endpoints), "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What the host shows of ours, and what of it constrains us.

    `ruleset` is the digest of the rendered ruleset in force, "" when our table is missing or was changed by
    somebody else. `routes` are the subnets that the host reaches by other links than ours, `guarded` those for which
    routing refuses what our table does not let pass. `resolvers` has each resolver that runs with `core.dns`'s digest
    of what it was started with, `names` the records in force by network. `resolved` are outside names that somebody may
    connect to, with addresses and when they were asked for. `obstacles` say whose firewall drops what ours lets pass.
    """

    images: Mapping[str, SeenImage] = field(default_factory=dict)  # by `image_key`
    networks: Mapping[str, SeenNetwork] = field(default_factory=dict)
    volumes: frozenset[str] = frozenset()
    containers: Mapping[str, SeenContainer] = field(default_factory=dict)  # by id
    ruleset: str = ""
    routes: tuple[str, ...] = ()
    guarded: tuple[str, ...] = ()
    resolvers: Mapping[str, str] = field(default_factory=dict)
    names: Mapping[str, Pairs] = field(default_factory=dict)
    resolved: Mapping[str, tuple[tuple[str, ...], float]] = field(default_factory=dict)
    listeners: tuple[Listener, ...] = ()
    obstacles: tuple[str, ...] = ()
    collected_at: float | None = None  # when unused images were last collected, None when that is not known
    disk_used: float = 0.0  # the share of the image store's file system that is in use
    mirrors: Mapping[str, str] = field(default_factory=dict)  # mirrors of registries that were passed over, and why
    good: Mapping[str, Good] = field(default_factory=dict)  # by the name of the container
    removals: Removals | None = None  # of apps, lately
    quarantined: Mapping[str, Quarantine] = field(default_factory=dict)  # by revision
    refused: Mapping[str, str] = field(default_factory=dict)  # revisions that cannot be made or started here, and why
    jobs: Mapping[str, Job] = field(default_factory=dict)  # by the name of their containers
    ended: Mapping[str, Ended] = field(default_factory=dict)  # by the name of the container


# --- identity --------------------------------------------------------------------------------------------------


def digest(text: str) -> str:
    """SHA-256 of `text`, 64 hex digits."""
    return hashlib.sha256(text.encode()).hexdigest()


@lru_cache(maxsize=4096)
def revision(container: Container, image_digest: str) -> str:
    """Digest of everything that makes a container what it is; the same in every release (a frozen test)."""
    kept = canonical(container, Mount)
    assert isinstance(kept, dict)
    parts = {key: value for key, value in kept.items() if key not in OUTSIDE_REVISION}
    text = json.dumps({"container": parts, "image": image_digest}, sort_keys=True, separators=(",", ":"))
    return digest(text)


def container_id(container: Container, image_digest: str, now: float) -> str:
    """The identity of one instance: 64 hex digits, new for every creation, the same for the same moment."""
    return digest(f"{container.name}\0{revision(container, image_digest)}\0{now!r}")
