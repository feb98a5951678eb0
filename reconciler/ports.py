"""What the daemon may ask of the host: one small Protocol per kind of resource.

Implementations live in `host`, one class each; the one fake host of the tests implements all of them. Every
method does as told or raises `HostError`; none decides whether it should. Methods of removal are repeatable.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Protocol

from reconciler.core.model import Container, Network, SeenImage, Volume
from reconciler.core.progress import Progress

Report = Callable[[Progress], None]


class Images(Protocol):
    """The image store."""

    def pull(self, reference: str, report: Report, platform: str = "") -> None:
        """Make `reference` whole in the store: manifest, config, every layer unpacked and verified."""

    def check(self, reference: str, report: Report, platform: str = "") -> None:
        """Ask what `reference` names now; pull it when that changed, else only note that it was asked."""

    def collect(self, references: Collection[str], digests: Collection[str], age: float) -> object:
        """Remove what these do not need and was pulled more than `age` seconds ago; the answer is for people."""


class Bundles(Protocol):
    """The files and mounts of containers."""

    def create(self, id: str, container: Container, revision: str, image: SeenImage, address: str) -> None:
        """Write record and bundle and mount the root file system; undoes what it did when it fails."""

    def mount(self, id: str) -> None:
        """Mount the root file system again, as after a reboot."""

    def remove(self, id: str) -> None:
        """Unmount and delete everything of the container but its volumes."""

    def rotate_log(self, id: str) -> None:
        """Start a new log file without losing a line; drop the oldest beyond the limit."""


class Runtime(Protocol):
    """Processes: the OCI runtime under its monitor."""

    def start(self, id: str, restarts: int, failures: int) -> None:
        """Create and start a new run, and record the two counts with it."""

    def stop(self, id: str, signal: str) -> None:
        """Send `signal` to the first process and note when; returns at once."""

    def kill(self, id: str) -> None:
        """SIGKILL all its processes, and wait a moment for their end."""

    def clean(self, id: str) -> None:
        """Delete the runtime's state and the cgroups of ended runs."""


class Networks(Protocol):
    """Bridges, namespaces, links and addresses."""

    def create(self, network: Network, bridge: str, subnet: str) -> None:
        """Make or complete the bridge with the gateway's address `subnet` (CIDR), up and marked as ours."""

    def remove(self, name: str, bridge: str) -> None:
        """Delete the bridge."""

    def connect(self, id: str, bridge: str, address: str, subnet: str) -> None:
        """Pin the container's namespace and join it to the bridge; repairs what is half there."""

    def disconnect(self, id: str) -> None:
        """Delete veth and namespace; does not wait for what the kernel does by itself."""


class Firewall(Protocol):
    """Our one nftables table."""

    def apply(self, text: str) -> None:
        """Replace the table in one transaction."""

    def remove(self) -> None:
        """Delete the table."""


class Volumes(Protocol):
    """Folders that outlive containers."""

    def create(self, volume: Volume) -> None:
        """Make the volume's folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """All of them, so that they travel together."""

    images: Images
    bundles: Bundles
    runtime: Runtime
    networks: Networks
    firewall: Firewall
    volumes: Volumes
