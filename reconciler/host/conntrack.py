"""Forgets UDP flows that lead to where nobody answers any more.

The kernel decides about a flow at its first packet; a client that keeps sending, as a resolver or a logger does,
would talk to a replica that is gone, or to a port from before it was published, for as long as it sends. TCP needs
none of this: a connection ends. Numbers are those of <linux/netfilter/nfnetlink_conntrack.h>.
"""

from __future__ import annotations

import socket
import struct

from reconciler.host.netlink import Message, Netlink, attribute, number

_DELETE = 1 << 8 | 2  # NFNL_SUBSYS_CTNETLINK, IPCTNL_MSG_CT_DELETE
_HEADER = struct.pack(">BBH", socket.AF_INET, 1, 0)  # version 1: the family is meant
_NESTED = 0x8000
_ORIGINAL, _REPLY, _FILTER = 1, 2, 25
_TUPLE_IP, _TUPLE_PROTOCOL = 1, 2
_SOURCE = 1  # CTA_IP_V4_SRC
_NUMBER, _SOURCE_PORT, _DESTINATION_PORT = 1, 2, 3
# What of a tuple must match (CTA_FILTER_F_…, in the kernel's net/netfilter/nf_internals.h, since 5.8)
_BY_SOURCE, _BY_PROTOCOL, _BY_SOURCE_PORT, _BY_DESTINATION_PORT = 1 << 0, 1 << 3, 1 << 4, 1 << 5


def forget_replica(netlink: Netlink, address: str, port: int) -> None:
    """Forget the UDP flows that are answered from there."""
    ip = _nest(_TUPLE_IP, attribute(_SOURCE, socket.inet_aton(address)))
    _forget(netlink, _REPLY, ip + _udp(_SOURCE_PORT, port), _BY_SOURCE | _BY_PROTOCOL | _BY_SOURCE_PORT)


def forget_port(netlink: Netlink, port: int) -> None:
    """Forget the UDP flows that were sent to that port, of whatever address."""
    _forget(netlink, _ORIGINAL, _udp(_DESTINATION_PORT, port), _BY_PROTOCOL | _BY_DESTINATION_PORT)


def _forget(netlink: Netlink, direction: int, parts: bytes, match: int) -> None:
    flags = _nest(_FILTER, number(direction, match))
    netlink.change(Message(_DELETE, 0, _HEADER + _nest(direction, parts) + flags))


def _udp(kind: int, port: int) -> bytes:
    udp = attribute(_NUMBER, bytes([socket.IPPROTO_UDP]))
    return _nest(_TUPLE_PROTOCOL, udp + attribute(kind, struct.pack(">H", port)))


def _nest(kind: int, parts: bytes) -> bytes:
    return attribute(kind | _NESTED, parts)
