"""What `run` shows while it works: one line per step, and how far a pull is. Standard error only."""

from __future__ import annotations

import logging
import math
import os
import sys
import threading
import time
from collections.abc import Callable

from reconciler.ports import Progress

LINE_EVERY = 5.0  # seconds between two lines about one pull where there is no terminal
REDRAW_EVERY = 0.1
CLEAR = "\r\x1b[K"  # to the beginning of the line, and nothing on it


def start_logging() -> None:
    """Log to standard error: time and message, which begins with the resource; RECONCILER_DEBUG=1 tells more."""
    handler = logging.StreamHandler(sys.stderr)
    clear = CLEAR if sys.stderr.isatty() else ""  # a moving line may stand there
    handler.setFormatter(logging.Formatter(clear + "%(asctime)s %(message)s", datefmt="%H:%M:%S"))
    root = logging.getLogger("reconciler")
    root.addHandler(handler)
    root.setLevel(logging.DEBUG if os.environ.get("RECONCILER_DEBUG") else logging.INFO)


class Progressing:
    """Shows pulls: one moving line on a terminal; elsewhere a line now and then, and none of what is quickly done."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._terminal = sys.stderr.isatty()
        self._clock = clock
        self._shown: dict[str, float] = {}  # by reference, while it is pulled
        self._lock = threading.Lock()

    def show(self, progress: Progress) -> None:
        """Called from worker threads."""
        with self._lock:
            text = self._text(progress)
            if text:
                sys.stderr.write(text)
                sys.stderr.flush()

    def _text(self, progress: Progress) -> str:
        now = self._clock()
        if progress.done >= progress.total > 0:
            self._shown.pop(progress.reference, None)
            return CLEAR if self._terminal else ""
        last = self._shown.setdefault(progress.reference, -math.inf if self._terminal else now)
        if now - last < (REDRAW_EVERY if self._terminal else LINE_EVERY):
            return ""
        self._shown[progress.reference] = now
        return CLEAR + describe(progress) if self._terminal else f"{describe(progress)}\n"


def describe(progress: Progress) -> str:
    """One line: what, how much of it, and the layer."""
    share = f"{100 * progress.done // progress.total} %" if progress.total else "…"
    size = f"{progress.done / 1e6:.1f} of {progress.total / 1e6:.1f} MB" if progress.total else ""
    return " ".join(part for part in (f"pulling {progress.reference}:", share, size, progress.note) if part)
