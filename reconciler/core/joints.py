"""Where a new container goes: its endpoint in each of its networks, with addresses and default routes. Pure.

Called by `plan` for one container after the other; who got what in the same look is in `taken`. How an endpoint is made
on the host stands in `host.networks`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from reconciler.core import addresses
from reconciler.core.addresses import Refused
from reconciler.core.model import Container
from reconciler.core.networking import Attachment, Endpoint, Ipam, Joint, Network


@dataclass(frozen=True, slots=True)
class Networks:
    """The networks that can be joined now: by name, with bridge, subnets in force, and addresses in use."""

    declared: Mapping[str, Network]
    bridges: Mapping[str, str]
    subnets: Mapping[str, tuple[str, str]]  # IPv4 and IPv6, "" for none
    taken: dict[str, set[str]] = field(default_factory=dict)  # grows while planning


def joint(container: Container, networks: Networks) -> Joint | Refused:
    """The endpoints of a new instance of `container`; its addresses are taken from now on."""
    endpoints: list[Endpoint] = []
    for place, attachment in enumerate(container.networks):
        found = _endpoint(attachment, attachment.interface_name or f"eth{place}", networks)
        if isinstance(found, Refused):
            return found
        endpoints.append(found)
    for endpoint in endpoints:
        networks.taken.setdefault(endpoint.network.name, set()).update((endpoint.address, endpoint.address6))
    return Joint(endpoints=tuple(_routed(container, endpoints, networks)))


def _endpoint(attachment: Attachment, interface: str, networks: Networks) -> Endpoint | Refused:
    network = networks.declared[attachment.network]
    bare = Endpoint(
        network=network,
        bridge=networks.bridges.get(network.name, ""),
        interface=interface,
        mac=attachment.mac_address,
        aliases=attachment.aliases,
    )
    if network.driver == "cni":
        return bare
    subnet, subnet6 = networks.subnets[network.name]
    taken = networks.taken.get(network.name, set())
    ipv4 = _address(attachment.ipv4_address, subnet, taken, network.ipv4)
    ipv6 = _address(attachment.ipv6_address, subnet6, taken, network.ipv6)
    if isinstance(ipv4, Refused):
        return ipv4
    return ipv6 if isinstance(ipv6, Refused) else replace(bare, ipv4=ipv4, ipv6=ipv6)


def _address(wanted: str, subnet: str, taken: set[str], ipam: Ipam) -> str | Refused:
    if not subnet:
        return ""
    if wanted and wanted in taken:
        return Refused(f"waits for address {wanted}, which another container has")
    found = wanted or addresses.free_address(subnet, taken, ipam)
    return addresses.place(found, subnet) if isinstance(found, str) else found


def _routed(container: Container, endpoints: list[Endpoint], networks: Networks) -> list[Endpoint]:
    """With the default routes, one in each family: by `gw_priority`, then in order; internal networks lead nowhere."""
    weights = {place: -attachment.gw_priority for place, attachment in enumerate(container.networks)}
    routed, open_families = list(endpoints), {4, 6}
    for place in sorted(weights, key=lambda place: weights[place]):
        endpoint = routed[place]
        if endpoint.network.internal or endpoint.network.driver == "cni":
            continue
        for version, address in ((4, endpoint.ipv4), (6, endpoint.ipv6)):
            if address and version in open_families:
                subnet = networks.subnets[endpoint.network.name][0 if version == 4 else 1]
                way = {f"gateway{version}": subnet.partition("/")[0]}
                routed[place] = replace(routed[place], **way)  # type: ignore[arg-type] # one of two fields, both text
                open_families.remove(version)
    return routed
