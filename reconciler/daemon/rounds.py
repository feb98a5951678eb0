"""When which container is asked again, and what its answers mean: the diary of `probes`. Time is an argument.

Two clocks: `wall` for what is told to others, and `steady`, which nobody can set, for what is due.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from reconciler.core.health import Health, answered, in_grace, next_due
from reconciler.core.probing import Target


class Moment(NamedTuple):
    """Now, in seconds, on both clocks."""

    wall: float
    steady: float


@dataclass(slots=True)
class _Round:
    target: Target
    health: Health
    due: float  # steady
    asked: bool = False  # and not answered yet


class Rounds:
    """All targets, each with what is known and when it is asked again."""

    def __init__(self) -> None:
        self._rounds: dict[str, _Round] = {}
        self._due: list[tuple[float, str]] = []  # may also name what is due at another time by now

    def take(self, targets: Mapping[str, Target], now: Moment) -> None:
        """Ask these from now on, and no others. A new run begins anew."""
        for id in self._rounds.keys() - targets.keys():
            del self._rounds[id]
        for id, target in targets.items():
            known = self._rounds.get(id)
            if known is not None and known.target.since == target.since:
                known.target = target
            else:
                self._rounds[id] = _Round(target, target.health, 0.0)
                self._plan(id, _last_asked(target, now), now)

    def due(self, now: Moment) -> Iterator[Target]:
        """Who is to be asked now; each is asked once until it has answered."""
        while self._due and self._due[0][0] <= now.steady:
            at, id = heapq.heappop(self._due)
            known = self._rounds.get(id)
            if known is not None and known.due == at and not known.asked:
                known.asked = True
                yield known.target

    @property
    def next_at(self) -> float | None:
        """When somebody is due, on the steady clock; None for never."""
        return self._due[0][0] if self._due else None

    def answer(self, target: Target, answer: tuple[bool, str], now: Moment) -> Health | None:
        """What is known after an answer, None when there is nothing to tell: `wall` is when it came."""
        known = self._rounds.get(target.id)
        if known is None or known.target.since != target.since:
            return None
        before = known.health
        known.health, known.asked = answered(before, target.check, answer, now.wall, target.since), False
        self._plan(target.id, now.steady, now)
        return known.health if _notable(before, known.health) else None

    def _plan(self, id: str, asked: float, now: Moment) -> None:
        known = self._rounds[id]
        target = known.target
        started = now.steady - max(0.0, now.wall - target.since)
        known.due = next_due(target.check, known.health, asked, started, target.phase)
        heapq.heappush(self._due, (known.due, id))


def _last_asked(target: Target, now: Moment) -> float:
    """What has just started is asked soon; what a former daemon asked is asked at its next turn."""
    if target.health.state == "starting" and in_grace(target.check, now.wall, target.since):
        return now.steady
    return now.steady - target.check.interval / 2


def _notable(before: Health, after: Health) -> bool:
    """Another state, or the first word of one that is not well."""
    return before.state != after.state or (after.state == "starting" and bool(after.said) and not before.said)
