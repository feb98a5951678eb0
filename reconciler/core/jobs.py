"""What is run to its end: what a spec says of when, and what is remembered of the runs. Values only.

A job has a schedule, and each of its times is one run: a container of its own. A one-shot service has one run for each
revision. What follows from these values now is decided in `scheduling`; `host.runfiles` keeps the files.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

LISTED = 20  # runs of a job that are remembered


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """Compose `triggers.schedule`, one entry. `cron` has five fields, `timezone` is an IANA name.

    `concurrency`: what happens at a time at which the run before has not ended: it passes (forbid), is taken up when
    that has ended (queue), or that is ended for it (replace). `missed_fires`: whether a time that passed while no
    daemon ran is made up for. `deadline`: for how many seconds a time can be taken up late, None without end.
    `history`: of how many ended runs the container stays, with what it wrote.
    """

    cron: str
    timezone: str = "UTC"
    concurrency: Literal["forbid", "queue", "replace"] = "forbid"
    missed_fires: Literal["one", "skip"] = "one"
    deadline: float | None = None
    history: int = 3

    def __str__(self) -> str:
        return f"{self.cron} {self.timezone}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A time of a job and what became of it; all in seconds since the epoch.

    `started` is noted before the container `id` is started, None for a time that passed without a run. `code` is None
    when nobody knows it. `said` is what is to be said beside: why there was no run, or how it ended.
    """

    scheduled: float
    id: str = ""
    started: float | None = None
    ended: float | None = None
    code: int | None = None
    said: str = ""

    @property
    def open(self) -> bool:
        """Whether it was begun, and no end of it is known."""
        return self.started is not None and self.ended is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What is remembered of a job. All times up to `after` are dealt with; `runs` are the newest, newest last.

    `schedule` is what `after` was counted by: the times of another one begin anew.
    """

    name: str  # of its containers
    app: str
    spec: str
    schedule: str
    after: float
    runs: tuple[Run, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A one-shot container that has had its run: it does not run again before its revision changes."""

    name: str
    app: str
    spec: str
    revision: str
    code: int
    at: float
    since: float  # when that run had started
