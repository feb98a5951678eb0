"""macvlan and ipvlan: links that stand on a link of the host, their parent, without a bridge.

A parent `eth0.50` that does not exist is made as the VLAN 50 of `eth0`, and marked as ours. Used by `interfaces`.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager

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
    found = host.ask_each(rtnetlink.get_link(network.parent))[0] if network.parent else None
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


@contextmanager
def known(kind: str, network: Network) -> Iterator[None]:
    """Say that the kernel knows no such links, when that is what it answers."""
    try:
        yield
    except OSError as error:
        if error.errno != errno.EOPNOTSUPP:
            raise
        raise HostError(
            f"cannot join network {network.name}: this kernel has no {kind}; load the module, or use another driver"
        ) from error


def _make(host: Netlink, instance: str, network: Network) -> None:
    name, vlan = network.parent, _VLAN.fullmatch(network.parent)
    below = host.ask_each(rtnetlink.get_link(vlan[1]))[0] if vlan and int(vlan[2]) <= _LAST_VLAN else None
    if vlan is None or below is None:
        missing = vlan[1] if vlan and int(vlan[2]) <= _LAST_VLAN else name
        why = f"its parent {missing} does not exist on this host" if name else "no parent is declared"
        raise HostError(f"cannot join network {network.name}: {why}; set driver_opts.parent to a link of the host")
    base = rtnetlink.parse_link(below)
    with known("VLANs (8021q)", network):
        host.change(rtnetlink.add_vlan(name, base, int(vlan[2])))
    host.change(
        rtnetlink.set_alias(name, parent_alias(instance)),
        rtnetlink.set_no_ipv6_address(name),
        rtnetlink.set_up(name),
    )
