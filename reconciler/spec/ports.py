"""The published ports of a service: `ports` entries to mappings, one for each port of a range."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from reconciler.core.document import AUTOMATIC, PortMapping
from reconciler.spec import compose, forms
from reconciler.spec.report import Report
from reconciler.spec.tree import Path

_MOST: Final = 10_000  # of one app, so that a short text does not become a long list


def bounded(report: Report, model: compose.Compose) -> bool:
    """Whether the ranges of all services together are of a size that somebody may want."""
    spans = [port.target for service in model.workloads.values() for port in service.ports]
    exposed = (entry.partition("/")[0] for service in model.workloads.values() for entry in service.expose)
    total = sum(last - first + 1 for first, last in (*spans, *map(forms.span, exposed)))
    if total > _MOST:
        report.add(("services",), f"all 'ports' and 'expose' together are {total} ports, and {_MOST} are the most")
    return total <= _MOST


def ports(report: Report, path: Path, service: compose.Workload) -> Iterator[PortMapping]:
    """All mappings of the service at `path`, in the order of its entries."""
    for index, entry in enumerate(service.ports):
        at = (*path, "ports", index)
        first, last = entry.target
        allow = service.allow if entry.allow is None else entry.allow
        with report.at(at):
            for offset in range(last - first + 1):
                yield PortMapping(
                    target=first + offset,
                    published=_published(entry, offset),
                    protocol=entry.protocol,
                    host_ip=entry.host_ip or "",
                    allow=allow,
                    at=report.tree.value_at(at),
                )


def _published(entry: compose.Port, offset: int) -> tuple[int, int]:
    """Ranges of one length go together, port by port; one target gets any port of a range, as in Compose."""
    if entry.published is None:
        return AUTOMATIC
    (first, last), (lowest, highest) = entry.target, entry.published
    if first == last:
        return entry.published
    if highest - lowest != last - first:
        raise ValueError("the ranges of host ports and container ports must be equally long")
    return lowest + offset, lowest + offset
