"""A container's identity, as the OCI annotations in its bundle: what the host says about it when asked later.

The bundle is the only record there is. Written once by `host.bundles`, read by `host.observe.containers`; what changes
from run to run is not part of it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import get_type_hints

from reconciler.core.decode import decode
from reconciler.core.health import Healthcheck, effective
from reconciler.core.model import Container, Restart, SeenImage
from reconciler.core.mounts import volumes_of
from reconciler.core.networking import Destination, Endpoint, Joint, Pairs, Port
from reconciler.core.process import capabilities
from reconciler.core.starting import Dependency, Hooks

PREFIX = "io.reconciler."
REVISION = f"{PREFIX}revision"


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
    stop_signal: str
    stop_grace_period: float
    created_at: float
    endpoints: tuple[Endpoint, ...] = ()
    host_network: bool = False
    shares: str = ""
    nameservers: tuple[str, ...] = ()
    dns: tuple[str, ...] = ()
    egress: tuple[Destination, ...] | None = None
    net_admin: bool = False
    ports: tuple[Port, ...] = ()
    restart: Restart = field(default_factory=Restart)
    healthcheck: Healthcheck | None = None
    hooks: Hooks = field(default_factory=Hooks)
    depends_on: tuple[Dependency, ...] = ()
    labels: Pairs = ()
    volumes: tuple[str, ...] = ()
    scheduled: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """What makes one instance out of a desired container."""

    id: str
    revision: str
    joint: Joint
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
        endpoints=instance.joint.endpoints,
        host_network=container.host_network,
        shares=instance.joint.shares,
        nameservers=instance.joint.nameservers,
        dns=container.dns,
        egress=container.egress,
        net_admin="CAP_NET_ADMIN" in capabilities(container),
        stop_signal=instance.stop_signal,
        stop_grace_period=container.stop_grace_period,
        created_at=instance.created_at,
        ports=container.ports,
        restart=container.restart,
        healthcheck=effective(container.healthcheck, image.config.healthcheck),
        hooks=container.hooks,
        depends_on=container.depends_on,
        labels=container.labels,
        volumes=volumes_of(container),
        scheduled=container.scheduled,
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
    return decode(Record, {name: text if name in _TEXTS else json.loads(text) for name, text in known.items()})


_TEXTS = frozenset(name for name, hint in get_type_hints(Record).items() if hint is str)
