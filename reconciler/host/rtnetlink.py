"""Links in the words of rtnetlink(7): changes as messages, answers as values; `inet` has addresses and routes.

All functions are pure: the messages are sent, and the answers fetched, by `netlink.Netlink`. Numbers are those of
<linux/if_link.h>, <linux/if_bridge.h>, <linux/if_vlan.h> and <linux/net_namespace.h>.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from reconciler.host.netlink import CREATE, EXCL, Message, attribute, attributes, first, number, string, text

NEWLINK, DELLINK, GETLINK = 16, 17, 18
NEWNSID, GETNSID = 88, 90

UP = 0x1  # IFF_UP
LOWER_UP = 0x10000  # IFF_LOWER_UP: the carrier is there; of a veth, both ends are up

_LINK = struct.Struct("=BxHiII")  # family, type, index, flags, change
_MAC, _NAME, _MTU, _LINK_INDEX, _MASTER, _INFO, _ALIAS, _AF_SPEC = 1, 3, 4, 5, 10, 18, 20, 26
_NET_NS_FD, _EXT_MASK, _LINK_NETNSID = 28, 29, 37
_INFO_KIND, _INFO_DATA, _SLAVE_KIND, _SLAVE_DATA = 1, 2, 4, 5
_SEEN = frozenset({_MAC, _NAME, _MTU, _LINK_INDEX, _MASTER, _INFO, _ALIAS, _AF_SPEC, _LINK_NETNSID})
_SKIP_STATISTICS = 1 << 3  # RTEXT_FILTER_SKIP_STATS: most of an answer's bytes
_VETH_PEER = 1
_FORWARD_DELAY = 1  # IFLA_BR_FORWARD_DELAY
_HAIRPIN = 4  # IFLA_BRPORT_MODE
_MACVLAN_MODE, _IPVLAN_MODE, _VLAN_ID = 1, 1, 1
_ADDRESS_GENERATION, _NONE = 8, 1  # IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE
_INET_CONF, _INET6_CONF = 1, 2
_NSID, _NSID_FD = 1, 3

MACVLAN_MODES = {"private": 1, "vepa": 2, "bridge": 4, "passthru": 8}
IPVLAN_MODES = {"l2": 0, "l3": 1, "l3s": 2}

_INET6 = Path("/proc/net/if_inet6")

# <linux/ip.h> counts from 1, <linux/ipv6.h> from 0.
_INET_SETTINGS = {"forwarding": 0, "route_localnet": 25}
_INET6_SETTINGS = {"forwarding": 0, "accept_ra": 3, "disable_ipv6": 26}


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A link as the kernel shows it. `peer` is the index of a veth's other end, in the namespace `netnsid`.

    Of a macvlan or VLAN `peer` is what it stands on. `af_spec` is read by `settings`.
    """

    index: int
    name: str
    flags: int = 0
    mac: str = ""
    alias: str = ""
    master: int = 0
    mtu: int = 0
    kind: str = ""
    peer: int = 0
    netnsid: int | None = None  # None: the other end is in this namespace, or there is none
    hairpin: bool = False
    af_spec: bytes = field(default=b"", repr=False)

    @property
    def up(self) -> bool:
        """Somebody has set it up; says nothing about the other end."""
        return bool(self.flags & UP)


# --- making ------------------------------------------------------------------------------------------------------


def add_bridge(name: str, mac: bytes, mtu: int) -> Message:
    """A bridge. Given its own MAC it does not take over the lowest of its ports, which would change as they go.

    It forwards at once: a delay without a spanning tree only rings the doorbell once more for each port, 15 s later.
    """
    info = _info("bridge", number(_FORWARD_DELAY, 0))
    return _new(text(_NAME, name) + attribute(_MAC, mac) + number(_MTU, mtu) + info)


@dataclass(frozen=True, slots=True)
class Inner:
    """The end of a link that is born in the network namespace of a descriptor. `mac` b"" leaves it to the kernel."""

    name: str
    mac: bytes
    namespace: int

    def attributes(self, mtu: int) -> bytes:
        """What makes it."""
        mac = attribute(_MAC, self.mac) if self.mac else b""
        return text(_NAME, self.name) + mac + number(_MTU, mtu) + number(_NET_NS_FD, self.namespace)


