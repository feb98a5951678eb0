"""Who listens on the ports of this host: the kernel's list by sock_diag(7), and whose a socket is by proc(5).

The list takes well under a millisecond, as the kernel looks up listening sockets only. The owner costs a walk through
all processes and is asked when there is something to say about it.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from typing import Final

from reconciler.core.networking import Listener, Protocol
from reconciler.host.netlink import Netlink, attributes, saying
from reconciler.host.sockets import holders

_SOCK_DIAG = 4  # NETLINK_SOCK_DIAG
_BY_FAMILY = 20
_REQUEST = struct.Struct("=BBBBI48x")  # family, protocol, extensions, states, and an id that matches all
_MESSAGE = struct.Struct("=BBBB2s2s16s16s12xIIIII")  # inet_diag_msg; the last is the inode
_ONLY_IPV6 = 11  # INET_DIAG_SKV6ONLY
# TCP_LISTEN; an unconnected datagram socket is TCP_CLOSE
_STATES: Final[dict[Protocol, tuple[int, int]]] = {
    "tcp": (socket.IPPROTO_TCP, 1 << 10),
    "udp": (socket.IPPROTO_UDP, 1 << 7),
}


@dataclass(frozen=True, slots=True)
class Socket:
    """A listener and the inode of its socket."""

    listener: Listener
    inode: int


def listening(owners: bool = False) -> tuple[Listener, ...]:
    """Everybody who listens by TCP or UDP in this network namespace, each once.

    With `owners` each is called as `nginx (process 123)`, "" when it belongs to no process that can be seen.
    """
    found = list(_sockets())
    if not owners:
        return tuple(dict.fromkeys(one.listener for one in found))
    names: dict[int, str] = {}
    for holder in holders({one.inode for one in found}):
        names |= dict.fromkeys(holder.inodes, f"{holder.program} (process {holder.process.pid})")
    return tuple(dict.fromkeys(replace(one.listener, owner=names.get(one.inode, "")) for one in found))


def _sockets() -> Iterable[Socket]:
    with saying("ask who listens on this host"), Netlink(_SOCK_DIAG) as kernel:
        for protocol, (number, states) in _STATES.items():
            for family in (socket.AF_INET, socket.AF_INET6):
                yield from parse(protocol, kernel.dump(_BY_FAMILY, _REQUEST.pack(family, number, 0, 0, states)))


def parse(protocol: Protocol, bodies: Iterable[bytes]) -> Iterator[Socket]:
    """Sockets from the bodies of inet_diag_msg; those without a port listen to nobody."""
    return filter(None, (_socket(protocol, body) for body in bodies))


@lru_cache(maxsize=4096)  # the same ones at every look
def _socket(protocol: Protocol, body: bytes) -> Socket | None:
    family, _, _, _, port, _, source, _, *_, inode = _MESSAGE.unpack_from(body)
    six = family == socket.AF_INET6
    address = _address(source if six else source[:4])
    both = six and address == "::" and attributes(body, _MESSAGE.size).get(_ONLY_IPV6, b"\1") == b"\0"
    number = int.from_bytes(port, "big")
    return Socket(Listener(protocol=protocol, port=number, address="" if both else address), inode) if number else None


def _address(packed: bytes) -> str:
    """An IPv6 socket may listen on an IPv4 address."""
    address = ip_address(packed)
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address)
