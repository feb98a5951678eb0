"""What can be done: one small frozen class per step, their union, and the plan that is made of them.

A step is data; it says what to do and to what, and prints itself. `daemon.execute` does it, with one port call
per step. The plan prints one line per step with its cause; that text is the `plan` command, the log line, the
golden file of the planner's tests and the "why" of the status.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from reconciler.core.model import Container, SeenImage, Volume
from reconciler.core.networking import Endpoint, Joint, Network, Pairs, Resolver
from reconciler.core.reasons import Code
from reconciler.core.reference import image_key
from reconciler.core.remembering import DrainContainer, RevisionStep, RunStep
from reconciler.core.starting import Hook, When


@dataclass(frozen=True, slots=True)
class PullImage:
    """Make the image whole in the store."""

    reference: str
    platform: str = ""  # "" is the host's own

    def __str__(self) -> str:
        return f"pull image {image_key(self.reference, self.platform)}"


@dataclass(frozen=True, slots=True)
class CheckImage:
    """Ask the registry what the tag names now, and pull that when it is another image."""

    reference: str
    platform: str = ""

    def __str__(self) -> str:
        return f"check image {image_key(self.reference, self.platform)}"


@dataclass(frozen=True, slots=True)
class CollectImages:
    """Remove what is neither in `references` nor in `digests` and older than `age` seconds."""

    references: tuple[str, ...]
    digests: tuple[str, ...]
    age: float

    def __str__(self) -> str:
        return f"collect images that nothing uses, older than {self.age:.0f} s"


@dataclass(frozen=True, slots=True)
class CreateNetwork:
    """Make, or complete, the bridge: addresses, up, alias. The subnets are the gateway's addresses, "" for none."""

    network: Network
    bridge: str
    subnet: str
    subnet6: str = ""
    extra: tuple[str, ...] = ()  # more addresses of the bridge, on which resolvers listen

    def __str__(self) -> str:
        subnets = ", ".join(filter(None, (self.subnet, self.subnet6, *self.extra)))
        return f"create network {self.network.name} ({subnets} on {self.bridge})"


@dataclass(frozen=True, slots=True)
class RemoveNetwork:
    """Remove the bridge of a network that nothing uses."""

    name: str
    bridge: str

    def __str__(self) -> str:
        return f"remove network {self.name} ({self.bridge})"


@dataclass(frozen=True, slots=True)
class CreateVolume:
    """Make the volume's folder."""

    volume: Volume

    def __str__(self) -> str:
        return f"create volume {self.volume.name}"


@dataclass(frozen=True, slots=True)
class CreateContainer:
    """Write record and bundle, mount the root file system. Starts nothing."""

    id: str
    container: Container
    revision: str
    image: SeenImage
    joint: Joint

    def __str__(self) -> str:
        addresses = ", ".join(_addresses(self.joint.endpoints))
        where = f" at {addresses}" if addresses else ""
        return f"create container {self.container.name} {self.id[:12]} of revision {self.revision[:12]}{where}"


@dataclass(frozen=True, slots=True)
class MountContainer:
    """Mount the root file system of a container that exists (after a reboot)."""

    id: str
    name: str

    def __str__(self) -> str:
        return f"mount container {self.name} {self.id[:12]}"


@dataclass(frozen=True, slots=True)
class ConnectContainer:
    """Pin its network namespace, and make or repair its interfaces. Repeatable."""

    id: str
    name: str
    endpoints: tuple[Endpoint, ...]  # () is only the namespace with its loopback

    def __str__(self) -> str:
        places = (f"{endpoint.network.name} as {_shown(endpoint)}" for endpoint in self.endpoints)
        return f"connect container {self.name} {self.id[:12]} to {', '.join(places) or 'nothing'}"


@dataclass(frozen=True, slots=True)
class StartContainer:
    """Run it: conmon, runtime create, runtime start. `restarts` and `failures` are what to record for this run."""

    id: str
    name: str
    restarts: int
    failures: int

    def __str__(self) -> str:
        return f"start container {self.name} {self.id[:12]}"


@dataclass(frozen=True, slots=True)
class RunHooks:
    """Run commands in it, one after the other, and note that it was done; one that fails ends them."""

    id: str
    name: str
    when: When
    hooks: tuple[Hook, ...]
    seconds: float  # that each of them has

    def __str__(self) -> str:
        return f"run {self.when} of container {self.name} {self.id[:12]}"


@dataclass(frozen=True, slots=True)
class StopContainer:
    """Send the stop signal and note when; does not wait."""

    id: str
    name: str
    signal: str

    def __str__(self) -> str:
        return f"stop container {self.name} {self.id[:12]} with {self.signal}"


@dataclass(frozen=True, slots=True)
class KillContainer:
    """SIGKILL everything in it."""

    id: str
    name: str

    def __str__(self) -> str:
        return f"kill container {self.name} {self.id[:12]}"


@dataclass(frozen=True, slots=True)
class CleanContainer:
    """Remove what ended runs left with the runtime: its state and their cgroups."""

    id: str
    name: str

    def __str__(self) -> str:
        return f"clean container {self.name} {self.id[:12]} of ended runs"


