"""A container's interfaces: links from bridges and parents of the host into its namespace, addresses, default routes.

Whole interfaces are made with as few messages as the kernel allows; what is there already is completed, and only
what cannot be is made anew. Used by `networks`, which knows where namespaces are kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from reconciler.core.networking import Endpoint
from reconciler.core.wiring import mac_address, subnet_of, veth_name
from reconciler.errors import HostError
from reconciler.host import inet, parents, rtnetlink
from reconciler.host.aliases import container_alias
from reconciler.host.departures import Departures
from reconciler.host.inet import Address
from reconciler.host.namespaces import Namespace
from reconciler.host.netlink import Message, Netlink, if_there
from reconciler.host.rtnetlink import Inner, Link


@dataclass(frozen=True, slots=True)
class Plug:
    """One endpoint, the name of the host's end ("" for none), and the bridge or parent that the link begins at."""

    endpoint: Endpoint
    outer: str
    base: Link


@dataclass(frozen=True, slots=True)
class Wiring:
    """The host's socket, the container's namespace, and who gets what is in the way."""

    instance: str
    id: str
    host: Netlink
    namespace: Namespace
    departures: Departures

    def connect(self, endpoints: Sequence[Endpoint]) -> None:
        """Make or complete every interface; also, without any, the loopback."""
        plugs = self._plugs(endpoints)
        try:
            self._make(plugs, plugs if self.namespace.fresh else self._missing(plugs))
        except FileExistsError:  # left from before, and not yet gone
            self._make(plugs, self._missing(plugs))
        self._inside(plugs)

    def _plugs(self, endpoints: Sequence[Endpoint]) -> list[Plug]:
        bridges = [endpoint.bridge for endpoint in endpoints if endpoint.bridge]
        answers = self.host.ask_each(*map(rtnetlink.get_link, bridges))
        found = {name: rtnetlink.parse_link(body) for name, body in zip(bridges, answers, strict=True) if body}
        return [
            self._plug(place, endpoint, found)
            for place, endpoint in enumerate(endpoints)
            if endpoint.network.driver != "cni"  # its plugins make their own
        ]

    def _plug(self, place: int, endpoint: Endpoint, bridges: dict[str, Link]) -> Plug:
        if endpoint.network.driver != "bridge":
            return Plug(endpoint, "", parents.get(self.host, self.instance, endpoint.network))
        if endpoint.bridge not in bridges:
            raise HostError(f"cannot connect container {self.id[:12]}: its bridge {endpoint.bridge} does not exist")
        return Plug(endpoint, veth_name(self.id, place), bridges[endpoint.bridge])

    # --- links ---------------------------------------------------------------------------------------------------

    def _make(self, plugs: Sequence[Plug], missing: Sequence[Plug]) -> None:
        """Make those that are missing, and have the host's end of each as it should be."""
        for plug in missing:
            if not plug.outer:
                with parents.known(plug.endpoint.network.driver, plug.endpoint.network):
                    self.host.change(self._link(plug))
        ends = [message for plug in plugs for message in self._outer(plug)]
        self.host.change(*(self._link(plug) for plug in missing if plug.outer), *ends)

    def _link(self, plug: Plug) -> Message:
        endpoint = plug.endpoint
        inner = Inner(endpoint.interface, _packed(mac_address(endpoint)), self.namespace.descriptor)
        if plug.outer:
            return rtnetlink.add_veth(plug.outer, plug.base, inner)
        return parents.add(plug.base, endpoint.network, inner)

    def _missing(self, plugs: Sequence[Plug]) -> list[Plug]:
        """Those whose link is not there as a whole; what is there of it is taken away."""
        outer = self.host.ask_each(*(rtnetlink.get_link(plug.outer or "lo") for plug in plugs))
        inner = self._inner(plugs)
        missing = []
        for plug, out, into in zip(plugs, outer, inner, strict=True):
            end = rtnetlink.parse_link(out) if out and plug.outer else None
            if not (into and _joined(plug, end, into)):
                self._clear(end, into)
                missing.append(plug)
        return missing

    def _clear(self, outer: Link | None, inner: Link | None) -> None:
        if inner:
            with if_there():
                self.namespace.netlink.change(rtnetlink.delete_link_at(inner.index))
        if outer:
            self.departures.retire(self.host, outer)

    def _inner(self, plugs: Sequence[Plug]) -> list[Link | None]:
        names = [rtnetlink.get_link(plug.endpoint.interface) for plug in plugs]
        return [rtnetlink.parse_link(body) if body else None for body in self.namespace.netlink.ask_each(*names)]

    def _outer(self, plug: Plug) -> list[Message]:
        """The host's end: on its bridge, marked, up."""
        if not plug.outer:
            return []
        alias = container_alias(self.instance, self.id, plug.endpoint.bridge)
        port = rtnetlink.set_port(plug.outer, alias)
        if self.namespace.fresh:  # it was born on the bridge, and as large
            return [port]
        return [
            rtnetlink.set_master(plug.outer, plug.base.index), rtnetlink.set_mtu(plug.outer, plug.base.mtu), port,
        ]  # fmt: skip

    # --- inside --------------------------------------------------------------------------------------------------

    def _inside(self, plugs: Sequence[Plug]) -> None:
        inside = self.namespace.netlink
        seen = [] if self.namespace.fresh else _addresses(inside)
        messages = [rtnetlink.set_up("lo")]
        for plug, link in zip(plugs, self._inner(plugs), strict=True):
            if link is None:
                raise HostError(f"cannot connect container {self.id[:12]}: its {plug.endpoint.interface} vanished")
            messages += self._dress(plug, link)
            messages += _place(plug.endpoint, link.index, seen)
        inside.change(*messages)

    def _dress(self, plug: Plug, link: Link) -> list[Message]:
        """What belongs to the link itself. Neighbours forget a MAC that is set, so only another one is."""
        name, mac = link.name, mac_address(plug.endpoint)
        dressed = [rtnetlink.set_no_ipv6_address(name)]
        if mac and link.mac != mac:
            dressed.append(rtnetlink.set_mac(name, _packed(mac)))
        if link.mtu != plug.base.mtu:
            dressed.append(rtnetlink.set_mtu(name, plug.base.mtu))
        return [*dressed, rtnetlink.set_up(name)]


