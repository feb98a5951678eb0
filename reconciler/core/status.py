"""What a user may see: the snapshot that the daemon publishes, and the status that is projected from it.

Nothing here is stored. The daemon builds one `Snapshot` after each look and publishes it by one attribute store;
`api` and the command line only read it. Secrets never enter: environment values are not part of a status.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol, assert_never

from reconciler.core.history import History
from reconciler.core.jobruns import resting
from reconciler.core.jobs import Ended
from reconciler.core.jobstatus import JobStatus, jobs
from reconciler.core.model import Container, Created, Dead, Desired, Exited, Observed, Running, SeenContainer
from reconciler.core.networking import Port
from reconciler.core.progress import LayerProgress, Progress, remaining
from reconciler.core.reasons import Code, Reason, Since
from reconciler.core.steps import Plan, Task


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How the last try of a task ended. `error` is "" when it went well; `retry_at` is when it is tried again."""

    key: str
    at: float
    error: str = ""
    failures: int = 0
    retry_at: float | None = None
    code: Code = "step-failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One thing that happened. `sequence` grows by one; `action` is a closed vocabulary of past participles."""

    sequence: int
    at: float  # seconds since the epoch
    kind: Literal["container", "image", "network", "volume", "firewall", "spec", "daemon"]
    name: str
    action: str  # pulled created started stopped died killed removed connected failed held recovered drifted healthy …
    message: str = ""
    container: str = ""  # id, for containers
    attributes: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """What does not change while the daemon runs."""

    name: str = ""
    kernel: str = ""
    operating_system: str = ""
    architecture: str = "x86_64"
    processors: int = 1
    memory: int = 0  # bytes
    runtime: str = "runc"
    runtime_version: str = ""
    cgroup_version: int = 2
    cgroup_driver: str = "cgroupfs"
    state_directory: str = ""
    daemon_started: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Everything a reader may ask about, as it was at one moment."""

    at: float
    generation: int = 0  # grows with each look that changed something
    desired: Desired = field(default_factory=Desired)
    observed: Observed = field(default_factory=Observed)
    plan: Plan = field(default_factory=Plan)
    outcomes: Mapping[str, Outcome] = field(default_factory=dict)  # by task key
    progress: Mapping[str, Progress] = field(default_factory=dict)  # by reference, while it is pulled
    busy: frozenset[str] = frozenset()  # keys of tasks that run now
    doing: tuple[Task, ...] = ()  # these tasks
    since: Since = field(default_factory=Since)
    host: Host = field(default_factory=Host)
    look_wall: float = 0.0  # seconds that this look took, of the clock and of the loop's processor time
    look_cpu: float = 0.0


class Feed(Protocol):
    """Where readers get snapshots and events from; `daemon.events` implements it, readers run in other threads."""

    def current(self) -> Snapshot:
        """The newest snapshot; never blocks."""

    def history(self) -> History:
        """What the flight recorder keeps, as it is on the disk now."""

    def events(self, after: int) -> tuple[Event, ...]:
        """The events that are still kept with a sequence above `after`, oldest first."""

    def subscribe(self, ring: Callable[[], None]) -> Callable[[], None]:
        """Call `ring` after each new event, from the daemon's thread; it must not block. Returns the way to stop."""


# --- projection ------------------------------------------------------------------------------------------------

