"""macvlan and ipvlan: links that stand on a link of the host, their parent, without a bridge.

A parent `eth0.50` that does not exist is made as the VLAN 50 of `eth0`, and marked as ours. Used by `interfaces`.
"""

from __future__ import annotations

import re

from reconciler.core.networking import Network
from reconciler.errors import HostError
from reconciler.host import rtnetlink
from reconciler.host.aliases import parent_alias
from reconciler.host.netlink import Message, Netlink
from reconciler.host.rtnetlink import Inner, Link

_VLAN = re.compile(r"(.+)\.([1-9][0-9]{0,3})")
_LAST_VLAN = 4094


def get(host: Netlink, instance: str, network: Network) -> Link:
    """The network's parent, made when it is a VLAN that does not exist."""
    (found,) = host.ask_each(rtnetlink.get_link(network.parent))
    if found is None:
        _make(host, instance, network)
        found = host.ask(rtnetlink.get_link(network.parent))
    return rtnetlink.parse_link(found)


def add(parent: Link, network: Network, inner: Inner) -> Message:
    """A link of the network's driver and mode, born in a namespace."""
    try:
        if network.driver == "macvlan":
            return rtnetlink.add_macvlan(parent, network.mode or "bridge", inner)
        return rtnetlink.add_ipvlan(parent, network.mode or "l2", inner)
    except KeyError:
        modes = rtnetlink.MACVLAN_MODES if network.driver == "macvlan" else rtnetlink.IPVLAN_MODES
        raise HostError(
            f"cannot join network {network.name}: {network.driver} has no mode {network.mode}, only {', '.join(modes)}"
        ) from None


def _make(host: Netlink, instance: str, network: Network) -> None:
    name, vlan = network.parent, _VLAN.fullmatch(network.parent)
    below = host.ask_each(rtnetlink.get_link(vlan[1]))[0] if vlan and int(vlan[2]) <= _LAST_VLAN else None
    if vlan is None or below is None:
        missing = vlan[1] if vlan else name
        raise HostError(
            f"cannot join network {network.name}: its parent {missing or 'interface'} does not exist on this host; "
            "set driver_opts.parent to a link that does"
        )
    base = rtnetlink.parse_link(below)
    host.change(
        rtnetlink.add_vlan(name, base, int(vlan[2])),
        rtnetlink.set_alias(name, parent_alias(instance)),
        rtnetlink.set_no_ipv6_address(name),
        rtnetlink.set_up(name),
    )
