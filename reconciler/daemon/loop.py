"""The page that explains the program.

    read specs -> parse -> resolve -> observe -> plan -> execute what is safe now -> publish -> wait for the next event

`Loop.look` reads like that line. It is level-triggered: a file, an exit, a netlink message, a timer or a finished
task only puts a name into the queue, which means: look again. Tasks run in worker threads, one per key at a time;
everything else happens in the one thread that calls `Loop.run`. Only `wire` constructs a Loop.
"""

from __future__ import annotations

import logging
import select
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from reconciler.core.changes import Change, changes, news
from reconciler.core.document import Document
from reconciler.core.lock import Lock, locked
from reconciler.core.model import Desired, Observed, SeenContainer
from reconciler.core.names import CONTAINER, EVERYTHING, SPECS, touched
from reconciler.core.plan import plan
from reconciler.core.progress import Progress
from reconciler.core.resolve import missing, resolve
from reconciler.core.scene import Policy
from reconciler.core.status import Host, Snapshot
from reconciler.core.steps import CheckImage, Plan, PullImage, Task
from reconciler.core.tombstones import Tombstones
from reconciler.core.why import since
from reconciler.daemon.events import Events
from reconciler.daemon.execute import execute
from reconciler.daemon.queue import Queue, Retries
from reconciler.errors import Failure, SpecError
from reconciler.ports import Ports

LOOK_AGAIN = 1.0  # seconds after a look that failed
PATIENCE = 0.1  # seconds; while no worker is free a look could start nothing, so one look serves many ended tasks
PROGRESS_INTERVAL = 0.25  # seconds between two looks that only show how far a pull is


log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Specs:
    """What was read: a document or an error per spec, why the source cannot be read, app names by spec, the lock."""

    documents: Mapping[str, Document | SpecError] = field(default_factory=dict)
    unavailable: str = ""
    apps: Mapping[str, str] = field(default_factory=dict)
    lock: Lock = field(default_factory=Lock)
    doubtful: str = ""  # why no specs may not mean that none are wanted
    tombstones: Tombstones = field(default_factory=Tombstones)


class Pool(Protocol):
    """Threads that do tasks."""

    def submit(self, work: Callable[[Task], None], task: Task) -> None:
        """Have `work(task)` done soon."""

    def wait_for_room(self, seconds: float) -> None:
        """Wait while tasks wait for a thread, but no longer than `seconds`."""


class Recording(Protocol):
    """Writes down what was done. Nothing here waits or raises."""

    def before(self, task: Task) -> None:
        """`task` is about to be executed, in this worker."""

    def after(self, task: Task, failure: Failure | None) -> None:
        """It was executed."""

    def looked(self, before: Snapshot, after: Snapshot, changes: Iterable[Change]) -> None:
        """A look was published."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What the loop is given: where to look, what to act through, and when it is."""

    load: Callable[[], Specs]
    observe: Callable[[frozenset[str]], Observed]
    ports: Ports
    queue: Queue
    retries: Retries
    events: Events
    recorder: Recording
    workers: Pool
    pulls: Pool
    policy: Policy
    host: Host
    resync: float  # seconds between two looks at everything
    doorbells: Mapping[int, Callable[[], str]]  # descriptor -> drains it and names what rang, "" for nothing of ours
    monitors: Callable[[], Mapping[int, str]]  # pidfd -> id of the container whose monitor it is
    probe: Callable[[Mapping[str, SeenContainer]], None]  # told after each look who runs
    anticipate: Callable[[], None]  # told when containers are about to be started
    show: Callable[[Progress], None]  # called from workers while an image is pulled
    clock: Callable[[], float] = time.time


