"""Whether a service and a network go together: each sentence says why not. Pure, of one attachment and its network.

Called by `spec` where both stand in one file, and by `resolve` where another file declares the network; `plan` asks
what of a declaration needs other interfaces.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from dataclasses import replace
from functools import lru_cache
from ipaddress import ip_address, ip_network

from reconciler.core.canonical import canonical
from reconciler.core.model import digest
from reconciler.core.networking import Attachment, Ipam, Network

Misfit = tuple[str, str]  # the key that is wrong, and why


def misfits(attachment: Attachment, network: Network) -> Iterator[Misfit]:
    """What of `attachment` cannot be had in `network`."""
    if network.driver == "cni":
        for key in ("ipv4_address", "ipv6_address", "mac_address"):
            if getattr(attachment, key):
                yield key, "the CNI configuration of the network gives the addresses"
        return
    if network.driver == "ipvlan" and attachment.mac_address:
        yield "mac_address", "all interfaces of an ipvlan have the address of its parent"
    if attachment.ipv6_address and not network.enable_ipv6:
        yield "ipv6_address", "the network needs 'enable_ipv6: true'"
        return
    for key, ipam in (("ipv4_address", network.ipv4), ("ipv6_address", network.ipv6)):
        why = unfit(getattr(attachment, key), ipam)
        if why:
            yield key, why


def unfit(address: str, ipam: Ipam) -> str:
    """Why no container can have `address`, "" when one can, or when there is none."""
    if not address:
        return ""
    if not ipam.subnet:
        return "only a network with a 'subnet' in its 'ipam' has fixed addresses, as in Docker"
    if address in ipam.reserved:
        return f"{address} is one of the network's 'aux_addresses'"
    return outside(address, ipam.subnet) or _gateway(address, ipam)


def outside(address: str, subnet: str) -> str:
    """Why `address` is none that an interface in `subnet` can have, "" when it is one."""
    network, found = ip_network(subnet), ip_address(address)
    if found not in network:
        return f"{address} is not in {subnet}"
    if found == network.network_address:
        return f"{address} is the address of the network {subnet} itself"
    if found.version == 4 and found == network.broadcast_address:
        return f"{address} is the broadcast address of {subnet}"
    return ""


def _gateway(address: str, ipam: Ipam) -> str:
    gateway = ipam.gateway or str(ip_network(ipam.subnet).network_address + 1)
    return f"{address} is the network's gateway" if address == gateway else ""


def overlap(one: str, other: str) -> bool:
    """Whether two subnets have an address in common."""
    first, second = ip_network(one), ip_network(other)
    return first.version == second.version and first.overlaps(second)


def blocked(networks: Collection[Network], host_ips: Collection[str], egress: bool) -> Iterator[Misfit]:
    """What a service in `networks`, which are all of its own, cannot have there.

    `host_ips` are the host addresses at which it publishes ports; `egress` is whether it has `x-egress`.
    """
    beside = next((network for network in networks if network.driver != "bridge"), None)
    if egress and beside:
        why = f"what goes through network '{beside.name}' ({beside.driver}) does not pass the host's firewall"
        yield "x-egress", why
    reached = [network for network in networks if network.driver == "bridge" and not network.internal]
    if host_ips and networks and not reached:
        yield "ports", "the host forwards to bridges that are not internal, and the service is in no such network"
    elif any(":" in host_ip for host_ip in host_ips) and not any(network.enable_ipv6 for network in reached):
        yield "ports", "what comes for an IPv6 address needs a network with 'enable_ipv6: true'"


@lru_cache(maxsize=4096)
def declared(network: Network) -> str:
    """Digest of what makes interfaces in `network` other ones than by default, "" when nothing does.

    `internal`, labels and where addresses are handed out from are no part of it: they change no interface.
    """
    plain = Network(name="", app="", spec="")
    kept = replace(
        network,
        name="",
        app="",
        spec="",
        labels=(),
        internal=False,
        ipv4=Ipam(subnet=network.ipv4.subnet, gateway=network.ipv4.gateway),
        ipv6=Ipam(subnet=network.ipv6.subnet, gateway=network.ipv6.gateway),
    )
    return "" if kept == plain else digest(json.dumps(canonical(kept), sort_keys=True, separators=(",", ":")))
