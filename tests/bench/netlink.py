"""The floor's network: the least that wires a container, as hand-packed rtnetlink and nfnetlink messages.

Written on its own, so that the floor shares no code with the program that is measured against it. Numbers are
those of `linux/rtnetlink.h`, `if_link.h`, `if_addr.h` and `netfilter/nf_tables.h`.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from itertools import count

ACK, CREATE, EXCL = 0x4, 0x400, 0x200
NEWLINK, NEWADDR, NEWROUTE = 16, 20, 24
NETFILTER = 12
BATCH_BEGIN, BATCH_END, NEWSETELEM, DELSETELEM = 16, 17, 0xA0C, 0xA0E
UP = 1
INSIDE = 7  # the index of eth0 in a container, chosen so that nobody must ask
FIRST = 10000  # indexes of the host ends count from here; the kernel takes a wish for one end only with the other
TABLE, PORTS = "floor", "ports"

# The whole of the floor's firewall: publishing a port is one element of the map.
RULES = f"""
table ip {TABLE} {{
  map {PORTS} {{ type inet_service : ipv4_addr . inet_service; }}
  chain output {{ type nat hook output priority -100; ip daddr 127.0.0.1 dnat ip to tcp dport map @{PORTS}; }}
  chain postrouting {{ type nat hook postrouting priority 100; ip saddr 127.0.0.0/8 oifname != "lo" masquerade; }}
}}
"""


def attribute(kind: int, value: bytes) -> bytes:
    """One attribute, padded to four bytes."""
    length = len(value) + 4
    return struct.pack("=HH", length, kind) + value + b"\0" * (-length % 4)


def nested(kind: int, *values: bytes) -> bytes:
    """An attribute that holds others."""
    return attribute(kind | 0x8000, b"".join(values))


def text(kind: int, value: str) -> bytes:
    """A text, ended by a zero."""
    return attribute(kind, value.encode() + b"\0")


def link_message(index: int, flags: int) -> bytes:
    """struct ifinfomsg."""
    return struct.pack("=BxHiII", 0, 0, index, flags, flags)


class Netlink:
    """A socket in the namespace of the thread that makes it."""

    def __init__(self, family: int = socket.NETLINK_ROUTE) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, family)
        self._socket.bind((0, 0))
        self._sequence = count(1)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def message(self, kind: int, flags: int, body: bytes) -> bytes:
        """One message with its header."""
        return struct.pack("=IHHII", len(body) + 16, kind, flags | 1, next(self._sequence), 0) + body

    def send(self, *messages: bytes, answers: int | None = None) -> None:
        """Send and wait for as many acknowledgements; raises OSError with the kernel's number."""
        self._socket.send(b"".join(messages))
        waiting = len(messages) if answers is None else answers
        while waiting > 0:
            data = self._socket.recv(65536)
            while data:
                length, kind = struct.unpack_from("=IH", data)
                if kind == 2:
                    waiting -= 1
                    self._check(struct.unpack_from("=i", data, 16)[0])
                data = data[(length + 3) & ~3 :]

    @staticmethod
    def _check(number: int) -> None:
        if number not in {0, -errno.EEXIST}:
            raise OSError(-number, f"cannot set up the network: {os.strerror(-number)}")

    def bridge(self, name: str, address: str, prefix: int) -> int:
        """A bridge that is up and has an address; its index."""
        kind = nested(18, text(1, "bridge"))
        self.send(self.message(NEWLINK, ACK | CREATE | EXCL, link_message(0, UP) + text(3, name) + kind))
        index = socket.if_nametoindex(name)
        self.address(index, address, prefix)
        return index

    def veth(self, number: int, bridge: int, namespace: int) -> None:
        """A pair: one end on the bridge, up; the other as `eth0` in the namespace."""
        peer = link_message(INSIDE, 0) + text(3, "eth0") + attribute(28, struct.pack("=I", namespace))
        kind = nested(18, text(1, "veth"), nested(2, attribute(1, peer)))
        body = (
            link_message(FIRST + number, UP) + text(3, f"fl{number}") + attribute(10, struct.pack("=I", bridge)) + kind
        )
        self.send(self.message(NEWLINK, ACK | CREATE | EXCL, body))

    def address(self, index: int, address: str, prefix: int) -> None:
        """Give a link an address."""
        self.send(self._address(index, address, prefix))

    def _address(self, index: int, address: str, prefix: int) -> bytes:
        packed = socket.inet_aton(address)
        body = struct.pack("=BBBBi", socket.AF_INET, prefix, 0, 0, index) + attribute(1, packed) + attribute(2, packed)
        return self.message(NEWADDR, ACK | CREATE | EXCL, body)

    def inside(self, address: str, prefix: int, gateway: str) -> None:
        """In the container's namespace: loopback and eth0 up, address, default route."""
        self.send(*(self.message(NEWLINK, ACK, link_message(index, UP)) for index in (1, INSIDE)))
        route = struct.pack("=BBBBBBBBI", socket.AF_INET, 0, 0, 0, 254, 3, 0, 1, 0)
        gateway_attribute = attribute(5, socket.inet_aton(gateway))
        self.send(
            self._address(INSIDE, address, prefix), self.message(NEWROUTE, ACK | CREATE, route + gateway_attribute)
        )

    def element(self, kind: int, port: int, address: str) -> None:
        """Add (NEWSETELEM) or delete (DELSETELEM) one published port."""
        key = nested(1, attribute(1, struct.pack("!H", port)))
        target = nested(2, attribute(1, socket.inet_aton(address) + struct.pack("!HH", 80, 0)))
        elements = nested(3, nested(1, key, target))
        header, table = struct.pack("!BBH", socket.AF_INET, 0, 0), struct.pack("!BBH", 0, 0, 10)
        self.send(
            self.message(BATCH_BEGIN, 0, table),
            self.message(kind, ACK | CREATE, header + text(1, TABLE) + text(2, PORTS) + elements),
            self.message(BATCH_END, 0, table),
            answers=1,
        )
