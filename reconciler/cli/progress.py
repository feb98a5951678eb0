"""What `run` shows of pulls: on a terminal lines that move, elsewhere a line now and then.

Workers report as often as bytes come, and only the newest is noted; one thread draws, and sleeps while nothing is
pulled.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from reconciler.cli.screen import Screen
from reconciler.core.durations import compact
from reconciler.core.progress import Progress, describe, remaining
from reconciler.core.sizes import size

LINE_EVERY = 5.0  # seconds between two lines about one pull where there is no terminal
DRAW_EVERY = 0.2
STALLED = 3.0  # seconds without a byte that are worth telling
_BAR = 20  # characters
_NAME = 44  # characters of a name; the end says more than the beginning

log = logging.getLogger(__name__)


class Progressing:
    """Shows all pulls of a daemon together."""

    def __init__(self, screen: Screen, clock: Callable[[], float] = time.monotonic) -> None:
        self._screen = screen
        self._clock = clock
        self._pulls: dict[str, Progress] = {}
        self._begun: dict[str, float] = {}
        self._told: dict[str, float] = {}  # when a line about a pull was last written
        self._lock = threading.Lock()
        self._some = threading.Event()
        self._ended = threading.Event()

    def show(self, progress: Progress) -> None:
        """Called from worker threads."""
        with self._lock:
            now = self._clock()
            begun = self._begun.setdefault(progress.reference, now)
            self._pulls[progress.reference] = progress
            if progress.over:
                told = self._told.pop(progress.reference, None)
                del self._pulls[progress.reference], self._begun[progress.reference]
                self._draw(now)
                if progress.done >= progress.total and (self._screen.terminal or told is not None):
                    log.info("image:%s: %s", progress.reference, ended(progress, now - begun))
        self._some.set()

    def draw(self) -> None:
        """Bring what is shown up to date."""
        with self._lock:
            self._draw(self._clock())

    def _draw(self, now: float) -> None:
        pulls = list(self._pulls.values())
        if self._screen.terminal:
            self._screen.show(moving(pulls, now))
            return
        for pull in pulls:
            if now - self._told.get(pull.reference, self._begun[pull.reference]) >= LINE_EVERY:
                self._told[pull.reference] = now
                log.info("image:%s: pulling, %s%s", pull.reference, describe(pull), stalled(pull, now))

    @contextmanager
    def drawing(self) -> Iterator[None]:
        """Keep what is shown up to date, and take it away at the end."""
        thread = threading.Thread(target=self._keep_drawing, name="progress", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            self._some.set()
            thread.join()
            self._screen.show([])

    def _keep_drawing(self) -> None:
        while not self._ended.wait(DRAW_EVERY):
            self._some.clear()
            self.draw()
            if not self._pulls and not self._ended.is_set():
                self._some.wait()


def moving(pulls: Sequence[Progress], now: float) -> list[str]:
    """A line for each pull and for each of its layers that is on its way; what is done is only counted."""
    rows: list[tuple[str, str]] = []
    for pull in pulls:
        words = f"{pull.finished} of {len(pull.layers)} layers{stalled(pull, now)}"
        rows.append((_short(pull.reference), f"{_measures(pull.done, pull.total, pull.rate)}  {words}"))
        rows += [
            (f"  {layer.digest.removeprefix('sha256:')[:12]}", _measures(layer.done, layer.size, layer.rate))
            for layer in pull.flying
        ]
    if len(pulls) > 1:
        done, total, rate = (sum(getattr(pull, name) for pull in pulls) for name in ("done", "total", "rate"))
        rows.append((f"all {len(pulls)} pulls", _measures(done, total, rate)))
    width = max((len(name) for name, _ in rows), default=0)
    return [f"{name:{width}}  {measures}".rstrip() for name, measures in rows]


def _short(name: str) -> str:
    return name if len(name) <= _NAME else "…" + name[1 - _NAME :]


def _measures(done: int, total: int, rate: float) -> str:
    full = _BAR * done // total if total else 0
    bar = ("=" * full + ">" * (0 < full < _BAR)).ljust(_BAR)[:_BAR]
    left = remaining(done, total, rate)
    speed = f"{size(rate)}/s" if left is not None else ""
    time_left = f"{compact(left)} left" if left is not None else ""
    return f"[{bar}]  {size(done):>7} of {size(total):>7}  {speed:>10}  {time_left:>8}"


def stalled(progress: Progress, now: float) -> str:
    """A word about a pull for which nothing comes."""
    quiet = now - progress.at
    return f", nothing for {compact(quiet)}" if quiet >= STALLED and progress.done < progress.total else ""


def ended(progress: Progress, seconds: float) -> str:
    """The line that stays of a pull."""
    count = len(progress.layers)
    layers = "1 layer" if count == 1 else f"{count} layers"
    return f"pulled {size(progress.total)} in {layers}, in {seconds:.1f} s"
