"""Who holds a port of this host: the kernel's sockets that listen, and the processes that have them open.

Asked by sock_diag(7), which knows who listens; /proc/net would print it only after a walk through every place that a
connection could have, which is 5 ms a table on a host of some memory, and is read where the kernel has no sock_diag.
To say whose a socket is takes a look at every process, so that is asked when something failed.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from ipaddress import ip_address
from pathlib import Path

from reconciler.core.networking import Listener, Protocol
from reconciler.host import runs
from reconciler.host.netlink import Netlink
from reconciler.host.runs import Process

_TABLES: Mapping[str, Protocol] = {"tcp": "tcp", "tcp6": "tcp", "udp": "udp", "udp6": "udp"}
_LISTENS = {"tcp": "0A", "udp": "07"}  # TCP_LISTEN; an unconnected datagram socket is TCP_CLOSE
_SOCK_DIAG = 4  # NETLINK_SOCK_DIAG
_BY_FAMILY = 20  # SOCK_DIAG_BY_FAMILY
_QUESTION = struct.Struct("=BBBxI48x")  # family, protocol, extensions, states (struct inet_diag_req_v2)
_ANSWER = struct.Struct("=BBBB2s2x16s44xI")  # family, state, …, source port and address, …, inode (inet_diag_msg)
_DIAGNOSED: tuple[tuple[Protocol, int], ...] = (("tcp", socket.IPPROTO_TCP), ("udp", socket.IPPROTO_UDP))
_EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 - the kernel's word for sockets of others


@dataclass(frozen=True, slots=True)
class Owner:
    """A process, and where it listens."""

    process: Process
    program: str
    address: str


def owners(port: int, addresses: Collection[str]) -> list[Owner]:
    """Who listens at `port` on one of `addresses`, or on all there are."""
    found = {
        inode: address
        for _, address, at, inode in _sockets()
        if at == port and (address in _EVERYWHERE or address in addresses)
    }
    return [Owner(process, program, found[inode]) for inode, process, program in _holders(found)]


def listeners(owners: bool = False) -> tuple[Listener, ...]:
    """Every socket that listens in this network namespace; `owners` to say of which program, "" when nobody can see.

    A socket at `::` takes IPv4 as well, unless its program said otherwise, which nobody else can see.
    """
    found = {inode: _listener(protocol, address, port) for protocol, address, port, inode in _sockets()}
    known = {
        inode: f"{program} (process {process.pid})" for inode, process, program in (_holders(found) if owners else ())
    }
    return tuple(
        replace(listener, owner=known[inode]) if inode in known else listener
        for inode, listener in sorted(found.items())
    )


@lru_cache(maxsize=4096)
def _listener(protocol: Protocol, address: str, port: int) -> Listener:
    return Listener(protocol=protocol, port=port, address="" if address == "::" else address)


def _sockets() -> Iterator[tuple[Protocol, str, int, int]]:
    """Protocol, address, port and inode of all sockets that listen."""
    try:
        yield from _diagnosed()
    except OSError:  # ENOENT: a kernel without sock_diag
        for table, protocol in _TABLES.items():
            with suppress(FileNotFoundError):  # a kernel without IPv6
                text = Path("/proc/net", table).read_text()
                yield from ((protocol, *found) for found in parse(text, _LISTENS[protocol]))


def _diagnosed() -> list[tuple[Protocol, str, int, int]]:
    with Netlink(_SOCK_DIAG) as kernel:
        return [
            (protocol, *parse_answer(answer))
            for protocol, number in _DIAGNOSED
            for family in (socket.AF_INET, socket.AF_INET6)
            for answer in kernel.dump(_BY_FAMILY, _QUESTION.pack(family, number, 0, 1 << int(_LISTENS[protocol], 16)))
        ]


def parse_answer(body: bytes) -> tuple[str, int, int]:
    """Address, port and inode of one socket (struct inet_diag_msg)."""
    family, _, _, _, port, address, inode = _ANSWER.unpack_from(body)
    return _written(address[:4] if family == socket.AF_INET else address), int.from_bytes(port, "big"), inode


@lru_cache(maxsize=4096)
def _written(packed: bytes) -> str:
    return str(ip_address(packed))


def parse(table: str, state: str) -> Iterator[tuple[str, int, int]]:
    """Address, port and inode of the sockets in that state: `sl local_address rem_address st … inode` in hex words."""
    for line in table.splitlines()[1:]:
        words = line.split()
        if words[3] == state:
            address, _, port = words[1].partition(":")
            yield _address(address), int(port, 16), int(words[9])


def _address(text: str) -> str:
    """The kernel prints each 32 bits as a number in its own byte order."""
    words = [int(text[place : place + 8], 16) for place in range(0, len(text), 8)]
    return str(ip_address(b"".join(word.to_bytes(4, sys.byteorder) for word in words)))


def _holders(inodes: Collection[int]) -> Iterator[tuple[int, Process, str]]:
    """Who has these sockets open: inode, process, and the name of its program."""
    wanted = {f"socket:[{inode}]": inode for inode in inodes}
    for pid in filter(str.isdecimal, os.listdir("/proc") if wanted else ()):
        with suppress(OSError):  # it may end meanwhile
            held = {wanted[link] for link in _links(Path("/proc", pid, "fd")) if link in wanted}
            process = runs.identify(int(pid)) if held else None
            if process:
                program = Path("/proc", pid, "comm").read_text().strip()
                yield from ((inode, process, program) for inode in held)


def _links(folder: Path) -> Iterator[str]:
    for name in os.listdir(folder):
        with suppress(OSError):
            yield str((folder / name).readlink())
