"""The files with a container's output: `container.log`, and older ones with a number, the highest the oldest.

conmon writes them in the CRI's format: time, stream, F or P for a whole or partial line, text. Rotation loses nothing:
the file is renamed under conmon, which goes on writing into it until it is told to open a new one.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
from pathlib import Path

NAME = "container.log"
_REOPEN = b"2 0 0\n"  # conmon src/ctrl.c: message 2 opens the log files again
_TAIL = 1 << 16  # bytes at the end of a file in which its last lines are looked for
_REOPEN_TIME = 2.0  # seconds that it may take; it takes less than a millisecond


def rotate(folder: Path, controls: Path, files: int) -> None:
    """Start a new file in `folder` and keep `files` in all; `controls` is the live monitor's fifo. Raises OSError.

    Returns when the new file is there: conmon replaces a file of that name, so asking twice would lose what is in it.
    Without a newest file an earlier try was interrupted, and only asking is left to do.
    """
    newest = folder / NAME
    if newest.exists():
        for number in range(files - 1, 0, -1):
            younger = folder / f"{NAME}.{number - 1}" if number > 1 else newest
            with contextlib.suppress(FileNotFoundError):
                younger.rename(folder / f"{NAME}.{number}")
        if files == 1:
            newest.unlink()
    if _told(controls):
        _await(newest, controls)


def size(folder: Path) -> int:
    """Bytes of the file that is being written: the newest, or the one after it when a rotation was interrupted."""
    for name in (NAME, f"{NAME}.1"):
        with contextlib.suppress(OSError):
            return (folder / name).stat().st_size
    return 0


def _told(controls: Path) -> bool:
    """Without a reader there is no monitor, and the next one opens a new file by itself."""
    descriptor = _reader(controls)
    if descriptor is None:
        return False
    try:
        os.write(descriptor, _REOPEN)
    finally:
        os.close(descriptor)
    return True


def _reader(controls: Path) -> int | None:
    """The fifo, if somebody reads from it."""
    try:
        return os.open(controls, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return None


def _await(newest: Path, controls: Path) -> None:
    """Until the new file is there, or the monitor has ended with its container before it read what it was told."""
    deadline = time.monotonic() + _REOPEN_TIME
    while not newest.exists() and (descriptor := _reader(controls)) is not None:
        os.close(descriptor)
        if time.monotonic() > deadline:
            raise OSError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT), str(newest))
        time.sleep(0.001)


def tail(folder: Path, count: int) -> list[str]:
    """The text of the last `count` lines, oldest first; fewer when the newest file has fewer."""
    for name in (NAME, f"{NAME}.1"):
        with contextlib.suppress(OSError), open(folder / name, "rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL))
            lines = file.read().decode(errors="replace").splitlines()
            return [line.split(" ", 3)[-1] for line in lines[-count:]]
    return []
