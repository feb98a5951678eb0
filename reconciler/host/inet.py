"""Addresses and routes of both families in the words of rtnetlink(7): changes as messages, answers as values.

All functions are pure: the messages are sent, and the answers fetched, by `netlink.Netlink`. Numbers are those of
<linux/if_addr.h> and <linux/rtnetlink.h>.
"""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass
from ipaddress import IPv4Interface, ip_interface

from reconciler.host.netlink import CREATE, REPLACE, Message, attribute, attributes, number
from reconciler.host.rtnetlink import integer

NEWADDR, DELADDR, GETADDR = 20, 21, 22
NEWROUTE, GETROUTE = 24, 26

_ADDRESS = struct.Struct("=BBBBi")  # family, prefix length, flags, scope, index
_ROUTE = struct.Struct("=BBBBBBBBI")  # family, prefix, source prefix, tos, table, protocol, scope, type, flags

_IFA_ADDRESS, _IFA_LOCAL, _IFA_FLAGS = 1, 2, 8
_SECONDARY, _NODAD = 0x01, 0x02
_RTA_DST, _RTA_OIF, _RTA_GATEWAY, _RTA_PRIORITY, _RTA_PREFSRC = 1, 4, 5, 6, 7
_MAIN, _LOCAL_TABLE, _UNICAST = 254, 255, 1
_BY_KERNEL, _STATIC = 2, 4
_EVERYWHERE, _ON_LINK = 0, 253
_KERNEL_METRIC = 256  # of the routes that IPv6 makes for its addresses (IP6_RT_PRIO_ADDRCONF)

ALL_ADDRESSES = _ADDRESS.pack(socket.AF_UNSPEC, 0, 0, 0, 0)
ALL_ROUTES = _ROUTE.pack(socket.AF_INET, 0, 0, 0, 0, 0, 0, 0, 0)
ALL_ROUTES6 = _ROUTE.pack(socket.AF_INET6, 0, 0, 0, _MAIN, 0, 0, 0, 0)  # each link adds one to the table of its own


@dataclass(frozen=True, slots=True)
class Address:
    """An address of link `index` in CIDR form (`10.192.3.1/24`); `secondary` when another came first."""

    index: int
    interface: str
    secondary: bool = False


@dataclass(frozen=True, slots=True)
class Route:
    """A route by link `index`; `subnet` in CIDR form, with length 0 for the default. `gateway` "" is none."""

    index: int
    subnet: str
    gateway: str = ""

    @property
    def default(self) -> bool:
        """Whether it is the one for whatever has no other."""
        return self.subnet.endswith("/0")


def add_address(address: Address) -> Message:
    """Give the link the address, or leave it there.

    An IPv6 address works at once: nobody is asked for a second whether it is his already (IFA_F_NODAD), for we
    alone give them away.
    """
    return Message(NEWADDR, CREATE | REPLACE, _address(address))


def delete_address(address: Address) -> Message:
    """Take the address from its link."""
    return Message(DELADDR, 0, _address(address))


def _address(address: Address) -> bytes:
    alone, _, prefix = address.interface.partition("/")
    packed, family = _packed(alone)
    flags = _NODAD if family == socket.AF_INET6 else 0
    header = _ADDRESS.pack(family, int(prefix), flags, 0, address.index)
    return header + attribute(_IFA_LOCAL, packed) + attribute(_IFA_ADDRESS, packed)


def parse_address(body: bytes) -> Address:
    """An address from the body of RTM_NEWADDR."""
    family, prefix, flags, _, index = _ADDRESS.unpack_from(body)
    seen = attributes(body, _ADDRESS.size)
    packed = seen.get(_IFA_LOCAL) or seen.get(_IFA_ADDRESS) or bytes(_length(family))
    secondary = bool(flags & _SECONDARY) and family == socket.AF_INET  # IPv6 calls temporary ones so
    return Address(index, f"{socket.inet_ntop(family, packed)}/{prefix}", secondary)


def add_default_route(index: int, gateway: str) -> Message:
    """The default route by `gateway`, which link `index` reaches; replaces another."""
    packed, family = _packed(gateway)
    header = _ROUTE.pack(family, 0, 0, 0, _MAIN, _STATIC, _EVERYWHERE, _UNICAST, 0)
    return Message(NEWROUTE, CREATE | REPLACE, header + attribute(_RTA_GATEWAY, packed) + number(_RTA_OIF, index))


def add_subnet_route(address: Address) -> Message:
    """The route to an address's own network, as the kernel makes it together with the address."""
    value = ip_interface(address.interface)
    family, network = _family(value.version), value.network
    scope = _ON_LINK if family == socket.AF_INET else _EVERYWHERE
    header = _ROUTE.pack(family, network.prefixlen, 0, 0, _MAIN, _BY_KERNEL, scope, _UNICAST, 0)
    body = attribute(_RTA_DST, network.network_address.packed) + number(_RTA_OIF, address.index)
    if isinstance(value, IPv4Interface):
        body += attribute(_RTA_PREFSRC, value.packed)
    else:
        body += number(_RTA_PRIORITY, _KERNEL_METRIC)
    return Message(NEWROUTE, CREATE | REPLACE, header + body)


def parse_route(body: bytes) -> Route | None:
    """A route from the body of RTM_NEWROUTE; None for those to the host's own addresses and to broadcasts."""
    family, prefix, _, _, table, *_ = _ROUTE.unpack_from(body)
    if table == _LOCAL_TABLE or family not in {socket.AF_INET, socket.AF_INET6}:
        return None
    seen = attributes(body, _ROUTE.size)
    destination = socket.inet_ntop(family, seen.get(_RTA_DST) or bytes(_length(family)))
    gateway = seen.get(_RTA_GATEWAY)
    by = socket.inet_ntop(family, gateway) if gateway else ""
    return Route(integer(seen.get(_RTA_OIF)), f"{destination}/{prefix}", by)


def _packed(address: str) -> tuple[bytes, int]:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return socket.inet_pton(family, address), family


def _family(version: int) -> int:
    return socket.AF_INET if version == 4 else socket.AF_INET6


def _length(family: int) -> int:
    return 4 if family == socket.AF_INET else 16
