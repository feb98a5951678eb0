"""Bridges and what joins containers to them: the port Networks on rtnetlink and network namespaces.

A bridge and the host's end of each veth say in their alias whose they are, so the kernel is the record of what
exists; `observe.links` reads it back. A container's namespace is kept by a bind mount below `<run>/netns`, so it
outlives the daemon and every run of the container. What must happen inside a namespace goes through a netlink
socket that a thread made for it leaves behind: no other thread ever changes its namespace.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from hashlib import sha256
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path
from typing import TypeVar

from reconciler.core.addresses import gateway
from reconciler.core.model import Network
from reconciler.errors import HostError
from reconciler.host import rtnetlink, syscalls
from reconciler.host.aliases import container_alias, network_alias
from reconciler.host.netlink import Netlink
from reconciler.host.rtnetlink import Address, Link
from reconciler.settings import Settings

T = TypeVar("T")

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

    def create(self, network: Network, bridge: str, subnet: str) -> None:
        """Make or complete the bridge with the gateway's address `subnet` (CIDR), up and marked as ours.

        Also switches forwarding on, and lets the bridge carry the loopback's addresses, which publishing on
        127.0.0.1 needs; the ruleset drops what a container sends there by itself.
        """
        alias = network_alias(self._instance, network)
        with _saying(f"create network {network.name}"), Netlink() as host:
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
        with _saying(f"remove network {name}"), Netlink() as host, _if_there():
            host.change(rtnetlink.delete_link(bridge))

    def connect(self, id: str, bridge: str, address: str, subnet: str) -> None:
        """Pin the container's namespace and join it to `bridge`; repairs what is half there.

        Without a bridge ("") the container has its own loopback and nothing else.
        """
        with _saying(f"connect container {id[:12]}"), self._namespace(id) as (pin, inside):
            inside.change(rtnetlink.set_up("lo"))
            if bridge:
                with Netlink() as host:
                    self._plug(host, inside, id, bridge, pin)
                _configure(inside, address, subnet)

    def disconnect(self, id: str) -> None:
        """Let namespace and veth go.

        The kernel deletes both in the background as soon as nobody holds the namespace. Until then the link is
        down, so that nobody answers to an address that may be given away again.
        """
        with _saying(f"disconnect container {id[:12]}"):
            with Netlink() as host, _if_there():
                host.change(rtnetlink.set_down(veth_name(id)))
            _unpin(self._pins / id)
        self._see_off(veth_name(id))

    def _plug(self, host: Netlink, inside: Netlink, id: str, bridge: str, pin: int) -> None:
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
            host.change(rtnetlink.add_veth(name, master, _INSIDE, pin))
        host.change(
            rtnetlink.set_alias(name, container_alias(self._instance, id, bridge)),
            rtnetlink.set_no_ipv6_address(name),
            rtnetlink.set_master(name, master.index),
            rtnetlink.set_hairpin(name),
            rtnetlink.set_up(name),
        )

    @contextmanager
    def _namespace(self, id: str) -> Iterator[tuple[int, Netlink]]:
        """The pinned namespace's descriptor and a netlink socket inside it; made when there is none."""
        self._pins.mkdir(parents=True, exist_ok=True)
        pin = self._pins / id
        inside = _apart(lambda: _enter(pin)) if is_pinned(pin) else _apart(lambda: _make(pin))
        try:
            descriptor = os.open(pin, os.O_RDONLY | os.O_CLOEXEC)
            try:
                yield descriptor, inside
            finally:
                os.close(descriptor)
        finally:
            inside.close()

    def _see_off(self, name: str) -> None:
        """Delete the link after a while if it is still there: a process may hold the namespace for long."""
        with self._lock:
            self._leaving.add(name)
            if len(self._leaving) == 1:
                timer = threading.Timer(_LINGER, self._sweep)
                timer.daemon = True
                timer.start()

    def _sweep(self) -> None:
        with self._lock:
            names, self._leaving = self._leaving, set()
        with Netlink() as host:
            for name in names:
                with suppress(OSError):
                    host.change(rtnetlink.delete_link(name))


def veth_name(id: str) -> str:
    """The host's end of a container's link."""
    return "rc" + id[:10]


def is_pinned(pin: Path) -> bool:
    """Whether a namespace is mounted there, and not just an empty file left."""
    try:
        return pin.stat().st_dev == Path("/proc/self/ns/net").stat().st_dev
    except OSError:
        return False


# --- namespaces --------------------------------------------------------------------------------------------------


def _apart(work: Callable[[], T]) -> T:
    """Do `work` in a thread that ends with it: the only place where a thread changes its namespace."""
    result: Future[T] = Future()

    def run() -> None:
        try:
            result.set_result(work())
        except BaseException as error:  # whatever it is, it belongs to the thread that waits
            result.set_exception(error)

    thread = threading.Thread(target=run, name="namespace")
    thread.start()
    thread.join()
    return result.result()


def _make(pin: Path) -> Netlink:
    pin.touch(mode=0o600)
    syscalls.unshare(syscalls.CLONE_NEWNET)
    syscalls.mount("/proc/thread-self/ns/net", str(pin), "", syscalls.MS_BIND)
    return Netlink()


def _enter(pin: Path) -> Netlink:
    with open(pin, "rb") as namespace:
        syscalls.setns(namespace.fileno(), syscalls.CLONE_NEWNET)
    return Netlink()


def _unpin(pin: Path) -> None:
    while is_pinned(pin):  # mounted twice by an interrupted try
        syscalls.umount(str(pin), syscalls.MNT_DETACH | syscalls.UMOUNT_NOFOLLOW)
    pin.unlink(missing_ok=True)


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
    indices = {route.index for route in routes if route and route.subnet == "0.0.0.0/0"}
    links = map(rtnetlink.parse_link, host.dump(rtnetlink.GETLINK, rtnetlink.ALL_LINKS))
    return min((link.mtu for link in links if link.index in indices), default=_ETHERNET)


def _configure(inside: Netlink, address: str, subnet: str) -> None:
    index = _index(inside, _INSIDE)
    inside.change(
        rtnetlink.set_mac(_INSIDE, _mac(address)),
        rtnetlink.set_no_ipv6_address(_INSIDE),
        rtnetlink.set_up(_INSIDE),
    )
    _put_address(inside, index, f"{address}/{IPv4Interface(subnet).network.prefixlen}")
    inside.change(rtnetlink.add_default_route(index, gateway(subnet)))


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


@contextmanager
def _saying(what: str) -> Iterator[None]:
    """Turn the kernel's refusal into a sentence: `cannot connect container 0123456789ab: File exists`."""
    try:
        yield
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        raise HostError(f"cannot {what}: {error.strerror}{where}") from error
