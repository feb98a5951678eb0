"""How long a registry may take: an end to answers that come too slowly, byte by byte or not at all.

A timeout of a socket is about one read, so a server that sends a byte now and then may hold a pull for ever. Here the
head of an answer and a document have an end, and a blob has a least pace. Only waiting for the registry counts: a
disk that is slow is not its fault. Called by `exchange`.
"""

from __future__ import annotations

import io
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

from reconciler.settings import ImageLimits

Clock = Callable[[], float]
_LEAST = 0.001  # seconds; a socket whose timeout is 0 does not wait at all


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds for a connection, for the head of an answer, without enough of its body; enough is in bytes a second."""

    connect: float = 10.0
    answer: float = 30.0
    stall: float = 60.0
    slowest: int = 1024
    clock: Clock = time.monotonic


def patience(limits: ImageLimits, clock: Clock = time.monotonic) -> Patience:
    """What of the settings is about waiting."""
    return Patience(limits.connect, limits.answer, limits.stall, limits.slowest, clock)


class PatientSocket:
    """As much of a socket as `http.client` uses, whose answers have an end."""

    def __init__(self, connected: socket.socket, patience: Patience) -> None:
        self._socket = connected
        self._patience = patience
        self._incoming: Incoming | None = None

    def sendall(self, content: bytes) -> None:
        """Send a request."""
        self._socket.settimeout(self._patience.stall)
        self._socket.sendall(content)

    def makefile(self, _mode: str) -> BinaryIO:
        """The answer to come; its head has begun."""
        self._incoming = Incoming(self._socket, self._patience)
        return io.BufferedReader(self._incoming)

    def whole_by(self, seconds: float) -> None:
        """The rest of this answer is a document, and must be here in `seconds`."""
        if self._incoming is not None:
            self._incoming.whole_by(seconds)

    def streams(self) -> None:
        """The rest of this answer is a blob, which may take long as long as it comes."""
        if self._incoming is not None:
            self._incoming.streams()

    def close(self) -> None:
        """End the connection."""
        self._socket.close()


class Incoming(io.RawIOBase):
    """The bytes of one answer."""

    def __init__(self, connected: socket.socket, patience: Patience) -> None:
        self._socket = connected
        self._raw = connected.makefile("rb", buffering=0)  # keeps the socket open until the answer is read
        self._patience = patience
        self._end: float | None = None
        self._waited = 0.0
        self._came = 0
        self.whole_by(patience.answer)

    def readable(self) -> bool:
        """It is."""
        return True

    def close(self) -> None:
        """Nothing more is read."""
        self._raw.close()
        super().close()

    def whole_by(self, seconds: float) -> None:
        """Everything that is read from now on must be here in `seconds`."""
        self._end = self._patience.clock() + seconds

    def streams(self) -> None:
        """From now on only the pace counts."""
        self._end = None

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # RawIOBase says WriteableBuffer
        """What has come, at least a byte unless this is the end. Raises TimeoutError."""
        before = self._patience.clock()
        left = self._patience.stall if self._end is None else self._end - before
        if left <= 0:
            raise TimeoutError("the answer came too slowly")
        self._socket.settimeout(max(left, _LEAST))
        count = self._raw.readinto(buffer) or 0
        if self._end is None:
            self._keep_pace(count, self._patience.clock() - before)
        return count

    def _keep_pace(self, count: int, waited: float) -> None:
        self._came += count
        self._waited += waited
        if self._waited >= self._patience.stall:
            if self._came < self._patience.slowest * self._waited:
                raise TimeoutError(f"only {self._came / self._waited:.0f} bytes a second came")
            self._waited, self._came = 0.0, 0
