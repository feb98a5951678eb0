"""All specs to what they mean together: Desired. Pure; the order of `specs` does not matter.

Rules that need the whole host stand here: who owns an app's name, a published port, the name of a container, volume
or network. When two specs want the same, the app that is established keeps it, else the one whose path comes first;
the other is held, with an error that names both. A held app changes nothing for anybody else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from reconciler.core.document import Document, Place
from reconciler.core.expand import App, expand
from reconciler.core.hostports import Assigned, HostPorts, assign, shown
from reconciler.core.joining import blocked, misfits, overlap
from reconciler.core.model import Container, Desired, Observed
from reconciler.core.networking import Network
from reconciler.core.removal import strays
from reconciler.errors import Problem, SpecError

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
    refused: dict[str, str] = {}
    while True:
        claims, accepted = _accept(specs, established, apps or {}, refused)
        assigned = assign(accepted, claims.ports)
        late = [(app, found) for app in accepted if (found := tuple(_together(app, accepted, assigned, claims)))]
        if not late:
            return _desired(accepted, claims, assigned, unavailable)
        app, problems = late[-1]  # the established ones stand first
        refused[app.spec] = str(SpecError(*problems))


def _accept(
    specs: Specs, established: frozenset[str], apps: Mapping[str, str], refused: Mapping[str, str]
) -> tuple[_Claims, list[App]]:
    """What can be had together, one app after the other. `refused` are why, by path, some cannot be had at all."""
    claims = _Claims()
    accepted: list[App] = []
    candidates: list[App] = []
    for path, spec in sorted(specs.items()):
        if isinstance(spec, SpecError):
            claims.hold(path, apps.get(path, ""), str(spec))
        else:
            candidates.append(expand(path, spec))
    for app in sorted(candidates, key=lambda app: (app.name not in established, app.spec)):
        problems = app.problems or tuple(claims.conflicts(app))
        why = refused.get(app.spec) or (str(SpecError(*problems)) if problems else "")
        if why:
            claims.hold(app.spec, app.name, why)
        else:
            claims.take(app)
            accepted.append(app)
    return claims, accepted


def missing(desired: Desired, observed: Observed, before: Desired, now: float) -> Desired:
    """`desired`, with the apps that are on the host but in no spec, and until when that is not certain yet."""
    certain = now + CERTAIN_AFTER  # an earlier look said sooner, unless somebody set the clock back
    gone = strays(desired, observed)
    if not gone and not desired.vanished:
        return desired  # itself, so that everybody sees that nothing changed
    return replace(desired, vanished={app: min(before.vanished.get(app, certain), certain) for app in gone})


def _desired(accepted: list[App], claims: _Claims, assigned: Assigned, unavailable: str) -> Desired:
    containers: dict[str, Container] = {}
    for app in sorted(accepted, key=lambda app: app.name):
        for container in app.containers:
            own = assigned.ports.get((app.name, container.service))
            containers[container.name] = replace(container, ports=tuple(own)) if own else container
    used = {join.attachment.network for app in accepted for join in app.joins}
    return Desired(
        containers=containers,
        networks={network.name: network for app in accepted for network, _ in app.networks if network.name in used},
        volumes={volume.name: volume for app in accepted for volume in app.volumes},
        held=claims.held,
        unavailable=unavailable,
    )


# --- who owns what -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Want:
    """Something that one app may have: a name, an address, a link. `shared` ones an app may name twice."""

    kind: str
    name: str
    at: Place
    shared: bool = False


@dataclass(slots=True)
class _Claims:
    """What apps own: names by kind, ports, subnets; and who is held, by path and by app name."""

    names: dict[tuple[str, str], App] = field(default_factory=dict)
    ports: HostPorts = field(default_factory=HostPorts)
    subnets: list[tuple[str, Network, App]] = field(default_factory=list)
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
        yield from self._names(app)
        yield from self._subnets(app)
        yield from self._ports(app)

    def _names(self, app: App) -> Iterator[Problem]:
        own: set[tuple[str, str]] = set()
        for want in _wants(app):
            key = (want.kind, want.name)
            other = self.names.get(key) or (app if key in own and not want.shared else None)
            if other:
                yield _conflict(app, want.at, f"{want.kind} {want.name}", other)
            own.add(key)

    def _subnets(self, app: App) -> Iterator[Problem]:
        taken = list(self.subnets)
        for subnet, network, at in _declared_subnets(app):
            for other, theirs, owner in taken:
                if overlap(subnet, other):
                    why = f"it overlaps {other} of network '{theirs.name}' of {_owner(owner)}"
                    what = f"subnet {subnet} of network '{network.name}'"
                    yield Problem(app.spec, *at, f"cannot use {what} for {_owner(app)}: {why}")
            taken.append((subnet, network, app))

    def _ports(self, app: App) -> Iterator[Problem]:
        own = HostPorts()
        for mapping in (claim.mapping for claim in app.claims if claim.mapping.fixed):
            other = self.ports.owner(mapping, mapping.fixed) or own.owner(mapping, mapping.fixed)
            if other:
                yield _conflict(app, mapping.at, f"host port {shown(mapping)}", other)
            own.take(mapping, mapping.fixed, app)

    def take(self, app: App) -> None:
        """Accept `app`."""
        self.names["app", app.name] = app
        for want in _wants(app):
            self.names[want.kind, want.name] = app
        self.subnets += [(subnet, network, app) for subnet, network, _ in _declared_subnets(app)]
        for mapping in (claim.mapping for claim in app.claims if claim.mapping.fixed):
            self.ports.take(mapping, mapping.fixed, app)


def _wants(app: App) -> Iterator[_Want]:
    for container in app.containers:
        if container.replica == 1:  # two services share all their containers' names or none
            yield _Want("container name", f"'{container.name}'", app.at)
    for network, at in app.networks:
        yield _Want("network", f"'{network.name}'", at)
        if network.bridge:
            yield _Want("bridge", f"'{network.bridge}'", at)
    yield from (_Want("volume", f"'{volume.name}'", app.at, True) for volume in app.volumes if not volume.external)
    for join in app.joins:
        addresses = filter(None, (join.attachment.ipv4_address, join.attachment.ipv6_address))
        yield from (_Want("address", f"{it} in network '{join.attachment.network}'", join.at) for it in addresses)


def _declared_subnets(app: App) -> Iterator[tuple[str, Network, Place]]:
    for network, at in app.networks:
        for subnet in (network.ipv4.subnet, network.ipv6.subnet):
            if subnet:
                yield subnet, network, at


def _owner(app: App) -> str:
    return f"app '{app.name}' ({app.spec})"


def _conflict(app: App, at: Place, what: str, other: App) -> Problem:
    why = "this app has it twice" if other is app else f"{_owner(other)} has it"
    return Problem(app.spec, *at, f"cannot use {what} for {_owner(app)}: {why}")


# --- what is known only when all apps are ------------------------------------------------------------------------


def _together(app: App, accepted: list[App], assigned: Assigned, claims: _Claims) -> Iterator[Problem]:
    """What `app` cannot have: none of a range of ports is left, or another app's network is not made for it."""
    for mapping in assigned.exhausted.get(app.name, {}).values():
        owners = {claims.ports.owner(mapping, port) for port in range(mapping.published[0], mapping.published[1] + 1)}
        have = " and ".join(sorted(_owner(owner) for owner in owners if owner)[:3])
        what = f"any of the host ports {shown(mapping)} for {_owner(app)}"
        yield Problem(app.spec, *mapping.at, f"cannot use {what}: {have} have them all")
    if any(join.external for join in app.joins):
        yield from _foreign(app, {network.name: network for other in accepted for network, _ in other.networks})


def _foreign(app: App, networks: Mapping[str, Network]) -> Iterator[Problem]:
    """Where a service of `app` and a network that another app declares do not go together."""
    for join in app.joins:
        network = networks.get(join.attachment.network)
        for key, why in misfits(join.attachment, network) if network and join.external else ():
            subject = f"'{key}' of service '{join.service}' in network '{join.attachment.network}'"
            yield Problem(app.spec, *join.at, f"cannot use {subject}: {why}")
    for container in (container for container in app.containers if container.replica == 1):
        joins = [join for join in app.joins if join.service == container.service]
        known = [networks[join.attachment.network] for join in joins if join.attachment.network in networks]
        if len(known) == len(joins) and any(join.external for join in joins):
            host_ips = [claim.mapping.host_ip for claim in app.claims if claim.service == container.service]
            for key, why in blocked(known, host_ips, container.egress is not None):
                yield Problem(app.spec, *joins[0].at, f"cannot use '{key}' of service '{container.service}': {why}")
