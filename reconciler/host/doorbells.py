"""Sockets that become readable when the kernel's state changed, and what rang: a reason to look, and nothing more.

Links, addresses, routes and forwarding ring by rtnetlink(7), also those of other network namespaces; rules by
nfnetlink; kernel settings, which have no notices of their own, when a process writes to their file. What a notice
says is dropped: whoever looks sees more. Made by `observe.links` and `wire`.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from reconciler.host import syscalls
from reconciler.host.netlink import NETFILTER, ROUTE, SOL_NETLINK

# Groups as bits of sockaddr_nl.nl_groups: RTNLGRP_LINK 1; IPV4_IFADDR 5, IPV4_ROUTE 7, IPV4_RULE 8, IPV6_IFADDR 9,
# IPV6_ROUTE 11, IPV6_RULE 19; IPV4_NETCONF 24 and IPV6_NETCONF 25 are forwarding switched on or off.
# NFNLGRP_NFTABLES 7.
_LINKS_ADDRESSES_ROUTES = sum(1 << group - 1 for group in (1, 5, 7, 8, 9, 11, 19, 24, 25))
_RULES = 1 << 6
_LISTEN_ALL_NSID = 8
_NUMBER = struct.Struct("=i")
_PLENTY = 1 << 20  # bytes: a hundred containers that start ring some thousand times
HERE = -1
"""This namespace, among the numbers of others."""

_MODIFIED = 0x2  # IN_MODIFY


def open_doorbell() -> socket.socket:
    """A socket that becomes readable when a link, address, route or forwarding changes in this namespace.

    Also in every namespace that has a number here, as all have that a link from here leads to.
    """
    bell = _listen(ROUTE, _LINKS_ADDRESSES_ROUTES)
    bell.setsockopt(SOL_NETLINK, _LISTEN_ALL_NSID, 1)
    bell.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _PLENTY)
    return bell


def open_rules_doorbell() -> socket.socket:
    """A socket that becomes readable when any nftables ruleset of this namespace changes."""
    return _listen(NETFILTER, _RULES)


def rung(bell: socket.socket) -> frozenset[int] | None:
    """Take everything that waits at the doorbell: the numbers of the namespaces that rang, `HERE` for this one.

    None when there was too much to keep (ENOBUFS): then anybody may have rung.
    """
    numbers: set[int] = set()
    lost = False
    while True:
        try:
            _, notes, _, _ = bell.recvmsg(1, 64)  # what it says does not matter: the rest of a datagram is dropped
        except BlockingIOError:
            return None if lost else frozenset(numbers)
        except OSError as error:
            if error.errno != errno.ENOBUFS:
                raise
            lost = True
        else:
            numbers.add(_NUMBER.unpack(notes[0][2])[0] if notes else HERE)


def drain(bell: socket.socket) -> bool:
    """Take everything that waits at the doorbell; whether it rang at all."""
    return rung(bell) != frozenset()


def _listen(family: int, groups: int) -> socket.socket:
    flags = socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
    bell = socket.socket(socket.AF_NETLINK, flags, family)
    bell.bind((0, groups))
    return bell


class Writes:
    """Rings when a process writes to one of the watched files of /proc/sys.

    inotify(7) tells of writes there as anywhere else, only not of what the kernel changes by itself. The files of a
    link go with it, so whoever looks says again which there are; a notice that was lost is made good by a full look.
    """

    def __init__(self) -> None:
        self._descriptor = syscalls.inotify()
        self._watched: dict[tuple[str, int], int] = {}

    def fileno(self) -> int:
        """Readable when it rang."""
        return self._descriptor

    def watch(self, settings: Iterable[tuple[str, int]], again: bool = False) -> None:
        """Listen to the files of these settings and no others; to known ones anew when `again`.

        Each is a name, as `net.ipv4.ip_forward`, and the index of the link that it belongs to: another link of the
        same name has other files.
        """
        wanted = frozenset(settings)
        for setting in wanted if again else wanted - self._watched.keys():
            self._listen(setting)
        for gone in self._watched.keys() - wanted:
            self._ignore(self._watched.pop(gone))

    def _listen(self, setting: tuple[str, int]) -> None:
        before = self._watched.pop(setting, None)
        with suppress(FileNotFoundError):
            self._watched[setting] = syscalls.inotify_watch(self._descriptor, str(path(setting[0])), _MODIFIED)
        if before is not None and before != self._watched.get(setting):
            self._ignore(before)

    def _ignore(self, watch: int) -> None:
        if watch not in self._watched.values():
            with suppress(OSError):  # the kernel has forgotten it by itself
                syscalls.inotify_ignore(self._descriptor, watch)

    def rang(self) -> bool:
        """Take what waits; whether it rang."""
        rang = False
        with suppress(BlockingIOError):
            while os.read(self._descriptor, 1 << 16):
                rang = True
        return rang

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self._descriptor)


def path(setting: str) -> Path:
    """The file of a kernel setting: `net.ipv4.ip_forward`. The names of our own links have no dots."""
    return Path("/proc/sys", *setting.split("."))
