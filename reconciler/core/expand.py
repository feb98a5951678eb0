"""One document to what it wants on the host, before other specs are looked at: full names, replicas, own mistakes.

Pure and kept per document, so that a document that did not change costs nothing. Cross-file rules are in `resolve`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from posixpath import basename, dirname, splitext

from reconciler.core.document import Document, Place, PortMapping, Service
from reconciler.core.model import Container, Mount, Volume, VolumeMount
from reconciler.core.networking import Attachment, Network
from reconciler.errors import Problem

FOLDER_SPECS = ("compose.yaml", "compose.yml", "compose.toml", "docker-compose.yaml", "docker-compose.yml")


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A port of the host that a service wants. `published` None: any that is free, the same every time."""

    service: str
    mapping: PortMapping


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class App:
    """What one document wants. The containers' ports are not in them yet, because other apps may be in the way."""

    name: str
    spec: str
    at: Place
    containers: tuple[Container, ...] = ()
    networks: tuple[Network, ...] = ()
    volumes: tuple[Volume, ...] = ()
    claims: tuple[Claim, ...] = ()
    problems: tuple[Problem, ...] = ()


def app_name(spec: str, document: Document) -> str:
    """`name:`, else the file's stem, else, for a `compose.yaml`, the name of its folder."""
    if document.name:
        return document.name
    folder = basename(dirname(spec))
    return folder if folder and basename(spec) in FOLDER_SPECS else splitext(basename(spec))[0]


@lru_cache(maxsize=4096)
def expand(spec: str, document: Document) -> App:
    """What `document`, read from `spec` (its path below the specs directory), wants."""
    name = app_name(spec, document)
    problems = tuple(_problems(name, document))
    if problems:
        return App(name=name, spec=spec, at=document.at, problems=problems)
    networks = {entry.key: entry.name or f"{name}_{entry.key}" for entry in document.networks}
    volumes = _volume_names(name, document)
    return App(
        name=name,
        spec=spec,
        at=document.at,
        containers=tuple(
            container
            for service in document.services
            for container in _replicas(name, spec, service, networks[service.network], volumes)
        ),
        networks=tuple(_networks(name, spec, document, networks)),
        volumes=tuple(_volumes(name, spec, document, volumes)),
        claims=tuple(
            Claim(service=service.name, mapping=mapping) for service in document.services for mapping in service.ports
        ),
    )


def _volume_names(app: str, document: Document) -> dict[str, str]:
    return {
        entry.key: entry.name or (entry.key if entry.external else f"{app}_{entry.key}") for entry in document.volumes
    }


def _networks(app: str, spec: str, document: Document, names: dict[str, str]) -> Iterator[Network]:
    """As in Compose, a network that no service joins is not made."""
    used = {service.network for service in document.services if service.replicas}
    for entry in document.networks:
        if entry.key in used:
            yield Network(name=names[entry.key], app=app, spec=spec, labels=entry.labels)


def _volumes(app: str, spec: str, document: Document, names: dict[str, str]) -> Iterator[Volume]:
    mounts = (mount for service in document.services for mount in service.mounts)
    used = {mount.volume for mount in mounts if isinstance(mount, VolumeMount)}
    for entry in document.volumes:
        if entry.key in used:
            yield Volume(name=names[entry.key], app=app, spec=spec, external=entry.external, labels=entry.labels)


def _replicas(app: str, spec: str, service: Service, network: str, volumes: dict[str, str]) -> Iterator[Container]:
    mounts = tuple(sorted((_named(mount, volumes) for mount in service.mounts), key=lambda mount: mount.target))
    for replica in range(1, service.replicas + 1):
        yield Container(
            name=f"{app}-{service.name}-{replica}",
            app=app,
            service=service.name,
            replica=replica,
            spec=spec,
            image=service.image,
            networks=(Attachment(network=network),),
            command=service.command,
            entrypoint=service.entrypoint,
            environment=service.environment,
            labels=service.labels,
            working_dir=service.working_dir,
            user=service.user,
            hostname=service.hostname,
            mounts=mounts,
            cap_add=service.cap_add,
            cap_drop=service.cap_drop,
            read_only=service.read_only,
            init=service.init,
            stop_signal=service.stop_signal,
            stop_grace_period=service.stop_grace_period,
            restart=service.restart,
            resources=service.resources,
            depends_on=tuple(sorted({dependency.service for dependency in service.depends_on})),
            platform=service.platform,
            pull_policy=service.pull_policy,
        )


def _named(mount: Mount, volumes: dict[str, str]) -> Mount:
    return replace(mount, volume=volumes[mount.volume]) if isinstance(mount, VolumeMount) else mount


# --- a document's own mistakes -----------------------------------------------------------------------------------


def _problems(app: str, document: Document) -> Iterator[Problem]:
    yield from _name_problems(app, document)
    services = {service.name: service for service in document.services}
    for service in document.services:
        for dependency in service.depends_on:
            if dependency.service not in services:
                why = f"there is no service '{dependency.service}' in this app"
                yield _problem(document, dependency.at, f"'depends_on' of service '{service.name}'", why)
    yield from _cycles(document, services)


def _problem(document: Document, at: Place, subject: str, why: str) -> Problem:
    return Problem(document.path, *at, f"cannot use {subject}: {why}")


def _name_problems(app: str, document: Document) -> Iterator[Problem]:
    allowed = "abcdefghijklmnopqrstuvwxyz0123456789"
    plain = app[:1] in allowed and all(letter in allowed + "_-" for letter in app)
    if not app or not plain or len(app) > 63:
        why = "use lower-case letters, digits, '_' and '-', at most 63; rename the file or set 'name'"
        yield _problem(document, document.at, f"'{app}' as the app's name", why)


def _cycles(document: Document, services: dict[str, Service]) -> Iterator[Problem]:
    """One problem per cycle."""
    left = _prune(services)
    while left:
        circle = _circle(left)
        first = services[circle[0]]
        at = next(entry.at for entry in first.depends_on if entry.service == circle[1])
        why = f"it depends on itself: {' -> '.join(circle)}"
        yield _problem(document, at, f"'depends_on' of service '{first.name}'", why)
        left = _prune({name: service for name, service in left.items() if name not in circle})


def _prune(services: dict[str, Service]) -> dict[str, Service]:
    """Without what depends on nothing that is left, again and again: what stays is in a cycle, or needs one."""
    left = services
    while len(kept := {name: service for name, service in left.items() if _needs(service, left)}) < len(left):
        left = kept
    return left


def _needs(service: Service, left: dict[str, Service]) -> list[str]:
    return [entry.service for entry in service.depends_on if entry.service in left]


def _circle(left: dict[str, Service]) -> list[str]:
    """Names along a cycle, the first one again at the end. Every service in `left` needs another one in it."""
    seen: list[str] = []
    name = min(left)
    while name not in seen:
        seen.append(name)
        name = _needs(left[name], left)[0]
    return [*seen[seen.index(name) :], name]
