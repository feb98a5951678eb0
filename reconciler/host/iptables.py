"""The filter tables of legacy iptables: the policy of FORWARD and which chains there are. Reads, never changes.

The kernel hands out a table as one piece of bytes by getsockopt(2), as structures that <linux/netfilter_ipv4/
ip_tables.h> and <linux/netfilter_ipv6/ip6_tables.h> describe. Called by `obstacles` for tables that are in use.
"""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from reconciler.host.syscalls import getsockopt

Version = Literal["ip", "ip6"]

_INFO, _ENTRIES = 64, 65  # IPT_SO_GET_INFO, IPT_SO_GET_ENTRIES; the same for IPv6
_GETINFO = struct.Struct("=32sI5I5III")  # name, hooks, where each begins, where each ends, rules, size
_GETENTRIES = struct.Struct("=32sI4x")  # name, size; the entries follow
_FORWARD = 2  # NF_INET_FORWARD
_VERDICT = 32  # behind the xt_entry_target of a standard target
_DROP = -1  # -NF_DROP - 1


@dataclass(frozen=True, slots=True)
class _Layout:
    family: socket.AddressFamily
    level: int
    names: str  # the list of tables in use
    target: int  # where an entry says where its target is


_LAYOUTS: dict[Version, _Layout] = {
    "ip": _Layout(socket.AF_INET, socket.SOL_IP, "ip_tables_names", 88),
    "ip6": _Layout(socket.AF_INET6, socket.IPPROTO_IPV6, "ip6_tables_names", 140),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """What its table `filter` says: whether FORWARD drops by policy, and its rules as the kernel keeps them."""

    drops: bool
    entries: bytes

    def mentions(self, name: bytes) -> bool:
        """Whether a chain or a link whose name begins so, or an address, is in a rule."""
        return name in self.entries


def read(family: Version) -> Filter | None:
    """The table of this network namespace, None when it is not in use."""
    layout = _LAYOUTS[family]
    try:
        if "filter" not in Path("/proc/self/net", layout.names).read_text().split():
            return None
        with socket.socket(layout.family, socket.SOCK_RAW, socket.IPPROTO_RAW) as asking:
            name = b"filter".ljust(32, b"\0")
            info = getsockopt(asking.fileno(), layout.level, _INFO, name.ljust(_GETINFO.size, b"\0"))
            size = _GETINFO.unpack(info)[-1]
            question = _GETENTRIES.pack(name, size) + bytes(size)
            entries = getsockopt(asking.fileno(), layout.level, _ENTRIES, question)[_GETENTRIES.size :]
    except OSError:
        return None
    return parse(family, info, entries)


def parse(family: Version, info: bytes, entries: bytes) -> Filter:
    """The policy is the verdict of the rule with which the chain ends."""
    _, _, *places, _, _ = _GETINFO.unpack(info)
    end = places[5 + _FORWARD]
    (target,) = struct.unpack_from("=H", entries, end + _LAYOUTS[family].target)
    (verdict,) = struct.unpack_from("=i", entries, end + target + _VERDICT)
    return Filter(drops=verdict == _DROP, entries=entries)
