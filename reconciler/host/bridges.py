"""Bridges: made, completed, and taken away; used by `networks`.

A bridge says in its alias whose it is and what it was made from, so the kernel is the record of what exists.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256

from reconciler.core.networking import Network
from reconciler.core.wiring import LINK_LOCAL, Made, alone, bridge_settings
from reconciler.host import forwarding, inet, rtnetlink
from reconciler.host.aliases import network_alias
from reconciler.host.inet import Address
from reconciler.host.netlink import Netlink
from reconciler.host.rtnetlink import Link

_ETHERNET = 1500


def put(host: Netlink, instance: str, network: Network, bridge: str, addresses: tuple[str, ...]) -> int:
    """Make or complete the bridge, up and marked as ours; its index.

    `addresses` are the gateway's in IPv4 and IPv6 with prefix length, "" for none, and more without one.
    """
    subnet, subnet6, *extra = addresses
    routes = [inet.parse_route(body) for body in host.dump(inet.GETROUTE, inet.ALL_ROUTES)]
    made = Made(subnet=subnet, subnet6=subnet6, mtu=network.mtu or _mtu(host, filter(None, routes)))
    alias = network_alias(instance, network, made)
    (found,) = host.ask_each(rtnetlink.get_link(bridge))
    if found is None:
        mac = b"\x02" + sha256(bridge.encode()).digest()[:5]  # locally administered, and the same at every making
        host.change(rtnetlink.add_bridge(bridge, mac, made.mtu))
    host.change(
        rtnetlink.set_alias(bridge, alias),
        rtnetlink.set_mtu(bridge, made.mtu),
        rtnetlink.set_no_ipv6_address(bridge),
        rtnetlink.set_up(bridge),
    )
    forwarding.settle(bridge_settings(bridge, made), _uplinks(host, instance) if subnet6 else ())
    index = rtnetlink.parse_link(host.ask(rtnetlink.get_link(bridge))).index
    gateways = [Address(index, interface) for interface in (subnet, subnet6) if interface]
    asking = [Address(index, LINK_LOCAL)] if subnet6 else []
    _address(host, index, gateways, [*asking, *(Address(index, alone(address)) for address in extra)])
    return index


def _address(host: Netlink, index: int, gateways: list[Address], extra: list[Address]) -> None:
    """Make these the only addresses of the link."""
    wanted = [*gateways, *extra]
    seen = [inet.parse_address(body) for body in host.dump(inet.GETADDR, inet.ALL_ADDRESSES)]
    others = [address for address in seen if address.index == index and address not in wanted]
    host.change(
        *map(inet.delete_address, reversed(others)),  # the first takes along those that came after it
        *map(inet.add_address, wanted),
        *map(inet.add_subnet_route, gateways),
    )


def _mtu(host: Netlink, routes: Iterable[inet.Route]) -> int:
    """That of the link that the default route takes: larger packets would be lost on their way out."""
    indices = {route.index for route in routes if route.default and route.index}
    links = host.ask_each(*map(rtnetlink.get_link_at, indices))
    return min((rtnetlink.parse_link(link).mtu for link in links if link), default=_ETHERNET)


def _uplinks(host: Netlink, instance: str) -> list[str]:
    """The host's links but ours, by which it may listen to routers."""
    links: Iterable[Link] = map(rtnetlink.parse_link, host.dump(rtnetlink.GETLINK, rtnetlink.ALL_LINKS))
    return [link.name for link in links if not link.alias.startswith(f"{instance}:") and not link.master]
