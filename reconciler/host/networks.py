"""Bridges and what joins containers to them: the port Networks on rtnetlink and network namespaces.

A bridge and the host's end of each veth say in their alias whose they are, so the kernel is the record of what
exists; `observe.links` reads it back. A container's namespace is kept by a bind mount below `<run>/netns`, so it
outlives the daemon and every run of the container.
"""

from __future__ import annotations

import errno
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path

from reconciler.core.networking import Endpoint, Network
from reconciler.errors import HostError
from reconciler.host import rtnetlink
from reconciler.host.aliases import container_alias, network_alias
from reconciler.host.namespaces import is_pinned, opened, pin_again, unpin
from reconciler.host.netlink import Netlink, saying
from reconciler.host.rtnetlink import Address, Link
from reconciler.settings import Settings

_INSIDE = "eth0"
_ETHERNET = 1500
_LINGER = 1.0  # seconds; the kernel takes about 0.1 to delete the links of a namespace that nobody holds


class BridgeNetworks:
    """The port Networks. Each call has sockets of its own, so calls may run beside each other."""

    def __init__(self, settings: Settings) -> None:
        self._instance = settings.instance
        self._pins = settings.run / "netns"
        self._lock = threading.Lock()
        self._leaving: set[str] = set()

    def create(self, network: Network, bridge: str, subnet: str, subnet6: str) -> None:
        """Make or complete the bridge with the gateway's address `subnet` (CIDR), up and marked as ours.

        Also switches forwarding on, and lets the bridge carry the loopback's addresses, which publishing on
        127.0.0.1 needs; the ruleset drops what a container sends there by itself.
        """
        alias = network_alias(self._instance, network)
        with saying(f"create network {network.name}"), Netlink() as host:
            if _find(host, bridge) is None:
                _add_bridge(host, bridge)
            host.change(
                rtnetlink.set_alias(bridge, alias),
                rtnetlink.set_no_ipv6_address(bridge),
                rtnetlink.set_up(bridge),
            )
            _put_address(host, _index(host, bridge), subnet)
            _sysctl(f"net/ipv4/conf/{bridge}/route_localnet", "1")
            _sysctl("net/ipv4/ip_forward", "1")

    def remove(self, name: str, bridge: str) -> None:
        """Delete the bridge; well if it is gone already."""
        with saying(f"remove network {name}"), Netlink() as host, _if_there():
            host.change(rtnetlink.delete_link(bridge))

    def connect(self, id: str, endpoints: tuple[Endpoint, ...]) -> None:
        """Pin the container's namespace and join it to its networks; repairs what is half there.

        Without endpoints the container has its own loopback and nothing else.
        """
        with saying(f"connect container {id[:12]}"), Netlink() as host:
            self._recover(host, id)
            with opened(self._pins / id) as (namespace, inside):
                inside.change(rtnetlink.set_up("lo"))
                for endpoint in endpoints:
                    self._plug(host, inside, namespace, id, endpoint.bridge)
                    _configure(inside, endpoint)

    def disconnect(self, id: str) -> None:
        """Let namespace and veth go.

        The kernel deletes both in the background as soon as nobody holds the namespace. Until then the link is
        down, so that nobody answers to an address that may be given away again.
        """
        with saying(f"disconnect container {id[:12]}"):
            with Netlink() as host, _if_there():
                host.change(rtnetlink.set_down(veth_name(id)))
            unpin(self._pins / id)
        self._see_off(id)

    def _recover(self, host: Netlink, id: str) -> None:
        """Pin a running container's namespace again: a new one would cut it off."""
        if is_pinned(self._pins / id):
            return
        link = _find(host, veth_name(id))
        if link and link.netnsid is not None:
            pin_again(self._pins / id, host, link.netnsid)

    def _plug(self, host: Netlink, inside: Netlink, namespace: int, id: str, bridge: str) -> None:
        """Make the veth, or keep the one that is there when both its ends are where they belong."""
        master = _find(host, bridge)
        if master is None:
            raise HostError(f"cannot connect container {id[:12]}: its bridge {bridge} does not exist")
        name = veth_name(id)
        outer, inner = _find(host, name), _find(inside, _INSIDE)
        if not (outer and inner and outer.peer == inner.index and inner.peer == outer.index):
            for netlink, stale in ((host, outer), (inside, inner)):
                if stale:
                    with _if_there():
                        netlink.change(rtnetlink.delete_link(stale.name))
            host.change(rtnetlink.add_veth(name, master, _INSIDE, namespace))
        host.change(
            rtnetlink.set_alias(name, container_alias(self._instance, id, bridge)),
            rtnetlink.set_no_ipv6_address(name),
            rtnetlink.set_master(name, master.index),
            rtnetlink.set_hairpin(name),
            rtnetlink.set_up(name),
        )

    def _see_off(self, id: str) -> None:
        """Delete the link after a while if it is still there: a process may hold the namespace for long."""
        with self._lock:
            self._leaving.add(id)
            if len(self._leaving) == 1:
                timer = threading.Timer(_LINGER, self._sweep)
                timer.daemon = True
                timer.start()

    def _sweep(self) -> None:
        with self._lock:
            ids, self._leaving = self._leaving, set()
        with Netlink() as host:
            for id in ids:
                if not is_pinned(self._pins / id):  # else it was connected again
                    with suppress(OSError):
                        host.change(rtnetlink.delete_link(veth_name(id)))


