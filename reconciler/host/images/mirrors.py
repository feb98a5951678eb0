"""Mirrors that fail are passed over, and not silently: what was wrong with each is kept until it is well again.

A mirror that has not what is asked for is no failure. One that gave no proper answer is left alone for a while, so
that a dead mirror is waited for once and not for every layer. Called by `store`, `resolve` and `layers`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeVar

from reconciler.errors import HostError

AWAY = 60.0  # seconds in which a mirror that failed is not asked

Answer = TypeVar("Answer")


class NotHereError(HostError):
    """The place has not what was asked for, or is not to be asked for it; that is not its fault."""

    fault = "absent"


class Place(Protocol):
    """Where something may be had. `mirror` is its name, "" for what is nobody's mirror."""

    @property
    def mirror(self) -> str:
        """What a person knows it by."""


PlaceT = TypeVar("PlaceT", bound=Place)


class Mirrors:
    """What is known of the mirrors of one host. Safe for threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._failed: Mapping[str, tuple[float, str]] = {}

    def failures(self) -> Mapping[str, str]:
        """Mirror -> why it was passed over the last time."""
        return {mirror: why for mirror, (_, why) in self._failed.items()}

    def first(self, places: Sequence[PlaceT], ask: Callable[[PlaceT], Answer]) -> Answer:
        """The first answer of `places`, of which the last one is the registry itself. Raises HostError."""
        for place in places[:-1]:
            if not self._is_away(place.mirror):
                begun = self._clock()
                try:
                    answer = ask(place)
                except NotHereError:
                    continue
                except HostError as error:
                    self._fail(place.mirror, str(error))
                else:
                    self._forgive(place.mirror, begun)
                    return answer
        return ask(places[-1])

    def _is_away(self, mirror: str) -> bool:
        since, _ = self._failed.get(mirror, (None, ""))
        return since is not None and self._clock() - since < AWAY

    def _fail(self, mirror: str, why: str) -> None:
        with self._lock:
            self._failed = {**self._failed, mirror: (self._clock(), why)}

    def _forgive(self, mirror: str, begun: float) -> None:
        """It served what it was asked at `begun`; what failed since is another matter."""
        with self._lock:
            self._failed = {name: found for name, found in self._failed.items() if name != mirror or found[0] > begun}
