"""The whole nftables table of an instance as text: published ports, isolation between networks, the way out.

Pure: values in, one text out, which replaces the table in a single transaction. Where packets go stands in sets
and maps, so a packet costs the same with one published port and with a thousand, and the rules stay constant.
Only this table is ever named; what other programs keep in tables of their own stays theirs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from reconciler.core.networking import Protocol

Target = tuple[str, int]  # address and port of a replica
_Key = tuple[str, str, int]  # host address or "", protocol, port


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """One published port and the replicas that are ready behind it. `host_ip` is "" or an IPv4 address."""

    port: int
    targets: tuple[Target, ...]
    protocol: Protocol = "tcp"
    host_ip: str = ""


def table_name(instance: str) -> str:
    """The name of our table. Never a word of nft's own grammar, as the instances `ip` or `rt2` would be."""
    return instance if instance.startswith("reconciler") else f"reconciler-{instance}"


def render(instance: str, networks: Sequence[tuple[str, str]], published: Sequence[Published]) -> str:
    """The table for `networks`, pairs of bridge and subnet, as `nft -f` takes it; the order of values is no matter.

    A port that is given twice is balanced over the targets of both; one without targets is left alone, so that a
    client is refused at once. Priorities are numbers: nft before 1.0.7 takes no names in the output hook. Those of
    the nat chains come just before the usual -100 and 100, so a port that is ours does not fall to an older rule.
    """
    bridges = sorted({bridge for bridge, _ in networks})
    subnets = _widest(_network(subnet) for _, subnet in networks if subnet)
    ports = _merge(published)
    single = {key: targets[0] for key, targets in ports.items() if len(targets) == 1}
    balanced = {key: targets for key, targets in ports.items() if len(targets) > 1}
    body = [
        _set("bridges", "ifname", map(_quoted, bridges)),
        _set("same", "ipv4_addr . ipv4_addr; flags interval", (f"{subnet} . {subnet}" for subnet in subnets)),
        *_maps(single, balanced),
        _RULES,
        *(_balance(key, targets) for key, targets in balanced.items()),
    ]
    table = table_name(instance)
    head = f"table inet {table}\ndelete table inet {table}\n"
    return head + f"table inet {table} {{\n" + "\n".join(body) + "}\n"


def datagrams(text: str) -> Mapping[int, frozenset[Target]]:
    """The targets of each UDP port that `text`, which `render` made, publishes on whatever address."""
    found: dict[int, set[Target]] = {}
    for port, targets in (*_SINGLE_UDP.findall(text), *_BALANCED_UDP.findall(text)):
        found.setdefault(int(port), set()).update((to[0], int(to[1])) for to in _TARGET.findall(targets))
    return {port: frozenset(targets) for port, targets in found.items()}


_SINGLE_UDP = re.compile(r"\budp \. (\d+) : (\S+ \. \d+),")
_BALANCED_UDP = re.compile(r"chain udp_(\d+)\w* \{\n.* map \{ (.*) \}")
_TARGET = re.compile(r"([\d.]+) \. (\d+)")

_RULES = """\
	# What claims to come to or from an address that cannot be there.
	chain spoofed {
		type filter hook prerouting priority -150; policy accept;
		iifname != "lo" ip daddr 127.0.0.0/8 drop
		iifname @bridges ct state new fib saddr . iif oif missing drop
	}

	chain arriving {
		type nat hook prerouting priority -105; policy accept;
		meta nfproto ipv4 fib daddr type local jump publish
	}

	chain leaving {
		type nat hook output priority -105; policy accept;
		meta nfproto ipv4 fib daddr type local jump publish
	}

	chain publish {
		ip daddr . meta l4proto . th dport vmap @balanced_at
		meta l4proto { tcp, udp } dnat ip to ip daddr . meta l4proto . th dport map @single_at
		meta l4proto . th dport vmap @balanced
		meta l4proto { tcp, udp } dnat ip to meta l4proto . th dport map @single
	}

	# Into a network: answers, published ports, and neighbours when bridged packets are filtered too.
	chain forward {
		type filter hook forward priority 0; policy accept;
		oifname @bridges goto inward
	}

	chain inward {
		ct state established,related accept
		ct status dnat accept
		iifname @bridges ip saddr . ip daddr @same accept
		drop
	}

	# The answer must come back through the host: from the world, from a neighbour, to the host's loopback. Neighbours
	# are known by address, because a packet that br_netfilter brings along has no incoming interface here.
	chain masquerading {
		type nat hook postrouting priority 95; policy accept;
		iifname @bridges oifname != @bridges masquerade
		ct status dnat ip saddr . ip daddr @same masquerade
		oifname @bridges ip saddr 127.0.0.0/8 masquerade
	}
"""


