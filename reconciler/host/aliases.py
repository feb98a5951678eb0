"""What a link of ours says about itself: the alias, text that the kernel keeps with a link.

A bridge carries its network, the host's end of a veth its container and the bridge it belongs on. Pure; written
by `networks`, read by `observe.links`.
"""

from __future__ import annotations

from reconciler.core.networking import Network
from reconciler.errors import HostError

LIMIT = 255  # bytes: IFALIASZ less the closing NUL


def network_alias(instance: str, network: Network) -> str:
    """`<instance>:network:<name>:<app>:<spec>`; the path of the spec comes last because only it may contain colons."""
    alias = f"{instance}:network:{network.name}:{network.app}:{network.spec}"
    if len(alias.encode()) > LIMIT:
        raise HostError(
            f"cannot mark the bridge of network {network.name}: a link's alias has {LIMIT} bytes at most, "
            f"and {alias!r} is longer; give the spec a shorter path"
        )
    return alias


def parse_network(instance: str, alias: str) -> Network | None:
    """The network that an alias names; None for links that are not bridges of this instance."""
    parts = alias.split(":", 4)
    if len(parts) != 5 or parts[:2] != [instance, "network"]:
        return None
    _, _, name, app, spec = parts
    return Network(name=name, app=app, spec=spec)


def container_alias(instance: str, id: str, bridge: str) -> str:
    """`<instance>:container:<id>:<bridge>`."""
    return f"{instance}:container:{id}:{bridge}"


def parse_container(instance: str, alias: str) -> tuple[str, str] | None:
    """The container's id and the bridge it belongs on; None for links that are not ours."""
    parts = alias.split(":")
    if len(parts) != 4 or parts[:2] != [instance, "container"]:
        return None
    return parts[2], parts[3]
