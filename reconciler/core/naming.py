"""Who answers for names now: resolvers, the records in them, and what outside names mean. Pure; called by `plan`.

What a resolver is and what it knows follows from values in `dns`; here it becomes tasks and waits.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain

from reconciler.core import dns
from reconciler.core.addresses import Refused
from reconciler.core.dns import Asker, View
from reconciler.core.frontends import serving
from reconciler.core.model import Container, Running, SeenContainer
from reconciler.core.networking import Resolver
from reconciler.core.reach import is_network
from reconciler.core.reasons import Reason
from reconciler.core.scene import Scene
from reconciler.core.steps import ResolveNames, ServeNames, StopNames, Task, Wait, WriteNames

RESOLVE_EVERY = 30.0  # seconds between two questions for the addresses of a name in x-egress
SETTLED = 5.0  # seconds that a container runs, after which a record of it that differs was changed by somebody else


def view(scene: Scene, container: Container) -> View | None:
    """What names a new instance of `container` sees; all its networks are there."""
    return dns.view([scene.networks[entry.network] for entry in container.networks], container.dns)


def unserved(scene: Scene, found: Mapping[str, Resolver | Refused], container: Container) -> Reason | None:
    """Why a new instance of `container` could not ask for names, None when it can: it may ask once, as it starts."""
    wanted = view(scene, container)
    resolver = found.get(wanted.resolver) if wanted else None
    if isinstance(resolver, Refused):
        return Reason("no-address", resolver.message)
    if wanted and (resolver is None or resolver.name not in scene.observed.resolvers):
        return Reason("resolver-missing", f"waits for names of {', '.join(wanted.networks)} to be served")
    return None


def resolvers(scene: Scene) -> Mapping[str, Resolver | Refused]:
    """All resolvers that somebody needs, by name."""
    return dns.resolvers(scene.networks, scene.observed.networks, _askers(scene), scene.taken)


def _askers(scene: Scene) -> Iterator[Asker]:
    for seen in scene.observed.containers.values():
        if found := dns.view([end.network for end in seen.endpoints], seen.dns):
            yield Asker(found, seen.nameservers)
    for container in scene.desired.containers.values():
        known = all(entry.network in scene.networks for entry in container.networks)
        if known and (found := view(scene, container)):
            yield Asker(found)


def names(scene: Scene, found: Mapping[str, Resolver | Refused], now: float) -> Iterator[Task | Wait]:
    """Resolvers, the records in them, and what outside names mean that somebody may connect to."""
    yield from _resolver_tasks(scene, found)
    yield from _record_tasks(scene, found, now)
    outside = sorted(_outside_names(scene))
    due = tuple(name for name in outside if now >= _asked_at(scene, name) + RESOLVE_EVERY)
    if due:
        yield Task("resolve", "x-egress names it", (ResolveNames(due),))


def next_question(scene: Scene) -> float | None:
    """When a name in x-egress is asked for again, None when there is none."""
    return min((_asked_at(scene, name) + RESOLVE_EVERY for name in _outside_names(scene)), default=None)


def _resolver_tasks(scene: Scene, found: Mapping[str, Resolver | Refused]) -> Iterator[Task | Wait]:
    asked = {address for seen in _running(scene) for address in seen.nameservers}
    for name, resolver in sorted(found.items()):
        if isinstance(resolver, Refused):
            yield Wait(f"resolver:{name}", resolver.message, code="no-address")
        elif scene.observed.resolvers.get(name) != dns.fingerprint(resolver) and _bound(scene, resolver):
            cause = "changed" if name in scene.observed.resolvers else "missing"
            if lost := cause == "missing" and bool(asked & set(resolver.addresses)):
                cause = "drifted: it is gone"
            yield Task(f"resolver:{name}", cause, (ServeNames(resolver),), drift=lost)
    for name in sorted((scene.observed.resolvers.keys() | scene.observed.names.keys()) - found.keys()):
        if name not in scene.networks and not scene.taken.get(name.partition("+")[0]):
            yield Task(f"resolver:{name}", "nothing asks it", (StopNames(name),))


def _bound(scene: Scene, resolver: Resolver) -> bool:
    """Whether its bridge has the addresses already on which it listens."""
    seen = scene.observed.networks[resolver.networks[0]]
    own = {subnet.partition("/")[0] for subnet in (seen.subnet, seen.subnet6, *seen.extra)}
    return set(resolver.addresses) <= own


def _record_tasks(scene: Scene, found: Mapping[str, Resolver | Refused], now: float) -> Iterator[Task]:
    serve = serving(scene.observed.containers.values(), scene.ending, scene.aside)
    there = [seen for seen in scene.observed.containers.values() if seen.id in serve or isinstance(seen.state, Running)]
    wanted = dns.records(there, serve)
    for network in sorted(found.keys() & scene.networks.keys()):
        hosts, has = wanted.get(network, ()), scene.observed.names.get(network, ())
        if hosts != has:
            strange = _strange(network, dict(has), there, now) or _stranger(scene, dict(has))
            cause = f"drifted: the record of {strange} was changed" if strange else "changed"
            yield Task(f"names:{network}", cause, (WriteNames(network, hosts),), drift=bool(strange))


def _strange(network: str, has: Mapping[str, str], there: Sequence[SeenContainer], now: float) -> str:
    """The name of a container whose record says what none of us wrote, whether it serves or not; "" when there is none.

    One that has just started may have none yet.
    """
    settled = {seen.id: seen for seen in there if _ran_long(seen, now) and _is_in(seen, network)}
    ours = [dict(dns.records(settled.values(), ready).get(network, ())) for ready in (settled, ())]
    changed = (seen.name for id, seen in settled.items() if has.get(id) not in {known.get(id) for known in ours})
    return next(changed, "")


def _is_in(seen: SeenContainer, network: str) -> bool:
    return any(endpoint.network.name == network and endpoint.bridge for endpoint in seen.endpoints)


def _ran_long(seen: SeenContainer, now: float) -> bool:
    return isinstance(seen.state, Running) and now - seen.state.since > SETTLED


def _stranger(scene: Scene, has: Mapping[str, str]) -> str:
    """A record of nobody's."""
    return next((id for id in sorted(has) if id not in scene.observed.containers), "")


def _outside_names(scene: Scene) -> set[str]:
    declared = (container.egress for container in scene.desired.containers.values() if container.egress)
    seen = (container.egress for container in scene.observed.containers.values() if container.egress)
    entries = chain.from_iterable((*declared, *seen))
    return {entry.host for entry in entries if not is_network(entry.host)}


def _asked_at(scene: Scene, name: str) -> float:
    return scene.observed.resolved.get(name, ((), 0.0))[1]


def _running(scene: Scene) -> Iterator[SeenContainer]:
    return (seen for seen in scene.observed.containers.values() if isinstance(seen.state, Running))