def add_veth(name: str, bridge: Link, inner: Inner) -> Message:
    """A veth on `bridge` and its other end."""
    info = _info("veth", attribute(_VETH_PEER, _body() + inner.attributes(bridge.mtu)))
    return _new(text(_NAME, name) + number(_MTU, bridge.mtu) + number(_MASTER, bridge.index) + info)


def add_macvlan(parent: Link, mode: str, inner: Inner) -> Message:
    """A macvlan on `parent`; raises KeyError for an unknown mode."""
    info = _info("macvlan", number(_MACVLAN_MODE, MACVLAN_MODES[mode]))
    return _new(number(_LINK_INDEX, parent.index) + inner.attributes(parent.mtu) + info)


def add_ipvlan(parent: Link, mode: str, inner: Inner) -> Message:
    """An ipvlan on `parent`; raises KeyError for an unknown mode."""
    info = _info("ipvlan", attribute(_IPVLAN_MODE, struct.pack("=H", IPVLAN_MODES[mode])))
    return _new(number(_LINK_INDEX, parent.index) + inner.attributes(parent.mtu) + info)


def add_vlan(name: str, parent: Link, id: int) -> Message:
    """A VLAN with tag `id` on `parent`."""
    info = _info("vlan", attribute(_VLAN_ID, struct.pack("=H", id)))
    return _new(text(_NAME, name) + number(_LINK_INDEX, parent.index) + info)


def _new(body: bytes) -> Message:
    return Message(NEWLINK, CREATE | EXCL, _body() + body)


def _info(kind: str, data: bytes) -> bytes:
    return attribute(_INFO, text(_INFO_KIND, kind) + attribute(_INFO_DATA, data))


def _body(index: int = 0, flags: int = 0, change: int = 0) -> bytes:
    return _LINK.pack(0, 0, index, flags, change)


# --- changing ----------------------------------------------------------------------------------------------------


def set_up(name: str) -> Message:
    """Set the link up."""
    return Message(NEWLINK, 0, _body(0, UP, UP) + text(_NAME, name))


def set_down(name: str) -> Message:
    """Set the link down."""
    return Message(NEWLINK, 0, _body(0, 0, UP) + text(_NAME, name))


def set_master(name: str, master: int) -> Message:
    """Put the link on the bridge with index `master`."""
    return Message(NEWLINK, 0, _body() + text(_NAME, name) + number(_MASTER, master))


def set_alias(name: str, alias: str) -> Message:
    """Give the link its alias: at most 255 bytes (IFALIASZ)."""
    return Message(NEWLINK, 0, _body() + text(_NAME, name) + attribute(_ALIAS, alias.encode()))


def set_mtu(name: str, mtu: int) -> Message:
    """Give the link the size of its largest packets."""
    return Message(NEWLINK, 0, _body() + text(_NAME, name) + number(_MTU, mtu))


def set_mac(name: str, mac: bytes) -> Message:
    """Give the link its hardware address."""
    return Message(NEWLINK, 0, _body() + text(_NAME, name) + attribute(_MAC, mac))


def set_no_ipv6_address(name: str) -> Message:
    """Make no link-local address: it would be probed for a second at every start, and nobody uses it."""
    return Message(NEWLINK, 0, _body() + text(_NAME, name) + _no_ipv6_address())


def set_port(name: str, alias: str) -> Message:
    """Everything that a bridge's port needs at once: up, its alias, no address of its own, and hairpin.

    By hairpin the bridge sends a packet back to the port it came from: a container that asks for its own port.
    """
    slave = attribute(_INFO, text(_SLAVE_KIND, "bridge") + attribute(_SLAVE_DATA, attribute(_HAIRPIN, b"\1")))
    body = text(_NAME, name) + attribute(_ALIAS, alias.encode()) + slave + _no_ipv6_address()
    return Message(NEWLINK, 0, _body(0, UP, UP) + body)


def rename(index: int, name: str, alias: str) -> Message:
    """Give the link at `index` another name and alias. It must be down (Linux before 6.2)."""
    return Message(NEWLINK, 0, _body(index) + text(_NAME, name) + attribute(_ALIAS, alias.encode()))


