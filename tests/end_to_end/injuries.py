"""What somebody may break by hand of a host's networks: the command, how it shows, and the words by which it is told.

One row for each kind, so that the list can be read as a list; `test_drift` does them, one after the other. The rows of
one resource stand apart from one another: who undoes the same repair again and again is not followed at once.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from ipaddress import ip_interface

from tests.end_to_end.machine import RUN
from tests.end_to_end.world import World


@dataclass(frozen=True)
class Injury:
    """`how` and `look` are shell commands, on the machine or in the network of the container `where`.

    What `look` says differs while it is broken, and is the same again when it is mended. `told` is a part of the event.
    """

    kind: str
    where: str
    how: str
    look: str
    told: str


# {front}, {back}, {closed}, {other} are bridges, {front4} and {front6} their addresses; {web} and so on are the host's
# ends of links, {T} the name of the tables, {names} the folder of the records, {ID} the id of a container.
_BRIDGE = "ip -brief address show dev {0}; ip -brief link show master {0} | cut -c1-30"
_LINK = "ip -d -o link show dev {0} | grep -o 'state UP\\|master [^ ]*\\|hairpin [^ ]*'"
_INSIDE = "ip -brief address show dev eth0; ip route; ip -6 route | grep -v fe80"
_TABLE = "nft list table {0} {{T}} | tr -d ' \\t,}}}}{{{{' | sort"
_SETTING = "cat /proc/sys/net/{0}"
_RULES = "ip rule | sort; ip -6 rule | sort"
ROWS = (
    Injury("bridge deleted", "", "ip link delete {back}", _BRIDGE.format("{back}"), "bridge {back} is gone"),
    Injury("table inet deleted", "", "nft delete table inet {T}", _TABLE.format("inet"), "missing, or changed"),
    Injury("container: host's end deleted", "", "ip link delete {web}", _LINK.format("{web}"), "eth0 is gone"),
    Injury("routing rule (IPv4) deleted", "", "ip rule del to {front_net4} type blackhole", _RULES, "not guarded"),
    Injury("bridge down", "", "ip link set {front} down", _BRIDGE.format("{front}"), "is down"),
    Injury("container: interface down", "store", "ip link set eth0 down", _INSIDE, "eth0 is down"),
    Injury("record deleted", "", "rm {names}/shop_front/{ID_web}", "cat {names}/shop_front/*", "record of shop-web-1"),
    Injury("bridge address (IPv4) deleted", "", "ip address del {other4} dev {other}", _BRIDGE.format("{other}"),
           "its address"),
    Injury("table bridge deleted", "", "nft delete table bridge {T}", _TABLE.format("bridge"), "missing, or changed"),
    Injury("container: address deleted", "cousin", "ip address del {cousin4} dev eth0", _INSIDE, "its address"),
    Injury("bridge address (IPv6) deleted", "", "ip address del {closed6} dev {closed}", _BRIDGE.format("{closed}"),
           "its address"),
    Injury("record changed", "", "echo 10.0.0.9 store > {names}/shop_back/{ID_store}", "cat {names}/shop_back/*",
           "record of shop-store-1"),
    Injury("route of a network deleted", "", "ip route del {front_net4} dev {front}", "ip route", "the route to"),
    Injury("container: host's end down", "", "ip link set {neighbour} down", _LINK.format("{neighbour}"), "is down"),
    Injury("one rule deleted", "", "nft delete rule inet {T} inward handle "
           "$(nft -a list chain inet {T} inward | sed -n 's/.*drop # handle //p')", _TABLE.format("inet"),
           "missing, or changed"),
    Injury("container: default route deleted", "stranger", "ip route del default", _INSIDE, "its default route"),
    Injury("hairpin off", "", "bridge link set dev {web} hairpin off", _LINK.format("{web}"), "hairpin"),
    Injury("forwarding (IPv4) off", "", "echo 0 > /proc/sys/net/ipv4/ip_forward", _SETTING.format("ipv4/ip_forward"),
           "ip_forward is 0"),
    Injury("record of a stranger added", "", "echo 10.0.0.9 web > {names}/other_default/evil",
           "cat {names}/other_default/*", "record of evil"),
    Injury("container: host's end off its bridge", "", "ip link set {both} nomaster", _LINK.format("{both}"),
           "not on bridge"),
    Injury("routing rule (IPv6) deleted", "", "ip -6 rule del to {front_net6} type blackhole", _RULES, "not guarded"),
    Injury("loopback routing off", "", "echo 0 > /proc/sys/net/ipv4/conf/{front}/route_localnet",
           _SETTING.format("ipv4/conf/{front}/route_localnet"), "route_localnet is 0"),
    Injury("element of a set deleted", "", "nft delete element inet {T} bridges '{{ {front} }}'",
           _TABLE.format("inet"), "missing, or changed"),
    Injury("container: address (IPv6) deleted", "guarded", "ip address del {guarded6} dev eth0", _INSIDE,
           "its address"),
    Injury("forwarding (IPv6) off", "", "echo 0 > /proc/sys/net/ipv6/conf/all/forwarding",
           _SETTING.format("ipv6/conf/all/forwarding"), "forwarding is 0"),
    Injury("bridge's size of packets changed", "", "ip link set {other} mtu 1300",
           "ip -o link show dev {other} | grep -o 'mtu [0-9]*'", "MTU"),
)  # fmt: skip


def places(world: World) -> dict[str, str]:
    """What the placeholders stand for on this machine, as the kernel tells it."""
    links = json.loads(world.host.machine.inside.run("ip", "-json", "address"))
    named = json.loads(world.host.machine.inside.run("ip", "-json", "link"))
    marked = {link["ifname"]: link["ifalias"].split(":", 4) for link in named if "ifalias" in link}
    ids = {seen["id"]: name.split("-")[1] for name, seen in world.host.containers().items()}
    found = {f"ID_{service}": id for id, service in ids.items()}
    for link in links:
        match marked.get(link["ifname"]):
            case [_, "bridge", name, *_]:
                key = {"shop_front": "front", "shop_back": "back", "shop_closed": "closed", "other_default": "other"}[
                    name
                ]
                found |= {key: link["ifname"], **_addresses(key, link)}
            case [_, "container", id, *_]:
                found.setdefault(ids[id], link["ifname"])
            case _:
                pass
    for service in ids.values():
        if service != "hosted":
            listed = json.loads(world.stations[service].run("ip", "-json", "address", "show", "dev", "eth0"))
            found |= _addresses(service, listed[0])
    tables = {name for _, name in world.host.machine.tables()}
    return {**found, "T": tables.pop(), "names": str(RUN / "names/records")}


def _addresses(key: str, link: dict[str, object]) -> dict[str, str]:
    found = {}
    for entry in link["addr_info"]:  # type: ignore[attr-defined]  # as ip(8) prints it
        if entry["scope"] == "global" and entry["prefixlen"] not in (32, 128):
            version = {"inet": "4", "inet6": "6"}[entry["family"]]
            found[key + version] = f"{entry['local']}/{entry['prefixlen']}"
            found[f"{key}_net{version}"] = str(ip_interface(found[key + version]).network)
    return found
