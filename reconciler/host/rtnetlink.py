"""Links, addresses and routes in the words of rtnetlink(7): changes as messages, answers as values.

All functions are pure: the messages are sent, and the answers fetched, by `netlink.Netlink`. Numbers are those of
<linux/if_link.h>, <linux/if_addr.h> and <linux/rtnetlink.h>.
"""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass

from reconciler.host.netlink import (
    CREATE,
    EXCL,
    REPLACE,
    Message,
    attribute,
    attributes,
    number,
    string,
    text,
)

NEWLINK, DELLINK, GETLINK = 16, 17, 18
NEWADDR, DELADDR, GETADDR = 20, 21, 22
NEWROUTE, GETROUTE = 24, 26
GETNSID = 90

UP = 0x1  # IFF_UP
LOWER_UP = 0x10000  # IFF_LOWER_UP: the carrier is there; of a veth, both ends are up

_LINK = struct.Struct("=BxHiII")  # family, type, index, flags, change
_ADDRESS = struct.Struct("=BBBBi")  # family, prefix length, flags, scope, index
_ROUTE = struct.Struct("=BBBBBBBBI")  # family, prefix, source prefix, tos, table, protocol, scope, type, flags

_MAC, _NAME, _MTU, _LINK_INDEX, _MASTER, _INFO, _ALIAS, _AF_SPEC = 1, 3, 4, 5, 10, 18, 20, 26
_NET_NS_FD, _EXT_MASK, _LINK_NETNSID = 28, 29, 37
_INFO_KIND, _INFO_DATA, _SLAVE_KIND, _SLAVE_DATA = 1, 2, 4, 5
_SEEN = frozenset({_NAME, _MTU, _LINK_INDEX, _MASTER, _INFO, _ALIAS, _LINK_NETNSID})
_SKIP_STATISTICS = 1 << 3  # RTEXT_FILTER_SKIP_STATS: most of an answer's bytes
_VETH_PEER = 1
_FORWARD_DELAY = 1  # IFLA_BR_FORWARD_DELAY
_HAIRPIN = 4  # IFLA_BRPORT_MODE
_ADDRESS_GENERATION, _NONE = 8, 1  # IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_NSID, _NSID_FD = 1, 3
_RTA_DST, _RTA_OIF, _RTA_GATEWAY = 1, 4, 5
_MAIN, _LOCAL_TABLE, _STATIC, _UNICAST = 254, 255, 4, 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A link as the kernel shows it. `peer` is the index of a veth's other end, in the namespace `netnsid`."""

    index: int
    name: str
    flags: int = 0
    alias: str = ""
    master: int = 0
    mtu: int = 0
    kind: str = ""
    peer: int = 0
    netnsid: int | None = None  # None: the other end is in this namespace, or there is none

    @property
    def up(self) -> bool:
        """Somebody has set it up; says nothing about the other end."""
        return bool(self.flags & UP)


@dataclass(frozen=True, slots=True)
class Address:
    """An IPv4 address of link `index`."""

    index: int
    address: str
    prefix: int

    @property
    def interface(self) -> str:
        """As `10.192.3.1/24`."""
        return f"{self.address}/{self.prefix}"


@dataclass(frozen=True, slots=True)
class Route:
    """An IPv4 route by link `index`; `subnet` in CIDR form, 0.0.0.0/0 for the default."""

    index: int
    subnet: str


# --- links -------------------------------------------------------------------------------------------------------


def add_bridge(name: str, mac: bytes, mtu: int) -> Message:
    """A bridge. Given its own MAC it does not take over the lowest of its ports, which would change as they go.

    It forwards at once: a delay without a spanning tree only rings the doorbell once more for each port, 15 s later.
    """
    info = attribute(_INFO, text(_INFO_KIND, "bridge") + attribute(_INFO_DATA, number(_FORWARD_DELAY, 0)))
    body = _LINK.pack(0, 0, 0, 0, 0) + text(_NAME, name) + attribute(_MAC, mac) + number(_MTU, mtu) + info
    return Message(NEWLINK, CREATE | EXCL, body)


def add_veth(name: str, bridge: Link, peer: str, namespace: int) -> Message:
    """A veth on `bridge`, whose other end `peer` is born in the network namespace of the descriptor."""
    nothing, mtu = _LINK.pack(0, 0, 0, 0, 0), number(_MTU, bridge.mtu)
    other = nothing + text(_NAME, peer) + mtu + number(_NET_NS_FD, namespace)
    info = text(_INFO_KIND, "veth") + attribute(_INFO_DATA, attribute(_VETH_PEER, other))
    own = text(_NAME, name) + mtu + number(_MASTER, bridge.index)
    return Message(NEWLINK, CREATE | EXCL, nothing + own + attribute(_INFO, info))


def set_up(name: str) -> Message:
    """Set the link up."""
    return Message(NEWLINK, 0, _LINK.pack(0, 0, 0, UP, UP) + text(_NAME, name))


def set_down(name: str) -> Message:
    """Set the link down."""
    return Message(NEWLINK, 0, _LINK.pack(0, 0, 0, 0, UP) + text(_NAME, name))


def set_master(name: str, master: int) -> Message:
    """Put the link on the bridge with index `master`."""
    return Message(NEWLINK, 0, _LINK.pack(0, 0, 0, 0, 0) + text(_NAME, name) + number(_MASTER, master))


def set_alias(name: str, alias: str) -> Message:
    """Give the link its alias: at most 255 bytes (IFALIASZ)."""
    return Message(NEWLINK, 0, _LINK.pack(0, 0, 0, 0, 0) + text(_NAME, name) + attribute(_ALIAS, alias.encode()))


