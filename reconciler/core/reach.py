"""Which destinations a container may connect to, as boxes that do not overlap: nftables takes no others.

A destination is a network, a range of ports, and a protocol or all of them; those of one container may overlap, as
names have addresses in networks that are listed too. Pure; `ruleset` writes the boxes into a set.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_network
from itertools import pairwise

from reconciler.core.networking import Protocol

ALL_PORTS = (0, 65535)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """A network, in CIDR form or one address, and the first and last port there.

    `protocol` "" with all ports is everything, also what has no ports; with some ports it is those of TCP and UDP.
    """

    network: str
    ports: tuple[int, int] = ALL_PORTS
    protocol: Protocol | str = ""


@dataclass(frozen=True, slots=True, order=True)
class Box:
    """First and last address as numbers, protocol ("" for every one), first and last port."""

    first: int
    last: int
    protocol: str
    ports: tuple[int, int]


_Policy = tuple[tuple[str, tuple[int, int]], ...]  # what may be connected to at one address


def boxes(reaches: Iterable[Reach], version: int) -> Sequence[Box]:
    """The same destinations of one IP version, each address, protocol and port in at most one box."""
    spans = [(*_span(network), reach) for reach in reaches if (network := ip_network(reach.network)).version == version]
    edges = sorted({edge for first, last, _ in spans for edge in (first, last + 1)})
    found: list[tuple[int, int, _Policy]] = []
    for first, after in pairwise(edges):
        policy = _policy([reach for low, high, reach in spans if low <= first <= high])
        if found and found[-1][1] + 1 == first and found[-1][2] == policy:
            found[-1] = (found[-1][0], after - 1, policy)
        else:
            found.append((first, after - 1, policy))
    return [Box(first, last, *what) for first, last, policy in found for what in policy]


def _span(network: IPv4Network | IPv6Network) -> tuple[int, int]:
    return int(network.network_address), int(network.broadcast_address)


def _policy(reaches: Sequence[Reach]) -> _Policy:
    if any(not reach.protocol and reach.ports == ALL_PORTS for reach in reaches):
        return (("", ALL_PORTS),)
    return tuple(
        (protocol, ports)
        for protocol in ("tcp", "udp")
        for ports in _merged(reach.ports for reach in reaches if reach.protocol in {protocol, ""})
    )


def _merged(ranges: Iterable[tuple[int, int]]) -> Sequence[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((first, last))
    return merged


@lru_cache(maxsize=4096)
def is_network(host: str) -> bool:
    """Whether `host` of a destination is an address or a network; else it is a name."""
    try:
        ip_network(host, strict=False)
    except ValueError:
        return False
    return True
