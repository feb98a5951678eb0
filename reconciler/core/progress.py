"""How far a pull is, layer by layer and in total, and how fast it goes. Pure: the time is an argument.

`host.images.layers` counts; terminal, log, status and events show.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from reconciler.core.durations import compact
from reconciler.core.sizes import size

TICK = 0.2  # seconds; what comes within one is counted together
EVEN = 3.0  # seconds over which the pace is evened out


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast something grows: `rate` in bytes a second, as it was `at` when `done` bytes were there."""

    at: float
    done: int = 0
    rate: float = 0.0

    def after(self, now: float, done: int) -> Pace:
        """The pace now that `done` bytes are there."""
        took = now - self.at
        if took < TICK:
            return self
        newest = max(0, done - self.done) / took
        weight = 1.0 if self.rate == 0.0 else took / (took + EVEN)
        return Pace(now, done, self.rate + weight * (newest - self.rate))


@dataclass(frozen=True, slots=True)
class LayerProgress:
    """One layer on its way: bytes of its blob, and bytes a second."""

    digest: str
    done: int
    size: int
    rate: float = 0.0


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a pull is: bytes of the layers that were missing. `over` is the last word, whether it went well or not.

    `at` is when the newest bytes came, in seconds of a clock that only runs forward.
    """

    reference: str
    done: int
    total: int
    rate: float = 0.0
    layers: tuple[LayerProgress, ...] = field(default=())
    over: bool = False
    at: float = 0.0

    @property
    def finished(self) -> int:
        """How many layers have come."""
        return sum(layer.done >= layer.size for layer in self.layers)

    @property
    def flying(self) -> tuple[LayerProgress, ...]:
        """The layers that are coming."""
        return tuple(layer for layer in self.layers if 0 < layer.done < layer.size)

    @property
    def tenths(self) -> int:
        """How far, in tenths: what is worth an event."""
        return 10 * self.done // self.total if self.total else 0


def remaining(done: int, total: int, rate: float) -> float | None:
    """Seconds until it is over at this rate, None when nobody can tell."""
    return (total - done) / rate if rate > 0 and total > done else None


def describe(progress: Progress) -> str:
    """One line: how much of it, how fast, how long, how many layers."""
    share = f"{100 * progress.done // progress.total} % of {size(progress.total)}" if progress.total else "begins"
    return ", ".join(part for part in (share, _speed(progress), _layers(progress)) if part)


def _speed(progress: Progress) -> str:
    if progress.total and progress.done >= progress.total:
        return "being written"
    left = remaining(progress.done, progress.total, progress.rate)
    return "" if left is None else f"{size(progress.rate)}/s, {compact(left)} left"


def _layers(progress: Progress) -> str:
    return f"{progress.finished} of {len(progress.layers)} layers" if progress.layers else ""
