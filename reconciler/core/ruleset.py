"""The nftables tables of an instance as text: published ports, who may reach them, isolation, the way out.

Pure: values in, one text out, which replaces both tables in a single transaction. Where packets go, and who may send
them, stands in sets and maps, so a packet costs the same with one published port and with a thousand, and the rules,
which `chains` has, stay the same. Only these tables are ever named; what other programs keep stays theirs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_address, ip_interface, ip_network

from reconciler.core import chains
from reconciler.core.networking import Protocol
from reconciler.core.reach import Box, Reach, boxes

MARK = 0x1000
"""The bit of the packet mark that is ours unless it is set otherwise; see github.com/fwmark/registry."""

Target = tuple[str, int]  # address and port of a replica


@dataclass(frozen=True, slots=True, kw_only=True)
class Bridge:
    """A network: its bridge, and its subnets as the gateway's address with prefix length, or ""."""

    bridge: str
    subnet: str = ""
    subnet6: str = ""
    internal: bool = False

    @property
    def subnets(self) -> tuple[str, ...]:
        """Those that it has."""
        return tuple(filter(None, (self.subnet, self.subnet6)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """One published port and the replicas that are ready behind it, of both IP versions.

    `host_ip` is "" for every address of the host, 0.0.0.0 and :: for every one of their version, or one of them.
    `allow` are the networks that may connect, None for everybody.
    """

    port: int
    targets: tuple[Target, ...]
    protocol: Protocol = "tcp"
    host_ip: str = ""
    allow: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Restricted:
    """Addresses of containers that may connect to `destinations` only, besides neighbours and their resolver."""

    addresses: tuple[str, ...]
    destinations: tuple[Reach, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """The host's end of a container's link, and the only addresses that the container may speak under."""

    link: str
    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """All that the tables are made from. `mark` is a single bit."""

    networks: tuple[Bridge, ...] = ()
    published: tuple[Published, ...] = ()
    restricted: tuple[Restricted, ...] = ()
    bound: tuple[Bound, ...] = ()
    mark: int = MARK


def table_name(instance: str) -> str:
    """The name of our tables. Never a word of nft's own grammar, as the instances `ip` or `rt2` would be."""
    return instance if instance.startswith("reconciler") else f"reconciler-{instance}"


def render(instance: str, rules: Rules) -> str:
    """Both tables as `nft -f` takes them; the order of values is no matter.

    A port that is given twice leads to the targets of both, for whom any of the two allows, unless one allows
    everybody: then the other's list holds. One without targets is left alone, so that a client is refused at once;
    so is a target in an internal network.
    """
    doors = [door for version in _VERSIONS for door in _doors(version, rules)]
    name = table_name(instance)
    inet = [*_links(rules.networks), *(part for version in _VERSIONS for part in _sets(version, rules, doors))]
    inet.append(chains.inet(rules.mark, (len(door.targets) for door in doors)))
    tables = {f"inet {name}": "\n".join(inet), f"bridge {name}": "\n".join((*_binding(rules.bound), chains.BRIDGE))}
    head = "".join(f"table {table}\ndelete table {table}\n" for table in tables)
    return head + "".join(f"table {table} {{\n{body}}}\n" for table, body in tables.items())


def datagrams(text: str) -> Mapping[int, frozenset[Target]]:
    """The targets of each UDP port that `text`, which `render` made, publishes on whatever address."""
    found: dict[int, set[Target]] = {}
    for port, address, target in _UDP.findall(text):
        found.setdefault(int(port), set()).add((address, int(target)))
    return {port: frozenset(targets) for port, targets in found.items()}


def datagram_limits(text: str) -> Mapping[int, frozenset[str]]:
    """The elements of `text` that say who may send to each UDP port; a port that everybody may send to is not there."""
    found: dict[int, set[str]] = {}
    for element, port in _UDP_LIMIT.findall(text):
        found.setdefault(int(port), set()).add(element)
    return {port: frozenset(limits) for port, limits in found.items()}


_UDP_LIMIT = re.compile(r"^\t\t\t((?:\S+ \. ){0,2}udp \. (\d+)(?: : goto limited_at)?),$", re.MULTILINE)
_UDP = re.compile(r"udp \. (\d+) \. \d+ : (\S+) \. (\d+),")


# --- what differs between IPv4 and IPv6 ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Version:
    number: int
    protocol: str  # as matches are called
    address: str  # the type of addresses
    any: str  # stands for every address


_VERSIONS = (_Version(4, "ip", "ipv4_addr", "0.0.0.0"), _Version(6, "ip6", "ipv6_addr", "::"))  # noqa: S104 (no bind)
_Network = IPv4Network | IPv6Network


def _is(version: _Version, address: str) -> bool:
    return (":" in address) == (version.number == 6)


# --- published ports -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Door:
    """A port of one IP version as a client meets it; `at` is "" for every address of the host."""

    version: _Version
    at: str
    port: str  # protocol and number
    targets: tuple[str, ...]
    allow: tuple[str, ...] | None

    @property
    def key(self) -> str:
        return f"{self.at} . {self.port}" if self.at else self.port

    @property
    def limit(self) -> str:
        """What a client is told there; an address of its own answers before a port of every address does."""
        return f"{self.key} : {'return' if self.allow is None else 'goto limited_at'}" if self.at else self.key

    @property
    def suffix(self) -> str:
        return "_at" if self.at else ""


def _doors(version: _Version, rules: Rules) -> Iterator[_Door]:
    internal = [_network(subnet) for bridge in rules.networks if bridge.internal for subnet in bridge.subnets]
    merged: dict[tuple[str, str, int], list[Published]] = {}
    for port in rules.published:
        if not port.host_ip or _is(version, port.host_ip):
            at = "" if port.host_ip == version.any else port.host_ip
            merged.setdefault((at, port.protocol, port.port), []).append(port)
    for (at, protocol, number), ports in sorted(merged.items()):
        addresses = {target for port in ports for target in port.targets if _is(version, target[0])}
        targets = sorted(addresses, key=lambda target: (_number(target[0]), target[1]))
        reached = tuple(f"{ip} . {to}" for ip, to in targets if not _inside(ip, internal))
        if reached:
            allow = _allowed(version, ports)
            yield _Door(version=version, at=at, port=f"{protocol} . {number}", targets=reached, allow=allow)


def _allowed(version: _Version, ports: Sequence[Published]) -> tuple[str, ...] | None:
    lists = [port.allow for port in ports if port.allow is not None]
    if not lists:
        return None
    networks = {ip_network(text, strict=False) for allow in lists for text in allow if _is(version, text)}
    return tuple(map(str, collapse_addresses(networks)))  # type: ignore[type-var]  # all are of one version


# --- sets and maps -------------------------------------------------------------------------------------------------


def _links(networks: Iterable[Bridge]) -> Iterator[str]:
    for name, wanted in (("bridges", {False, True}), ("internal", {True}), ("outgoing", {False})):
        links = sorted({f'"{network.bridge}"' for network in networks if network.internal in wanted})
        yield _set(name, "ifname", links)
    yield _set("neighbours", "ifname . ifname", sorted({f'"{net.bridge}" . "{net.bridge}"' for net in networks}))


def _sets(version: _Version, rules: Rules, all_doors: Iterable[_Door]) -> Iterator[str]:
    subnets = [subnet for bridge in rules.networks for subnet in bridge.subnets if _is(version, subnet)]
    same = [f"{subnet} . {subnet}" for subnet in _widest(map(_network, subnets))]
    address = version.address
    yield _set(f"same{version.number}", f"{address} . {address}; flags interval", same)
    doors = [door for door in all_doors if door.version is version]
    for suffix in ("", "_at"):
        yield from _published(version, suffix, [door for door in doors if door.suffix == suffix])
    yield from _reachable(version, rules.restricted)


def _published(version: _Version, suffix: str, doors: Sequence[_Door]) -> Iterator[str]:
    """Which chain a port leads to, and the replicas by their number; who is limited, and to whom."""
    at = f"{version.address} . " if suffix else ""
    number, key = f"{version.number}{suffix}", f"{at}inet_proto . inet_service"
    matched = f"{version.protocol} daddr . " if suffix else ""
    place = f"{matched}meta l4proto . th dport . numgen random mod 2 : {version.protocol} daddr . th dport"
    among = (f"{door.key} : goto among_{len(door.targets)}{suffix}" for door in doors)
    yield _map("doors" + number, f"type {key} : verdict", among)
    replicas = (f"{door.key} . {index} : {to}" for door in doors for index, to in enumerate(door.targets))
    yield _map("replicas" + number, f"typeof {place}", replicas)
    if suffix:
        yield _map("limited" + number, f"type {key} : verdict", (door.limit for door in doors))
    else:
        yield _set("limited" + number, key, (door.limit for door in doors if door.allow is not None))
    allowed = (f"{source} . {door.key}" for door in doors for source in door.allow or ())
    yield _set("allowed" + number, f"{version.address} . {key}; flags interval", allowed)


def _reachable(version: _Version, restricted: Iterable[Restricted]) -> Iterator[str]:
    """An address that is given twice may connect to the destinations of both."""
    reaches: dict[str, list[Reach]] = {}
    for entry in restricted:
        for address in entry.addresses:
            if _is(version, address):
                reaches.setdefault(str(ip_address(address)), []).extend(entry.destinations)
    number, address = version.number, version.address
    yield _set(f"restricted{number}", address, sorted(reaches))
    boxed = (f"{who} . {_box(version, box)}" for who in sorted(reaches) for box in boxes(reaches[who], number))
    yield _set(f"reachable{number}", f"{address} . {address} . inet_proto . inet_service; flags interval", boxed)


def _box(version: _Version, box: Box) -> str:
    text = IPv4Network if version.number == 4 else IPv6Network
    first, last = (str(text(edge).network_address) for edge in (box.first, box.last))
    network = first if first == last else f"{first}-{last}"
    ports = str(box.ports[0]) if box.ports[0] == box.ports[1] else f"{box.ports[0]}-{box.ports[1]}"
    return f"{network} . {box.protocol or '0-255'} . {ports}"


def _binding(bound: Iterable[Bound]) -> Iterator[str]:
    """A raw expression has numbers for values, so these are addresses in hexadecimal."""
    pairs = sorted({(entry.link, address) for entry in bound for address in entry.addresses})
    yield _set("links", "ifname", sorted({f'"{entry.link}"' for entry in bound}))
    four = (f'"{link}" . {address}' for link, address in pairs if ":" not in address)
    six = sorted({f'"{link}" . {_number(address):#034x}' for link, address in pairs if ":" in address})
    yield _set("bound4", "ifname . ipv4_addr", four)
    yield _named("set", "bound6", "typeof iifname . @nh,64,128", six)


def _set(name: str, type_: str, elements: Iterable[str]) -> str:
    return _named("set", name, f"type {type_}", elements)


def _map(name: str, type_: str, elements: Iterable[str]) -> str:
    return _named("map", name, type_, elements)


def _named(kind: str, name: str, type_: str, elements: Iterable[str]) -> str:
    listed = list(elements)
    lines = [f"\t{kind} {name} {{", f"\t\t{type_}"]
    if listed:
        lines += ["\t\telements = {", *(f"\t\t\t{element}," for element in listed), "\t\t}"]
    return "\n".join([*lines, "\t}\n"])


def _widest(subnets: Iterable[_Network]) -> Sequence[_Network]:
    """Without those that lie in another: somebody may have changed an address by hand, and nft refuses overlaps."""
    widest: list[_Network] = []
    for subnet in sorted(subnets, key=lambda subnet: (int(subnet.network_address), subnet.prefixlen)):
        if not widest or int(subnet.network_address) > int(widest[-1].broadcast_address):
            widest.append(subnet)
    return widest


def _inside(address: str, networks: Iterable[_Network]) -> bool:
    return any(
        int(network[0]) <= _number(address) <= int(network[-1]) for network in networks if _same(network, address)
    )


def _same(network: _Network, address: str) -> bool:
    return (":" in address) == (network.version == 6)


@lru_cache(maxsize=1 << 14)  # every address of a container is rendered as often as any port changes
def _number(address: str) -> int:
    return int(ip_address(address))


@lru_cache(maxsize=4096)  # a network's subnet is rendered as often as any port changes
def _network(subnet: str) -> _Network:
    return ip_interface(subnet).network