def set_mac(name: str, mac: bytes) -> Message:
    """Give the link its hardware address."""
    return Message(NEWLINK, 0, _LINK.pack(0, 0, 0, 0, 0) + text(_NAME, name) + attribute(_MAC, mac))


def set_no_ipv6_address(name: str) -> Message:
    """Make no link-local address: it would be probed for a second at every start, and nobody uses it."""
    inet6 = attribute(socket.AF_INET6, attribute(_ADDRESS_GENERATION, bytes([_NONE])))
    return Message(NEWLINK, 0, _LINK.pack(0, 0, 0, 0, 0) + text(_NAME, name) + attribute(_AF_SPEC, inet6))


def set_hairpin(name: str) -> Message:
    """Let the bridge send a packet back to the port it came from: a container that asks for its own port."""
    info = text(_SLAVE_KIND, "bridge") + attribute(_SLAVE_DATA, attribute(_HAIRPIN, b"\1"))
    return Message(NEWLINK, 0, _LINK.pack(0, 0, 0, 0, 0) + text(_NAME, name) + attribute(_INFO, info))


def delete_link(name: str) -> Message:
    """Delete the link, and of a veth both ends."""
    return Message(DELLINK, 0, _LINK.pack(0, 0, 0, 0, 0) + text(_NAME, name))


def get_link(name: str) -> Message:
    """Ask for one link by name."""
    return Message(GETLINK, 0, _LINK.pack(0, 0, 0, 0, 0) + text(_NAME, name) + number(_EXT_MASK, _SKIP_STATISTICS))


def get_link_at(index: int) -> Message:
    """Ask for one link by index."""
    return Message(GETLINK, 0, _LINK.pack(0, 0, index, 0, 0) + number(_EXT_MASK, _SKIP_STATISTICS))


ALL_LINKS = _LINK.pack(0, 0, 0, 0, 0) + number(_EXT_MASK, _SKIP_STATISTICS)
ALL_ADDRESSES = _ADDRESS.pack(socket.AF_INET, 0, 0, 0, 0)
ALL_ROUTES = _ROUTE.pack(socket.AF_INET, 0, 0, 0, 0, 0, 0, 0, 0)


def parse_link(body: bytes) -> Link:
    """A link from the body of RTM_NEWLINK."""
    _, _, index, flags, _ = _LINK.unpack_from(body)
    seen = attributes(body, _LINK.size, _SEEN)
    netnsid = seen.get(_LINK_NETNSID)
    info = seen.get(_INFO)
    return Link(
        index=index,
        name=string(seen.get(_NAME, b"")),
        flags=flags,
        alias=string(seen.get(_ALIAS, b"")),
        master=_integer(seen.get(_MASTER)),
        mtu=_integer(seen.get(_MTU)),
        kind=string(attributes(info).get(_INFO_KIND, b"")) if info else "",
        peer=_integer(seen.get(_LINK_INDEX)),
        netnsid=None if netnsid is None else _integer(netnsid),
    )


def get_namespace(descriptor: int) -> Message:
    """Ask which number the network namespace of the descriptor has here, as links know it (`Link.netnsid`)."""
    return Message(GETNSID, 0, bytes(4) + number(_NSID_FD, descriptor))


def parse_namespace(body: bytes) -> int:
    """The number from the body of RTM_NEWNSID; -1 when no link leads there."""
    return _integer(attributes(body, 4).get(_NSID, b"\xff\xff\xff\xff"))


def _integer(value: bytes | None) -> int:
    return int.from_bytes(value, "little", signed=True) if value else 0


# --- addresses and routes ----------------------------------------------------------------------------------------


def add_address(address: Address) -> Message:
    """Give the link the address, or leave it there."""
    return Message(NEWADDR, CREATE | REPLACE, _address(address))


def delete_address(address: Address) -> Message:
    """Take the address from its link."""
    return Message(DELADDR, 0, _address(address))


def _address(address: Address) -> bytes:
    packed = socket.inet_aton(address.address)
    header = _ADDRESS.pack(socket.AF_INET, address.prefix, 0, 0, address.index)
    return header + attribute(_IFA_LOCAL, packed) + attribute(_IFA_ADDRESS, packed)


def parse_address(body: bytes) -> Address:
    """An address from the body of RTM_NEWADDR."""
    _, prefix, _, _, index = _ADDRESS.unpack_from(body)
    seen = attributes(body, _ADDRESS.size)
    return Address(index, socket.inet_ntoa(seen.get(_IFA_LOCAL) or seen.get(_IFA_ADDRESS) or bytes(4)), prefix)


def add_default_route(index: int, gateway: str) -> Message:
    """The default route by `gateway`, which link `index` reaches; replaces another."""
    header = _ROUTE.pack(socket.AF_INET, 0, 0, 0, _MAIN, _STATIC, 0, _UNICAST, 0)
    body = header + attribute(_RTA_GATEWAY, socket.inet_aton(gateway)) + number(_RTA_OIF, index)
    return Message(NEWROUTE, CREATE | REPLACE, body)


def parse_route(body: bytes) -> Route | None:
    """A route from the body of RTM_NEWROUTE; None for those to the host's own addresses and to broadcasts."""
    _, prefix, _, _, table, *_ = _ROUTE.unpack_from(body)
    if table == _LOCAL_TABLE:
        return None
    seen = attributes(body, _ROUTE.size)
    destination = socket.inet_ntoa(seen.get(_RTA_DST) or bytes(4))
    return Route(_integer(seen.get(_RTA_OIF)), f"{destination}/{prefix}")