def _joined(plug: Plug, outer: Link | None, inner: Link) -> bool:
    """Whether both ends are those of one link, which begins where it should."""
    if not plug.outer:
        return inner.kind == plug.endpoint.network.driver and inner.peer == plug.base.index
    return outer is not None and outer.peer == inner.index and inner.peer == outer.index


def _place(endpoint: Endpoint, index: int, seen: Sequence[Address]) -> list[Message]:
    """Addresses and routes. Whatever else somebody put there stays, unless it has the place of an address of ours."""
    wanted = [Address(index, interface) for interface in (endpoint.ipv4, endpoint.ipv6) if interface]
    gateways = [gateway for gateway in (endpoint.gateway4, endpoint.gateway6) if gateway]
    routes = [inet.add_default_route(index, gateway) for gateway in gateways]
    if not seen:
        return [*map(inet.add_address, wanted), *routes]
    subnets = {subnet_of(address.interface) for address in wanted}
    wrong = [  # deleted last first, for a first address takes along those that came after it
        address
        for address in seen
        if address.index == index and address not in wanted and subnet_of(address.interface) in subnets
    ]
    return [
        *map(inet.delete_address, reversed(wrong)),
        *map(inet.add_address, wanted),
        *map(inet.add_subnet_route, wanted),
        *routes,
    ]


def _addresses(inside: Netlink) -> list[Address]:
    return [inet.parse_address(body) for body in inside.dump(inet.GETADDR, inet.ALL_ADDRESSES)]


def _packed(mac: str) -> bytes:
    return bytes.fromhex(mac.replace(":", ""))
