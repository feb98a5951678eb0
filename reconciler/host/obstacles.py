"""Asks which firewalls of others forwarded packets must pass; what that means says `core.coexistence`.

nftables is asked by netlink, and so is what iptables-nft, ufw, firewalld and Docker have written there. Legacy
iptables is asked when its table is in use. No process is started, and nothing is asked again while no ruleset of
nftables changed; for legacy iptables, which tells nobody, each look is a new one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from ipaddress import IPv4Network
from typing import get_args

from reconciler.core.coexistence import Chain, Family, obstacles
from reconciler.core.ruleset import table_name
from reconciler.host import iptables
from reconciler.host.netlink import NETFILTER, Netlink, attribute, saying
from reconciler.host.nftables import SeenChain, chains, generation, rules
from reconciler.settings import Settings

BRIDGES = "rc-"  # how our bridges' names begin
_FORWARD, _DROP = 2, 0  # NF_INET_FORWARD, NF_DROP
_VALUE = 1  # NFTA_DATA_VALUE


class Obstacles:
    """Remembers what nftables said. Used by one thread."""

    def __init__(self, settings: Settings) -> None:
        self._own = table_name(settings.instance)
        self._pool = settings.address_pool
        self._generation = -1
        self._chains: tuple[Chain, ...] = ()

    def look(self, ipv6: bool = True) -> tuple[str, ...]:
        """What is in the way now, as sentences; without `ipv6`, what is in the way of IPv4."""
        with saying("look at the firewalls of others"), Netlink(NETFILTER) as kernel:
            now = generation(kernel)
            if now != self._generation:
                self._chains, self._generation = tuple(self._nftables(kernel)), now
        return obstacles((*self._chains, *_legacy(IPv4Network(self._pool))), self._pool, ipv6)

    def _nftables(self, kernel: Netlink) -> Iterator[Chain]:
        seen = [chain for chain in chains(kernel) if chain.table != self._own]
        beside: dict[tuple[str, str], set[str]] = defaultdict(set)
        for chain in seen:
            beside[chain.family, chain.table].add(chain.name)
        for chain in seen:
            if chain.hook == _FORWARD and chain.family in get_args(Family):
                yield self._chain(kernel, chain, frozenset(beside[chain.family, chain.table]))

    def _chain(self, kernel: Netlink, chain: SeenChain, beside: frozenset[str]) -> Chain:
        written = rules(kernel, chain.family, chain.table)
        return Chain(
            family=_family(chain.family),
            table=chain.table,
            name=chain.name,
            drops=chain.policy == _DROP,
            beside=beside,
            welcomes=any(sign in written for sign in (BRIDGES.encode(), _compared(IPv4Network(self._pool)))),
        )


def _family(text: str) -> Family:
    return next(family for family in get_args(Family) if family == text)


def _compared(pool: IPv4Network) -> bytes:
    """The pool's address as a rule has it: whole octets alone, or all four when the prefix ends within one."""
    whole, rest = divmod(pool.prefixlen, 8)
    return attribute(_VALUE, pool.network_address.packed[: 4 if rest else whole])


def _legacy(pool: IPv4Network) -> Iterator[Chain]:
    versions: tuple[iptables.Version, ...] = ("ip", "ip6")
    for family in versions:
        found = iptables.read(family)
        if found:
            yield Chain(
                family=family,
                table="filter",
                name="FORWARD",
                drops=found.drops,
                beside=frozenset(name for name in ("DOCKER-USER", "ufw-", "ufw6-") if found.mentions(name.encode())),
                welcomes=found.mentions(BRIDGES.encode()) or found.mentions(pool.network_address.packed),
                legacy=True,
            )
