"""Where `run` writes: lines that stay, and on a terminal a few below them that move. Standard error only."""

from __future__ import annotations

import logging
import os
import shutil
import sys
import threading
from collections.abc import Sequence
from typing import TextIO

from reconciler.cli.render import clean

_ROOM = 2  # lines of a terminal that never move


class Screen:
    """A stream that several threads write to. What moves is taken away before a line is written, and drawn again."""

    def __init__(self, stream: TextIO) -> None:
        self.terminal = stream.isatty() and os.environ.get("TERM") != "dumb"
        self._stream = stream
        self._moving: list[str] = []
        self._lock = threading.Lock()

    def say(self, text: str) -> None:
        """Write a line that stays."""
        with self._lock:
            self._write(f"{_erased(self._moving)}{text}\n{_drawn(self._moving)}")

    def show(self, lines: Sequence[str]) -> None:
        """Let these be the lines that move, cut to what fits; none takes them away. Nothing without a terminal."""
        if not self.terminal:
            return
        width, height = shutil.get_terminal_size()
        fitting = [clean(line)[: width - 1] for line in lines[: max(1, height - _ROOM)]]
        with self._lock:
            if fitting != self._moving:
                self._write(_erased(self._moving) + _drawn(fitting))
                self._moving = fitting

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


def _erased(lines: Sequence[str]) -> str:
    """From the end of the last of `lines` to the beginning of the first, and nothing is left of them."""
    up = f"\x1b[{len(lines) - 1}A" if len(lines) > 1 else ""
    return f"\r{up}\x1b[J" if lines else ""


def _drawn(lines: Sequence[str]) -> str:
    return "\n".join(lines)


class _Handler(logging.Handler):
    def __init__(self, screen: Screen) -> None:
        super().__init__()
        self._screen = screen

    def emit(self, record: logging.LogRecord) -> None:
        """A line that stays."""
        try:
            self._screen.say(self.format(record))
        except (OSError, ValueError):  # the terminal is gone; the daemon is not
            self.handleError(record)


def start_logging() -> Screen:
    """Log to standard error: time and message, which begins with the resource; RECONCILER_DEBUG=1 tells more."""
    screen = Screen(sys.stderr)
    handler = _Handler(screen)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", datefmt="%H:%M:%S"))
    root = logging.getLogger("reconciler")
    root.addHandler(handler)
    root.setLevel(logging.DEBUG if os.environ.get("RECONCILER_DEBUG") else logging.INFO)
    return screen
