"""A container's identity, as the OCI annotations in its bundle: what the host says about it when asked later.

The bundle is the only record there is. Written once by `host.bundles`, read by `host.observe.containers`; what changes
from run to run is not part of it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Literal, cast

from reconciler.core.model import Container, Restart, SeenImage
from reconciler.core.networking import Pairs, Port, Protocol

PREFIX = "io.reconciler."


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What identifies one instance, and what is needed to stop, reach and show it. As in `SeenContainer`."""

    id: str
    name: str
    app: str
    service: str
    replica: int
    spec: str
    revision: str
    image: str
    image_digest: str
    network: str | None
    address: str
    stop_signal: str
    stop_grace_period: float
    created_at: float
    ports: tuple[Port, ...] = ()
    restart: Restart = field(default_factory=Restart)
    labels: Pairs = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """What makes one instance out of a desired container."""

    id: str
    revision: str
    address: str
    stop_signal: str
    created_at: float


def record(container: Container, image: SeenImage, instance: Instance) -> Record:
    """The identity of `instance` of `container`, made from `image`."""
    return Record(
        id=instance.id,
        name=container.name,
        app=container.app,
        service=container.service,
        replica=container.replica,
        spec=container.spec,
        revision=instance.revision,
        image=container.image,
        image_digest=image.digest,
        network=container.network,
        address=instance.address,
        stop_signal=instance.stop_signal,
        stop_grace_period=container.stop_grace_period,
        created_at=instance.created_at,
        ports=container.ports,
        restart=container.restart,
        labels=container.labels,
    )


def to_annotations(of: Record) -> dict[str, str]:
    """`of` as OCI annotations: texts as they are, everything else as JSON; what is None is left out."""
    return {
        PREFIX + name: value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
        for name, value in asdict(of).items()
        if value is not None
    }


def from_annotations(given: Mapping[str, str]) -> Record:
    """The record in `given`. Raises ValueError, KeyError or TypeError when it is not one that `to_annotations` made."""
    known = {name.removeprefix(PREFIX): value for name, value in dict(given).items() if name.startswith(PREFIX)}
    restart = json.loads(known["restart"])
    return Record(
        id=known["id"],
        name=known["name"],
        app=known["app"],
        service=known["service"],
        replica=int(known["replica"]),
        spec=known["spec"],
        revision=known["revision"],
        image=known["image"],
        image_digest=known["image_digest"],
        network=known.get("network"),
        address=known["address"],
        stop_signal=known["stop_signal"],
        stop_grace_period=float(known["stop_grace_period"]),
        created_at=float(known["created_at"]),
        ports=tuple(_port(entry) for entry in json.loads(known["ports"])),
        restart=Restart(policy=_policy(restart["policy"]), max_retries=int(restart["max_retries"])),
        labels=tuple((str(name), str(value)) for name, value in json.loads(known["labels"])),
    )


def _port(entry: Mapping[str, str | int]) -> Port:
    return Port(
        target=int(entry["target"]),
        published=int(entry["published"]),
        protocol=cast("Protocol", str(entry["protocol"])),
        host_ip=str(entry["host_ip"]),
    )


def _policy(text: str) -> Literal["no", "always", "on-failure", "unless-stopped"]:
    return cast('Literal["no", "always", "on-failure", "unless-stopped"]', text)
