"""Which bridge, subnet and address something gets. Pure: the same question has the same answer on every host.

A network keeps what it has, as the host shows it, for as long as it exists; one that has nothing starts looking
at a place that follows from its name, so that it finds the same subnet again after everything was removed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from reconciler.core.model import digest


@dataclass(frozen=True, slots=True)
class Exhausted:
    """No address is left; `message` is one sentence that says where and what to do."""

    message: str


def bridge_name(instance: str, network: str) -> str:
    """The bridge of a network: `rc-` and 12 hex digits (a link's name has at most 15 bytes), distinct per instance."""
    return "rc-" + digest(f"{instance}\0{network}")[:12]


def subnets(
    networks: Iterable[str], seen: Mapping[str, str], routes: Iterable[str], pool: str, prefix: int
) -> Mapping[str, str | Exhausted]:
    """The subnet of each network, as its gateway's address with prefix length (`10.192.3.1/24`), or why it has none.

    `seen` has the subnets in force, or remembered from containers, in any CIDR form: they are kept, also those of
    networks not asked for. `routes` are never overlapped by a new one. Another network's coming or going changes
    no subnet that is in force.
    """
    wanted = sorted(set(networks))
    taken = [_span(subnet) for subnet in (*seen.values(), *routes) if subnet]
    chosen: dict[str, str | Exhausted] = {}
    for network in wanted:
        subnet = seen.get(network) or _free_subnet(network, taken, IPv4Network(pool), prefix)
        if not subnet:
            chosen[network] = Exhausted(
                f"cannot choose a subnet for network {network}: no /{prefix} is left in the address pool {pool}; "
                "set a larger address_pool or a longer network_prefix"
            )
            continue
        taken.append(_span(subnet))
        chosen[network] = _gateway_interface(subnet)
    return chosen


@lru_cache(maxsize=4096)  # each look asks for every network, and they hardly ever change
def _span(subnet: str) -> tuple[int, int]:
    """First and last address as numbers."""
    network = IPv4Interface(subnet).network
    return int(network.network_address), int(network.broadcast_address)


@lru_cache(maxsize=4096)
def _gateway_interface(subnet: str) -> str:
    return f"{gateway(subnet)}/{IPv4Interface(subnet).network.prefixlen}"


def gateway(subnet: str) -> str:
    """The bridge's own address: the first of the subnet."""
    return str(IPv4Interface(subnet).network.network_address + 1)


def free_address(subnet: str, used: Iterable[str]) -> str | Exhausted:
    """The lowest address of `subnet` (any CIDR form) that is neither the gateway's, nor broadcast, nor in `used`."""
    network = IPv4Interface(subnet).network
    taken = {int(IPv4Address(address)) for address in used if address}
    first, last = int(network.network_address) + 2, int(network.broadcast_address) - 1
    for address in range(first, last + 1):
        if address not in taken:
            return str(IPv4Address(address))
    return Exhausted(f"cannot choose an address: all {max(0, last - first + 1)} of {network} are in use")


def _free_subnet(network: str, taken: list[tuple[int, int]], pool: IPv4Network, prefix: int) -> str:
    """Probe all places of the pool once, from the one that follows from the name; "" when all are taken."""
    places = 1 << max(0, prefix - pool.prefixlen) if prefix >= pool.prefixlen else 0
    start = int(digest(network), 16)
    size = 1 << (32 - prefix)
    for step in range(places):
        base = int(pool.network_address) + (start + step) % places * size
        if not any(base <= last and first < base + size for first, last in taken):
            return f"{IPv4Address(base)}/{prefix}"
    return ""
