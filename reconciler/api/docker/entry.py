"""One container as Docker shows it: what is seen, joined with what is desired, and the entry of the list.

Labels are those of the image, then Compose's own (so that `docker compose ls` and dashboards group by app), then
the user's. Bind mounts keep their target and lose their source, commands keep their first word.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from reconciler.api.docker.words import address_and_prefix, host_address, program
from reconciler.api.question import Json
from reconciler.core.durations import human
from reconciler.core.health import Health
from reconciler.core.model import (
    BindMount,
    Container,
    Created,
    Dead,
    Exited,
    Mount,
    Running,
    SeenContainer,
    SeenImage,
    TmpfsMount,
    VolumeMount,
    digest,
)
from reconciler.core.networking import Endpoint, Port
from reconciler.core.status import Snapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownNetwork:
    """A network as its containers see it."""

    name: str
    id: str
    ipv4: tuple[str, int] = ("", 0)
    ipv6: tuple[str, int] = ("", 0)
    gateway4: str = ""
    gateway6: str = ""
    mac: str = ""
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A container with everything that the view needs to know about it."""

    seen: SeenContainer
    wanted: Container | None  # None: its spec is gone
    image: SeenImage | None
    networks: tuple[ShownNetwork, ...]
    labels: Mapping[str, str]
    mounts: tuple[Json, ...]
    exposed: set[str]  # "80/tcp", also those that are published
    waits: str  # why it is not started again yet, "" when it does not wait

    @property
    def ports(self) -> tuple[Port, ...]:
        """What is published: nothing unless it runs, as in Docker."""
        return self.seen.ports if isinstance(self.seen.state, Running) else ()


@lru_cache(maxsize=1024)
def network_id(name: str) -> str:
    """64 hex digits, as clients cut ids without looking at their length."""
    return digest(f"network:{name}")


def shown(seen: SeenContainer, snapshot: Snapshot) -> Shown:
    """What there is to know about `seen`."""
    wanted = snapshot.desired.containers.get(seen.name)
    image = _image(seen, snapshot)
    exposed = {port for port in (image.config.exposed_ports if image else ()) if _is_port(port)}
    key = f"container:{seen.name}"
    return Shown(
        seen=seen,
        wanted=wanted,
        image=image,
        networks=tuple(map(_network, seen.endpoints)),
        labels=_labels(seen, wanted, image),
        mounts=tuple(_mount(mount) for mount in (wanted.mounts if wanted else ())),
        exposed=exposed | {f"{port.target}/{port.protocol}" for port in seen.ports},
        waits=next((wait.reason for wait in snapshot.plan.waits if wait.key == key), ""),
    )


def _image(seen: SeenContainer, snapshot: Snapshot) -> SeenImage | None:
    """What it was made from, as long as that is here; a lock or a platform gives it another name."""
    images = snapshot.observed.images
    found = images.get(seen.image)
    if found and found.digest == seen.image_digest:
        return found
    return next((image for image in images.values() if image.digest == seen.image_digest), None)


def _network(endpoint: Endpoint) -> ShownNetwork:
    return ShownNetwork(
        name=endpoint.network.name,
        id=network_id(endpoint.network.name),
        ipv4=address_and_prefix(endpoint.ipv4),
        ipv6=address_and_prefix(endpoint.ipv6),
        gateway4=endpoint.gateway4,
        gateway6=endpoint.gateway6,
        mac=endpoint.mac,
        aliases=endpoint.aliases,
    )


def _labels(seen: SeenContainer, wanted: Container | None, image: SeenImage | None) -> dict[str, str]:
    compose = {
        "com.docker.compose.project": seen.app,
        "com.docker.compose.service": seen.service,
        "com.docker.compose.container-number": str(seen.replica),
        "com.docker.compose.oneoff": "False",
        "com.docker.compose.config-hash": seen.revision,
        "com.docker.compose.version": "reconciler",
        "com.docker.compose.project.config_files": seen.spec,
        "com.docker.compose.project.working_dir": "",
    }
    return {**dict(image.config.labels if image else ()), **compose, **dict(wanted.labels if wanted else ())}


def _is_port(text: str) -> bool:
    number, _, protocol = text.partition("/")
    return number.isascii() and number.isdecimal() and len(number) <= 5 and protocol in {"tcp", "udp", "sctp"}


