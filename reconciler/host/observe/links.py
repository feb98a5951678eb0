"""Reads the network side of the host: our bridges, the containers on them, and the subnets that others use.

One netlink dump each of links, addresses and routes; what they mean is decided by `read`, which is pure. The
daemon calls `look` when the doorbell rang (`netlink.open_doorbell`), and now and then from nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from reconciler.core.model import SeenNetwork
from reconciler.host import rtnetlink
from reconciler.host.aliases import parse_container, parse_network
from reconciler.host.netlink import Netlink
from reconciler.host.rtnetlink import LOWER_UP, Address, Link, Route
from reconciler.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Links:
    """What a look saw.

    `pinned`: ids of containers whose namespace is kept. `attached`: those of them whose link is up at both ends
    and on the bridge it belongs on. `routes`: subnets that the host reaches by links that are not ours.
    """

    networks: Mapping[str, SeenNetwork] = field(default_factory=dict)
    pinned: frozenset[str] = frozenset()
    attached: frozenset[str] = frozenset()
    routes: tuple[str, ...] = ()


class LinkReader:
    """Looks by one socket, which belongs to the network namespace of the thread that makes it."""

    def __init__(self, settings: Settings) -> None:
        self._instance = settings.instance
        self._pins = settings.run / "netns"
        self._netlink = Netlink()

    def look(self) -> Links:
        """What is there now; raises the kernel's OSError."""
        links = [rtnetlink.parse_link(body) for body in self._netlink.dump(rtnetlink.GETLINK, rtnetlink.ALL_LINKS)]
        addresses = map(rtnetlink.parse_address, self._netlink.dump(rtnetlink.GETADDR, rtnetlink.ALL_ADDRESSES))
        routes = map(rtnetlink.parse_route, self._netlink.dump(rtnetlink.GETROUTE, rtnetlink.ALL_ROUTES))
        seen = read(self._instance, links, list(addresses), [route for route in routes if route])
        pinned = pins(self._pins)
        return Links(networks=seen.networks, pinned=pinned, attached=seen.attached & pinned, routes=seen.routes)

    def close(self) -> None:
        """Give the socket back."""
        self._netlink.close()


def pins(folder: Path) -> frozenset[str]:
    """The names in `folder` at which a namespace is mounted; an empty file was left by an interrupted try."""
    device = Path("/proc/self/ns/net").stat().st_dev
    try:
        with os.scandir(folder) as entries:
            return frozenset(entry.name for entry in entries if entry.stat().st_dev == device)
    except FileNotFoundError:
        return frozenset()


def read(instance: str, links: Sequence[Link], addresses: Iterable[Address], routes: Iterable[Route]) -> Links:
    """What the dumps say of this instance; pinned namespaces are no part of them."""
    bridges = {link.index: link for link in links if link.kind == "bridge" and parse_network(instance, link.alias)}
    interface = {address.index: address.interface for address in addresses if address.index in bridges}
    networks = (_network(instance, link, interface.get(index, "")) for index, link in bridges.items())
    attached = (_attached(instance, link, bridges) for link in links if link.master in bridges)
    foreign = {route.subnet for route in routes if route.index not in bridges and not route.subnet.endswith("/0")}
    return Links(
        networks={network.name: network for network in networks},
        attached=frozenset(id for id in attached if id),
        routes=tuple(sorted(foreign)),
    )


def _network(instance: str, bridge: Link, subnet: str) -> SeenNetwork:
    network = parse_network(instance, bridge.alias)
    assert network is not None
    return SeenNetwork(
        name=network.name,
        app=network.app,
        spec=network.spec,
        bridge=bridge.name,
        subnet=subnet,
        up=bridge.up,
    )


def _attached(instance: str, link: Link, bridges: Mapping[int, Link]) -> str:
    """The id of the container whose link this is, "" unless it works and is on the bridge it belongs on."""
    container = parse_container(instance, link.alias)
    if container is None or not link.up or not link.flags & LOWER_UP:
        return ""
    id, bridge = container
    return id if bridges[link.master].name == bridge else ""
