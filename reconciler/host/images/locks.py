"""Who waits for whom in the store: one download for all who want the same, and nobody takes away what another uses.

Within a process by locks; between the daemon and `reconciler verify` by the kernel's lock on one file, which ends with
its process, however that ends. Called by `store` and `layers`.
"""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from reconciler.errors import HostError


class Locks:
    """One lock for each thing that is being fetched, by name; forgotten when nobody wants it any more."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._locks: dict[str, tuple[threading.Lock, int]] = {}

    @contextmanager
    def hold(self, names: set[str]) -> Iterator[None]:
        """Hold the locks of all `names`; taken in order, so that two holders never wait for each other."""
        with ExitStack() as held:
            for name in sorted(names):
                held.enter_context(self._hold(name))
            yield

    @contextmanager
    def _hold(self, name: str) -> Iterator[None]:
        with self._guard:
            lock, wanted = self._locks.get(name, (threading.Lock(), 0))
            self._locks[name] = lock, wanted + 1
        try:
            with lock:
                yield
        finally:
            with self._guard:
                lock, wanted = self._locks.pop(name)
                if wanted > 1:
                    self._locks[name] = lock, wanted - 1


class Gate:
    """Many may add and look at the same time; who takes away is alone, among threads and among processes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._changed = threading.Condition()
        self._inside = 0
        self._fd = -1

    @contextmanager
    def together(self) -> Iterator[None]:
        """While something is added or looked at."""
        with self._changed:
            if not self._inside:
                self._fd = self._locked(fcntl.LOCK_SH)
            self._inside += 1
        try:
            yield
        finally:
            with self._changed:
                self._inside -= 1
                if not self._inside:
                    os.close(self._fd)
                self._changed.notify_all()

    @contextmanager
    def alone(self, *, patient: bool = True) -> Iterator[None]:
        """While something is taken away: nobody comes in until this is over.

        Who is not `patient` does not wait for other processes. Raises HostError.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._inside == 0)
            fd = self._locked(fcntl.LOCK_EX | (0 if patient else fcntl.LOCK_NB))
            try:
                yield
            finally:
                os.close(fd)

    def _locked(self, how: int) -> int:
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, how)
        except BlockingIOError:
            os.close(fd)
            raise HostError("cannot tidy the image store: another process looks at it") from None
        return fd
