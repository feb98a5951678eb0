"""Reads the network side of the host: our bridges, the containers on them, and the subnets that others use.

One netlink dump each of links, addresses and routes; what they mean is decided by `read`, which is pure. The
daemon calls `look` when the doorbell rang (`netlink.open_doorbell`), and now and then from nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from reconciler.core.networking import SeenNetwork
from reconciler.host import rtnetlink
from reconciler.host.aliases import parse_container, parse_network
from reconciler.host.namespaces import pinned
from reconciler.host.netlink import Netlink, saying
from reconciler.host.rtnetlink import LOWER_UP, Address, Link, Route
from reconciler.settings import Settings

_FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")


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
        """What is there now."""
        with saying("look at the links of the host"):
            links = map(rtnetlink.parse_link, self._netlink.dump(rtnetlink.GETLINK, rtnetlink.ALL_LINKS))
            addresses = map(rtnetlink.parse_address, self._netlink.dump(rtnetlink.GETADDR, rtnetlink.ALL_ADDRESSES))
            routes = map(rtnetlink.parse_route, self._netlink.dump(rtnetlink.GETROUTE, rtnetlink.ALL_ROUTES))
            seen = read(self._instance, list(links), addresses, filter(None, routes), _forwarding())
            kept = pinned(self._pins)
        return replace(seen, pinned=kept, attached=seen.attached & kept)

    def close(self) -> None:
        """Give the socket back."""
        self._netlink.close()


def read(
    instance: str, links: Sequence[Link], addresses: Iterable[Address], routes: Iterable[Route], forwarding: bool
) -> Links:
    """What the dumps say of this instance; pinned namespaces are no part of them.

    A network counts as up when its bridge is and the host forwards packets at all.
    """
    bridges = {link.index: link for link in links if link.kind == "bridge" and parse_network(instance, link.alias)}
    interface = {address.index: address.interface for address in addresses if address.index in bridges}
    networks = (
        _network(instance, link, interface.get(index, ""), forwarding and link.up) for index, link in bridges.items()
    )
    attached = (_attached(instance, link, bridges) for link in links if link.master in bridges)
    foreign = {route.subnet for route in routes if route.index not in bridges and not route.subnet.endswith("/0")}
    return Links(
        networks={network.name: network for network in networks},
        attached=frozenset(id for id in attached if id),
        routes=tuple(sorted(foreign)),
    )


def _forwarding() -> bool:
    return _FORWARDING.read_text().strip() == "1"


def _network(instance: str, bridge: Link, subnet: str, up: bool) -> SeenNetwork:
    network = parse_network(instance, bridge.alias)
    assert network is not None
    return SeenNetwork(
        name=network.name, app=network.app, spec=network.spec, bridge=bridge.name, subnet=subnet, mtu=bridge.mtu,
        drift="" if up else "it is down, or the host does not forward",
    )  # fmt: skip


def _attached(instance: str, link: Link, bridges: Mapping[int, Link]) -> str:
    """The id of the container whose link this is, "" unless it works and is on the bridge it belongs on."""
    container = parse_container(instance, link.alias)
    if container is None or not link.up or not link.flags & LOWER_UP:
        return ""
    id, bridge = container
    return id if bridges[link.master].name == bridge else ""
