"""Rules of policy routing in the words of rtnetlink(7) and ip-rule(8): changes as messages, answers as values.

All functions are pure: `guard` sends and asks. Numbers are those of <linux/fib_rules.h>.
"""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_network

from reconciler.host.netlink import CREATE, EXCL, Message, attribute, attributes, number, string, text

NEWRULE, DELRULE, GETRULE = 32, 33, 34
GOTO, NOP, BLACKHOLE = 2, 3, 6  # FR_ACT_…

_HEADER = struct.Struct("=BBBBB2xBI")  # family, destination and source prefix, tos, table, action, flags
_DST, _SRC, _IIFNAME, _GOTO, _PRIORITY, _FWMARK, _FWMASK, _PROTOCOL = 1, 2, 3, 4, 6, 10, 16, 21
_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}

ALL_RULES = _HEADER.pack(socket.AF_UNSPEC, 0, 0, 0, 0, 0, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutingRule:
    """One rule of IP version `version`; what is "" or 0 is not asked of a packet.

    `mark` are bits that must be set, `target` the priority at which GOTO goes on, `protocol` says whose rule it is.
    """

    version: int
    priority: int
    protocol: int
    action: int
    source: str = ""
    destination: str = ""
    incoming: str = ""
    mark: int = 0
    target: int = 0


def add_rule(rule: RoutingRule) -> Message:
    """Add the rule; the kernel refuses one that is there already."""
    return Message(NEWRULE, CREATE | EXCL, _encode(rule))


def delete_rule(rule: RoutingRule) -> Message:
    """Delete the rule."""
    return Message(DELRULE, 0, _encode(rule))


def _encode(rule: RoutingRule) -> bytes:
    lengths, networks = [0, 0], b""
    for place, (kind, subnet) in enumerate(((_DST, rule.destination), (_SRC, rule.source))):
        if subnet:
            network = ip_network(subnet)
            lengths[place] = network.prefixlen
            networks += attribute(kind, network.network_address.packed)
    body = _HEADER.pack(_FAMILIES[rule.version], *lengths, 0, 0, rule.action, 0) + networks
    body += number(_PRIORITY, rule.priority) + attribute(_PROTOCOL, bytes([rule.protocol]))
    body += text(_IIFNAME, rule.incoming) if rule.incoming else b""
    body += number(_FWMARK, rule.mark) + number(_FWMASK, rule.mark) if rule.mark else b""
    return body + (number(_GOTO, rule.target) if rule.target else b"")


def parse_rule(body: bytes) -> RoutingRule | None:
    """A rule from the body of RTM_NEWRULE; None for those of neither IP version."""
    family, to, from_, _, _, action, _ = _HEADER.unpack_from(body)
    version = next((version for version, known in _FAMILIES.items() if known == family), 0)
    if not version:
        return None
    seen = attributes(body, _HEADER.size)
    return RoutingRule(
        version=version,
        priority=_integer(seen.get(_PRIORITY)),
        protocol=_integer(seen.get(_PROTOCOL)),
        action=action,
        source=_network(seen.get(_SRC), from_),
        destination=_network(seen.get(_DST), to),
        incoming=string(seen.get(_IIFNAME, b"")),
        mark=_integer(seen.get(_FWMARK)) & _integer(seen.get(_FWMASK)),
        target=_integer(seen.get(_GOTO)),
    )


def _network(packed: bytes | None, length: int) -> str:
    if not packed:
        return ""
    return f"{IPv4Address(packed) if len(packed) == 4 else IPv6Address(packed)}/{length}"


def _integer(value: bytes | None) -> int:
    return int.from_bytes(value, "little") if value else 0
