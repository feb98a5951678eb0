"""Reads the namespaces of containers: interfaces, addresses and routes, by a socket in each.

A namespace is read when it is new, when its doorbell rang, and at a full look; else what was seen stays. Every
namespace gets a number in that of the host, for only those with one ring there. `read` is pure. Used by `links`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from reconciler.core.wiring import Inside, Interface
from reconciler.host import inet, rtnetlink
from reconciler.host.inet import Address, Route
from reconciler.host.namespaces import if_pinned, pinned, visit
from reconciler.host.netlink import Netlink
from reconciler.host.rtnetlink import Link

_LOOPBACK = 1  # LOOPBACK_IFINDEX


class InsideReader:
    """Remembers what each pinned namespace showed last, by its name."""

    def __init__(self, pins: Path) -> None:
        self._pins = pins
        self._inodes: dict[str, int] = {}
        self._numbers: dict[int, str] = {}
        self._seen: dict[str, Inside] = {}

    def knows(self, number: int) -> bool:
        """Whether the namespace that the host knows by this number is one of ours."""
        return number in self._numbers

    def look(self, host: Netlink, rang: Iterable[int] | None) -> Mapping[str, Inside]:
        """All of them by name; read again are those whose numbers are in `rang`, all for None, and new ones."""
        found = pinned(self._pins)
        new = {name for name, inode in found.items() if self._inodes.get(name) != inode}
        self._inodes = dict(found)
        self._numbers = {number: name for number, name in self._numbers.items() if name in found and name not in new}
        self._numbers |= {self._number(host, name): name for name in new}
        rung = found if rang is None else {self._numbers.get(number, "") for number in rang}
        again = visit({name: self._pins / name for name in found if name in new or name in rung}, _read)
        self._seen = {name: inside for name in found if (inside := again.get(name) or self._seen.get(name))}
        return self._seen

    def _number(self, host: Netlink, name: str) -> int:
        number = -1
        with if_pinned(), open(self._pins / name, "rb") as namespace:
            descriptor = namespace.fileno()
            number = rtnetlink.parse_namespace(host.ask(rtnetlink.get_namespace(descriptor)))
            if number < 0:
                with suppress(FileExistsError):  # a link that leads there was faster
                    host.change(rtnetlink.number_namespace(descriptor))
                number = rtnetlink.parse_namespace(host.ask(rtnetlink.get_namespace(descriptor)))
        return number


def _read(inside: Netlink) -> Inside:
    links = map(rtnetlink.parse_link, inside.dump(rtnetlink.GETLINK, rtnetlink.ALL_LINKS))
    addresses = map(inet.parse_address, inside.dump(inet.GETADDR, inet.ALL_ADDRESSES))
    routes = [*inside.dump(inet.GETROUTE, inet.ALL_ROUTES), *inside.dump(inet.GETROUTE, inet.ALL_ROUTES6)]
    return read(links, list(addresses), [route for body in routes if (route := inet.parse_route(body))])


def read(links: Iterable[Link], addresses: Sequence[Address], routes: Sequence[Route]) -> Inside:
    """What the dumps of one namespace say."""
    by_index = {link.index: link for link in links}
    loopback = by_index.pop(_LOOPBACK, None)
    return Inside(
        loopback=loopback is not None and loopback.up,
        interfaces={
            link.name: Interface(
                up=link.up,
                mac=link.mac,
                addresses=tuple(entry.interface for entry in addresses if entry.index == index and not entry.secondary),
                subnets=tuple(route.subnet for route in routes if route.index == index and not route.gateway),
                gateways=tuple(
                    route.gateway for route in routes if route.index == index and route.default and route.gateway
                ),
            )
            for index, link in by_index.items()
        },
    )