Word = Literal["running", "starting", "stopping", "restarting", "exited", "created", "missing", "held"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerStatus:
    """One line of `status`. `why` is "" when it is as it should be. A job's has one only while it runs."""

    name: str
    app: str
    service: str
    state: Word
    id: str = ""
    image: str = ""
    address: str = ""
    ports: tuple[str, ...] = ()
    since: float | None = None
    restarts: int = 0
    exit_code: int | None = None
    oom: bool = False
    health: str = ""  # starting, healthy, unhealthy; "" when nobody asks, or it does not run
    why: str = ""
    code: Code | None = None  # of `why`


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """What is not as it should be: key, code, sentence, and when it is tried again."""

    key: str
    code: Code
    message: str
    retry_at: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pull:
    """An image on its way: bytes, bytes a second, and how many seconds it still takes at that rate."""

    reference: str
    done: int
    total: int
    rate: float
    remaining: float | None
    layers: tuple[LayerProgress, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """All of it. `converged` says that nothing is left to do."""

    at: float
    converged: bool
    apps: tuple[str, ...]
    containers: tuple[ContainerStatus, ...]
    troubles: tuple[Trouble, ...]
    pulls: tuple[Pull, ...] = ()
    jobs: tuple[JobStatus, ...] = ()
    look_wall: float = 0.0  # seconds that the newest look took, by the clock and of the processor
    look_cpu: float = 0.0


def project(snapshot: Snapshot) -> Status:
    """The status of a snapshot."""
    why = _reasons(snapshot)
    seen_by_name: dict[str, SeenContainer] = {}
    for seen in sorted(snapshot.observed.containers.values(), key=lambda seen: seen.created_at):
        if not resting(seen):  # what became of a job's run stands with the job
            seen_by_name[seen.name] = seen
    wanted = {name for name, entry in snapshot.desired.containers.items() if not (entry.schedule or entry.prepares)}
    names = sorted(wanted | seen_by_name.keys())
    containers = tuple(
        _container(
            snapshot.desired.containers.get(name),
            seen_by_name.get(name),
            why.get(f"container:{name}") or why.get(f"health:{name}"),
            snapshot.observed.ended.get(name),
        )
        for name in names
    )
    declared = {container.app for container in snapshot.desired.containers.values()}
    held = {name for name in snapshot.desired.held if "." not in name}  # by app or by path; no app has a dot
    apps = sorted({entry.app for entry in containers} | declared | held)
    return Status(
        at=snapshot.at,
        converged=snapshot.plan.converged and not snapshot.busy,
        apps=tuple(apps),
        containers=containers,
        troubles=_troubles(snapshot),
        pulls=tuple(_pull(progress) for _, progress in sorted(snapshot.progress.items())),
        jobs=jobs(snapshot.desired, snapshot.observed, snapshot.at),
        look_wall=snapshot.look_wall,
        look_cpu=snapshot.look_cpu,
    )


def _pull(progress: Progress) -> Pull:
    return Pull(
        reference=progress.reference,
        done=progress.done,
        total=progress.total,
        rate=progress.rate,
        remaining=remaining(progress.done, progress.total, progress.rate),
        layers=progress.layers,
    )


def _reasons(snapshot: Snapshot) -> dict[str, Reason]:
    reasons = {wait.key: Reason(wait.code, wait.reason) for wait in snapshot.plan.waits}
    failed = {key: outcome for key, outcome in snapshot.outcomes.items() if outcome.error}
    return reasons | {key: Reason(outcome.code, outcome.error) for key, outcome in failed.items()}


def _troubles(snapshot: Snapshot) -> tuple[Trouble, ...]:
    troubles = [
        Trouble(key=wait.key, code=wait.code, message=wait.reason, retry_at=wait.until) for wait in snapshot.plan.waits
    ]
    troubles += [
        Trouble(key=outcome.key, code=outcome.code, message=outcome.error, retry_at=outcome.retry_at)
        for outcome in snapshot.outcomes.values()
        if outcome.error
    ]
    obstacles = snapshot.observed.obstacles if snapshot.observed.networks else ()
    troubles += [Trouble(key="firewall", code="firewall-foreign", message=obstacle) for obstacle in obstacles]
    mirrors = snapshot.observed.mirrors.items()
    troubles += [Trouble(key=f"mirror:{name}", code="mirror-failed", message=why) for name, why in mirrors]
    return tuple(sorted(troubles, key=lambda trouble: (trouble.key, trouble.message)))


def _container(
    wanted: Container | None, seen: SeenContainer | None, why: Reason | None, ended: Ended | None = None
) -> ContainerStatus:
    if seen is None:
        assert wanted is not None
        had_its_run = ended if not why else None
        return ContainerStatus(
            name=wanted.name,
            app=wanted.app,
            service=wanted.service,
            state="exited" if had_its_run else "missing",
            since=had_its_run.at if had_its_run else None,
            exit_code=had_its_run.code if had_its_run else None,
            image=wanted.image,
            ports=_ports(wanted.ports),
            why=why.text if why else "",
            code=why.code if why else None,
        )
    state, since, code, oom = _state(seen)
    return ContainerStatus(
        name=seen.name,
        app=seen.app,
        service=seen.service,
        state=state,
        id=seen.id,
        image=seen.image,
        address=seen.address,
        ports=_ports(seen.ports),
        since=since,
        restarts=seen.restarts,
        exit_code=code,
        oom=oom,
        health=seen.health.state if seen.health and isinstance(seen.state, Running) else "",
        why=why.text if why else "",
        code=why.code if why else None,
    )


def _ports(ports: tuple[Port, ...]) -> tuple[str, ...]:
    return tuple(f"{port.host_ip or '*'}:{port.published}->{port.target}/{port.protocol}" for port in ports)


def _state(seen: SeenContainer) -> tuple[Word, float | None, int | None, bool]:
    match seen.state:
        case Running(stop_sent=None, since=since):
            return "running", since, None, False
        case Running(since=since):
            return "stopping", since, None, False
        case Created():
            return "starting", None, None, False
        case Exited(code=code, at=at, oom=oom):
            return "exited", at, code, oom
        case Dead():
            return "created", None, None, False
        case _:
            assert_never(seen.state)