@dataclass(slots=True)
class Loop:
    """Owns everything that changes: what is being done, what failed, what was seen last."""

    around: Surroundings
    desired: Desired = field(default_factory=Desired)
    plan: Plan = field(default_factory=Plan)
    stopping: bool = False
    _doing: dict[str, Task] = field(default_factory=dict)
    _ended: deque[tuple[Task, Failure | None]] = field(default_factory=deque)
    _progress: dict[str, Progress] = field(default_factory=dict)  # by reference, while it is pulled
    _epoll: select.epoll = field(default_factory=select.epoll)
    _watched: dict[int, str] = field(default_factory=dict)
    _full_look_at: float = 0.0
    _shown_progress_at: float = 0.0
    _meant: tuple[Specs, frozenset[str], Desired] | None = None

    def __post_init__(self) -> None:
        """Listen to what rings by itself."""
        for fd in (self.around.queue.fd, *self.around.doorbells):
            self._epoll.register(fd, select.EPOLLIN)
        self._full_look_at = self.around.clock() + self.around.resync

    def look(self, names: frozenset[str]) -> None:
        """One pass of the pipeline: the whole program."""
        around, now = self.around, self.around.clock()
        begun = time.perf_counter(), time.thread_time()
        names |= self._collect(now) | self.plan.reads
        observed = around.observe(names)
        around.probe(observed.containers)
        if names & {SPECS, EVERYTHING}:
            self.desired = missing(self._meaning(around.load(), observed), observed, self.desired, now)
        self.plan = plan(self.desired, observed, now, around.policy, tuple(self._doing.values()))
        self._execute_what_is_safe(now)
        self._publish(observed, now, begun)

    def run_until_settled(self) -> None:
        """Look and act until nothing more happens by itself. A look that fails raises."""
        names = frozenset({EVERYTHING})
        while not self.stopping:
            self.look(names)
            if self.settled:
                return
            names = self._wait()

    def run(self) -> None:
        """Look, wait for the next event, look again, until told to stop.

        A look that fails (no descriptor is left, /proc answers garbage, our own mistake) changes nothing and is tried
        again: what runs keeps running, and the last snapshot stays published.
        """
        names = frozenset({EVERYTHING})
        while not self.stopping:
            try:
                self.look(names)
            except Exception as error:
                log.warning(
                    "cannot look at the host: %s; trying again", error, exc_info=log.isEnabledFor(logging.DEBUG)
                )
                names = self._pause()
            else:
                names = self._wait()

    @property
    def busy(self) -> bool:
        """Whether tasks are running or their results are still to be looked at."""
        return bool(self._doing or self._ended)

    @property
    def settled(self) -> bool:
        """Whether nothing more will happen by itself: what is left failed, or waits for somebody."""
        now = self.around.clock()
        ready = any(self.around.retries.ready(task, now) for task in self.plan.tasks)
        return not (self.busy or ready or any(wait.passing for wait in self.plan.waits))

    def _meaning(self, specs: Specs, observed: Observed) -> Desired:
        """As `meaning`, which is not asked again while neither the specs nor the apps that run are others."""
        established, known = _established(observed), self._meant
        if known and known[:2] == (specs, established) and not specs.lock.problem:
            return known[2]
        desired = _same(meaning(specs, observed), self.desired)
        self._meant = specs, established, desired
        return desired

    # --- doing -----------------------------------------------------------------------------------------------

    def _execute_what_is_safe(self, now: float) -> None:
        tasks = [task for task in self.plan.tasks if self.around.retries.ready(task, now)]
        if any(task.key.startswith(CONTAINER) for task in tasks):
            self.around.anticipate()
        for task in tasks:
            self._doing[task.key] = task
            pool = self.around.pulls if isinstance(task.steps[0], PullImage | CheckImage) else self.around.workers
            pool.submit(self._do, task)

    def _do(self, task: Task) -> None:
        """Runs in a worker: the deque and the queue are the only way back."""
        self.around.recorder.before(task)
        failure = execute(task, self.around.ports, self._report)
        self._ended.append((task, failure))
        self.around.queue.add(*touched(task))
        self.around.recorder.after(task, failure)

    def _report(self, progress: Progress) -> None:
        """Runs in a worker; rings only now and then."""
        self.around.show(progress)
        self._progress[progress.reference] = progress
        if progress.over:
            del self._progress[progress.reference]
        now = time.monotonic()
        if now - self._shown_progress_at >= PROGRESS_INTERVAL:
            self._shown_progress_at = now
            self.around.queue.add("progress")

    def _collect(self, now: float) -> frozenset[str]:
        """Take the ended tasks out of what is being done; what they touched must be read again in this very look."""
        names: set[str] = set()
        while self._ended:
            task, failure = self._ended.popleft()
            del self._doing[task.key]
            names |= touched(task)
            if failure:
                self.around.retries.fail(task, failure, now)
            else:
                self.around.retries.succeed(task, now)
        return frozenset(names)

    # --- publishing ------------------------------------------------------------------------------------------

    def _publish(self, observed: Observed, now: float, begun: tuple[float, float]) -> None:
        around = self.around
        around.retries.keep_only(frozenset(task.key for task in self.plan.tasks) | self._doing.keys(), now)
        before = around.events.current()
        snapshot = Snapshot(
            at=now,
            generation=before.generation + 1,
            desired=self.desired,
            observed=observed,
            plan=self.plan,
            outcomes=around.retries.outcomes(),
            progress=dict(self._progress),
            busy=frozenset(self._doing),
            doing=tuple(self._doing.values()),
            host=around.host,
            look_wall=time.perf_counter() - begun[0],
            look_cpu=time.thread_time() - begun[1],
        )
        snapshot = replace(snapshot, since=since(before, snapshot))
        for line in news(before, snapshot):
            log.info(line)
        happened = changes(before, snapshot)
        around.events.publish(snapshot, happened)
        around.recorder.looked(before, snapshot, happened)

    # --- waiting ---------------------------------------------------------------------------------------------

    def _wait(self) -> frozenset[str]:
        """Sleep until something rings or is due; the names to look at."""
        self._watch_monitors()
        self.around.workers.wait_for_room(PATIENCE)
        names = self._listen()
        names |= self.around.queue.take()
        now = self.around.clock()
        if not now < self._full_look_at <= now + self.around.resync:  # due, or somebody set the clock
            self._full_look_at = now + self.around.resync
            names.add(EVERYTHING)
        return frozenset(names)

    def _listen(self) -> set[str]:
        """The names of what rang; none when something is due or waits in the queue. What is not ours does not count."""
        names: set[str] = set()
        others = True
        while others and not names:
            fds = [fd for fd, _ in self._epoll.poll(self._timeout())]
            others = bool(fds) and all(fd in self.around.doorbells for fd in fds)
            names |= {self.around.doorbells[fd]() for fd in fds if fd in self.around.doorbells} - {""}
            names |= {CONTAINER + self._watched.pop(fd) for fd in fds if fd in self._watched}
        return names

    def _pause(self) -> frozenset[str]:
        """Wait a moment, or until a task or a signal rings: what else rings may go on until a look has seen why."""
        bell = select.poll()
        bell.register(self.around.queue.fd, select.POLLIN)
        bell.poll(LOOK_AGAIN * 1000)
        self.around.queue.take()
        return frozenset({EVERYTHING})

    def _timeout(self) -> float:
        times = (self.plan.look_again_at, *(wait.until for wait in self.plan.waits))
        due = [time for time in times if time is not None]
        now = self.around.clock()
        soonest = min((self._full_look_at, *due, *self.around.retries.times_after(now)))
        return min(max(0.0, soonest - now), self.around.resync)

    def _watch_monitors(self) -> None:
        """Listen for the end of monitors that are new. One shot: the pidfd of a dead process stays readable."""
        found = self.around.monitors()
        for fd, id in found.items():
            if self._watched.get(fd) != id:
                self._register(fd)
        self._watched = dict(found)

    def _register(self, fd: int) -> None:
        try:
            self._epoll.register(fd, select.EPOLLIN | select.EPOLLONESHOT)
        except FileExistsError:
            self._epoll.modify(fd, select.EPOLLIN | select.EPOLLONESHOT)


def meaning(specs: Specs, observed: Observed) -> Desired:
    """What the specs mean together. In a conflict between two of them, the app that runs already keeps what it has."""
    established = _established(observed)
    unavailable = specs.unavailable or (specs.doubtful if established - specs.tombstones.apps else "")
    desired = resolve(specs.documents, established, unavailable, specs.apps)
    return locked(replace(desired, tombstones=specs.tombstones), specs.lock, observed)


def _same(desired: Desired, before: Desired) -> Desired:
    """`desired`, with the containers that are as before as the same objects: looks compare nothing as often."""
    known = before.containers
    same = {name: known[name] if known.get(name) == made else made for name, made in desired.containers.items()}
    return replace(desired, containers=same)


def _established(observed: Observed) -> frozenset[str]:
    return frozenset(seen.app for seen in observed.containers.values())
