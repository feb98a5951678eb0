"""What one spec says: a Compose document in one form, as frozen values.

Short forms are expanded, units are numbers, relative paths are absolute, variables are filled in and `env_file` is
merged into `environment`. What other specs say, defaults and full names are not here: that is `resolve`. Made by
`spec.parse`. Names are those of the Compose Specification.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from reconciler.core.model import BindMount, PullPolicy, Resources, Restart, TmpfsMount, VolumeMount
from reconciler.core.networking import Pairs, Protocol
from reconciler.errors import Problem


class Place(NamedTuple):
    """Where a value stands in its file, counted from 1; 0 when unknown."""

    line: int = 0
    column: int = 0


NOWHERE = Place()


@dataclass(frozen=True, slots=True, kw_only=True)
class PortMapping:
    """One entry of `ports` after ranges are expanded. `published` None: any free host port, but always the same."""

    target: int
    published: int | None = None
    protocol: Protocol = "tcp"
    host_ip: str = ""
    at: Place = NOWHERE


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependency:
    """One entry of `depends_on`."""

    service: str
    at: Place = NOWHERE


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One service. `mounts` name volumes by their key in the document; `network` is a key of `Document.networks`."""

    name: str
    image: str  # canonical
    command: tuple[str, ...] | None = None
    entrypoint: tuple[str, ...] | None = None
    environment: Pairs = ()
    labels: Pairs = ()
    working_dir: str = ""
    user: str = ""
    hostname: str = ""
    mounts: tuple[VolumeMount | BindMount | TmpfsMount, ...] = ()
    ports: tuple[PortMapping, ...] = ()
    network: str = "default"
    depends_on: tuple[Dependency, ...] = ()
    cap_add: tuple[str, ...] = ()
    cap_drop: tuple[str, ...] = ()
    read_only: bool = False
    init: bool = False
    stop_signal: str = ""
    stop_grace_period: float = 10.0
    restart: Restart = field(default_factory=Restart)
    resources: Resources = field(default_factory=Resources)
    replicas: int = 1
    platform: str = ""
    pull_policy: PullPolicy = field(default_factory=PullPolicy)
    at: Place = NOWHERE


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkDeclaration:
    """One entry of the top-level `networks`; `name` "" means `app_key`."""

    key: str
    name: str = ""
    labels: Pairs = ()
    at: Place = NOWHERE


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeDeclaration:
    """One entry of the top-level `volumes`; `name` "" means `app_key`, or `key` itself when external."""

    key: str
    name: str = ""
    external: bool = False
    labels: Pairs = ()
    at: Place = NOWHERE


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Document:
    """One spec. Compared and hashed by identity, so that what follows from it can be kept per document.

    `path` is the file's path as errors show it. `files` are the other files that were read for it, relative to its
    folder, whether they existed or not: when one of them changes, the spec must be parsed again. `warnings` are
    remarks for `check`, such as variables that are not set.
    """

    path: str
    name: str = ""
    at: Place = NOWHERE
    services: tuple[Service, ...] = ()
    networks: tuple[NetworkDeclaration, ...] = ()
    volumes: tuple[VolumeDeclaration, ...] = ()
    files: tuple[str, ...] = ()
    warnings: tuple[Problem, ...] = ()
