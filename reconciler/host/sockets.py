"""Who holds a port of this host: the kernel's tables of sockets, and the processes that have them open (proc(5)).

Reads /proc only. To say whose a socket is takes a look at every process, so that is asked when something failed.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from ipaddress import ip_address
from pathlib import Path

from reconciler.core.networking import Listener, Protocol
from reconciler.host import runs
from reconciler.host.runs import Process

_TABLES: Mapping[str, Protocol] = {"tcp": "tcp", "tcp6": "tcp", "udp": "udp", "udp6": "udp"}
_LISTENS = {"tcp": "0A", "udp": "07"}  # TCP_LISTEN; an unconnected datagram socket is TCP_CLOSE
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
    found = {
        inode: Listener(protocol=protocol, port=port, address="" if address == "::" else address)
        for protocol, address, port, inode in _sockets()
    }
    holders = _holders(found) if owners else ()
    known = {inode: f"{program} (process {process.pid})" for inode, process, program in holders}
    return tuple(replace(listener, owner=known.get(inode, "")) for inode, listener in sorted(found.items()))


def _sockets() -> Iterator[tuple[Protocol, str, int, int]]:
    """Protocol, address, port and inode of all sockets that listen."""
    for table, protocol in _TABLES.items():
        with suppress(FileNotFoundError):  # a kernel without IPv6
            text = Path("/proc/net", table).read_text()
            yield from ((protocol, *socket) for socket in parse(text, _LISTENS[protocol]))


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