def delete_link(name: str) -> Message:
    """Delete the link, and of a veth both ends."""
    return Message(DELLINK, 0, _body() + text(_NAME, name))


def delete_link_at(index: int) -> Message:
    """Delete the link at `index`: nobody else can have got its name meanwhile."""
    return Message(DELLINK, 0, _body(index))


@cache
def _no_ipv6_address() -> bytes:
    if not _INET6.exists():  # booted with ipv6.disable=1, the kernel refuses to hear of it
        return b""
    inet6 = attribute(socket.AF_INET6, attribute(_ADDRESS_GENERATION, bytes([_NONE])))
    return attribute(_AF_SPEC, inet6)


# --- asking ------------------------------------------------------------------------------------------------------


def get_link(name: str) -> Message:
    """Ask for one link by name."""
    return Message(GETLINK, 0, _body() + text(_NAME, name) + number(_EXT_MASK, _SKIP_STATISTICS))


def get_link_at(index: int) -> Message:
    """Ask for one link by index."""
    return Message(GETLINK, 0, _body(index) + number(_EXT_MASK, _SKIP_STATISTICS))


ALL_LINKS = _body() + number(_EXT_MASK, _SKIP_STATISTICS)


def parse_link(body: bytes) -> Link:
    """A link from the body of RTM_NEWLINK."""
    _, _, index, flags, _ = _LINK.unpack_from(body)
    seen = attributes(body, _LINK.size, _SEEN)
    netnsid = seen.get(_LINK_NETNSID)
    info = attributes(seen[_INFO]) if _INFO in seen else {}
    return Link(
        index=index,
        name=string(seen.get(_NAME, b"")),
        flags=flags,
        mac=seen.get(_MAC, b"").hex(":"),
        alias=string(seen.get(_ALIAS, b"")),
        master=integer(seen.get(_MASTER)),
        mtu=integer(seen.get(_MTU)),
        kind=string(info.get(_INFO_KIND, b"")),
        peer=integer(seen.get(_LINK_INDEX)),
        netnsid=None if netnsid is None else integer(netnsid),
        hairpin=first(info.get(_SLAVE_DATA, b""), _HAIRPIN) == b"\1",
        af_spec=seen.get(_AF_SPEC, b""),
    )


def settings(link: Link) -> Mapping[str, int]:
    """The kernel's settings of a link that matter here, by name: `ipv4.conf.rc-0.forwarding`."""
    families = attributes(link.af_spec)
    inet = attributes(families.get(socket.AF_INET, b"")).get(_INET_CONF, b"")
    inet6 = attributes(families.get(socket.AF_INET6, b"")).get(_INET6_CONF, b"")
    found = {f"ipv4.conf.{link.name}.{name}": _at(inet, place) for name, place in _INET_SETTINGS.items()}
    found |= {f"ipv6.conf.{link.name}.{name}": _at(inet6, place) for name, place in _INET6_SETTINGS.items()}
    return {name: value for name, value in found.items() if value is not None}


def _at(array: bytes, place: int) -> int | None:
    return integer(array[4 * place : 4 * place + 4]) if len(array) >= 4 * place + 4 else None


def number_namespace(descriptor: int) -> Message:
    """Give the network namespace of the descriptor a number here, so that its doorbells are heard."""
    return Message(NEWNSID, 0, bytes(4) + number(_NSID, 0xFFFFFFFF) + number(_NSID_FD, descriptor))


def get_namespace(descriptor: int) -> Message:
    """Ask which number the network namespace of the descriptor has here, as links know it (`Link.netnsid`)."""
    return Message(GETNSID, 0, bytes(4) + number(_NSID_FD, descriptor))


def parse_namespace(body: bytes) -> int:
    """The number from the body of RTM_NEWNSID; -1 when it has none."""
    return integer(attributes(body, 4).get(_NSID, b"\xff\xff\xff\xff"))


def integer(value: bytes | None) -> int:
    """A number of the kernel's, 0 for none."""
    return int.from_bytes(value, "little", signed=True) if value else 0
