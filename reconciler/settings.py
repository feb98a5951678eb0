"""What an operator may set, as one frozen value. Read once at start; nothing else reads the environment.

`Settings` knows paths and numbers only. How they come from `/etc/reconciler/reconciler.toml`, the environment
and the command line stands in `cli.settings`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLimits:
    """How much of a container's output is kept: `files` files of `size` bytes each (RELIABILITY: 10 MiB x 5)."""

    size: int = 10 * 1024 * 1024
    files: int = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryLimits:
    """How much the flight recorder keeps: records of each replica and of each app's revisions, and bytes in total."""

    entries: int = 20
    size: int = 8 << 20


TrustPolicy = Literal["accept", "reject", "require-digest", "signed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustRule:
    """What is asked of images below `scope`; `key` is a public key in PEM form, for `signed` only."""

    scope: str  # default, or the beginning of a reference: host, host/namespace, host/repository[:tag]
    policy: TrustPolicy = "accept"
    key: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageLimits:
    """How much an image may be; no real one meets these. Sizes in bytes."""

    compressed: int = 64 << 30  # all layers of one image, as they are sent
    unpacked: int = 64 << 30  # one layer
    entries: int = 2_000_000  # of one layer
    ratio: int = 250  # unpacked to compressed, of one layer
    depth: int = 512  # folders in folders
    manifest: int = 4 << 20
    config: int = 4 << 20
    layers: int = 128  # overlayfs mounts no more
    reserve: int = 64 << 20  # that a pull leaves free on the disk
    seconds: float = 3600.0  # for all layers of one image
    connect: float = 10.0  # seconds until a registry takes a connection
    answer: float = 30.0  # seconds until the head of its answer is here
    stall: float = 60.0  # seconds until a document is here, and over which the pace of a blob is measured
    slowest: int = 1024  # bytes a second that a blob must bring


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Where things are and how much of them there may be.

    `instance` names everything that is shared on a host (nftables table, cgroup, link aliases), so that two
    instances, say a demonstration beside an installed one, never touch each other.
    """

    instance: str = "reconciler"
    specs: Path = Path("/etc/reconciler/specs")
    state: Path = Path("/var/lib/reconciler")
    run: Path = Path("/run/reconciler")
    runtime: str = "runc"
    monitor: str = "conmon"
    cgroup_driver: str = "auto"  # auto | cgroupfs | systemd
    socket_group: str = "reconciler"
    cni_path: tuple[str, ...] = ("/usr/lib/cni", "/opt/cni/bin")  # where CNI plugins are looked for
    address_pool: str = "10.192.0.0/12"
    network_prefix: int = 24  # prefix length of a network taken from the pool
    packet_mark: int = 0x1000  # the one bit of packets' marks that is ours; see github.com/fwmark/registry
    resync: float = 30.0  # seconds between full looks at everything
    workers: int = 4
    pulls: int = 3  # images fetched at the same time
    image_age: int = 7 * 86400  # seconds after which an image that nothing uses goes
    image_disk: int = 85  # percent; on a fuller disk it goes at once
    restart_unhealthy: bool = True  # start containers again whose health test fails
    max_removal: int | None = 3  # apps that may go at once though they are more than half; None: all of them
    logs: LogLimits = field(default_factory=LogLimits)
    history: HistoryLimits = field(default_factory=HistoryLimits)
    image_limits: ImageLimits = field(default_factory=ImageLimits)
    trust: tuple[TrustRule, ...] = ()
    insecure_registries: tuple[str, ...] = ()  # hosts that may be spoken to without verified TLS
    registry_ca: Path | None = None
    registry_mirrors: tuple[str, ...] = ()  # HOST=URL, asked in this order before the registry itself
    registry_hosts: Path = Path("/etc/containerd/certs.d")  # mirrors and certificates in containerd's form
    registry_auth: Path | None = None  # logins, as docker or podman write them; looked at before root's own

    @property
    def images(self) -> Path:
        """The content-addressed image store."""
        return self.state / "images"

    @property
    def containers(self) -> Path:
        """One folder per container: bundle, record, writable layer, logs."""
        return self.state / "containers"

    @property
    def volumes(self) -> Path:
        """One folder per named volume."""
        return self.state / "volumes"

    @property
    def socket(self) -> Path:
        """The read-only status socket."""
        return self.run / "status.sock"