def _widest(subnets: Iterable[IPv4Network]) -> Sequence[IPv4Network]:
    """Without those that lie in another: somebody may have changed an address by hand, and nft refuses overlaps."""
    widest: list[IPv4Network] = []
    for subnet in sorted(subnets, key=lambda subnet: (int(subnet.network_address), subnet.prefixlen)):
        if not widest or subnet.network_address > widest[-1].broadcast_address:
            widest.append(subnet)
    return widest


@lru_cache(maxsize=4096)  # a network's subnet is rendered as often as any port changes
def _network(subnet: str) -> IPv4Network:
    return IPv4Interface(subnet).network


def _merge(published: Iterable[Published]) -> Mapping[_Key, tuple[Target, ...]]:
    merged: dict[_Key, set[Target]] = {}
    for port in published:
        host = "" if port.host_ip == "0.0.0.0" else port.host_ip  # noqa: S104 (compared with, not bound to)
        merged.setdefault((host, port.protocol, port.port), set()).update(port.targets)
    return {key: tuple(sorted(merged[key], key=_order)) for key in sorted(merged)}


def _order(target: Target) -> tuple[IPv4Address, int]:
    return IPv4Address(target[0]), target[1]


def _maps(single: Mapping[_Key, Target], balanced: Mapping[_Key, tuple[Target, ...]]) -> Iterable[str]:
    """One map and one verdict map for ports of every address of the host, and one of each for those of a single one."""
    for suffix, type_ in (("", "inet_proto . inet_service"), ("_at", "ipv4_addr . inet_proto . inet_service")):
        one = [f"{_match(key)} : {_to(target)}" for key, target in single.items() if bool(key[0]) == bool(suffix)]
        many = [f"{_match(key)} : goto {_chain(key)}" for key in balanced if bool(key[0]) == bool(suffix)]
        yield _set("single" + suffix, f"{type_} : ipv4_addr . inet_service", one, "map")
        yield _set("balanced" + suffix, f"{type_} : verdict", many, "map")


def _balance(key: _Key, targets: tuple[Target, ...]) -> str:
    """New connections go to the targets in turn."""
    places = ", ".join(f"{place} : {_to(target)}" for place, target in enumerate(targets))
    rule = f"meta l4proto {key[1]} dnat ip to numgen inc mod {len(targets)} map {{ {places} }}"
    return f"\tchain {_chain(key)} {{\n\t\t{rule}\n\t}}\n"


def _set(name: str, type_: str, elements: Iterable[str], kind: str = "set") -> str:
    listed = list(elements)
    lines = [f"\t{kind} {name} {{", f"\t\ttype {type_}"]
    if listed:
        lines += ["\t\telements = {", *(f"\t\t\t{element}," for element in listed), "\t\t}"]
    return "\n".join([*lines, "\t}\n"])


def _match(key: _Key) -> str:
    return " . ".join(str(part) for part in key if part)


def _to(target: Target) -> str:
    return f"{target[0]} . {target[1]}"


def _chain(key: _Key) -> str:
    host, protocol, port = key
    return f"{protocol}_{port}" + (f"_at_{host.replace('.', '_')}" if host else "")


def _quoted(name: str) -> str:
    return f'"{name}"'
