"""What nftables holds, asked of the kernel directly: the generation, and a fingerprint of our tables; batches.

Rules are written by `nft`, single elements of sets also here (see `firewall`). The fingerprint is made of the
kernel's own form of the tables, not of nft's output, which costs a process and differs from version to version.
Numbers are those of <linux/netfilter/nf_tables.h>.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256

from reconciler.host.netlink import Message, Netlink, attribute, attributes, string, text, values

SUBSYSTEM = 10 << 8  # NFNL_SUBSYS_NFTABLES
_GETTABLE, _GETCHAIN, _GETRULE, _GETSET, _GETSETELEM, _GETGEN = (SUBSYSTEM | kind for kind in (1, 4, 7, 10, 13, 16))
FAMILIES = {1: "inet", 2: "ip", 7: "bridge", 10: "ip6"}  # NFPROTO_…
_INET, _BRIDGE = 1, 7
_HEADER = struct.Struct(">BBH")  # family, version, resource
INET_HEADER, BRIDGE_HEADER = _HEADER.pack(_INET, 0, 0), _HEADER.pack(_BRIDGE, 0, 0)
_BATCH_BEGIN, _BATCH_END = 16, 17  # NFNL_MSG_BATCH_…
_BATCH_GENERATION = 1  # NFNL_BATCH_GENID
_TABLE, _NAME = 1, 2  # the first two attributes of chains and sets; elements name their set by the second too
_ELEMENTS = 3
_CHAIN_NAME, _CHAIN_HOOK, _CHAIN_POLICY = 3, 4, 5
_HOOK_NUMBER = 1
_GENERATION = 1
_RULES = "rules:"  # beside the names of sets, which have no colon

Place = tuple[str, str]
"""A table family and the name of a set."""
Parts = Mapping[Place, bytes]
"""Digests of the elements of each set, of the rules, and of what else there is."""


@dataclass(frozen=True, slots=True)
class SeenChain:
    """A chain of anybody; `hook` is None for one that packets only reach from others."""

    family: str  # "" for one that has no IP packets
    table: str
    name: str
    hook: int | None
    policy: int | None


def generation(netlink: Netlink) -> int:
    """A number that grows with each change to any ruleset of the network namespace (NFT_MSG_GETGEN)."""
    answer = netlink.ask(Message(_GETGEN, 0, _HEADER.pack(0, 0, 0)))
    return int.from_bytes(attributes(answer, _HEADER.size)[_GENERATION], "big")


def transact(netlink: Netlink, changes: tuple[Message, ...], generation: int) -> None:
    """Make all `changes`, of which the last asks for an answer, or none.

    Raises OSError, ERESTART when `generation` has passed.
    """
    batch = _HEADER.pack(0, 0, SUBSYSTEM >> 8)
    begin = Message(_BATCH_BEGIN, 0, batch + attribute(_BATCH_GENERATION, struct.pack(">I", generation)))
    netlink.transact((begin, *changes, Message(_BATCH_END, 0, batch)))


def fingerprint(parts: Parts) -> str:
    """SHA-256 of both tables with all they contain, "" unless both were there."""
    return sha256(b"".join(parts[place] for place in sorted(parts))).hexdigest() if parts else ""


def contents(
    netlink: Netlink, table: str, known: Parts | None = None, changed: Collection[Place] = frozenset()
) -> Parts:
    """What the tables `inet <table>` and `bridge <table>` contain, {} unless both are there all the while.

    Rules and elements are taken from `known`, but for the sets `changed`: then nothing else may have changed since.
    Handles, which number rules in the order of their making, are part of it.
    """
    found: dict[Place, bytes] = {}
    try:
        for family, header in (("inet", INET_HEADER), ("bridge", BRIDGE_HEADER)):
            named = header + text(_TABLE, table)
            if not _of(table, netlink.dump(_GETTABLE, header)):
                return {}
            sets = _of(table, netlink.dump(_GETSET, named))
            # These count who uses them, so they differ when elements do.
            found[family, ""] = _digest([*_of(table, netlink.dump(_GETCHAIN, header)), *sets])
            names = [string(attributes(body, _HEADER.size)[_NAME]) for body in sets]
            for place in [(family, _RULES), *((family, name) for name in names)]:
                old = (known or {}).get(place) if place not in changed else None
                found[place] = old or _part(netlink, named, place[1])
    except FileNotFoundError:  # taken away, or replaced, between two questions
        return {}
    return found


def _part(netlink: Netlink, named: bytes, name: str) -> bytes:
    if name == _RULES:
        return _digest(netlink.dump(_GETRULE, named))
    elements = _elements(netlink.dump(_GETSETELEM, named + text(_NAME, name)))
    return sha256(b"\0".join(elements)).digest()


def _digest(bodies: Iterable[bytes]) -> bytes:
    return sha256(b"\0".join(body[_HEADER.size :] for body in bodies)).digest()


def _of(table: str, bodies: list[bytes]) -> list[bytes]:
    return [body for body in bodies if string(attributes(body, _HEADER.size)[_TABLE]) == table]


def _elements(bodies: list[bytes]) -> list[bytes]:
    """The elements of a set in one order: the kernel's follows from a hash that may be made anew at any time."""
    lists = (attributes(body, _HEADER.size).get(_ELEMENTS, b"") for body in bodies)
    return sorted(element for each in lists for element in values(each))


def chains(netlink: Netlink) -> tuple[SeenChain, ...]:
    """Every chain of every table in the network namespace."""
    return tuple(map(_chain, netlink.dump(_GETCHAIN, _HEADER.pack(0, 0, 0))))


def _chain(body: bytes) -> SeenChain:
    family = FAMILIES.get(body[0], "")
    seen = attributes(body, _HEADER.size)
    hook = seen.get(_CHAIN_HOOK)
    return SeenChain(
        family=family,
        table=string(seen[_TABLE]),
        name=string(seen[_CHAIN_NAME]),
        hook=_number(attributes(hook)[_HOOK_NUMBER]) if hook else None,
        policy=_number(seen[_CHAIN_POLICY]) if _CHAIN_POLICY in seen else None,
    )


def rules(netlink: Netlink, family: str, table: str) -> bytes:
    """All rules of a table, as the kernel keeps them."""
    number = next(number for number, name in FAMILIES.items() if name == family)
    return b"".join(netlink.dump(_GETRULE, _HEADER.pack(number, 0, 0) + text(_TABLE, table)))


def _number(value: bytes) -> int:
    return int.from_bytes(value, "big")
