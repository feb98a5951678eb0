"""The files with a container's output: `container.log`, and older ones with a number, the highest the oldest.

conmon writes them in the CRI's format: time, stream, F or P for a whole or partial line, text. Rotation loses nothing:
the file is renamed under conmon, which goes on writing into it until it is told to open a new one.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

NAME = "container.log"
_REOPEN = b"2 0 0\n"  # conmon src/ctrl.c: message 2 opens the log files again


def rotate(folder: Path, controls: Path, files: int) -> None:
    """Start a new file in `folder` and keep `files` in all; `controls` is the live monitor's fifo. Raises OSError."""
    newest = folder / NAME
    if newest.exists():
        for number in range(files - 1, 0, -1):
            younger = folder / f"{NAME}.{number - 1}" if number > 1 else newest
            with contextlib.suppress(FileNotFoundError):
                younger.rename(folder / f"{NAME}.{number}")
        if files == 1:
            newest.unlink()
    _tell(controls)


def _tell(controls: Path) -> None:
    """Without a reader there is no monitor, and the next one opens a new file by itself."""
    try:
        descriptor = os.open(controls, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return
    try:
        os.write(descriptor, _REOPEN)
    finally:
        os.close(descriptor)
