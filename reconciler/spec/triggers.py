"""When a job runs, as a user may write it: the `triggers` of Docker Compose 5.8. Used by `compose`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from reconciler.core import cron
from reconciler.core.jobs import LISTED, Schedule
from reconciler.spec.forms import FormError
from reconciler.spec.model import Model
from reconciler.spec.types import Duration, Switch, Text, Whole

_MOST = LISTED // 2  # containers of runs that have ended


def _cron(value: str) -> str:
    try:
        return cron.fields(value)
    except ValueError as error:
        raise FormError(f"'{value}' is no cron expression: {error}; write one such as \"30 2 * * 1-5\"") from None


def _timezone(value: str) -> str:
    try:
        return cron.zone(value)
    except ValueError as error:
        raise FormError(f"'{value}' cannot be used: {error}") from None


def _history(value: int) -> int:
    if not 1 <= value <= _MOST:
        raise FormError(f"it must be from 1 to {_MOST}")
    return value


def _entry(value: object) -> object:
    return {"cron": value} if isinstance(value, str) else value


class Fires(Model):
    """One schedule of a job."""

    cron: Annotated[Text, AfterValidator(_cron)]
    """Minute, hour, day of the month, month, day of the week; or @hourly, @daily, @weekly, @monthly, @yearly."""
    timezone: Annotated[Text, AfterValidator(_timezone)] = "UTC"
    """The time zone of `cron`, as in Europe/Paris."""
    concurrency: Literal["forbid", "queue"] = "forbid"
    """At a time at which the run before has not ended: skip it, or take it up when that has ended."""
    missed_fires: Literal["one", "skip"] = "one"
    """Of the times that passed while no daemon ran: run once, or not at all."""
    replace: Switch = Field(False, alias="x-replace")
    """At a time at which the run before has not ended: stop that, and run. It goes before `concurrency`."""
    deadline: Duration | None = Field(None, alias="x-deadline")
    """How late a run may start; later, its time is missed. Without it, any time before the next one."""


_Entry = Annotated[Fires, BeforeValidator(_entry, json_schema_input_type=str | Fires)]


class Triggers(Model):
    """What makes a job run."""

    manual: Switch | None = None
    """Nobody can run anything by hand here, so it means nothing beside a schedule."""
    schedule: tuple[_Entry, ...] = ()

    def value(self, history: int) -> Schedule:
        """As the decisions see it."""
        (fires,) = self.schedule
        return Schedule(
            cron=fires.cron,
            timezone=fires.timezone,
            concurrency="replace" if fires.replace else fires.concurrency,
            missed_fires=fires.missed_fires,
            deadline=fires.deadline,
            history=history,
        )


def _scheduled(value: Triggers) -> Triggers:
    if not value.schedule:
        raise FormError(
            "it needs 'schedule'; nobody runs a job by hand here, and a service with restart \"no\" runs once"
        )
    if len(value.schedule) > 1:
        raise FormError("a job has one schedule; write another job", "schedule", 1)
    if value.manual:
        raise FormError("beside a 'schedule' it can only be false", "manual")
    return value


Timed = Annotated[Triggers, AfterValidator(_scheduled)]
History = Annotated[Whole, AfterValidator(_history)]
