"""What is not as it was made: bridges and the ends of containers' links, judged against what they were made from.

Pure. `observe.links` and `observe.inside` read what stands here as seen; each judgement is one clause for people, ""
when all is well, and is what `SeenNetwork.drift` and `SeenContainer.disconnected` say. What somebody added is no
drift, unless it takes the place of what was made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from hashlib import sha256
from ipaddress import ip_interface

from reconciler.core.networking import Endpoint

LINK_LOCAL = "fe80::1/64"
"""A bridge's other IPv6 address, as with Docker: under it the kernel asks for neighbours when it forwards packets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostEnd:
    """The host's end of a veth. `bridge` is the name of the one it is on, "" when it is on none."""

    name: str
    up: bool = True
    bridge: str = ""
    hairpin: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Interface:
    """A container's end of a link.

    `addresses` have their prefix length and are the first of their subnets; `subnets` are those that it reaches
    without a router, `gateways` the routers of default routes.
    """

    up: bool = True
    mac: str = ""
    addresses: tuple[str, ...] = ()
    subnets: tuple[str, ...] = ()
    gateways: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Inside:
    """A container's namespace. `loopback` says whether that is up."""

    loopback: bool = True
    interfaces: Mapping[str, Interface] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What a bridge was made from, kept in its alias. `mtu` 0 is not known."""

    subnet: str = ""
    subnet6: str = ""
    mtu: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Bridge:
    """A bridge as it is. `settings` are those of its kernel settings that matter, by their names below net."""

    up: bool = True
    mtu: int = 0
    addresses: tuple[str, ...] = ()
    subnets: tuple[str, ...] = ()
    settings: Mapping[str, int] = field(default_factory=dict)


def drift(name: str, made: Made, seen: Bridge) -> str:
    """What of the bridge `name` is not as it was made."""
    if not seen.up:
        return f"bridge {name} is down"
    for interface in filter(None, (made.subnet, made.subnet6)):
        if interface not in seen.addresses:
            return f"its address {interface} is gone"
        if not _reached(interface, seen.subnets):
            return f"the route to {subnet_of(interface)} is gone"
    if made.subnet6 and LINK_LOCAL not in seen.addresses:
        return f"its address {LINK_LOCAL} is gone"
    if made.mtu and seen.mtu != made.mtu:
        return f"the MTU of {name} is {seen.mtu}, not {made.mtu}"
    return _unset(bridge_settings(name, made), seen.settings)


def bridge_settings(name: str, made: Made) -> dict[str, int]:
    """The kernel's settings that a bridge needs, below net (kernel ip-sysctl): name and value."""
    wanted: dict[str, int] = {}
    if made.subnet:
        wanted |= {"ipv4.ip_forward": 1, f"ipv4.conf.{name}.forwarding": 1, f"ipv4.conf.{name}.route_localnet": 1}
    if made.subnet6:
        wanted |= {
            "ipv6.conf.all.forwarding": 1,
            f"ipv6.conf.{name}.forwarding": 1,
            f"ipv6.conf.{name}.accept_ra": 0,
            f"ipv6.conf.{name}.disable_ipv6": 0,
        }
    return wanted


def _unset(wanted: Mapping[str, int], seen: Mapping[str, int]) -> str:
    for name, value in wanted.items():
        if name in seen and seen[name] != value:
            return f"net.{name} is {seen[name]}"
    return ""


def disconnected(endpoints: Sequence[Endpoint], inside: Inside | None, ends: Mapping[str, HostEnd]) -> str:
    """What of a container's namespace, links, addresses and routes is not as `endpoints` say.

    `inside` is None when its namespace is gone; `ends` has the host's end on each bridge, by the bridge it belongs on.
    """
    if inside is None:
        return "its network namespace is gone"
    if not inside.loopback:
        return "its loopback is down"
    for endpoint in endpoints:
        fault = _inner(endpoint, inside.interfaces.get(endpoint.interface))
        if endpoint.bridge and not fault:
            fault = _outer(endpoint, ends.get(endpoint.bridge))
        if fault:
            return fault
    return ""


def with_addresses(endpoints: tuple[Endpoint, ...], granted: Mapping[str, tuple[str, str]]) -> tuple[Endpoint, ...]:
    """`endpoints` with the addresses that somebody else, a CNI plugin, `granted` to their interfaces."""
    if not granted:
        return endpoints
    return tuple(
        replace(endpoint, ipv4=granted[endpoint.interface][0], ipv6=granted[endpoint.interface][1])
        if endpoint.network.driver == "cni" and endpoint.interface in granted
        else endpoint
        for endpoint in endpoints
    )


def _outer(endpoint: Endpoint, end: HostEnd | None) -> str:
    if end is None:
        return f"the host's end of {endpoint.interface} is gone"
    if not end.up:
        return f"the host's end of {endpoint.interface} is down"
    if end.bridge != endpoint.bridge:
        return f"{endpoint.interface} is not on bridge {endpoint.bridge}"
    return "" if end.hairpin else f"hairpin of {endpoint.interface} is off"


def _inner(endpoint: Endpoint, seen: Interface | None) -> str:
    name = endpoint.interface
    if seen is None:
        return f"{name} is gone"
    if not seen.up:
        return f"{name} is down"
    wanted = mac_address(endpoint)
    if wanted and seen.mac != wanted:
        return f"the MAC address of {name} is {seen.mac}, not {wanted}"
    return _unreached(endpoint, seen)


def _unreached(endpoint: Endpoint, seen: Interface) -> str:
    for interface in filter(None, (endpoint.ipv4, endpoint.ipv6)):
        if interface not in seen.addresses:
            return f"its address {interface} is gone"
        if endpoint.network.driver == "cni":  # its plugins may route as they like
            continue
        if not _reached(interface, seen.subnets):
            return f"its route to {subnet_of(interface)} is gone"
    for gateway in filter(None, (endpoint.gateway4, endpoint.gateway6)):
        if gateway not in seen.gateways:
            return f"its default route by {gateway} is gone"
    return ""


def _reached(interface: str, subnets: Sequence[str]) -> bool:
    """Whether the network of an address is; one that consists of that address has nobody else in it."""
    return interface.endswith(("/32", "/128")) or subnet_of(interface) in subnets


@lru_cache(maxsize=4096)
def subnet_of(interface: str) -> str:
    """`10.192.3.0/24` of `10.192.3.1/24`."""
    return str(ip_interface(interface).network)


def veth_name(id: str, place: int = 0) -> str:
    """The host's end of a container's link to its network number `place`: at most 15 bytes (IFNAMSIZ)."""
    return f"rc{id[:9]}{place:x}"


def alone(address: str) -> str:
    """`address` with the prefix length of a network that consists of it: one more of a bridge beside its gateways."""
    return f"{address}/{128 if ':' in address else 32}"


def mac_address(endpoint: Endpoint) -> str:
    """The interface's hardware address, "" when the driver gives it.

    It follows from the address, as with Docker: neighbours remember it, and the next to get the address must answer.
    An ipvlan has that of its parent.
    """
    if endpoint.network.driver in {"ipvlan", "cni"}:
        return ""
    if endpoint.mac:
        return endpoint.mac.lower().replace("-", ":")
    if endpoint.ipv4:
        return "02:42:" + bytes(map(int, endpoint.address.split("."))).hex(":")
    return "02:" + sha256(f"{endpoint.bridge} {endpoint.ipv6}".encode()).digest()[:5].hex(":")
