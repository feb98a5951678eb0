"""How a service is connected: its networks and what it knows of them, to the document's `Networking`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from reconciler.core.document import Connection, Dependency, NetworkDeclaration, Networking
from reconciler.core.joining import blocked, misfits
from reconciler.core.networking import Attachment, Destination
from reconciler.spec import compose, forms
from reconciler.spec.modes import mode
from reconciler.spec.report import Report
from reconciler.spec.tree import Path


@dataclass(frozen=True, slots=True)
class Connector:
    """Connects the services of one spec. `declared` are its networks."""

    report: Report
    declared: Mapping[str, NetworkDeclaration]

    def networking(self, path: Path, service: compose.Workload) -> Networking:
        """All of it for the service at `path`."""
        kind, owner = mode(self.report, path, service)
        at = self.report.tree.value_at((*path, "network_mode"))
        return Networking(
            connections=() if kind else self._connections(path, service),
            host_network=kind == "host",
            shares=Dependency(service=owner, key="network_mode", at=at) if kind == "service" else None,
            hostname=service.hostname,
            domainname=service.domainname,
            dns=service.dns,
            dns_search=service.dns_search,
            dns_opt=service.dns_opt,
            extra_hosts=service.extra_hosts,
            sysctls=service.sysctls,
            expose=tuple(port for entry in service.expose for port in _exposed(entry)),
            egress=_egress(service),
        )

    def _connections(self, path: Path, service: compose.Workload) -> tuple[Connection, ...]:
        """In the order of their interfaces: the highest priority first, then by name, as Compose connects them."""
        entries = service.networks or {"default": compose.Attachment()}
        keys = sorted(entries, key=lambda key: (-entries[key].priority, key))
        found: list[Connection] = []
        for key in keys:
            at = self._at(path, list(entries), key)
            if key not in self.declared:
                self.report.add(at, f"network '{key}' is not declared; add it to the top-level 'networks'")
                continue
            attachment = _attachment(key, entries[key])
            if key == keys[0] and service.mac_address:
                attachment = self._addressed(path, attachment, service.mac_address)
            self._check(path, at, service, attachment)
            found.append(Connection(attachment=attachment, at=self.report.tree.key_at(at)))
        self._check_all(path, service, [connection.attachment for connection in found])
        return tuple(found)

    def _at(self, path: Path, keys: list[str], key: str) -> Path:
        """Where the service names the network, in a mapping or in a list."""
        mapping = (*path, "networks", key)
        return mapping if mapping in self.report.tree.values else (*path, "networks", keys.index(key))

    def _addressed(self, path: Path, attachment: Attachment, mac_address: str) -> Attachment:
        """The service's own `mac_address` is that of its first interface."""
        if attachment.mac_address not in ("", mac_address):
            self.report.add((*path, "mac_address"), f"network '{attachment.network}' of the service has another one")
        return replace(attachment, mac_address=mac_address)

    # --- mistakes --------------------------------------------------------------------------------------------

    def _check(self, path: Path, at: Path, service: compose.Workload, attachment: Attachment) -> None:
        """One network, as far as it is declared here."""
        written = service.networks.get(attachment.network)
        replicas = service.deploy.replicas if isinstance(service, compose.Service) else 1
        for key in ("ipv4_address", "ipv6_address", "mac_address"):
            if getattr(attachment, key) and replicas > 1:
                where = (*at, key) if written and getattr(written, key) else (*path, key)
                self.report.add(where, f"{replicas} replicas cannot have one address; leave it out")
        declaration = self.declared[attachment.network]
        if not declaration.external:
            for key, why in misfits(attachment, declaration.network):
                self.report.add((*at, key), why)

    def _check_all(self, path: Path, service: compose.Workload, attachments: list[Attachment]) -> None:
        """What all networks of the service are together."""
        names = Counter(entry.interface_name or f"eth{place}" for place, entry in enumerate(attachments))
        for name in (name for name, count in names.items() if count > 1):
            self.report.add((*path, "networks"), f"two of its interfaces would be called '{name}'")
        declared = [self.declared[entry.network] for entry in attachments]
        if not any(declaration.external for declaration in declared):
            networks = [replace(entry.network, name=entry.key) for entry in declared]
            host_ips = [port.host_ip or "" for port in service.ports]
            for key, why in blocked(networks, host_ips, service.egress is not None):
                self.report.add((*path, key), why)


def _attachment(key: str, entry: compose.Attachment) -> Attachment:
    return Attachment(
        network=key,
        aliases=tuple(dict.fromkeys(entry.aliases)),
        ipv4_address=entry.ipv4_address or "",
        ipv6_address=entry.ipv6_address or "",
        mac_address=entry.mac_address or "",
        interface_name=entry.interface_name or "",
        gw_priority=entry.gw_priority,
    )


def _exposed(entry: str) -> Iterator[str]:
    """One text for each port of a range."""
    ports, _, protocol = entry.partition("/")
    first, last = forms.span(ports)
    return (f"{port}/{protocol}" for port in range(first, last + 1))


def _egress(service: compose.Workload) -> tuple[Destination, ...] | None:
    """In one order, whatever the order of the list, which means nothing."""
    if service.egress is None:
        return None
    return tuple(sorted(set(service.egress), key=lambda entry: (entry.host, entry.ports, entry.protocol)))
