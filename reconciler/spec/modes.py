"""`network_mode`: what it says, and what does not go with it, as Docker refuses it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from reconciler.spec import compose
from reconciler.spec.report import Report
from reconciler.spec.tree import Path

_THERE: Final = "write it at that service, whose network it is"
_CONFLICTS: Final[Mapping[str, Mapping[str, str]]] = {
    "host": {
        "ports": "whatever the container listens on is a port of the host already",
        "mac_address": "the host's interfaces have their own",
        "x-allow": "whoever reaches the host reaches the container",
        "x-egress": "what leaves by the host's own network is not told apart",
    },
    "none": {
        "ports": "there is no network by which they could be reached",
        "mac_address": "there is no interface",
    },
    "service": {
        "ports": _THERE,
        "expose": _THERE,
        "mac_address": _THERE,
        "hostname": _THERE,
        "domainname": _THERE,
        "dns": _THERE,
        "dns_search": _THERE,
        "dns_opt": _THERE,
        "extra_hosts": _THERE,
        "x-allow": _THERE,
        "x-egress": _THERE,
    },
}
ALONE: Final = frozenset(_CONFLICTS)  # the modes in which a service joins no network of its own


def mode(report: Report, path: Path, service: compose.Workload) -> tuple[str, str]:
    """The mode of the service at `path`, "" when it joins networks; and, for `service`, the name of the other one."""
    kind, _, owner = service.network_mode.partition(":")
    why = _unknown(kind, service.network_mode, owner)
    if why:
        report.add((*path, "network_mode"), why)
        return "", ""
    if kind and service.networks:
        report.add((*path, "network_mode"), "it does not go with 'networks', as in Compose; leave one of them out")
    for key, why in _CONFLICTS.get(kind, {}).items():
        if _given(service, key):
            report.add((*path, key), f"it does not go with 'network_mode: {service.network_mode}'; {why}")
    if kind in ("host", "service"):
        _sysctls(report, path, service)
    return (kind, owner) if kind in ALONE else ("", "")


def _unknown(kind: str, text: str, owner: str) -> str:
    """Why this is no mode, "" when it is one."""
    if kind == "container":
        return "the network of a container that is not of this app cannot be shared; write service:NAME"
    if kind == "service":
        return "" if owner else "it needs the service's name, as in service:vpn"
    known = text in ("", "host", "none", "bridge")
    return "" if known else f"'{text}' is none; write host, none, bridge or service:NAME, or name it in 'networks'"


def _given(service: compose.Workload, key: str) -> bool:
    """An empty policy says something: nobody, nowhere."""
    policies = {"x-allow": service.allow, "x-egress": service.egress}
    return policies[key] is not None if key in policies else bool(getattr(service, key))


def _sysctls(report: Report, path: Path, service: compose.Workload) -> None:
    for name, _ in service.sysctls:
        if name.startswith("net."):
            why = f"'{name}' belongs to a network that is not its own with 'network_mode: {service.network_mode}'"
            report.add((*path, "sysctls"), why)
