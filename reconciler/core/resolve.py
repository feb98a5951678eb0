"""All specs to what they mean together: Desired. Pure; the order of `specs` does not matter.

Rules that need the whole host stand here: who owns an app's name, a published port, the name of a container, volume
or network. When two specs want the same, the app that is established keeps it, else the one whose path comes first;
the other is held, with an error that names both. A held app changes nothing for anybody else.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from reconciler.core.document import Document, Place, PortMapping
from reconciler.core.expand import App, Claim, expand
from reconciler.core.model import Container, Desired, Observed
from reconciler.core.networking import Port
from reconciler.errors import Problem, SpecError

_FIRST_AUTOMATIC, _LAST_AUTOMATIC = 32768, 60999  # the kernel's default ip_local_port_range

Specs = Mapping[str, Document | SpecError]

CERTAIN_AFTER = 0.3  # seconds that a spec must be gone; a swapped directory or a checkout takes less


def resolve(
    specs: Specs,
    established: frozenset[str],
    unavailable: str = "",
    apps: Mapping[str, str] | None = None,
) -> Desired:
    """What all of `specs` (path below the specs directory -> document or error) mean together.

    `established` are the apps that run already. `unavailable` is why the source cannot be read. `apps` are the app
    names from the last good parse, by path, so that an app is still known when its spec cannot be parsed. Never raises.
    """
    claims = _Claims()
    accepted: list[App] = []
    candidates: list[App] = []
    for path, spec in sorted(specs.items()):
        if isinstance(spec, SpecError):
            claims.hold(path, (apps or {}).get(path, ""), str(spec))
        else:
            candidates.append(expand(path, spec))
    for app in sorted(candidates, key=lambda app: (app.name not in established, app.spec)):
        problems = app.problems or tuple(claims.conflicts(app))
        if problems:
            claims.hold(app.spec, app.name, str(SpecError(*problems)))
        else:
            claims.take(app)
            accepted.append(app)
    return _desired(accepted, claims, unavailable)


def missing(desired: Desired, observed: Observed, before: Desired, now: float) -> Desired:
    """`desired`, with the apps that are on the host but in no spec, and until when that is not certain yet."""
    declared = {container.app for container in desired.containers.values()} | desired.held.keys()
    strays = {seen.app for seen in observed.containers.values()} - declared
    certain = now + CERTAIN_AFTER  # an earlier look said sooner, unless somebody set the clock back
    return replace(desired, vanished={app: min(before.vanished.get(app, certain), certain) for app in strays})


def _desired(accepted: list[App], claims: _Claims, unavailable: str) -> Desired:
    containers: dict[str, Container] = {}
    for app in sorted(accepted, key=lambda app: app.name):
        ports = _ports(app, claims)
        for container in app.containers:
            own = ports.get(container.service)
            containers[container.name] = replace(container, ports=own) if own else container
    return Desired(
        containers=containers,
        networks={network.name: network for app in accepted for network in app.networks},
        volumes={volume.name: volume for app in accepted for volume in app.volumes},
        held=claims.held,
        unavailable=unavailable,
    )


# --- who owns what -----------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Claims:
    """What apps own: names by kind, ports by protocol and number; and who is held, by path and by app name."""

    names: dict[tuple[str, str], App] = field(default_factory=dict)
    ports: dict[tuple[str, int], list[tuple[str, App]]] = field(default_factory=dict)
    held: dict[str, str] = field(default_factory=dict)

    def hold(self, path: str, name: str, why: str) -> None:
        """Keep the app's name for it, unless it belongs to an app of another path already."""
        self.held[path] = why
        if name and ("app", name) not in self.names:
            self.held[name] = why
            self.names["app", name] = App(name=name, spec=path, at=Place())

    def conflicts(self, app: App) -> Iterator[Problem]:
        """Why `app` cannot be accepted beside those that were."""
        same = self.names.get(("app", app.name))
        if same:
            why = f"{same.spec} has it; set another 'name', or rename the file"
            yield Problem(app.spec, *app.at, f"cannot use app name '{app.name}' for {app.spec}: {why}")
            return
        for kind, name in _names(app):
            other = self.names.get((kind, name))
            if other:
                yield _conflict(app, app.at, f"{kind} '{name}'", other)
        own: dict[tuple[str, int], list[tuple[str, App]]] = {}
        for claim in app.claims:
            key = (claim.mapping.protocol, claim.mapping.published or 0)
            if not key[1]:
                continue
            other = _overlap(claim.mapping, [*self.ports.get(key, ()), *own.get(key, ())])
            if other:
                yield _conflict(app, claim.mapping.at, f"host port {_shown(claim.mapping)}", other)
            own.setdefault(key, []).append((claim.mapping.host_ip, app))

    def take(self, app: App) -> None:
        """Accept `app`."""
        self.names["app", app.name] = app
        for kind, name in _names(app):
            self.names[kind, name] = app
        for claim in app.claims:
            if claim.mapping.published:
                self.take_port(claim.mapping, claim.mapping.published, app)

    def take_port(self, mapping: PortMapping, published: int, app: App) -> None:
        """`published` belongs to `app` at the mapping's address."""
        self.ports.setdefault((mapping.protocol, published), []).append((mapping.host_ip, app))


def _names(app: App) -> Iterator[tuple[str, str]]:
    for container in app.containers:
        if container.replica == 1:  # two services share all their containers' names or none
            yield "container name", container.name
    for network in app.networks:
        yield "network", network.name
    for volume in app.volumes:
        if not volume.external:
            yield "volume", volume.name


def _overlap(mapping: PortMapping, taken: list[tuple[str, App]]) -> App | None:
    """An empty address is every address of the host."""
    return next((app for ip, app in taken if not ip or not mapping.host_ip or ip == mapping.host_ip), None)


def _shown(mapping: PortMapping) -> str:
    return f"{mapping.host_ip or '*'}:{mapping.published}/{mapping.protocol}"


def _conflict(app: App, at: tuple[int, int], what: str, other: App) -> Problem:
    line, column = at
    why = "it is published twice in this app" if other is app else f"app '{other.name}' ({other.spec}) has it"
    return Problem(app.spec, line, column, f"cannot use {what} for app '{app.name}' ({app.spec}): {why}")


# --- ports -------------------------------------------------------------------------------------------------------


def _ports(app: App, claims: _Claims) -> dict[str, tuple[Port, ...]]:
    """The published ports by service. Runs in the order of app names, after all fixed ports are taken."""
    found: dict[str, tuple[Port, ...]] = {}
    for claim in app.claims:
        mapping = claim.mapping
        published = mapping.published or _automatic(app, claim, claims)
        port = Port(target=mapping.target, published=published, protocol=mapping.protocol, host_ip=mapping.host_ip)
        found[claim.service] = (*found.get(claim.service, ()), port)
    return found


def _automatic(app: App, claim: Claim, claims: _Claims) -> int:
    """A port derived from what it is for, so that it stays the same; the next free one when it is taken."""
    mapping = claim.mapping
    seed = f"{app.name}/{claim.service}/{mapping.target}/{mapping.protocol}"
    size = _LAST_AUTOMATIC - _FIRST_AUTOMATIC + 1
    start = int.from_bytes(hashlib.sha256(seed.encode()).digest()[:8], "big") % size
    for offset in range(size):
        published = _FIRST_AUTOMATIC + (start + offset) % size
        if not _overlap(mapping, claims.ports.get((mapping.protocol, published), [])):
            claims.take_port(mapping, published, app)
            return published
    return start + _FIRST_AUTOMATIC
