"""What the containers of a job need now: one is made for each run, runs to its end, and stays a while. Pure.

`scheduling` decides about times; here that becomes tasks and waits. A job runs by no restart policy: what ended has
ended, and a change of its spec is for the next run. Called by `plan`, which lends what it does for every container.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from reconciler.core import cron, images, lifecycle, making
from reconciler.core.instances import Replica
from reconciler.core.jobs import Job
from reconciler.core.model import Container, Dead, Running, SeenContainer
from reconciler.core.remembering import KeepJob
from reconciler.core.scene import Scene
from reconciler.core.scheduling import Decision, decide, described, start, times
from reconciler.core.steps import StartContainer, Step, Task, Wait

Entry = Task | Wait


@dataclass(frozen=True, slots=True)
class Hands:
    """What `plan` does for every container: whether a new one could be made now, and keeping one as it is."""

    resolvers: making.Resolvers
    not_yet: Callable[[Replica], Wait | None]
    keep: Callable[[SeenContainer], Iterable[Entry]]


def entries(scene: Scene, wanted: Container, hands: Hands, now: float) -> Iterator[Entry]:
    """Everything for `wanted`, which has a schedule."""
    known = scene.observed.jobs.get(wanted.name)
    decision = decide(wanted, known, scene.instances.get(wanted.name, ()), now, scene.policy.started)
    found = _Found(scene, wanted, hands, decision, now)
    yield from found.open()
    if decision.job != known:  # first of all: what is not written down has not happened
        yield Task(f"job:{wanted.name}", _cause(known, decision.job), (KeepJob(decision.job),))
        return
    if decision.due is not None and decision.running is None:
        yield from found.due(decision.due)
    yield from found.rest()


def next_time(scene: Scene, now: float) -> float | None:
    """When a job is due next."""
    schedules = (container.schedule for container in scene.desired.containers.values() if container.schedule)
    found = (cron.following(times(schedule), now) for schedule in schedules)
    return min((moment for moment in found if moment is not None), default=None)


def resting(seen: SeenContainer) -> bool:
    """Whether it is a job's and does not run: then nothing is done to it while its spec cannot be read."""
    return seen.scheduled is not None and not isinstance(seen.state, Running)


def _cause(known: Job | None, job: Job) -> str:
    if known is None:
        return "its times count from now on"
    if known.schedule != job.schedule:
        return "its schedule is another one now"
    news = [run for run in job.runs if run not in known.runs]
    if not news:
        return "the clock was set"
    return f"a run {described(news[-1])}" if news[-1].started else described(news[-1])


@dataclass(frozen=True, slots=True)
class _Found:
    """A job, and what was decided of it."""

    scene: Scene
    wanted: Container
    hands: Hands
    decision: Decision
    now: float

    @property
    def instances(self) -> tuple[SeenContainer, ...]:
        """Newest first."""
        return self.scene.instances.get(self.wanted.name, ())

    def open(self) -> Iterator[Entry]:
        """What was begun is kept until it ends; also what the daemon was killed in the middle of starting."""
        begun = {run.id for run in self.decision.job.runs if run.open}
        for seen in self.instances:
            if seen.id in begun and self._makes_way(seen):
                yield lifecycle.stop(seen, "the next run is due")
            elif seen.id in begun and not (isinstance(seen.state, Dead) and self.decision.due is not None):
                kept = [*self.hands.keep(seen)]
                yield from kept
                if seen is self.decision.running and not any(entry.key == lifecycle.key(seen.name) for entry in kept):
                    yield Wait(lifecycle.key(seen.name), "waits for the run before to end", code="run-before")

    def due(self, due: float) -> Iterator[Entry]:
        """The run of a time that is due: it is made, then written down and started in one go."""
        run = replace(self.wanted, scheduled=due)
        found = Replica(run, run, images.image_of(run, self.scene.observed.images), None, ())
        made = next((seen for seen in self.instances if _made_for(seen, found)), None)
        if made is not None:
            yield from (self._written_down(entry, made) for entry in self.hands.keep(made))
        elif wait := self.hands.not_yet(found):
            yield wait
        else:
            created = making.create(self.scene, self.hands.resolvers, found, self._cause(due), due)
            yield from (_unstarted(entry) for entry in created)

    def rest(self) -> Iterator[Entry]:
        """What has ended is cleaned, and goes when newer ones have; so does what was never started."""
        assert self.wanted.schedule is not None
        ended = [run.id for run in self.decision.job.runs if run.id and not run.open]
        stay = {run.id for run in self.decision.job.runs if run.open} | set(ended[-self.wanted.schedule.history :])
        for seen in self.instances:
            if seen.id in ended and seen.id in stay:
                entry: Entry | None = lifecycle.clean(seen)
            elif seen.id in stay or (self.decision.due is not None and seen.scheduled == self.decision.due):
                continue
            else:
                entry = lifecycle.retire(seen, self.now, "newer runs have ended" if seen.id in ended else "out of date")
            if entry:
                yield replace(entry, key=f"{entry.key}@{seen.id[:12]}")

    def _makes_way(self, seen: SeenContainer) -> bool:
        assert self.wanted.schedule is not None
        running = isinstance(seen.state, Running) and seen.state.stop_sent is None
        return running and seen is self.decision.running and self.wanted.schedule.concurrency == "replace"

    def _written_down(self, entry: Entry, seen: SeenContainer) -> Entry:
        if not isinstance(entry, Task) or not isinstance(entry.steps[-1], StartContainer):
            return entry
        assert seen.scheduled is not None
        noted: Step = KeepJob(start(self.decision, seen, self.now))
        return replace(entry, cause=self._cause(seen.scheduled), steps=(*entry.steps[:-1], noted, entry.steps[-1]))

    def _cause(self, due: float) -> str:
        assert self.wanted.schedule is not None
        return f"due at {cron.shown(due, self.wanted.schedule.timezone)}"


def _made_for(seen: SeenContainer, found: Replica) -> bool:
    """Whether it was made for that run, and not started; of another revision it is out of date."""
    return (
        isinstance(seen.state, Dead) and seen.scheduled == found.container.scheduled and seen.revision == found.revision
    )


def _unstarted(entry: Entry) -> Entry:
    """It is started by the next look, when it is there."""
    if not isinstance(entry, Task):
        return entry
    return replace(entry, steps=tuple(step for step in entry.steps if not isinstance(step, StartContainer)))
