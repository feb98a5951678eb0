"""Visitors of a published port: short requests at a steady rate, and connections that stay open, each counted.

Every answer names the container that gave it, so that who served when is known without asking the program under test.
"""

from __future__ import annotations

import contextlib
import select
import socket
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from tests.end_to_end.host import Host
from tests.end_to_end.namespaces import move_to

SHORT = b"GET /who HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n"
KEPT = b"GET /who HTTP/1.1\r\nHost: shop\r\n\r\n"
PAUSE = 0.1  # seconds between two questions on a connection that stays


@dataclass(frozen=True)
class Stay:
    """A connection that stayed until its server closed it. Times are of the steady clock; `why` when it was rude."""

    server: str
    begun: float
    ended: float
    why: str = ""


@dataclass(slots=True)
class Traffic:
    """From entering to leaving: `rate` new connections a second in all, and `long` ones that ask again and again."""

    host: Host
    port: int
    rate: int = 200
    visitors: int = 4
    long: int = 4
    answers: dict[str, int] = field(default_factory=dict)  # container -> how many short requests it answered
    served: dict[str, float] = field(default_factory=dict)  # container -> when the last of these began
    lost: list[str] = field(default_factory=list)
    gap: float = 0.0  # the longest time between two answers
    took: float = 0.0  # from the first visitor to the last
    kept: int = 0  # answers on connections that stayed open
    stays: list[Stay] = field(default_factory=list)
    _begun: float = field(default_factory=time.monotonic)
    _ending: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _last: float = 0.0

    def __enter__(self) -> Traffic:
        self._threads = [threading.Thread(target=self._visit, args=(number,)) for number in range(self.visitors)]
        self._threads += [threading.Thread(target=self._stay) for _ in range(self.long)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._ending.set()
        for thread in self._threads:
            thread.join(30)
        self.took = time.monotonic() - self._begun

    @property
    def requests(self) -> int:
        """All that were made."""
        return sum(self.answers.values()) + len(self.lost)

    def cut(self, drain: float) -> list[Stay]:
        """Connections that had not the time that they were promised.

        New connections went to a server at least until the last one that it answered began; from then on those that
        it had must have `drain` seconds.
        """
        return [stay for stay in self.stays if stay.ended < self.served.get(stay.server, stay.begun) + drain]

    def __str__(self) -> str:
        paced = f"{self.requests} requests, {self.requests / max(self.took, 0.1):.0f} a second"
        stayed = f"{self.kept} answers on connections that stayed, {len(self.stays)} of which drained"
        return f"{paced}, {len(self.lost)} lost, longest gap {self.gap * 1000:.0f} ms; {stayed}"

    # --- short ones ------------------------------------------------------------------------------------------

    def _visit(self, number: int) -> None:
        move_to(Path(f"/proc/{self.host.machine.network.pid}/ns/net"))
        due = time.monotonic() + number / self.rate
        while not self._ending.is_set():
            time.sleep(max(0.0, due - time.monotonic()))
            due += self.visitors / self.rate
            begun = time.monotonic()
            try:
                server = self._ask()
            except OSError as error:
                with self._lock:
                    self.lost.append(f"{time.time():.3f} {error!r}")
            else:
                self._count(server, begun)

    def _ask(self) -> str:
        with contextlib.closing(self._connect()) as connection:
            connection.sendall(SHORT)
            answer = b""
            while part := connection.recv(4096):
                answer += part
        return _server(answer)

    def _connect(self) -> socket.socket:
        return socket.create_connection((self.host.machine.address, self.port), 5.0)

    def _count(self, server: str, begun: float) -> None:
        now = time.monotonic()
        with self._lock:
            self.answers[server] = self.answers.get(server, 0) + 1
            self.served[server] = max(self.served.get(server, 0.0), begun)
            self.gap = max(self.gap, now - self._last) if self._last else 0.0
            self._last = now

    # --- long ones -------------------------------------------------------------------------------------------

    def _stay(self) -> None:
        """Ask every 100 ms over one connection, and make another one when the server closes it."""
        move_to(Path(f"/proc/{self.host.machine.network.pid}/ns/net"))
        while not self._ending.is_set():
            try:
                connection = self._connect()
            except OSError as error:
                with self._lock:
                    self.lost.append(f"{time.time():.3f} a long one: {error!r}")
            else:
                with contextlib.closing(connection):
                    self._converse(connection)

    def _converse(self, connection: socket.socket) -> None:
        server, begun, why = "", time.monotonic(), ""
        try:
            while not self._ending.is_set():
                server = self._ask_on(connection)
                if select.select([connection], [], [], PAUSE)[0]:
                    why = "" if not connection.recv(1) else "it spoke unasked"
                    break
        except OSError as error:
            why = repr(error)
        if not self._ending.is_set():
            with self._lock:
                self.stays.append(Stay(server, begun, time.monotonic(), why))

    def _ask_on(self, connection: socket.socket) -> str:
        connection.sendall(KEPT)
        answer = b""
        while b"\r\n\r\n" not in answer or not answer.endswith(b"\n"):
            part = connection.recv(4096)
            if not part:
                raise OSError("closed before the answer")
            answer += part
        with self._lock:
            self.kept += 1
        return _server(answer)


def _server(answer: bytes) -> str:
    """Who answered."""
    if not answer.startswith(b"HTTP/1.1 200"):
        raise OSError(f"not an answer: {answer[:40]!r}")
    return answer.rpartition(b"\r\n\r\n")[2].decode().strip()
