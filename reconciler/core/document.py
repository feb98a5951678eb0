"""What one spec says: a Compose document in one form, as frozen values.

Short forms are expanded, units are numbers, relative paths are absolute, variables are filled in and `env_file` is
merged into `environment`. What other specs say, defaults and full names are not here: that is `resolve`. Made by
`spec.parse`. Names are those of the Compose Specification.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from reconciler.core.health import Healthcheck
from reconciler.core.jobs import Schedule
from reconciler.core.model import BindMount, PullPolicy, Resources, Restart, TmpfsMount, VolumeMount
from reconciler.core.networking import Attachment, Destination, Network, Pairs, Protocol
from reconciler.core.starting import Condition, Hooks
from reconciler.core.updates import Updates
from reconciler.errors import Problem


class Place(NamedTuple):
    """Where a value stands in its file, counted from 1; 0 when unknown."""

    line: int = 0
    column: int = 0


NOWHERE = Place()


AUTOMATIC = (32768, 60999)  # the kernel's default ip_local_port_range


@dataclass(frozen=True, slots=True, kw_only=True)
class PortMapping:
    """One entry of `ports` after ranges are expanded.

    `published` are the first and the last of the host's ports of which it gets one: the same twice for a certain one,
    AUTOMATIC for any that is free, but always the same. `host_ip` and `allow` are as in `Port`.
    """

    target: int
    published: tuple[int, int] = AUTOMATIC
    protocol: Protocol = "tcp"
    host_ip: str = ""
    allow: tuple[str, ...] | None = None
    at: Place = NOWHERE

    @property
    def fixed(self) -> int:
        """The port that it must be, 0 when any of several will do."""
        first, last = self.published
        return first if first == last else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependency:
    """Another service of the app that must be there first, and the `key` that says so; else as in `starting`."""

    service: str
    condition: Condition = "service_started"
    required: bool = True
    restart: bool = False
    key: str = "depends_on"
    at: Place = NOWHERE


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """One entry of a service's `networks`. `attachment.network` is a key of `Document.networks`."""

    attachment: Attachment
    at: Place = NOWHERE


DEFAULT = (Connection(attachment=Attachment(network="default")),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Networking:
    """How a service is connected, and what it knows of the network. The fields are as in `Container`.

    `connections` are in the order of their interfaces. `shares` is the service whose network it uses.
    """

    connections: tuple[Connection, ...] = DEFAULT
    host_network: bool = False
    shares: Dependency | None = None
    hostname: str = ""
    domainname: str = ""
    dns: tuple[str, ...] = ()
    dns_search: tuple[str, ...] = ()
    dns_opt: tuple[str, ...] = ()
    extra_hosts: Pairs = ()
    sysctls: Pairs = ()
    expose: tuple[str, ...] = ()
    egress: tuple[Destination, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One entry of `pre_start`. What is None or "" is as in the image, or in the service when that has the same."""

    image: str
    command: tuple[str, ...] | None = None
    user: str = ""
    working_dir: str = ""
    environment: Pairs = ()  # the service's among them
    per_replica: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One service, or one job, which has a `schedule`. `mounts` name volumes by their key in the document."""

    name: str
    image: str  # canonical
    command: tuple[str, ...] | None = None
    entrypoint: tuple[str, ...] | None = None
    environment: Pairs = ()
    labels: Pairs = ()
    working_dir: str = ""
    user: str = ""
    mounts: tuple[VolumeMount | BindMount | TmpfsMount, ...] = ()
    ports: tuple[PortMapping, ...] = ()
    networking: Networking = field(default_factory=Networking)
    depends_on: tuple[Dependency, ...] = ()
    healthcheck: Healthcheck | None = None
    pre_start: tuple[Step, ...] = ()
    hooks: Hooks = field(default_factory=Hooks)
    cap_add: tuple[str, ...] = ()
    cap_drop: tuple[str, ...] = ()
    read_only: bool = False
    init: bool = False
    stop_signal: str = ""
    stop_grace_period: float = 10.0
    restart: Restart = field(default_factory=Restart)
    resources: Resources = field(default_factory=Resources)
    replicas: int = 1
    updates: Updates = field(default_factory=Updates)
    platform: str = ""
    pull_policy: PullPolicy = field(default_factory=PullPolicy)
    schedule: Schedule | None = None
    at: Place = NOWHERE

    def __str__(self) -> str:
        return f"{'job' if self.schedule else 'service'} '{self.name}'"

    @property
    def needs(self) -> tuple[Dependency, ...]:
        """The services that must be there first, whatever says so."""
        shares = self.networking.shares
        return (*self.depends_on, shares) if shares else self.depends_on


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkDeclaration:
    """One entry of the top-level `networks`. `network` has no app yet, and no name when that is to be `app_key`.

    An external one is declared by another spec, as `network.name`, or as `key` when that is "".
    """

    key: str
    network: Network = field(default_factory=lambda: Network(name="", app="", spec=""))
    external: bool = False
    at: Place = NOWHERE


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeDeclaration:
    """One entry of the top-level `volumes`; `name` "" means `app_key`, or `key` itself when external."""

    key: str
    name: str = ""
    external: bool = False
    exclusive: bool | None = None
    labels: Pairs = ()
    at: Place = NOWHERE


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Document:
    """One spec. Compared and hashed by identity, so that what follows from it can be kept per document.

    `path` is the file's path as errors show it. `files` are the other files that were read for it, relative to its
    folder, whether they existed or not: when one of them changes, the spec must be parsed again. `warnings` are
    remarks for `check`, such as variables that are not set.
    """

    path: str
    name: str = ""
    at: Place = NOWHERE
    services: tuple[Service, ...] = ()
    networks: tuple[NetworkDeclaration, ...] = ()
    volumes: tuple[VolumeDeclaration, ...] = ()
    files: tuple[str, ...] = ()
    warnings: tuple[Problem, ...] = ()
