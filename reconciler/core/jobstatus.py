"""What a user may see of jobs: when each runs next, and what became of its last runs. Pure; a part of `status`."""

from __future__ import annotations

from dataclasses import dataclass

from reconciler.core import cron
from reconciler.core.jobs import Job, Run, Schedule
from reconciler.core.model import Container, Desired, Observed
from reconciler.core.scheduling import described, times


@dataclass(frozen=True, slots=True, kw_only=True)
class JobStatus:
    """One job. `runs` are the newest, newest last; `said` is all of it in one sentence.

    `exit_code` is that of the last run that ended, None before the first and when nobody knows it.
    """

    name: str
    app: str
    job: str
    schedule: str
    timezone: str
    said: str
    next_at: float | None = None
    running: bool = False
    exit_code: int | None = None
    runs: tuple[Run, ...] = ()


def jobs(desired: Desired, observed: Observed, now: float) -> tuple[JobStatus, ...]:
    """All jobs that the specs declare, by name."""
    return tuple(
        _job(container, container.schedule, observed.jobs.get(name), now)
        for name, container in sorted(desired.containers.items())
        if container.schedule is not None
    )


def _job(container: Container, schedule: Schedule, known: Job | None, now: float) -> JobStatus:
    runs = known.runs if known else ()
    next_at = cron.following(times(schedule), now)
    over = [run for run in runs if run.id and not run.open]
    return JobStatus(
        name=container.name,
        app=container.app,
        job=container.service,
        schedule=schedule.cron,
        timezone=schedule.timezone,
        said="; ".join((_next(next_at, schedule), *_last(runs, schedule))),
        next_at=next_at,
        running=any(run.open for run in runs),
        exit_code=over[-1].code if over else None,
        runs=runs,
    )


def _next(moment: float | None, schedule: Schedule) -> str:
    return f"next run at {cron.shown(moment, schedule.timezone)}" if moment is not None else "no next run"


def _last(runs: tuple[Run, ...], schedule: Schedule) -> list[str]:
    """What is going on, how the last run ended, and which time passed without one since."""
    begun = [run for run in runs if run.started is not None]
    said: list[str] = []
    if begun and begun[-1].started is not None and begun[-1].open:
        said.append(f"runs since {cron.shown(begun[-1].started, schedule.timezone)}")
    over = [run for run in begun if run.ended is not None]
    if over and over[-1].ended is not None:
        said.append(f"last run {described(over[-1])} at {cron.shown(over[-1].ended, schedule.timezone)}")
    if runs and runs[-1].started is None:
        said.append(f"that of {cron.shown(runs[-1].scheduled, schedule.timezone)} was {runs[-1].said}")
    return said or ["it has not run yet"]
