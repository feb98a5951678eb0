"""Networks as Docker lists and inspects them: the bridges of the apps."""

from __future__ import annotations

from reconciler.api.docker import filters as by
from reconciler.api.docker.entry import network_id
from reconciler.api.docker.words import NEVER, gateway, interface
from reconciler.api.question import Json, Question, RefusalError
from reconciler.core.model import Running, SeenContainer, digest
from reconciler.core.networking import Endpoint, SeenNetwork
from reconciler.core.status import Snapshot


def listing(question: Question) -> list[Json]:
    """`/networks`; containers are named by the inspection only, as in Docker."""
    filters = by.parse(question.query.get("filters", ""), _TESTS)
    found = [_network(network, question.snapshot) for _, network in sorted(question.snapshot.observed.networks.items())]
    return [network for network in found if by.accepts(network, filters, _TESTS)]


def inspection(question: Question) -> Json:
    """`/networks/{id}`: by name, by id, by the beginning of an id."""
    wanted, snapshot = question.path["id"], question.snapshot
    networks = snapshot.observed.networks
    matching = [network for network in networks.values() if network_id(network.name).startswith(wanted)]
    network = networks.get(wanted) or (matching[0] if len(matching) == 1 else None)
    if network is None:
        raise RefusalError(404, f"network {wanted} not found")
    return {**_network(network, snapshot), "Containers": {
        seen.id: _end(seen, endpoint)
        for seen in snapshot.observed.containers.values()
        for endpoint in seen.endpoints
        if endpoint.network.name == network.name and isinstance(seen.state, Running)
    }}  # fmt: skip


def _network(network: SeenNetwork, snapshot: Snapshot) -> Json:
    wanted = snapshot.desired.networks.get(network.name)
    compose = {
        "com.docker.compose.network": network.name.removeprefix(f"{network.app}_"),
        "com.docker.compose.project": network.app,
    }
    return {
        "Name": network.name,
        "Id": network_id(network.name),
        "Created": NEVER,
        "Scope": "local",
        "Driver": "bridge",
        "EnableIPv4": True,
        "EnableIPv6": bool(network.subnet6),
        "IPAM": {"Driver": "default", "Options": None, "Config": [
            {"Subnet": subnet, "Gateway": ip}
            for ip, _, subnet in map(gateway, (network.subnet, network.subnet6))
            if ip
        ]},
        "Internal": bool(wanted and wanted.internal),
        "Attachable": False,
        "Ingress": False,
        "ConfigFrom": {"Network": ""},
        "ConfigOnly": False,
        "Containers": {},
        "Options": {"com.docker.network.bridge.name": network.bridge},
        "Labels": {**compose, **dict(wanted.labels if wanted else ())},
    }  # fmt: skip


def _end(seen: SeenContainer, endpoint: Endpoint) -> Json:
    return {
        "Name": seen.name,
        "EndpointID": digest(f"{seen.id}:{network_id(endpoint.network.name)}"),
        "MacAddress": endpoint.mac,
        "IPv4Address": interface(endpoint.ipv4),
        "IPv6Address": interface(endpoint.ipv6),
    }


def _labels(network: Json) -> dict[str, str]:
    labels = network["Labels"]
    assert isinstance(labels, dict)
    return labels


_TESTS: dict[str, by.Test[Json]] = {
    "name": lambda network, wanted: by.name(str(network["Name"]), wanted),
    "id": lambda network, wanted: str(network["Id"]).startswith(wanted),
    "driver": lambda _, wanted: wanted == "bridge",
    "scope": lambda _, wanted: wanted == "local",
    "type": lambda _, wanted: wanted == "custom",
    "label": lambda network, wanted: by.label(_labels(network), wanted),
    "dangling": lambda _, wanted: wanted.lower() in {"false", "0"},
}