def veth_name(id: str) -> str:
    """The host's end of a container's link."""
    return "rc" + id[:10]


# --- links -------------------------------------------------------------------------------------------------------


def _find(netlink: Netlink, name: str) -> Link | None:
    try:
        return rtnetlink.parse_link(netlink.ask(rtnetlink.get_link(name)))
    except OSError as error:
        if error.errno != errno.ENODEV:
            raise
        return None


def _index(netlink: Netlink, name: str) -> int:
    return rtnetlink.parse_link(netlink.ask(rtnetlink.get_link(name))).index


@contextmanager
def _if_there() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno != errno.ENODEV:
            raise


def _add_bridge(host: Netlink, bridge: str) -> None:
    mac = b"\x02" + sha256(bridge.encode()).digest()[:5]  # locally administered, and the same at every making
    host.change(rtnetlink.add_bridge(bridge, mac, _mtu(host)))


def _mtu(host: Netlink) -> int:
    """That of the link that the default route takes: larger packets would be lost on their way out."""
    routes = map(rtnetlink.parse_route, host.dump(rtnetlink.GETROUTE, rtnetlink.ALL_ROUTES))
    indices = {route.index for route in routes if route and route.subnet == "0.0.0.0/0" and route.index}
    links = (rtnetlink.parse_link(host.ask(rtnetlink.get_link_at(index))) for index in indices)
    return min((link.mtu for link in links), default=_ETHERNET)


def _configure(inside: Netlink, endpoint: Endpoint) -> None:
    index = _index(inside, _INSIDE)
    inside.change(
        rtnetlink.set_mac(_INSIDE, _mac(endpoint.address)),
        rtnetlink.set_no_ipv6_address(_INSIDE),
        rtnetlink.set_up(_INSIDE),
    )
    _put_address(inside, index, endpoint.ipv4)
    inside.change(rtnetlink.add_default_route(index, endpoint.gateway4))


def _mac(address: str) -> bytes:
    """Follows from the address, as with Docker: neighbours remember it, and the next to get the address must answer."""
    return b"\x02\x42" + IPv4Address(address).packed


def _put_address(netlink: Netlink, index: int, interface: str) -> None:
    """Make `interface` (CIDR) the only IPv4 address of the link."""
    value = IPv4Interface(interface)
    wanted = Address(index, str(value.ip), value.network.prefixlen)
    seen = [rtnetlink.parse_address(body) for body in netlink.dump(rtnetlink.GETADDR, rtnetlink.ALL_ADDRESSES)]
    others = [address for address in seen if address.index == index and address != wanted]
    netlink.change(*map(rtnetlink.delete_address, others), rtnetlink.add_address(wanted))


def _sysctl(name: str, value: str) -> None:
    path = Path("/proc/sys", name)
    if path.read_text().strip() != value:
        path.write_text(value)
