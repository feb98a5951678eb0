"""Visitors without end: one new connection after the other, and what became of each."""

from __future__ import annotations

import socket
import threading
import time
from concurrent.futures import Future

from tests.end_to_end.stations import Station

_REQUEST = b"GET / HTTP/1.0\r\n\r\n"


class Load:
    """`threads` visitors at a published port, from construction to `end`."""

    def __init__(self, station: Station, address: str, port: int, threads: int = 4) -> None:
        self._place = address, port
        self._ending = threading.Event()
        self.times: list[float] = []
        self.failures: list[str] = []
        self._started = time.monotonic()
        self._visitors: list[Future[None]] = [station.do(self._visit) for _ in range(threads)]

    def end(self) -> None:
        """Let the last ones finish."""
        self._ending.set()
        for visitor in self._visitors:
            visitor.result()
        self._took = time.monotonic() - self._started

    def __str__(self) -> str:
        rate, slowest = len(self.times) / self._took, max(self.times, default=0.0)
        asked = f"{len(self.times)} requests, {rate:.0f} a second, slowest {slowest * 1000:.0f} ms"
        return f"{asked}, {len(self.failures)} failed"

    def _visit(self) -> None:
        while not self._ending.is_set():
            begun = time.monotonic()
            try:
                with socket.create_connection(self._place, 10.0) as visitor:
                    visitor.sendall(_REQUEST)
                    said = b""
                    while part := visitor.recv(4096):
                        said += part
                assert said.startswith(b"HTTP/1.1 200"), said[:40]
            except (OSError, AssertionError) as error:
                self.failures.append(f"{type(error).__name__}: {error}")
            self.times.append(time.monotonic() - begun)
