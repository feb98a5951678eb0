"""Forgets UDP flows that lead to where nobody answers any more.

The kernel decides about a flow at its first packet; a client that keeps sending, as a resolver or a logger does,
would talk to a replica that is gone, or to a port from before it was published, for as long as it sends. TCP needs
none of this: a connection ends. Numbers are those of <linux/netfilter/nfnetlink_conntrack.h>.
"""

from __future__ import annotations

import socket
import struct
from ipaddress import ip_address

from reconciler.host.netlink import Message, Netlink, attribute, number

_DELETE = 1 << 8 | 2  # NFNL_SUBSYS_CTNETLINK, IPCTNL_MSG_CT_DELETE
_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}
_NESTED = 0x8000
_ORIGINAL, _REPLY, _FILTER = 1, 2, 25
_TUPLE_IP, _TUPLE_PROTOCOL = 1, 2
_SOURCES = {4: 1, 6: 3}  # CTA_IP_V4_SRC, CTA_IP_V6_SRC
_NUMBER, _SOURCE_PORT, _DESTINATION_PORT = 1, 2, 3
# What of a tuple must match (CTA_FILTER_F_…, in the kernel's net/netfilter/nf_internals.h, since 5.8)
_BY_SOURCE, _BY_PROTOCOL, _BY_SOURCE_PORT, _BY_DESTINATION_PORT = 1 << 0, 1 << 3, 1 << 4, 1 << 5


def forget_replica(netlink: Netlink, address: str, port: int) -> None:
    """Forget the UDP flows that are answered from there."""
    source = ip_address(address)
    ip = _nest(_TUPLE_IP, attribute(_SOURCES[source.version], source.packed))
    match = _BY_SOURCE | _BY_PROTOCOL | _BY_SOURCE_PORT
    _forget(netlink, source.version, _REPLY, ip + _udp(_SOURCE_PORT, port), match)


def forget_port(netlink: Netlink, port: int) -> None:
    """Forget the UDP flows that were sent to that port, of whatever address."""
    for version in _FAMILIES:
        _forget(netlink, version, _ORIGINAL, _udp(_DESTINATION_PORT, port), _BY_PROTOCOL | _BY_DESTINATION_PORT)


def _forget(netlink: Netlink, version: int, direction: int, parts: bytes, match: int) -> None:
    flags = _nest(_FILTER, number(direction, match))
    header = struct.pack(">BBH", _FAMILIES[version], 1, 0)  # version 1: the family is meant
    netlink.change(Message(_DELETE, 0, header + _nest(direction, parts) + flags))


def _udp(kind: int, port: int) -> bytes:
    udp = attribute(_NUMBER, bytes([socket.IPPROTO_UDP]))
    return _nest(_TUPLE_PROTOCOL, udp + attribute(kind, struct.pack(">H", port)))


def _nest(kind: int, parts: bytes) -> bytes:
    return attribute(kind | _NESTED, parts)
