"""Times of a cron expression, in seconds since the epoch. Pure but for the time zone database, which is read once.

The rules are those of Debian's cron(8), which `cronsim` implements: an expression of fixed hours and minutes that the
clock jumps over in spring runs right after the jump, and one that the clock shows twice in autumn runs once, the first
time. One whose hour or minute begins with a star means real time: it goes on through both.
"""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

ALIASES: Final = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}

Times = tuple[str, str]  # an expression and a time zone


def fields(expression: str) -> str:
    """The five fields that `expression` stands for. Raises ValueError with the reason when it has no times at all."""
    known = ALIASES.get(expression.strip().lower(), " ".join(expression.split()))
    if len(known.split(" ")) != 5:
        raise ValueError("it needs five fields: minute, hour, day of the month, month, day of the week")
    try:
        times = CronSim(known, datetime(2000, 1, 1, tzinfo=UTC))
    except CronSimError as error:
        raise ValueError(f"its {str(error).removeprefix('Bad ').replace('-', ' ')} cannot be used") from None
    if next(times, None) is None:
        raise ValueError("there is no such day")
    return known


def zone(name: str) -> str:
    """`name`, when the host knows that time zone. Raises ValueError when it does not."""
    try:
        _zone(name)
    except (ValueError, OSError, KeyError):
        raise ValueError("the host knows no such time zone; write one such as Europe/Paris") from None
    return name


def following(times: Times, after: float) -> float | None:
    """The first time later than `after`, None when there is none."""
    return _following(times, after // 60 * 60)  # all times are whole minutes, so each look of one minute hears the same


@lru_cache(maxsize=4096)
def _following(times: Times, after: float) -> float | None:
    expression, name = times
    for found in CronSim(expression, datetime.fromtimestamp(after, _zone(name))):
        if found.timestamp() > after:  # where the clock shows a time twice the library may begin with the first
            return found.timestamp()
    return None


def latest(times: Times, after: float, until: float) -> float | None:
    """The last time later than `after` and not later than `until`, None when there is none."""
    found = following(times, after)
    if found is None or found > until:
        return None
    low, high = found, until  # the last one is not before `low`, and before `high` unless that is `low`
    while high - low >= 1.0:
        middle = (low + high) / 2
        later = following(times, middle)
        if later is not None and later <= until:
            low = later
        else:
            high = middle
    return low


def count(times: Times, after: float, until: float, most: int) -> int:
    """How many times lie after `after` and not after `until`, counted up to `most`."""
    found, moment = 0, following(times, after)
    while moment is not None and moment <= until and found < most:
        found, moment = found + 1, following(times, moment)
    return found


def shown(moment: float, name: str) -> str:
    """A moment as people write it, in that time zone."""
    return f"{datetime.fromtimestamp(moment, _zone(name)):%Y-%m-%d %H:%M} {name}"


@lru_cache(maxsize=64)
def _zone(name: str) -> tzinfo:
    return UTC if name == "UTC" else ZoneInfo(name)
