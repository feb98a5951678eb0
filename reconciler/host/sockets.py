"""Who holds a port of this host: the kernel's tables of sockets, and the processes that have them open (proc(5)).

Reads /proc only. Meant for messages: it looks at every process, so it is asked when something failed.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from reconciler.host import runs
from reconciler.host.runs import Process

_TABLES = ("tcp", "udp", "tcp6", "udp6")
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
        for table in _TABLES
        for address, at, inode in parse(Path("/proc/net", table).read_text(), _LISTENS[table[:3]])
        if at == port and (address in _EVERYWHERE or address in addresses)
    }
    return [
        Owner(holder.process, holder.program, found[inode]) for holder in holders(found) for inode in holder.inodes[:1]
    ]


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


@dataclass(frozen=True, slots=True)
class Holder:
    """A process that has sockets open, by their inodes."""

    process: Process
    program: str
    inodes: tuple[int, ...]


def holders(inodes: Collection[int]) -> Iterator[Holder]:
    """The processes that have some of these sockets open; looks at every process of the host."""
    wanted = {f"socket:[{inode}]": inode for inode in inodes}
    for pid in filter(str.isdecimal, os.listdir("/proc") if wanted else ()):
        with suppress(OSError):  # it may end meanwhile
            held = [wanted[link] for link in _links(Path("/proc", pid, "fd")) if link in wanted]
            process = runs.identify(int(pid)) if held else None
            if process:
                yield Holder(process, Path("/proc", pid, "comm").read_text().strip(), tuple(held))


def _links(folder: Path) -> Iterator[str]:
    for name in os.listdir(folder):
        with suppress(OSError):
            yield str((folder / name).readlink())
