"""Which firewalls of others drop what ours lets pass, in words, and what to do about each. Pure.

A verdict of ours does not beat a drop in somebody else's chain, and nothing of theirs is ever changed by us: so a
person must let our bridges pass there. Facts are asked by `host.obstacles`; told by `doctor` and the status.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Family = Literal["ip", "ip6", "inet"]

_PACKETS = {"ip": "IPv4", "ip6": "IPv6", "inet": "IPv4 and IPv6"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """A chain of somebody else that all forwarded packets pass. `legacy`: it is no nftables chain but of old iptables.

    `beside` are the names of the other chains in its table. `welcomes`: a rule of that table names our bridges or our
    addresses, so somebody has let us pass.
    """

    family: Family
    table: str
    name: str
    drops: bool
    beside: frozenset[str] = frozenset()
    welcomes: bool = False
    legacy: bool = False


def obstacles(chains: tuple[Chain, ...], pool: str, ipv6: bool = True) -> tuple[str, ...]:
    """One sentence for each chain that drops packets of ours: what it does; then, after a semicolon, what to do.

    `pool` is where our addresses are from; without `ipv6`, what concerns only that is left out.
    """
    concerned = (chain for chain in chains if ipv6 or chain.family != "ip6")
    return tuple(sorted({sentence for chain in concerned for sentence in _obstacle(chain, pool)}))


def _obstacle(chain: Chain, pool: str) -> Iterator[str]:
    owner = _owner(chain)
    if chain.welcomes or not (chain.drops or owner == "firewalld"):
        return
    kind = "legacy iptables" if chain.legacy else "nftables"
    where = f"chain {chain.name} of the {kind} table {chain.family} {chain.table}"
    names = f"{owner} ({where})" if owner else f"{where[0].upper()}{where[1:]}"
    yield f"{names} drops forwarded {_PACKETS[chain.family]} packets of containers; {_advice(chain, owner, pool)}"


def _owner(chain: Chain) -> str:
    """Who wrote it, as far as its names tell: ufw may have written the policy that Docker finds, so it is first."""
    if chain.table == "firewalld":
        return "firewalld"
    if any(name.startswith(("ufw-", "ufw6-")) for name in chain.beside):
        return "ufw"
    return "Docker" if "DOCKER-USER" in chain.beside else ""


def _advice(chain: Chain, owner: str, pool: str) -> str:
    if owner == "firewalld":
        trust = f"firewall-cmd --permanent --zone=trusted --add-source={pool}"
        return f"let them pass: {trust} && firewall-cmd --reload"
    if owner == "ufw" and chain.family == "ip":
        return f"let them pass: ufw route allow from {pool} && ufw route allow to {pool}"
    if chain.table == "filter" and chain.name == "FORWARD":
        program = ("iptables" if chain.family == "ip" else "ip6tables") + ("-legacy" if chain.legacy else "")
        into = "DOCKER-USER" if owner == "Docker" else "FORWARD"
        return f"let them pass: {program} -I {into} -i rc-+ -j ACCEPT && {program} -I {into} -o rc-+ -j ACCEPT"
    rule = f"nft insert rule {chain.family} {chain.table} {chain.name}"
    return f"""let them pass: {rule} iifname '"rc-*"' accept && {rule} oifname '"rc-*"' accept"""