@dataclass(frozen=True, slots=True)
class DisconnectContainer:
    """Remove veth and namespace. Repeatable."""

    id: str
    name: str

    def __str__(self) -> str:
        return f"disconnect container {self.name} {self.id[:12]}"


@dataclass(frozen=True, slots=True)
class RemoveContainer:
    """Unmount it and remove record, bundle, writable layer and logs. Repeatable."""

    id: str
    name: str

    def __str__(self) -> str:
        return f"remove container {self.name} {self.id[:12]}"


@dataclass(frozen=True, slots=True)
class RotateLog:
    """Start a new log file, losing nothing."""

    id: str
    name: str

    def __str__(self) -> str:
        return f"rotate log of container {self.name} {self.id[:12]}"


@dataclass(frozen=True, slots=True)
class ApplyRuleset:
    """Put the whole nftables table in force in one transaction."""

    text: str
    summary: str

    def __str__(self) -> str:
        return f"apply ruleset ({self.summary})"


@dataclass(frozen=True, slots=True)
class RemoveRuleset:
    """Delete our table."""

    def __str__(self) -> str:
        return "remove ruleset"


@dataclass(frozen=True, slots=True)
class GuardRoutes:
    """Have routing refuse what is forwarded from or to these subnets and no others, unless our table allows it."""

    subnets: tuple[str, ...]

    def __str__(self) -> str:
        return f"guard routes ({', '.join(self.subnets) or 'none'})"


@dataclass(frozen=True, slots=True)
class ServeNames:
    """Run the resolver, replacing one of its name that runs otherwise."""

    resolver: Resolver

    def __str__(self) -> str:
        return f"serve names of {self.resolver.name} on {', '.join(self.resolver.addresses)}"


@dataclass(frozen=True, slots=True)
class StopNames:
    """End the resolver of a network, or of a view of several, that nothing uses."""

    name: str

    def __str__(self) -> str:
        return f"stop serving names of {self.name}"


@dataclass(frozen=True, slots=True)
class WriteNames:
    """Put the records of a network in force: by file the text in it, and no other file."""

    network: str
    hosts: Pairs

    def __str__(self) -> str:
        return f"write names of {self.network} (containers: {len(self.hosts)})"


@dataclass(frozen=True, slots=True)
class ResolveNames:
    """Ask what addresses outside names have now."""

    names: tuple[str, ...]

    def __str__(self) -> str:
        return f"resolve {', '.join(self.names)}"


NetworkStep = (
    CreateNetwork
    | RemoveNetwork
    | ConnectContainer
    | DisconnectContainer
    | ApplyRuleset
    | RemoveRuleset
    | GuardRoutes
    | ServeNames
    | StopNames
    | WriteNames
    | ResolveNames
)

Step = (
    PullImage
    | CheckImage
    | CollectImages
    | CreateVolume
    | CreateContainer
    | MountContainer
    | StartContainer
    | RunHooks
    | StopContainer
    | DrainContainer
    | KillContainer
    | CleanContainer
    | RemoveContainer
    | RotateLog
    | RevisionStep
    | RunStep
    | NetworkStep
)


def _addresses(endpoints: tuple[Endpoint, ...]) -> list[str]:
    return [_shown(endpoint) for endpoint in endpoints if endpoint.ipv4 or endpoint.ipv6]


def _shown(endpoint: Endpoint) -> str:
    return " and ".join(filter(None, (endpoint.address, endpoint.address6))) or "its driver says"


@dataclass(frozen=True, slots=True)
class Task:
    """Steps for one resource, in order, safe to do now. `key` is `kind:name`; one task per key at a time.

    `about` says what of the resource is meant (a revision): a task that failed is tried again at once when it changes.
    `drift`: it puts right what somebody did whom no spec told to; whoever does it again and again is not fought.
    """

    key: str
    cause: str
    steps: tuple[Step, ...]
    about: str = ""
    drift: bool = False

    def __str__(self) -> str:
        return "\n".join(f"{self.key}: {step} ({self.cause})" for step in self.steps)


@dataclass(frozen=True, slots=True)
class Wait:
    """What is not done yet, and why; `code` says it for programs. `until`: when to look again, None: an event tells.

    `passing`: it ends by itself, with or without success, as a grace period does; `run --once` sits it out.
    `reads` names what must be read again at the next look, as nothing rings for it (`core.names`).
    """

    key: str
    reason: str
    until: float | None = None
    passing: bool = False
    reads: str = ""
    code: Code = field(kw_only=True)

    def __str__(self) -> str:
        waits = "" if self.reason.startswith("waits ") else "waits: "
        return f"{self.key}: {waits}{self.reason}"


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do now and what to wait for. Neither tasks nor waits: converged.

    `look_again_at` is when something will be due although nothing happened, such as asking for a tag; None for never.
    """

    tasks: tuple[Task, ...] = field(default=())
    waits: tuple[Wait, ...] = field(default=())
    look_again_at: float | None = None

    @property
    def converged(self) -> bool:
        """Whether the host is as the specs say."""
        return not self.tasks and not self.waits

    @property
    def reads(self) -> frozenset[str]:
        """What somebody waits for and nothing rings for: the next look reads it again."""
        return frozenset(wait.reads for wait in self.waits if wait.reads)

    def __str__(self) -> str:
        return "\n".join(str(entry) for entry in (*self.tasks, *self.waits))
