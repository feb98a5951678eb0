"""Visitors of a published port: short requests at a steady rate, and connections that stay open, each counted."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from tests.end_to_end.host import Host
from tests.end_to_end.namespaces import move_to

REQUEST = b"GET / HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n"
KEPT = b"GET / HTTP/1.1\r\nHost: shop\r\n\r\n"


@dataclass(slots=True)
class Traffic:
    """From entering to leaving: `rate` new connections a second in all, and `long` ones that ask again and again."""

    host: Host
    port: int
    rate: int = 200
    visitors: int = 4
    long: int = 4
    answers: dict[str, int] = field(default_factory=dict)  # page -> how often
    lost: list[str] = field(default_factory=list)
    gap: float = 0.0  # the longest time between two answers
    kept: int = 0  # answers on connections that stayed open
    broken: list[str] = field(default_factory=list)  # of these, closed without a word
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

    @property
    def requests(self) -> int:
        """All that were made."""
        return sum(self.answers.values()) + len(self.lost)

    def _visit(self, number: int) -> None:
        move_to(Path(f"/proc/{self.host.machine.network.pid}/ns/net"))
        due = time.monotonic() + number / self.rate
        while not self._ending.is_set():
            time.sleep(max(0.0, due - time.monotonic()))
            due += self.visitors / self.rate
            try:
                page = self._ask()
            except OSError as error:
                with self._lock:
                    self.lost.append(f"{time.time():.3f} {error!r}")
            else:
                self._count(page)

    def _ask(self) -> str:
        with contextlib.closing(socket.create_connection((self.host.machine.address, self.port), 5.0)) as connection:
            connection.sendall(REQUEST)
            answer = b""
            while part := connection.recv(4096):
                answer += part
        if not answer.startswith(b"HTTP/1.1 200"):
            raise OSError(f"not an answer: {answer[:40]!r}")
        return answer.rpartition(b"\r\n\r\n")[2].decode().strip()

    def _count(self, page: str) -> None:
        now = time.monotonic()
        with self._lock:
            self.answers[page] = self.answers.get(page, 0) + 1
            self.gap = max(self.gap, now - self._last) if self._last else 0.0
            self._last = now

    def _stay(self) -> None:
        """Ask every 100 ms over one connection; a server that ends may close it between two answers."""
        move_to(Path(f"/proc/{self.host.machine.network.pid}/ns/net"))
        while not self._ending.is_set():
            try:
                with contextlib.closing(
                    socket.create_connection((self.host.machine.address, self.port), 5.0)
                ) as connection:
                    self._converse(connection)
            except OSError as error:
                with self._lock:
                    self.broken.append(repr(error))

    def _converse(self, connection: socket.socket) -> None:
        while not self._ending.wait(0.1):
            if _closed(connection):
                return
            connection.sendall(KEPT)
            if not connection.recv(4096):
                raise OSError("closed before the answer")
            with self._lock:
                self.kept += 1


def _closed(connection: socket.socket) -> bool:
    """Whether the server said good-bye while nothing was asked."""
    connection.setblocking(False)
    try:
        return connection.recv(1, socket.MSG_PEEK) == b""
    except BlockingIOError:
        return False
    finally:
        connection.setblocking(True)
        connection.settimeout(5.0)
