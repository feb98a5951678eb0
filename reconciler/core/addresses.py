"""Which bridge, subnet and address something gets. Pure: the same question has the same answer on every host.

A network keeps what it has, as the host shows it, for as long as it exists; one that has nothing starts looking
at a place that follows from its name, so that it finds the same subnet again after everything was removed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from reconciler.core.model import digest


@dataclass(frozen=True, slots=True)
class Subnets:
    """The subnet of each network, as its gateway's address with prefix length (`10.192.3.1/24`).

    A network that found no place is missing from `assigned`, and `problem` says why and what to do.
    """

    assigned: Mapping[str, str]
    problem: str = ""


def bridge_name(instance: str, network: str) -> str:
    """The bridge of a network: `rc-` and 12 hex digits (a link's name has at most 15 bytes), distinct per instance."""
    return "rc-" + digest(f"{instance}\0{network}")[:12]


def subnets(
    networks: Iterable[str], in_force: Mapping[str, str], routes: Iterable[str], pool: str, prefix: int
) -> Subnets:
    """Where each network lives: where it lives already, else at a free place of the pool.

    `in_force` has the subnets of bridges, or remembered from containers, in any CIDR form, also those of networks
    not asked for. `routes` are never overlapped by a new one. Another network's coming or going moves nothing.
    """
    return _subnets(tuple(sorted(set(networks))), tuple(sorted(in_force.items())), tuple(routes), pool, prefix)


@lru_cache(maxsize=2)
def _subnets(
    networks: tuple[str, ...], in_force: tuple[tuple[str, str], ...], routes: tuple[str, ...], pool: str, prefix: int
) -> Subnets:
    """Remembered for the last question: most looks ask it again."""
    kept = {network: IPv4Interface(subnet).network for network, subnet in in_force if subnet}
    taken = [*kept.values(), *(IPv4Network(route, strict=False) for route in routes)]
    assigned: dict[str, str] = {}
    problem = ""
    for network in networks:
        subnet = kept.get(network) or _free_subnet(network, taken, IPv4Network(pool), prefix)
        if subnet is None:
            problem = (
                f"cannot choose a subnet for network {network}: no /{prefix} is left in the address pool {pool}; "
                "set a larger address_pool or a longer network_prefix"
            )
            continue
        taken.append(subnet)
        assigned[network] = f"{gateway(str(subnet))}/{subnet.prefixlen}"
    return Subnets(assigned, problem)


def gateway(subnet: str) -> str:
    """The bridge's own address: the first of the subnet."""
    return str(IPv4Interface(subnet).network.network_address + 1)


def free_address(subnet: str, taken: Collection[str]) -> str:
    """The lowest address of `subnet` (any CIDR form) that is neither gateway, broadcast nor taken; "" when full."""
    network = IPv4Interface(subnet).network
    first, last = int(network.network_address) + 2, int(network.broadcast_address) - 1
    candidates = (str(IPv4Address(address)) for address in range(first, last + 1))
    return next((address for address in candidates if address not in taken), "")


def _free_subnet(network: str, taken: list[IPv4Network], pool: IPv4Network, prefix: int) -> IPv4Network | None:
    """Probe all places of the pool once, from the one that follows from the name."""
    places = 1 << max(0, prefix - pool.prefixlen) if prefix >= pool.prefixlen else 0
    start = int(digest(network), 16)
    size = 1 << (32 - prefix)
    for step in range(places):
        base = int(pool.network_address) + (start + step) % places * size
        if not any(_overlap(base, size, other) for other in taken):
            return IPv4Network((base, prefix))
    return None


def _overlap(base: int, size: int, other: IPv4Network) -> bool:
    first = int(other.network_address)
    return base < first + other.num_addresses and first < base + size
