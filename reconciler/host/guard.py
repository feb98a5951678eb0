"""What routing refuses while our nftables table is missing: a dead man's switch against `nft flush ruleset`.

Our table marks the packets that it has judged. Rules of policy routing, which no program that changes firewalls
touches, let marked packets pass, and those of the host itself, and lose all others from and to the guarded subnets:

    P    iif lo              goto P+4
    P+1  fwmark BIT/BIT      goto P+4
    P+2  from SUBNET         blackhole
    P+3  to SUBNET           blackhole
    P+4                      nop

They are silent (blackhole, not prohibit), so that a client that tries in that moment tries again instead of giving
up. What is for the host's own addresses is decided before, by the kernel's local table. P follows from the instance,
so that two of them have rules of their own; `firewall` calls this, `observe` looks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from ipaddress import ip_interface

from reconciler.core.model import digest
from reconciler.host.netlink import Netlink, saying
from reconciler.host.routing_rules import (
    ALL_RULES,
    BLACKHOLE,
    GETRULE,
    GOTO,
    NOP,
    RoutingRule,
    add_rule,
    delete_rule,
    parse_rule,
)

PROTOCOL = 82
"""Who made a rule, as `ip rule` shows it (`proto 82`); none of those that iproute2 has a name for."""

_STEP = 8  # priorities of one instance
_PLACES = 500  # all of them before those of other programs, which begin at some 5000, and before the main table
_AT_ONCE = 60  # in one datagram; the kernel answers each, and drops answers that the socket cannot hold


class Guard:
    """Reads and writes the rules of one instance. Sockets are made per call, in the caller's network namespace.

    `look` is for one thread; `put` may run beside it.
    """

    def __init__(self, instance: str, mark: int) -> None:
        self._first = priority(instance)
        self._mark = mark
        self._bodies: list[bytes] = []  # what the newest look found, and what it means
        self._guarded: tuple[str, ...] = ()

    def put(self, subnets: Iterable[str]) -> None:
        """Guard these subnets, in any CIDR form, and no others; () removes all rules."""
        with saying("guard the networks by routing rules"), Netlink() as kernel:
            seen, wanted = Counter(self._own(kernel.dump(GETRULE, ALL_RULES))), Counter(self._wanted(subnets))
            gone, come = _ordered((seen - wanted).elements()), _ordered((wanted - seen).elements())
            changes = [*map(delete_rule, reversed(gone)), *map(add_rule, come)]
            for start in range(0, len(changes), _AT_ONCE):
                kernel.change(*changes[start : start + _AT_ONCE])

    def look(self) -> tuple[str, ...]:
        """The subnets that are guarded, as networks; none of an IP version whose rules are not as they should be."""
        with saying("look at the routing rules"), Netlink() as kernel:
            bodies = kernel.dump(GETRULE, ALL_RULES)
        if bodies != self._bodies:
            self._bodies, self._guarded = bodies, tuple(sorted(self._judge(self._own(bodies))))
        return self._guarded

    def _judge(self, own: Sequence[RoutingRule]) -> Iterator[str]:
        for version in (4, 6):
            rules = [rule for rule in own if rule.version == version]
            subnets = {rule.source or rule.destination for rule in rules if rule.action == BLACKHOLE}
            if Counter(rules) == Counter(self._wanted(subnets)):
                yield from subnets

    def _own(self, bodies: Iterable[bytes]) -> Sequence[RoutingRule]:
        rules = filter(None, map(parse_rule, bodies))
        places = range(self._first, self._first + _STEP)
        return [rule for rule in rules if rule.protocol == PROTOCOL and rule.priority in places]

    def _wanted(self, subnets: Iterable[str]) -> Sequence[RoutingRule]:
        networks = sorted({ip_interface(subnet).network for subnet in subnets}, key=str)
        rules = [rule for version in sorted({network.version for network in networks}) for rule in self._frame(version)]
        for network in networks:
            refused = RoutingRule(version=network.version, priority=0, protocol=PROTOCOL, action=BLACKHOLE)
            rules.append(replace(refused, priority=self._first + 2, source=str(network)))
            rules.append(replace(refused, priority=self._first + 3, destination=str(network)))
        return rules

    def _frame(self, version: int) -> Sequence[RoutingRule]:
        end = RoutingRule(version=version, priority=self._first + 4, protocol=PROTOCOL, action=NOP)
        passing = replace(end, action=GOTO, target=end.priority)
        return (
            end,
            replace(passing, priority=self._first, incoming="lo"),
            replace(passing, priority=self._first + 1, mark=self._mark),
        )


def priority(instance: str) -> int:
    """The first of the priorities of an instance's rules."""
    return _STEP * (1 + int(digest(instance), 16) % _PLACES)


def _ordered(rules: Iterable[RoutingRule]) -> Sequence[RoutingRule]:
    """In the order in which to add them: what lets pass before what refuses, a target before who goes there."""
    return sorted(rules, key=lambda rule: ({NOP: 0, GOTO: 1}.get(rule.action, 2), rule.priority))
