"""What a link of ours says about itself: the alias, text that the kernel keeps with a link.

A bridge carries its network and what it was made from, the host's end of a veth its container and the bridge it
belongs on. Pure; written by the adapters, read by `observe.links`.
"""

from __future__ import annotations

from dataclasses import dataclass

from reconciler.core.networking import Network
from reconciler.core.wiring import Made
from reconciler.errors import HostError

LIMIT = 255  # bytes: IFALIASZ less the closing NUL


@dataclass(frozen=True, slots=True, kw_only=True)
class Marked:
    """A network as its bridge says; `made` is None on a bridge of a release that did not write that down."""

    name: str
    app: str
    spec: str
    made: Made | None


def network_alias(instance: str, network: Network, made: Made) -> str:
    """`<instance>:bridge:<name>:<app>:<mtu>,<subnet>,<subnet6>:<spec>`.

    Only the path of the spec may contain colons, so it comes last; those of IPv6 are written as dashes.
    """
    facts = f"{made.mtu},{made.subnet},{made.subnet6.replace(':', '-')}"
    alias = f"{instance}:bridge:{network.name}:{network.app}:{facts}:{network.spec}"
    if len(alias.encode()) > LIMIT:
        raise HostError(
            f"cannot mark the bridge of network {network.name}: a link's alias has {LIMIT} bytes at most, "
            f"and {alias!r} is longer; give the spec a shorter path"
        )
    return alias


def parse_network(instance: str, alias: str) -> Marked | None:
    """The network that an alias names; None for links that are not bridges of this instance."""
    match alias.split(":", 5):
        case [owner, "bridge", name, app, facts, spec] if owner == instance:
            made = _made(facts)
            return Marked(name=name, app=app, spec=spec, made=made) if made else None
        case [owner, "network", name, app, spec, *rest] if owner == instance:
            return Marked(name=name, app=app, spec=":".join((spec, *rest)), made=None)
        case _:
            return None


def _made(facts: str) -> Made | None:
    match facts.split(","):
        case [mtu, subnet, subnet6] if mtu.isascii() and mtu.isdigit():
            return Made(mtu=int(mtu), subnet=subnet, subnet6=subnet6.replace("-", ":"))
        case _:
            return None


def container_alias(instance: str, id: str, bridge: str) -> str:
    """`<instance>:container:<id>:<bridge>`."""
    return f"{instance}:container:{id}:{bridge}"


def parse_container(instance: str, alias: str) -> tuple[str, str] | None:
    """The container's id and the bridge it belongs on; None for links that are not ours."""
    parts = alias.split(":")
    if len(parts) != 4 or parts[:2] != [instance, "container"]:
        return None
    return parts[2], parts[3]


def departed_alias(instance: str) -> str:
    """Of a link that is only still there because the kernel takes its time to delete it."""
    return f"{instance}:departed"


def parent_alias(instance: str) -> str:
    """Of a VLAN that was made because a macvlan or ipvlan wanted it as its parent."""
    return f"{instance}:parent"
