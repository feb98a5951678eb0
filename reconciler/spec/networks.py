"""The top-level `networks`: what their keys mean together, to declarations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import ip_network
from posixpath import join, normpath
from typing import Final

from reconciler.core.document import NetworkDeclaration
from reconciler.core.joining import outside
from reconciler.core.networking import Driver, Ipam, Network
from reconciler.spec import compose
from reconciler.spec.report import Report
from reconciler.spec.tree import Path

_OPTIONS: Final[Mapping[Driver, frozenset[str]]] = {
    "bridge": frozenset({"mtu", "bridge"}),
    "macvlan": frozenset({"mtu", "parent", "macvlan_mode"}),
    "ipvlan": frozenset({"mtu", "parent", "ipvlan_mode"}),
    "cni": frozenset({"config"}),
}
_NEEDED: Final[Mapping[Driver, str]] = {"macvlan": "parent", "ipvlan": "parent", "cni": "config"}
_LARGEST: Final = {4: 30, 6: 126}  # a prefix that leaves room for the gateway and a container


def networks(report: Report, model: compose.Compose, folder: str) -> Mapping[str, NetworkDeclaration]:
    """The declared networks by their keys, and the default one if it is not among them."""
    declared = {"default": compose.Network(), **model.networks}
    return {
        key: NetworkDeclaration(
            key=key,
            network=_network(report, ("networks", key), entry, folder),
            external=entry.external,
            at=report.tree.key_at(("networks", key)),
        )
        for key, entry in declared.items()
    }


def _network(report: Report, path: Path, entry: compose.Network, folder: str) -> Network:
    if entry.external:
        for field in entry.model_fields_set - {"name", "external"}:
            report.add((*path, field), "another spec declares an external network; only its 'name' can stand here")
        if entry.name in ("bridge", "host", "none"):
            report.add((*path, "name"), f"write 'network_mode: {entry.name}' at the service instead")
        return Network(name=entry.name, app="", spec="")
    driver: Driver = "bridge" if entry.driver == "default" else entry.driver
    _options(report, path, entry.driver_opts, driver)
    _driver(report, path, entry, driver)
    ipv4, ipv6 = _families(report, path, entry)
    options = entry.driver_opts
    return Network(
        name=entry.name,
        app="",
        spec="",
        labels=tuple(sorted((key, value or "") for key, value in entry.labels.items())),
        driver=driver,
        internal=entry.internal,
        enable_ipv6=entry.enable_ipv6,
        ipv4=ipv4,
        ipv6=ipv6,
        mtu=options.mtu or 0,
        bridge=options.bridge or "",
        parent=options.parent or "",
        mode=options.macvlan_mode or options.ipvlan_mode or "",
        cni=normpath(join(folder, options.config)) if options.config else "",
    )


def _options(report: Report, path: Path, options: compose.DriverOptions, driver: Driver) -> None:
    for field in sorted(options.model_fields_set - _OPTIONS[driver]):
        written = type(options).model_fields[field].alias or field
        report.add((*path, "driver_opts", written), f"a network of driver {driver} has no such option")
    needed = _NEEDED.get(driver)
    if needed and not getattr(options, needed):
        report.add((*path, "driver"), f"a network of driver {driver} needs '{needed}' in its 'driver_opts'")


def _driver(report: Report, path: Path, entry: compose.Network, driver: Driver) -> None:
    """What only bridges have, or all but those that come from a file."""
    if entry.internal and driver != "bridge":
        report.add((*path, "internal"), f"only a bridge can be closed; {driver} goes past this host")
    if driver == "cni":
        for field in sorted(entry.model_fields_set & {"ipam", "enable_ipv6"}):
            report.add((*path, field), "the CNI configuration gives the addresses")
    if entry.enable_ipv6 and 0 < (entry.driver_opts.mtu or 0) < 1280:
        at = (*path, "driver_opts", "com.docker.network.driver.mtu")
        report.add(at, "IPv6 needs an MTU of at least 1280 (RFC 8200)")


# --- addresses ---------------------------------------------------------------------------------------------------


def _families(report: Report, path: Path, entry: compose.Network) -> tuple[Ipam, Ipam]:
    """IPv4 and IPv6, each from at most one entry of `ipam.config`."""
    found: dict[int, Ipam] = {}
    for index, config in enumerate(entry.ipam.config):
        at = (*path, "ipam", "config", index)
        if not config.subnet:
            if config.model_fields_set:
                report.add(at, "it needs 'subnet'")
            continue
        version = ip_network(config.subnet).version
        if version in found:
            report.add((*at, "subnet"), f"a network has one subnet of IPv{version}, and another one stands above")
        if version == 6 and not entry.enable_ipv6:
            report.add((*at, "subnet"), "the network needs 'enable_ipv6: true'")
        for where, why in _mistakes(config, config.subnet):
            report.add((*at, *where), why)
        found.setdefault(version, _ipam(config))
    return found.get(4, Ipam()), found.get(6, Ipam())


def _ipam(config: compose.IpamConfig) -> Ipam:
    return Ipam(
        subnet=config.subnet or "",
        gateway=config.gateway or "",
        ip_range=config.ip_range or "",
        reserved=tuple(sorted(set(config.aux_addresses.values()))),
    )


def _mistakes(config: compose.IpamConfig, subnet: str) -> Iterator[tuple[Path, str]]:
    """Where in `config` something does not go with its subnet, and why."""
    whole = ip_network(subnet)
    first = whole.network_address
    if first.is_multicast or first.is_loopback or first.is_unspecified or (whole.version == 6 and first.is_link_local):
        yield ("subnet",), f"{subnet} is kept for other purposes; take one from 10.0.0.0/8 or fd00::/8"
    if whole.prefixlen > _LARGEST[whole.version]:
        yield ("subnet",), f"{subnet} has no room for a gateway and a container"
        return
    if config.gateway:
        yield from _each(("gateway",), outside(config.gateway, subnet))
    for name, address in config.aux_addresses.items():
        yield from _each(("aux_addresses", name), outside(address, subnet))
        if config.gateway == address:
            yield ("aux_addresses", name), f"{address} is the network's gateway"
    if config.ip_range:
        part = ip_network(config.ip_range)
        if part.version != whole.version or not part.subnet_of(whole):  # type: ignore[arg-type] # of one version
            yield ("ip_range",), f"{config.ip_range} is not in {subnet}"


def _each(where: Path, why: str) -> Iterator[tuple[Path, str]]:
    if why:
        yield where, why
