"""Who tries, all the time, what must never succeed: while something is broken, or flushed, nothing may open.

Datagrams say on whose way they are, so whoever gets one knows that it should not have come; each is of a new socket,
so that no remembered connection carries it. A TCP connection that is accepted tells the one who made it.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from dataclasses import dataclass, field

from tests.end_to_end.stations import Station
from tests.end_to_end.world import ELSEWHERE, LAN, LAN6, OUTSIDE, OUTSIDE6, PUBLISHED, UNNAMED, UNPUBLISHED, World

_PAUSE = 0.02  # seconds between two rounds of one prober
_TCP_PATIENCE = 0.15
CLOSED = "closed:"


@dataclass(frozen=True)
class Way:
    """From somebody to somewhere where nobody should be reached."""

    station: Station
    address: str
    port: int
    source: str = ""

    def __str__(self) -> str:
        return f"{CLOSED} {self.station.name} to {self.address} port {self.port}"


@dataclass
class Probers:
    """Try every way until `end`, by datagram and by connection. `attempts` and `answers` grow meanwhile."""

    world: World
    ways: list[Way]
    attempts: int = 0
    during: str = ""  # what goes on, for who reads of a leak
    answers: list[str] = field(default_factory=list)
    _ending: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        """Begin."""
        self._tasks = [way.station.do(work, way) for way in self.ways for work in (self._send, self._connect)]

    def end(self) -> None:
        """Stop trying."""
        self._ending.set()
        for task in self._tasks:
            task.result()

    def leaks(self) -> list[str]:
        """Everything that came through."""
        visits = (visit for visit in self.world.echo.visits if visit.said.startswith(CLOSED))
        return [*self.answers, *(f"{visit.said} came to {visit.server} from {visit.peer}" for visit in visits)]

    def _send(self, way: Way) -> None:
        family = socket.AF_INET6 if ":" in way.address else socket.AF_INET
        while not self._ending.wait(_PAUSE):
            with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as client:
                if way.source:
                    client.bind((way.source, 0))
                client.sendto(f"{way} during '{self.during}'".encode(), (way.address, way.port))
            self.attempts += 1

    def _connect(self, way: Way) -> None:
        while not self._ending.wait(_PAUSE):
            with contextlib.suppress(OSError):
                source = (way.source, 0) if way.source else None
                socket.create_connection((way.address, way.port), _TCP_PATIENCE, source).close()
                self.answers.append(f"{way}: a connection by TCP during '{self.during}'")
            self.attempts += 1


def closed_ways(world: World) -> list[Way]:
    """Isolation, unpublished ports, limited ports, internal networks, restricted egress; in IPv4 and IPv6."""
    there = world.stations
    ways = [Way(there["outside"], LAN, 8001, ELSEWHERE), Way(there["host"], LAN, 8002)]
    for version, outside, lan in ((4, OUTSIDE, LAN), (6, OUTSIDE6, LAN6)):
        web, store = world.address("web", version), world.address("store", version)
        ways += [
            Way(there["stranger"], web, UNPUBLISHED),
            Way(there["stranger"], store, PUBLISHED),
            Way(there["cousin"], web, UNPUBLISHED),
            Way(there["outside"], web, UNPUBLISHED),
            Way(there["outside"], store, PUBLISHED),
            Way(there["neighbour"], lan, 8002),
            Way(there["inside"], outside, UNNAMED),
            Way(there["inside"], web, PUBLISHED),
            Way(there["guarded"], outside, UNNAMED),
            Way(there["guarded"], store, UNPUBLISHED),
        ]
    return ways


def tempt(world: World) -> None:
    """Give the container in the internal network a way out, as far as it is up to it."""
    inside, host = world.stations["inside"], world.stations["host"]
    for version, net in ((4, "0.0.0.0/0"), (6, "::/0")):
        own = world.address("inside", version)
        gateway = host.run("ip", "-o", "route", "get", own).split(" src ")[1].split()[0]
        inside.run("ip", f"-{version}", "route", "add", net, "via", gateway)
