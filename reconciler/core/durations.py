"""Lengths of time in words, as Docker and Compose say them, because tools and eyes already know those words.

Pure arithmetic on seconds. Used by the Docker view of the socket, whose readers parse the text, and by the tables
of the command line.
"""

from __future__ import annotations

MINUTE = 60
HOUR = 60 * MINUTE
DAY = 24 * HOUR
WEEK = 7 * DAY
MONTH = 30 * DAY
YEAR = 365 * DAY

# up to this many seconds -> count in this unit (docker/go-units duration.go, HumanDuration)
_UNITS = ((HOUR, MINUTE, "minutes"), (2 * DAY, HOUR, "hours"), (2 * WEEK, DAY, "days"), (2 * MONTH, WEEK, "weeks"),
          (2 * YEAR, MONTH, "months"))  # fmt: skip


def human(seconds: float) -> str:
    """`seconds` as `8 minutes`, `About an hour`, `3 weeks`; what lies in the future counts as no time at all."""
    if seconds < 1:
        return "Less than a second"
    if seconds < MINUTE:
        return "1 second" if seconds < 2 else f"{int(seconds)} seconds"
    if seconds < 2 * MINUTE:
        return "About a minute"
    if HOUR <= seconds < 1.5 * HOUR:
        return "About an hour"
    for limit, unit, word in _UNITS:
        if seconds < limit:
            return f"{round(seconds / unit) if unit == HOUR else int(seconds / unit)} {word}"
    return f"{int(seconds / YEAR)} years"


def compact(seconds: float) -> str:
    """`seconds` in at most five characters for a column: `45s`, `8m`, `3h`, `12d`."""
    for limit, unit, letter in ((2 * MINUTE, 1, "s"), (2 * HOUR, MINUTE, "m"), (2 * DAY, HOUR, "h")):
        if seconds < limit:
            return f"{max(0, int(seconds / unit))}{letter}"
    return f"{int(seconds / DAY)}d"
