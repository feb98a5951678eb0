"""Small files, read only when they changed, never half written, and without ever blocking.

Used for specs and for the files beside them. A file that somebody has open for writing is not read: what was read
last stays in force until it is closed, for half a spec may be a valid one that says less.
"""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import stat
import time
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

MAX_BYTES: Final = 1 << 20

# The kernel stamps files with its tick, at worst 10 ms long. A file that changed that recently may change again
# without a new stamp, so its signature proves nothing yet.
_SETTLED: Final = 50_000_000

_Signature = tuple[int, int, int, int, int]
_UNKNOWN: Final[_Signature] = (0, 0, 0, 0, 0)


class BeingWrittenError(ValueError):
    """Somebody has the file open for writing."""


@dataclass(slots=True)
class Files:
    """Remembers the text of each file with its stat signature. `clock` tells nanoseconds since the epoch."""

    clock: Callable[[], int] = time.time_ns
    _known: dict[str, tuple[_Signature, bytes]] = field(default_factory=dict)

    def read(self, path: str, folder: int | None = None) -> bytes:
        """The bytes of `path`, which counts from the open directory `folder` when it is relative.

        Raises OSError, or ValueError with the reason when it is no regular file or larger than 1 MiB.
        """
        seen = os.stat(path, dir_fd=folder)
        signature = (seen.st_dev, seen.st_ino, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns)
        known = self._known.get(path)
        if known and known[0] == signature:
            return known[1]
        _check(seen)  # before it is opened, because opening a device can already do something
        now = self.clock()
        try:
            text = _read(path, folder)
        except BeingWrittenError:
            if known is None:
                raise
            self._known[path] = (_UNKNOWN, known[1])
            return known[1]
        if known and known[1] == text:
            text = known[1]  # the same object, so that nobody looks at it again
        settled = abs(now - seen.st_ctime_ns) > _SETTLED
        self._known[path] = (signature if settled else _UNKNOWN, text)
        return text

    def peek(self, path: str) -> bytes | None:
        """As `read`, but None when it cannot be read."""
        try:
            return self.read(path)
        except (OSError, ValueError):
            return None

    def keep(self, paths: Container[str]) -> None:
        """Forget all files but these."""
        self._known = {path: entry for path, entry in self._known.items() if path in paths}


def _read(path: str, folder: int | None) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY, dir_fd=folder)
    try:
        _check(os.fstat(descriptor))  # again: another file may stand there by now
        with _lease(descriptor), open(descriptor, "rb", closefd=False) as file:
            return file.read(MAX_BYTES + 1)
    finally:
        os.close(descriptor)


@contextmanager
def _lease(descriptor: int) -> Iterator[None]:
    """Keep writers out for the moment of reading.

    fcntl(2), F_SETLEASE: a read lease is refused (EAGAIN) while the file is open for writing anywhere; while it is
    held, the open(2) of a writer waits. Its holder is told by a signal: one that nobody acts on. Where there are no
    leases, as on a network file system, the file is read without.
    """
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError as error:
        if error.errno == errno.EAGAIN:
            raise BeingWrittenError("it is still being written") from None
        yield
        return
    try:
        yield
    finally:
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)


def _check(seen: os.stat_result) -> None:
    if not stat.S_ISREG(seen.st_mode):
        raise ValueError("it is not a regular file")
    if seen.st_size > MAX_BYTES:
        raise ValueError(f"it is larger than {MAX_BYTES} bytes")
