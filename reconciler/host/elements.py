"""From one ruleset text to the next by single elements of its sets, where nothing else differs.

`nft` takes 10 to 50 ms of processor time to replace whole tables; a port or a network that comes or goes is a few
elements, and a batch of those takes the kernel less than a millisecond. Reads the texts that `core.ruleset` renders,
and answers None when more than elements differ: then the tables are replaced. Pure; called by `firewall`.
Attributes are those of nft_set_elem_attributes and nft_verdict_attributes in <linux/netfilter/nf_tables.h>.
"""

from __future__ import annotations

import re
import socket
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from ipaddress import ip_address, ip_network

from reconciler.host.netlink import ACK, CREATE, Message, attribute, text
from reconciler.host.nftables import BRIDGE_HEADER, INET_HEADER, SUBSYSTEM, Place

MOST = 400  # changes in one batch, which has to fit into one datagram; what differs in more, `nft` writes
_NEWSETELEM, _DELSETELEM = SUBSYSTEM | 12, SUBSYSTEM | 14
_FAMILIES = {"inet": INET_HEADER, "bridge": BRIDGE_HEADER}
_HEAD = re.compile(r"^table (inet|bridge) (\S+) \{\n", re.MULTILINE)
_SET = re.compile(
    r"\t(?:set|map) (\w+) \{\n\t\ttype(?:of)? ([^\n;]*)(; flags interval)?\n"
    r"(\t\telements = \{\n(?:\t\t\t[^\n]*\n)*\t\t\}\n)?\t\}\n"
)
_ELEMENT = re.compile(r"^\t\t\t(.*),$", re.MULTILINE)
_PROTOCOLS = {"tcp": socket.IPPROTO_TCP, "udp": socket.IPPROTO_UDP}
_TABLE, _NAME, _ELEMENTS = 1, 2, 3
_NESTED = 1 << 15
_ITEM, _KEY, _DATA, _KEY_END, _VALUE, _VERDICT = 1, 1, 2, 10, 1, 2
_CODE, _CHAIN = 1, 2
_GOTO, _RETURN = -4, -5


@dataclass(frozen=True, slots=True)
class _Set:
    """Where it is, the kinds of its key's parts and of its data's, whether its keys have ends, and its
    elements as they are written."""

    header: bytes
    key: tuple[str, ...]
    data: tuple[str, ...]
    interval: bool
    elements: frozenset[str]


def difference(before: str, after: str) -> tuple[Message, ...] | None:
    """What turns the tables of `before` into those of `after`; None when that is more than some elements."""
    (old_rules, old), (rules, new) = _parsed(before), _parsed(after)
    if old_rules != rules:
        return None
    gone = [_element(_DELSETELEM, old[name], entry) for name in old for entry in _less(old[name], new[name])]
    come = [_element(_NEWSETELEM, new[name], entry) for name in new for entry in _less(new[name], old[name])]
    changes = (*gone, *come)
    return _answered(changes) if 0 < len(changes) <= MOST else None


def changed(before: str, after: str) -> frozenset[Place]:
    """The sets of both whose elements differ."""
    (_, old), (_, new) = _parsed(before), _parsed(after)
    return frozenset(place for place in new if place in old and old[place].elements != new[place].elements)


def _answered(changes: tuple[Message, ...]) -> tuple[Message, ...]:
    """The last one asks for an answer, which tells of all: refusals are answered anyway, so many that none is lost."""
    *most, last = changes
    return (*most, replace(last, flags=last.flags | ACK))


def _less(one: _Set, other: _Set) -> list[str]:
    return sorted(one.elements - other.elements)


@lru_cache(maxsize=2)  # the text that comes is the one that goes next time
def _parsed(ruleset: str) -> tuple[str, Mapping[tuple[str, str], _Set]]:
    """Everything but the elements, and the sets by table family and name."""
    sets = {}
    for head in _HEAD.finditer(ruleset):
        body = ruleset[head.end() : ruleset.index("\n}\n", head.end()) + 1]
        for name, kinds, interval, elements in _SET.findall(body):
            frame = _frame(head[1], head[2], name, kinds, bool(interval))
            sets[head[1], name] = replace(frame, elements=frozenset(_ELEMENT.findall(elements))) if elements else frame
    return _SET.sub(r"\1 \2", ruleset), sets


@lru_cache(maxsize=256)
def _frame(family: str, table: str, name: str, kinds: str, interval: bool) -> _Set:
    """The set without its elements: the same in each text."""
    key, _, data = (tuple(part.split(" . ")) for part in kinds.partition(" : "))
    header = _FAMILIES[family] + text(_TABLE, table) + text(_NAME, name)
    return _Set(header, key, data, interval, frozenset())


def _element(kind: int, of: _Set, entry: str) -> Message:
    key, _, data = (tuple(part.split(" . ")) for part in entry.partition(" : "))
    body = _nested(_KEY, attribute(_VALUE, _pack(of.key, key)))
    if kind == _NEWSETELEM and of.data == ("verdict",):
        body += _nested(_DATA, _verdict(data[0]))
    elif kind == _NEWSETELEM and of.data != ("",):
        body += _nested(_DATA, attribute(_VALUE, _pack(of.data, data)))
    if of.interval:
        body += _nested(_KEY_END, attribute(_VALUE, _pack(of.key, key, last=True)))
    return Message(kind, CREATE, of.header + _nested(_ELEMENTS, _nested(_ITEM, body)))


def _nested(kind: int, value: bytes) -> bytes:
    return attribute(kind | _NESTED, value)


def _verdict(words: str) -> bytes:
    code, _, chain = words.partition(" ")
    value = attribute(_CODE, struct.pack(">i", _GOTO if code == "goto" else _RETURN))
    return _nested(_VERDICT, value + (text(_CHAIN, chain) if chain else b""))


# --- values --------------------------------------------------------------------------------------------------------


def _pack(kinds: tuple[str, ...], words: tuple[str, ...], *, last: bool = False) -> bytes:
    """A key or a value as the kernel keeps it: each part fills whole registers of four bytes."""
    parts = (_PACKED[kind](_end(word, last)) for kind, word in zip(kinds, words, strict=True))
    return b"".join(part + bytes(-len(part) % 4) for part in parts)


def _end(word: str, last: bool) -> str:
    """The first or the last value of a network or a range; a link's name may have any sign in it."""
    if word.startswith('"'):
        return word
    if "/" in word:
        network = ip_network(word)
        return str(network.broadcast_address if last else network.network_address)
    first, dash, second = word.partition("-")
    return second if last and dash else first


def _name(word: str) -> bytes:
    return word.strip('"').encode().ljust(16, b"\0")  # IFNAMSIZ


def _protocol(word: str) -> bytes:
    return bytes([_PROTOCOLS[word] if word in _PROTOCOLS else int(word)])


def _port(word: str) -> bytes:
    return struct.pack(">H", int(word))


def _address(word: str) -> bytes:
    return ip_address(word).packed


_PACKED: Mapping[str, Callable[[str], bytes]] = {
    "ifname": _name,
    "iifname": _name,
    "inet_proto": _protocol,
    "meta l4proto": _protocol,
    "inet_service": _port,
    "th dport": _port,
    "ipv4_addr": _address,
    "ip daddr": _address,
    "ipv6_addr": _address,
    "ip6 daddr": _address,
    "@nh,64,128": lambda word: int(word, 16).to_bytes(16, "big"),
    "numgen random mod 2": lambda word: struct.pack("=I", int(word)),
}
