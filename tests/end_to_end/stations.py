"""Who sends and who answers in the tests of networking: a network namespace with threads in it, and an echo.

A container that sleeps has all of a network that one with a server has. So what connects and what answers are sockets
of the tests, made in the container's namespace: the traffic is real, and costs no program in an image.
"""

from __future__ import annotations

import contextlib
import json
import selectors
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, ParamSpec, TypeVar

from tests.end_to_end.namespaces import move_to

T = TypeVar("T")
P = ParamSpec("P")
Protocol = Literal["tcp", "udp"]
_RESEND = 0.25  # seconds; datagrams get lost, and the first one may wait for a neighbour's address


class Station:
    """A network namespace by its file; `do` runs a function in a thread that is in it."""

    def __init__(self, name: str, namespace: Path, threads: int = 24) -> None:
        self.name = name
        self.namespace = namespace
        self._pool = ThreadPoolExecutor(threads, name, move_to, (namespace,))

    def do(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run it in the namespace, beside whatever else runs there."""
        return self._pool.submit(work, *args, **kwargs)

    def run(self, *argv: str) -> str:
        """What a command in the namespace says; fails unless it ends with 0."""
        enter = ("nsenter", f"--net={self.namespace}")
        done = subprocess.run([*enter, *argv], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, f"{argv} in {self.name} ended with {done.returncode}: {done.stderr}"
        return done.stdout

    def addresses(self) -> list[str]:
        """Its own, but for those of the loopback and of single links."""
        listed = json.loads(self.run("ip", "-json", "address"))
        return [entry["local"] for link in listed for entry in link["addr_info"] if entry["scope"] == "global"]

    def end(self) -> None:
        """Let the threads go."""
        self._pool.shutdown(wait=False, cancel_futures=True)


# --- asking ------------------------------------------------------------------------------------------------------


def ask(protocol: Protocol, address: str, port: int, patience: float, source: str = "") -> str:
    """Who answers there, "" when nobody does within `patience` seconds. Runs in a station."""
    with contextlib.suppress(OSError):
        return (_ask_tcp if protocol == "tcp" else _ask_udp)(address, port, patience, source)
    return ""


def _ask_tcp(address: str, port: int, patience: float, source: str) -> str:
    with socket.create_connection((address, port), patience, (source, 0) if source else None) as client:
        return client.recv(100).decode()


def _ask_udp(address: str, port: int, patience: float, source: str) -> str:
    with socket.socket(_family(address), socket.SOCK_DGRAM) as client:
        if source:
            client.bind((source, 0))
        client.connect((address, port))
        client.settimeout(min(_RESEND, patience))
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            client.send(b"who")
            with contextlib.suppress(TimeoutError):
                return client.recv(100).decode()
    return ""


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


# --- answering ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Visit:
    """What came to a server: by TCP a connection, by UDP a datagram, with what it said."""

    server: str
    protocol: Protocol
    port: int
    peer: str
    said: str
    at: float


@dataclass
class Echo:
    """Answers in many stations from one thread: everybody who comes is told the name of the station."""

    visits: list[Visit] = field(default_factory=list)
    _selector: selectors.BaseSelector = field(default_factory=selectors.DefaultSelector)
    _ending: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        """Begin to answer."""
        self._thread = threading.Thread(target=self._answer, name="echo", daemon=True)
        self._thread.start()

    def serve(self, station: Station, addresses: Iterable[str], ports: Iterable[int]) -> None:
        """Answer there by TCP and UDP. A datagram's answer comes from the address that was asked."""
        places = [(address, port) for address in addresses for port in ports]
        for protocol in ("tcp", "udp"):
            for server in station.do(_listen, protocol, places).result():
                self._selector.register(server, selectors.EVENT_READ, (station.name, protocol))

    def forget(self) -> None:
        """Close every server: the namespaces that they are in may go."""
        for key in list(self._selector.get_map().values()):
            self._selector.unregister(key.fileobj)
            assert isinstance(key.fileobj, socket.socket)
            key.fileobj.close()

    def end(self) -> None:
        """Stop answering."""
        self._ending.set()
        self._thread.join()
        self.forget()
        self._selector.close()

    def _answer(self) -> None:
        while not self._ending.is_set():
            for key, _ in self._selector.select(0.1):
                with contextlib.suppress(OSError):  # who came has gone again, or the server was closed
                    self._greet(key.fileobj, *key.data)

    def _greet(self, server: object, name: str, protocol: Protocol) -> None:
        assert isinstance(server, socket.socket)
        if protocol == "tcp":
            client, peer = server.accept()
            with client:
                client.sendall(name.encode())
            said = b""
        else:
            said, peer = server.recvfrom(200)
            server.sendto(name.encode(), peer)
        port = server.getsockname()[1]
        self.visits.append(Visit(name, protocol, port, peer[0], said.decode(errors="replace"), time.monotonic()))


def _listen(protocol: str, places: Iterable[tuple[str, int]]) -> list[socket.socket]:
    made = []
    for address, port in places:
        server = socket.socket(_family(address), socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM)
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind((address, port))
        if protocol == "tcp":
            server.listen(256)
        server.setblocking(False)
        made.append(server)
    return made
