"""Reads the network side of the host: our bridges, the containers on them, and the subnets that others use.

One netlink dump each of links, addresses and routes; what they mean is decided by `read`, which is pure, and what
of it is wrong by `core.wiring`. `inside` reads the containers' namespaces. The daemon calls `look` when one of the
doorbells rang, and now and then from nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import ip_network

from reconciler.core.names import LINKS
from reconciler.core.networking import SeenNetwork
from reconciler.core.wiring import Bridge, HostEnd, Inside, Made, alone, drift
from reconciler.host import inet, rtnetlink, runs
from reconciler.host.aliases import Marked, parse_container, parse_network
from reconciler.host.cni import Grants
from reconciler.host.doorbells import HERE, Writes, open_doorbell, rung
from reconciler.host.forwarding import read as setting
from reconciler.host.inet import Address, Route
from reconciler.host.netlink import Netlink, saying
from reconciler.host.observe.inside import InsideReader
from reconciler.host.rtnetlink import Link
from reconciler.settings import Settings

_GLOBAL = ("ipv4.ip_forward", "ipv6.conf.all.forwarding")
_SILENT = ("ipv4.conf.{}.route_localnet", "ipv6.conf.{}.accept_ra", "ipv6.conf.{}.disable_ipv6")

Ends = Mapping[str, Mapping[str, HostEnd]]
"""The host's ends of containers' links, by the container's id and the bridge that each belongs on."""

Granted = Mapping[str, Mapping[str, tuple[str, str]]]
"""IPv4 and IPv6 addresses that CNI plugins gave, by the container's id and its interface."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Links:
    """What a look saw. `insides` has the namespaces of containers by id, `granted` the addresses by CNI plugins.

    `routes` are subnets that the host reaches by links that are not ours.
    """

    networks: Mapping[str, SeenNetwork] = field(default_factory=dict)
    ends: Ends = field(default_factory=dict)
    insides: Mapping[str, Inside] = field(default_factory=dict)
    granted: Granted = field(default_factory=dict)
    routes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Dump:
    """What the kernel says of one namespace; `settings` are those that belong to no link."""

    links: Sequence[Link]
    addresses: Sequence[Address] = ()
    routes: Sequence[Route] = ()
    settings: Mapping[str, int] = field(default_factory=dict)


class LinkReader:
    """Looks by one socket, which belongs to the network namespace of the thread that makes it, as do its doorbells."""

    def __init__(self, settings: Settings) -> None:
        self._instance = settings.instance
        self._netlink = Netlink()
        self._bell = open_doorbell()
        self._writes = Writes()
        self._inside = InsideReader(settings.run / runs.NAMESPACES)
        self._grants = Grants(settings)
        self._rang: set[int] | None = None
        self._parsed: dict[bytes, Link] = {}  # what the newest dump said: most links are as they were

    def doorbells(self) -> Mapping[int, Callable[[], str]]:
        """The descriptors to listen to, each with what to call when it is readable."""
        return {self._bell.fileno(): self._links_rang, self._writes.fileno(): self._settings_rang}

    def look(self, full: bool = True) -> Links:
        """What is there now; of containers' namespaces only those are read whose doorbell rang, unless `full`."""
        self._links_rang()
        rang, self._rang = self._rang, set()
        with saying("look at the links of the host"):
            dump = self._dump()
            seen = read(self._instance, dump)
            self._listen(dump, seen, full)
            insides = self._inside.look(self._netlink, None if full else rang)
            return replace(seen, insides=insides, granted=self._grants.look())

    def close(self) -> None:
        """Give the descriptors back."""
        self._netlink.close()
        self._bell.close()
        self._writes.close()

    def _dump(self) -> Dump:
        ask = self._netlink.dump
        routes = [*ask(inet.GETROUTE, inet.ALL_ROUTES), *ask(inet.GETROUTE, inet.ALL_ROUTES6)]
        return Dump(
            links=self._links(ask(rtnetlink.GETLINK, rtnetlink.ALL_LINKS)),
            addresses=[inet.parse_address(body) for body in ask(inet.GETADDR, inet.ALL_ADDRESSES)],
            routes=[route for body in routes if (route := inet.parse_route(body))],
            settings={name: value for name in _GLOBAL if (value := setting(f"net.{name}")) is not None},
        )

    def _links(self, bodies: Sequence[bytes]) -> Sequence[Link]:
        known = self._parsed
        self._parsed = {body: known.get(body) or rtnetlink.parse_link(body) for body in bodies}
        return list(self._parsed.values())

    def _listen(self, dump: Dump, seen: Links, full: bool) -> None:
        """Hear of writes to the settings of our bridges that have no notices of their own."""
        ours = {network.bridge for network in seen.networks.values()}
        bridges = [link for link in dump.links if link.name in ours]
        self._writes.watch(
            [(f"net.{name.format(bridge.name)}", bridge.index) for bridge in bridges for name in _SILENT], full
        )

    def _links_rang(self) -> str:
        numbers = rung(self._bell)
        if numbers is None:
            self._rang = None
            return LINKS
        ours = {number for number in numbers if self._inside.knows(number)}
        if self._rang is not None:
            self._rang |= ours
        return LINKS if ours or HERE in numbers else ""

    def _settings_rang(self) -> str:
        return LINKS if self._writes.rang() else ""