def _mount(mount: Mount) -> Json:
    match mount:
        case VolumeMount(volume=volume):
            own = {"Type": "volume", "Name": volume, "Driver": "local", "Propagation": ""}
        case BindMount(propagation=propagation):
            own = {"Type": "bind", "Name": "", "Driver": "", "Propagation": propagation}
        case TmpfsMount():
            own = {"Type": "tmpfs", "Name": "", "Driver": "", "Propagation": ""}
    mode = "ro" if mount.read_only else "rw"
    return {**own, "Source": "", "Destination": mount.target, "Mode": mode, "RW": not mount.read_only}


def state(one: Shown) -> str:
    """Docker's closed set of words: `created`, `running`, `restarting`, `exited`."""
    match one.seen.state:
        case Running():
            return "running"
        case Exited():
            comes_back = one.wanted is not None and one.seen.restart.policy != "no"
            return "restarting" if comes_back and one.waits else "exited"
        case Created() | Dead():
            return "created"


def _status(one: Shown, now: float) -> str:
    """Docker's sentence, which tools parse (moby daemon/container/state.go)."""
    match one.seen.state:
        case Running(since=since):
            return f"Up {human(now - since)}{_health(one.seen.health)}"
        case Exited(code=code, at=at):
            word = "Restarting" if state(one) == "restarting" else "Exited"
            return f"{word} ({code}) {human(now - at)} ago"
        case Created() | Dead():
            return "Created"


def _health(health: Health | None) -> str:
    if health is None:
        return ""
    return " (health: starting)" if health.state == "starting" else f" ({health.state})"


def entry(one: Shown, now: float) -> Json:
    """One entry of `/containers/json`."""
    seen = one.seen
    return {
        "Id": seen.id,
        "Names": [f"/{seen.name}"],
        "Image": seen.image,
        "ImageID": one.image.id if one.image else seen.image_digest,
        "Command": program(seen.command),
        "Created": int(seen.created_at),
        "Ports": _ports(one),
        "Labels": one.labels,
        "State": state(one),
        "Status": _status(one, now),
        "HostConfig": {"NetworkMode": network_mode(one)},
        "NetworkSettings": {"Networks": networks(one)},
        "Mounts": one.mounts,
    }


def network_mode(one: Shown) -> str:
    """`host`, `container:ID`, the name of its first network, or `none`."""
    if one.seen.host_network:
        return "host"
    if one.seen.shares:
        return f"container:{one.seen.shares}"
    return next((network.name for network in one.networks), "none")


def _ports(one: Shown) -> list[Json]:
    if not isinstance(one.seen.state, Running):
        return []
    published = [
        {"IP": host_address(port.host_ip), "PrivatePort": port.target, "PublicPort": port.published,
         "Type": port.protocol}
        for port in one.ports
    ]  # fmt: skip
    rest = one.exposed - {f"{port.target}/{port.protocol}" for port in one.ports}
    pairs = [exposed.split("/") for exposed in sorted(rest)]
    return [*published, *({"PrivatePort": int(number), "Type": protocol} for number, protocol in pairs)]


def networks(one: Shown) -> dict[str, Json]:
    """Its ends of its networks, by their names; as in Docker `none` and `host` are networks, too."""
    if one.seen.shares:
        return {}
    if not one.networks:
        name = network_mode(one)
        return {name: _end(one, ShownNetwork(name=name, id=network_id(name)))}
    return {network.name: _end(one, network) for network in one.networks}


def _end(one: Shown, network: ShownNetwork) -> Json:
    joined = bool(one.networks)
    running = isinstance(one.seen.state, Running) and joined
    (ip, prefix), (ip6, prefix6) = (network.ipv4, network.ipv6) if running else (("", 0), ("", 0))
    return {
        "IPAMConfig": None,
        "Links": None,
        "Aliases": [one.seen.name, one.seen.service, *network.aliases] if joined else None,
        "MacAddress": network.mac if running else "",
        "DriverOpts": None,
        "GwPriority": 0,
        "NetworkID": network.id,
        "EndpointID": digest(f"{one.seen.id}:{network.id}") if running else "",
        "Gateway": network.gateway4 if running else "",
        "IPAddress": ip,
        "IPPrefixLen": prefix,
        "IPv6Gateway": network.gateway6 if running else "",
        "GlobalIPv6Address": ip6,
        "GlobalIPv6PrefixLen": prefix6,
        "DNSNames": [one.seen.name, one.seen.service, *network.aliases, one.seen.id[:12]] if joined else None,
    }
