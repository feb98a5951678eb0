"""From one ruleset text to the next by single elements of its sets, where nothing else differs.

`nft` takes 6 to 30 ms of processor time to replace a whole table; a port or a network that comes or goes is two or
three elements, and a batch of those takes the kernel less than a millisecond. Reads the texts that `core.ruleset`
renders, and answers None for whatever it does not know: then the whole table is replaced. Pure; called by `firewall`.
Attributes are those of nft_set_elem_attributes in <linux/netfilter/nf_tables.h>.
"""

from __future__ import annotations

import re
import socket
import struct
from collections.abc import Mapping
from ipaddress import IPv4Network

from reconciler.host.netlink import ACK, CREATE, Message, attribute, text
from reconciler.host.nftables import INET_HEADER, SUBSYSTEM

MOST = 100  # changes in one batch; the kernel answers each, and drops answers that the socket's buffer cannot hold
_NEWSETELEM, _DELSETELEM = SUBSYSTEM | 12, SUBSYSTEM | 14
_KNOWN = frozenset({"bridges", "same", "single", "single_at"})
_SET = re.compile(r"\t(?:set|map) (\w+) \{\n\t\ttype [^\n]*\n(\t\telements = \{\n(?:\t\t\t[^\n]*\n)*\t\t\}\n)?\t\}\n")
_ELEMENT = re.compile(r"^\t\t\t(.*),$", re.MULTILINE)
_PROTOCOLS = {"tcp": socket.IPPROTO_TCP, "udp": socket.IPPROTO_UDP}
_TABLE, _NAME, _ELEMENTS = 1, 2, 3
_NESTED = 1 << 15
_ITEM, _KEY, _DATA, _KEY_END, _VALUE = 1, 1, 2, 10, 1


def difference(table: str, before: str, after: str) -> tuple[Message, ...] | None:
    """What turns the table of `before` into that of `after`; None when that is more than some elements."""
    old, new = _sets(before), _sets(after)
    if _SET.sub("", before) != _SET.sub("", after) or old.keys() != new.keys():
        return None
    if any(old[name] != new[name] for name in old.keys() - _KNOWN):
        return None
    gone = [_element(_DELSETELEM, table, name, entry) for name in old for entry in sorted(old[name] - new[name])]
    come = [_element(_NEWSETELEM, table, name, entry) for name in new for entry in sorted(new[name] - old[name])]
    changes = (*gone, *come)
    return changes if 0 < len(changes) <= MOST else None


def _sets(ruleset: str) -> Mapping[str, frozenset[str]]:
    return {found[1]: frozenset(_ELEMENT.findall(found[2] or "")) for found in _SET.finditer(ruleset)}


def _element(kind: int, table: str, name: str, entry: str) -> Message:
    key, _, data = entry.partition(" : ")
    body = _nested(_KEY, attribute(_VALUE, _pack(key)))
    if data and kind == _NEWSETELEM:
        body += _nested(_DATA, attribute(_VALUE, _pack(data)))
    if "/" in key:
        body += _nested(_KEY_END, attribute(_VALUE, _pack(key, last=True)))
    where = INET_HEADER + text(_TABLE, table) + text(_NAME, name)
    return Message(kind, ACK | CREATE, where + _nested(_ELEMENTS, _nested(_ITEM, body)))


def _nested(kind: int, value: bytes) -> bytes:
    return attribute(kind | _NESTED, value)


def _pack(words: str, *, last: bool = False) -> bytes:
    """A key or a value as the kernel keeps it: each part fills whole registers of four bytes."""
    return b"".join(_part(word, last) for word in words.split(" . "))


def _part(word: str, last: bool) -> bytes:
    if word.startswith('"'):
        return word.strip('"').encode().ljust(16, b"\0")  # IFNAMSIZ
    if word in _PROTOCOLS:
        return struct.pack("=B3x", _PROTOCOLS[word])
    if word.isdecimal():
        return struct.pack(">H2x", int(word))
    network = IPv4Network(word)
    return (network.broadcast_address if last else network.network_address).packed