def read(instance: str, dump: Dump) -> Links:
    """What the dumps say of this instance; containers' namespaces are no part of them."""
    marked = {link.index: mark for link in dump.links if link.kind == "bridge"
              if (mark := parse_network(instance, link.alias))}  # fmt: skip
    bridges = {link.index: link for link in dump.links if link.index in marked}
    networks = [_network(marked[index], link, dump) for index, link in bridges.items()]
    foreign = {route.subnet for route in dump.routes if route.index not in bridges and _foreign(route)}
    return Links(
        networks={network.name: network for network in networks},
        ends=_ends(instance, dump.links, bridges),
        routes=tuple(sorted(foreign)),
    )


def _foreign(route: Route) -> bool:
    return not route.default and not ip_network(route.subnet).is_link_local


def _network(mark: Marked, link: Link, dump: Dump) -> SeenNetwork:
    addresses = tuple(address.interface for address in dump.addresses if address.index == link.index)
    made = mark.made or _unmarked(addresses)
    seen = Bridge(
        up=link.up,
        mtu=link.mtu,
        addresses=addresses,
        subnets=tuple(route.subnet for route in dump.routes if route.index == link.index),
        settings={**dump.settings, **rtnetlink.settings(link)},
    )
    return SeenNetwork(
        name=mark.name, app=mark.app, spec=mark.spec, bridge=link.name, subnet=made.subnet, subnet6=made.subnet6,
        extra=tuple(map(_bare, filter(_is_alone, addresses))), mtu=made.mtu, drift=drift(link.name, made, seen),
    )  # fmt: skip


def _is_alone(interface: str) -> bool:
    return interface == alone(_bare(interface))


def _bare(interface: str) -> str:
    return interface.partition("/")[0]


def _unmarked(addresses: Sequence[str]) -> Made:
    """What a bridge without a mark of its own was made from, as far as it shows."""
    return Made(
        subnet=next((address for address in addresses if ":" not in address), ""),
        subnet6=next((address for address in addresses if ":" in address and not address.startswith("fe80:")), ""),
    )


def _ends(instance: str, links: Iterable[Link], bridges: Mapping[int, Link]) -> Ends:
    found: dict[str, dict[str, HostEnd]] = {}
    for link in links:
        container = parse_container(instance, link.alias)
        if container:
            master = bridges.get(link.master)
            end = HostEnd(name=link.name, up=link.up, bridge=master.name if master else "", hairpin=link.hairpin)
            found.setdefault(container[0], {})[container[1]] = end
    return found
