"""Which time of a job is taken up now, which passed without a run, which runs have ended. Pure; time is an argument.

A time is dealt with once: it is written down before its run is started, and so is what passed. No run is ever started
twice for the same time, whenever the daemon is killed; one that a restart of the host interrupted is not started again
either. Of several times that are due only the last is taken up. Called by `jobruns`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from reconciler.core import cron
from reconciler.core.jobs import LISTED, Job, Run, Schedule
from reconciler.core.model import Container, Created, Dead, Exited, Running, SeenContainer

FAR = 86400.0  # seconds that the clock may be set back before what was dealt with counts for nothing
MOST = 1000  # times that passed are counted no further

Instances = Sequence[SeenContainer]


@dataclass(frozen=True, slots=True)
class Decision:
    """`job` is what is to be remembered now, before anything else is done.

    `due` is the time to be taken up, None for none; `running` is the run before, which is still in progress; `begun`
    is what is to be remembered of the times before `due` when its run starts.
    """

    job: Job
    due: float | None = None
    running: SeenContainer | None = None
    begun: tuple[Run, ...] = ()


def decide(wanted: Container, known: Job | None, instances: Instances, now: float, started: float) -> Decision:
    """What `wanted`, which has a schedule, needs now. `started` is when the daemon did."""
    schedule = wanted.schedule
    assert schedule is not None
    job = _base(wanted, schedule, known, now)
    job = replace(job, runs=_kept((*_told(job.runs, instances, now), *_adopted(job.runs, instances)), instances))
    due = cron.latest(times(schedule), job.after, now)
    if due is None:
        return Decision(job)
    if any(run.scheduled == due for run in job.runs):
        return Decision(replace(job, after=due))
    running = next((seen for seen in instances if _runs(seen)), None)
    before = tuple(_passed(schedule, job.after, due))
    if why := _why_not(schedule, due, running, now, started):
        return Decision(_dealt_with(job, (*before, Run(scheduled=due, said=why)), instances))
    return Decision(job, due, running, before)


def start(decision: Decision, seen: SeenContainer, now: float) -> Job:
    """What is to be remembered just before `seen` is started for the due time."""
    assert decision.due is not None
    stale = tuple(
        replace(run, ended=now, said="never started, as it could not be") if run.open else run
        for run in decision.job.runs
    )
    job = replace(decision.job, runs=stale)
    run = Run(scheduled=decision.due, id=seen.id, started=now)
    return _dealt_with(job, (*decision.begun, run), (seen,))


def due_since(schedule: Schedule, known: Job | None, now: float) -> float:
    """The last time that is not dealt with yet, 0 for none."""
    return (cron.latest(times(schedule), known.after, now) or 0.0) if known else 0.0


def times(schedule: Schedule) -> cron.Times:
    """What `cron` takes."""
    return schedule.cron, schedule.timezone


def interrupted(seen: SeenContainer) -> bool:
    """Whether the host was restarted since it was made, for it is mounted then."""
    return isinstance(seen.state, Dead) and not seen.mounted


def described(run: Run) -> str:
    """How a run ended, or why there was none."""
    if run.open:
        return "runs"
    ended = "" if run.code is None else f"ended with {run.code}"
    return ", ".join(filter(None, (ended, run.said))) or "ended"


# --- what is known of the runs -----------------------------------------------------------------------------------


def _base(wanted: Container, schedule: Schedule, known: Job | None, now: float) -> Job:
    """Times begin to count when a schedule is first seen, and anew when the clock was wrong by more than a day."""
    runs = known.runs if known else ()
    counted = known is not None and known.schedule == str(schedule) and known.after <= now + FAR
    after = known.after if known is not None and counted else now
    return Job(name=wanted.name, app=wanted.app, spec=wanted.spec, schedule=str(schedule), after=after, runs=runs)


def _told(runs: Sequence[Run], instances: Instances, now: float) -> Iterator[Run]:
    """The runs, with the ends that show now."""
    seen = {entry.id: entry for entry in instances}
    for run in runs:
        yield _ended(run, seen.get(run.id), now) if run.open else run


def _ended(run: Run, seen: SeenContainer | None, now: float) -> Run:
    if seen is None:
        return replace(run, ended=now, said="lost with its container")
    if interrupted(seen):
        return replace(run, ended=now, said="interrupted by a restart of the host")
    if isinstance(seen.state, Exited):
        said = "out of memory" if seen.state.oom else "stopped" if seen.state.stopped else ""
        return replace(run, ended=seen.state.at, code=seen.state.code, said=said)
    return run


def _adopted(runs: Sequence[Run], instances: Instances) -> Iterator[Run]:
    """Runs that nothing is remembered of, because the file of it was lost; each says itself of which time it is."""
    known = {run.id for run in runs}
    for seen in reversed(instances):
        if seen.scheduled is not None and seen.id not in known and not isinstance(seen.state, Dead):
            since = seen.state.since if isinstance(seen.state, Running | Exited) else seen.created_at
            yield from _told((Run(scheduled=seen.scheduled, id=seen.id, started=since),), (seen,), since)


def _kept(runs: Sequence[Run], instances: Instances) -> tuple[Run, ...]:
    """The newest ones, and all whose container is there."""
    there = {seen.id for seen in instances}
    first = len(runs) - LISTED
    return tuple(run for index, run in enumerate(runs) if index >= first or run.id in there)


def _dealt_with(job: Job, runs: Sequence[Run], instances: Instances) -> Job:
    return replace(job, after=runs[-1].scheduled, runs=_kept((*job.runs, *runs), instances))


# --- what is due -------------------------------------------------------------------------------------------------


def _runs(seen: SeenContainer) -> bool:
    return isinstance(seen.state, Running | Created)


def _why_not(schedule: Schedule, due: float, running: SeenContainer | None, now: float, started: float) -> str:
    """Why the time passes without a run, "" when it is taken up."""
    if schedule.missed_fires == "skip" and due < started:
        return "missed: no daemon ran"
    if schedule.deadline is not None and now > due + schedule.deadline:
        return f"missed: it could not be started within {schedule.deadline:g} s"
    if running is not None and schedule.concurrency == "forbid":
        return "skipped: the run before had not ended"
    return ""


def _passed(schedule: Schedule, after: float, due: float) -> Iterator[Run]:
    """The times before `due` that were not taken up, as one entry."""
    last = cron.latest(times(schedule), after, due - 1.0)
    if last is not None:
        others = cron.count(times(schedule), after, last, MOST) - 1
        more = f", and {'more than ' if others >= MOST - 1 else ''}{others} before" if others else ""
        yield Run(scheduled=last, said=f"missed{more}: a later time was taken up")
