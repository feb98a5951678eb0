"""What the daemon may ask of the host: one small Protocol per kind of resource.

Implementations live in `host`, one class each; the one fake host of the tests implements all of them. Every
method does as told or raises `HostError`; none decides whether it should. Methods of removal are repeatable.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Protocol

from reconciler.core.jobs import Ended, Job
from reconciler.core.model import Container, SeenImage, Volume
from reconciler.core.networking import Endpoint, Joint, Network, Pairs, Resolver
from reconciler.core.progress import Progress
from reconciler.core.starting import Hook, When
from reconciler.core.tombstones import Removals
from reconciler.core.updates import Quarantine

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

    def create(self, id: str, container: Container, revision: str, image: SeenImage, joint: Joint) -> None:
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

    def run_hooks(self, id: str, when: When, hooks: tuple[Hook, ...], seconds: float) -> None:
        """Run these commands in it, in order, and note that it was done; what fails before a stop counts as done."""

    def stop(self, id: str, signal: str) -> None:
        """Send `signal` to the first process and note when; returns at once."""

    def drain(self, id: str, successor: str) -> None:
        """Note with its run that `successor` serves in its place, and when; what was noted of another is replaced."""

    def kill(self, id: str) -> None:
        """SIGKILL all its processes, and wait a moment for their end."""

    def clean(self, id: str) -> None:
        """Delete the runtime's state and the cgroups of ended runs."""


class Revisions(Protocol):
    """What is remembered of revisions and of apps that left; it outlives containers, daemon and boots."""

    def keep(self, id: str, name: str, revision: str) -> None:
        """Keep what container `id` was made from as the last good revision of `name`; none when it is not known."""

    def quarantine(self, id: str, quarantine: Quarantine) -> None:
        """Remember the failed revision, with the last lines of output of container `id`."""

    def forget(self, good: tuple[str, ...], quarantined: tuple[str, ...]) -> None:
        """Forget the last good revisions of these names, and that these revisions failed."""

    def note_removals(self, removals: Removals | None) -> None:
        """Remember which apps left, or forget it; it lasts once this has returned."""


class Runs(Protocol):
    """What is remembered of what was run to its end; it outlives containers, daemon and boots."""

    def keep_job(self, job: Job) -> None:
        """Remember this of a job, in place of what was remembered; it lasts once this has returned."""

    def keep_end(self, ended: Ended) -> None:
        """Remember that a one-shot container has had its run."""

    def forget(self, jobs: tuple[str, ...], ended: tuple[str, ...]) -> None:
        """Forget the jobs and the one-shot containers of these names."""


class Networks(Protocol):
    """Bridges, namespaces, links and addresses."""

    def create(self, network: Network, bridge: str, subnets: tuple[str, str], extra: tuple[str, ...] = ()) -> None:
        """Make or complete the bridge, up and marked as ours.

        `subnets` are the gateway's addresses with prefix length in IPv4 and IPv6, "" for none; `extra` are more
        addresses for the host in them, without.
        """

    def remove(self, name: str, bridge: str) -> None:
        """Delete the bridge."""

    def connect(self, id: str, endpoints: tuple[Endpoint, ...]) -> None:
        """Pin the container's namespace and join it to its networks; repairs what is not as it should be."""

    def disconnect(self, id: str) -> None:
        """Delete veth and namespace; does not wait for what the kernel does by itself."""


class Firewall(Protocol):
    """Our one nftables table, and what routing refuses while it is missing."""

    def apply(self, text: str) -> None:
        """Replace the table in one transaction."""

    def remove(self) -> None:
        """Delete the table."""

    def guard(self, subnets: tuple[str, ...]) -> None:
        """Have routing refuse whatever is forwarded from or to `subnets` and not marked by our table; no others."""


class Names(Protocol):
    """Who answers for names: a resolver per network, its records, and what outside names mean."""

    def serve(self, resolver: Resolver) -> None:
        """Start the resolver; one of that name that runs otherwise is replaced. It outlives the daemon."""

    def stop(self, name: str) -> None:
        """End the resolver of that name."""

    def write(self, network: str, hosts: Pairs) -> None:
        """Put these records in force, file name and text, and no others; running resolvers notice by themselves."""

    def resolve(self, names: tuple[str, ...]) -> None:
        """Ask the host's resolvers for the addresses of outside names; the last known ones stay when nobody answers."""


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
    revisions: Revisions
    runs: Runs
    networks: Networks
    firewall: Firewall
    names: Names
    volumes: Volumes
