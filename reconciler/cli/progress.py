"""What `run` shows while it works: one line per step, and how far a pull is. Standard error only."""

from __future__ import annotations

import logging
import os
import sys
import threading
import time

from reconciler.ports import Progress

LINE_EVERY = 5.0  # seconds between two lines about one pull where there is no terminal


def start_logging() -> None:
    """Log to standard error: time and message, which begins with the resource; RECONCILER_DEBUG=1 tells more."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", datefmt="%H:%M:%S"))
    root = logging.getLogger("reconciler")
    root.addHandler(handler)
    root.setLevel(logging.DEBUG if os.environ.get("RECONCILER_DEBUG") else logging.INFO)


class Progressing:
    """Shows pulls: one moving line on a terminal, a line now and then elsewhere."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._shown: dict[str, float] = {}
        self._lock = threading.Lock()

    def show(self, progress: Progress) -> None:
        """Called from worker threads."""
        with self._lock:
            now, done = time.monotonic(), progress.done >= progress.total > 0
            if not done and now - self._shown.get(progress.reference, 0.0) < (0.1 if self._terminal else LINE_EVERY):
                return
            self._shown[progress.reference] = now
            text = describe(progress)
            sys.stderr.write(f"\r\x1b[K{text}" + ("\n" if done else "") if self._terminal else f"{text}\n")
            sys.stderr.flush()


def describe(progress: Progress) -> str:
    """One line: what, how much of it, and the layer."""
    share = f"{100 * progress.done // progress.total} %" if progress.total else "…"
    size = f"{progress.done / 1e6:.1f} of {progress.total / 1e6:.1f} MB" if progress.total else ""
    return " ".join(part for part in (f"pulling {progress.reference}:", share, size, progress.note) if part)
