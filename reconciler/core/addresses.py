"""Which bridge, subnet and address something gets, in either family. Pure: the same question has the same answer.

What a spec declares is taken as it is, or refused. Otherwise a network keeps what it has, as the host shows it, for as
long as it exists; one that has nothing starts looking at a place that follows from its name, so that it finds the same
subnet again after everything was removed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Interface, IPv6Interface, ip_address, ip_interface, ip_network

from reconciler.core.model import digest
from reconciler.core.networking import Ipam

_Span = tuple[int, int, int]  # IP version, first and last address as numbers


@dataclass(frozen=True, slots=True)
class Refused:
    """There is no address or subnet to give; `message` is one sentence that says why and what to do."""

    message: str


@dataclass(frozen=True, slots=True)
class Pool:
    """Where subnets of networks that declare none come from: `subnet` in CIDR form, cut into pieces of `prefix`."""

    subnet: str
    prefix: int


def bridge_name(instance: str, network: str) -> str:
    """The bridge of a network: `rc-` and 12 hex digits (a link's name has at most 15 bytes), distinct per instance."""
    return "rc-" + digest(f"{instance}\0{network}")[:12]


def subnets(
    networks: Mapping[str, Ipam], seen: Mapping[str, str], routes: Iterable[str], pool: Pool
) -> Mapping[str, str | Refused]:
    """The subnet of each network, as its gateway's address with prefix length (`10.192.3.1/24`), or why it has none.

    `seen` has the subnets in force, or remembered from containers, in any CIDR form: they are kept, also those of
    networks not asked for. `routes` are never overlapped by a new one. Another network's coming or going changes
    no subnet that is in force.
    """
    taken = {name: _span(subnet) for name, subnet in seen.items() if subnet}
    taken |= {f"route {route}": _span(route) for route in routes}
    chosen: dict[str, str | Refused] = {}
    for name in sorted(networks, key=lambda name: (not networks[name].subnet, name)):
        ipam = networks[name]
        if seen.get(name) and not ipam.subnet:
            chosen[name] = _interface(seen[name], ipam.gateway)
            continue
        others = {owner: span for owner, span in taken.items() if owner != name}
        found = _subnet(name, ipam, seen.get(name, ""), others, pool)
        chosen[name] = found
        if isinstance(found, str):
            taken[name] = _span(found)
    return chosen


def declared(ipam: Ipam) -> str:
    """The subnet that is declared, as its gateway's address with prefix length, "" for none."""
    return _interface(ipam.subnet, ipam.gateway) if ipam.subnet else ""


def _subnet(name: str, ipam: Ipam, seen: str, others: Mapping[str, _Span], pool: Pool) -> str | Refused:
    if ipam.subnet:
        wanted = _interface(ipam.subnet, ipam.gateway)
        same = bool(seen) and _span(seen) == _span(wanted)
        owner = "" if same else next((owner for owner, span in others.items() if _overlap(span, _span(wanted))), "")
        if not owner:
            return wanted
        has = f"the host has a {owner}" if owner.startswith("route ") else f"network {owner} overlaps it"
        return Refused(f"cannot use subnet {ipam.subnet} for network {name}: {has}; choose another one")
    found = _free_subnet(name, others, pool)
    if found:
        return _interface(found, ipam.gateway)
    return Refused(
        f"cannot choose a subnet for network {name}: no /{pool.prefix} is left in the address pool {pool.subnet}; "
        "set a larger address_pool or a longer network_prefix"
    )


@lru_cache(maxsize=4096)  # each look asks for every network, and they hardly ever change
def _span(subnet: str) -> _Span:
    network = ip_interface(subnet).network
    return network.version, int(network.network_address), int(network.broadcast_address)


def _overlap(one: _Span, other: _Span) -> bool:
    return one[0] == other[0] and one[1] <= other[2] and other[1] <= one[2]


@lru_cache(maxsize=4096)
def _interface(subnet: str, own: str) -> str:
    network = ip_interface(subnet).network
    return f"{own or gateway(subnet)}/{network.prefixlen}"


def gateway(subnet: str) -> str:
    """The bridge's own address when nobody declares another: the first of the subnet."""
    return str(ip_interface(subnet).network.network_address + 1)


def free_address(subnet: str, used: Iterable[str], ipam: Ipam | None = None) -> str | Refused:
    """The lowest free address of `subnet`, which is written as the gateway's own address with its prefix length.

    Never the gateway's, the network's or, in IPv4, the broadcast address, nor one in `used` or that `ipam` reserves;
    inside its `ip_range` when it has one.
    """
    own = ip_interface(subnet)
    where = ip_network(ipam.ip_range) if ipam and ipam.ip_range else own.network
    taken = {int(ip_address(address)) for address in (*used, *(ipam.reserved if ipam else ())) if address}
    taken |= {int(own.network.network_address), int(own.ip)}
    if own.version == 4:
        taken.add(int(own.network.broadcast_address))
    first, last = int(where.network_address), int(where.broadcast_address)
    for number in range(first, last + 1):
        if number not in taken:
            return str(own.ip + (number - int(own.ip)))
    return Refused(f"cannot choose an address: all of {where} are in use")


def place(address: str, subnet: str) -> str:
    """`address` with the prefix length of `subnet`."""
    return f"{address}/{ip_interface(subnet).network.prefixlen}"


def family(address: str) -> int:
    """4 or 6, of an address in any form."""
    interface: IPv4Interface | IPv6Interface = ip_interface(address)
    return interface.version


def _free_subnet(name: str, others: Mapping[str, _Span], pool: Pool) -> str:
    """Probe all places of the pool once, from the one that follows from the name; "" when all are taken."""
    whole = ip_network(pool.subnet)
    if pool.prefix < whole.prefixlen:
        return ""
    places = 1 << (pool.prefix - whole.prefixlen)
    size = 1 << (whole.max_prefixlen - pool.prefix)
    start = int(digest(name), 16)
    for step in range(places):
        offset = (start + step) % places * size
        first = int(whole.network_address) + offset
        span = (whole.version, first, first + size - 1)
        if not any(_overlap(span, other) for other in others.values()):
            return f"{whole.network_address + offset}/{pool.prefix}"
    return ""
