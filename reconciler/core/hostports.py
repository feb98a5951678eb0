"""Who has which port of the host, and which one a service gets that takes any of several. Pure; called by `resolve`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Final

from reconciler.core.document import AUTOMATIC, PortMapping
from reconciler.core.expand import App, Claim
from reconciler.core.model import digest
from reconciler.core.networking import Port

Where = tuple[str, str, tuple[int, int]]

_EVERY: Final = {"0.0.0.0": 4, "::": 6}  # noqa: S104, nothing is bound: what users write for a whole family


@dataclass(slots=True)
class HostPorts:
    """The ports that apps have, by protocol and number, each with the address at which they have it."""

    taken: dict[tuple[str, int], list[tuple[str, App]]] = field(default_factory=dict)
    tried: dict[tuple[Where, int], int] = field(default_factory=dict)
    full: set[Where] = field(default_factory=set)

    def owner(self, mapping: PortMapping, port: int) -> App | None:
        """Who has `port` where `mapping` wants it."""
        at = self.taken.get((mapping.protocol, port), ())
        return next((app for address, app in at if meet(address, mapping.host_ip)), None)

    def take(self, mapping: PortMapping, port: int, app: App) -> None:
        """`port` belongs to `app` at the mapping's address."""
        self.taken.setdefault((mapping.protocol, port), []).append((mapping.host_ip, app))

    def free(self, mapping: PortMapping, seed: str) -> int:
        """A port that nobody has, 0 when there is none: of a range the lowest.

        Of all of them, one that follows from what it is for, so that it stays the same; the next when it is taken.
        Nothing is ever given back, so that no port is tried twice for the same.
        """
        first, last = mapping.published
        size = last - first + 1
        start = int(digest(seed)[:16], 16) % size if mapping.published == AUTOMATIC else 0
        kind = where(mapping)
        if kind in self.full:
            return 0
        for offset in range(self.tried.get((kind, start), 0), size):
            port = first + (start + offset) % size
            if not self.owner(mapping, port):
                self.tried[kind, start] = offset
                return port
        self.full.add(kind)
        return 0


def where(mapping: PortMapping) -> Where:
    """What it asks for: mappings of which this is the same can do with the same ports."""
    return mapping.protocol, mapping.host_ip, mapping.published


def meet(one: str, other: str) -> bool:
    """Whether something may come for both host addresses; "" is every address."""
    if not one or not other or one == other:
        return True
    return any(_EVERY.get(wide) == ip_address(narrow).version for wide, narrow in ((one, other), (other, one)))


def shown(mapping: PortMapping) -> str:
    """The port as it is told: `*:80/tcp`, `[::1]:8000-8010/udp`."""
    first, last = mapping.published
    host = f"[{mapping.host_ip}]" if ":" in mapping.host_ip else mapping.host_ip or "*"
    return f"{host}:{first if first == last else f'{first}-{last}'}/{mapping.protocol}"


@dataclass(slots=True)
class Assigned:
    """The ports by app and service, and by app one mapping of each kind that nothing was left for."""

    ports: dict[tuple[str, str], list[Port]] = field(default_factory=dict)
    exhausted: dict[str, dict[Where, PortMapping]] = field(default_factory=dict)


def assign(apps: Iterable[App], taken: HostPorts) -> Assigned:
    """Which ports `apps` get; the certain ones are taken already. The fewer will do, the earlier it is their turn."""
    found: dict[tuple[str, int], int] = {}
    assigned = Assigned()
    everything = [(app, place, claim) for app in apps for place, claim in enumerate(app.claims)]
    for app, place, claim in sorted(everything, key=_turn):
        mapping = claim.mapping
        if mapping.fixed:
            continue
        port = taken.free(mapping, f"{app.name}/{claim.service}/{mapping.target}/{mapping.protocol}")
        if port:
            taken.take(mapping, port, app)
            found[app.name, place] = port
        else:
            assigned.exhausted.setdefault(app.name, {}).setdefault(where(mapping), mapping)
    for app, place, claim in everything:
        port = claim.mapping.fixed or found.get((app.name, place), 0)
        if port:
            assigned.ports.setdefault((app.name, claim.service), []).append(_port(claim.mapping, port))
    return assigned


def _turn(entry: tuple[App, int, Claim]) -> tuple[int, str, int]:
    app, place, claim = entry
    first, last = claim.mapping.published
    return last - first, app.name, place


def _port(mapping: PortMapping, published: int) -> Port:
    return Port(
        target=mapping.target,
        published=published,
        protocol=mapping.protocol,
        host_ip=mapping.host_ip,
        allow=mapping.allow,
    )
