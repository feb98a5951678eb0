"""`plan(desired, observed, now, policy, doing)`: what to do now, and what to wait for. The program's one decision.

A pure function of values: the same values give the same plan. One generator per kind of resource; each emits only
what is safe now, for after each step the host is observed again. Nothing is executed, predicted or remembered
here; `daemon.loop` calls it at each look, and `reconciler plan` prints its answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from itertools import chain

from reconciler.core import (
    images,
    instances,
    jobruns,
    lifecycle,
    making,
    naming,
    networks,
    oneshots,
    order,
    preparing,
    removal,
    rollout,
)
from reconciler.core.addresses import Refused
from reconciler.core.instances import Replica
from reconciler.core.model import (
    Container,
    Desired,
    Observed,
    Running,
    SeenContainer,
    revision,
)
from reconciler.core.names import LISTENERS
from reconciler.core.networking import Resolver
from reconciler.core.networks import Table
from reconciler.core.reasons import Code, Reason
from reconciler.core.scene import Policy, Scene, scene
from reconciler.core.steps import (
    CreateVolume,
    Plan,
    RotateLog,
    StartContainer,
    Task,
    Wait,
)

Entry = Task | Wait
LISTEN_AGAIN = 1.0  # seconds between two looks at who listens on a port that a container waits for


@dataclass(frozen=True, slots=True)
class Wires:
    """What of the network side containers depend on: whom they can ask for names, and the table as it should be."""

    resolvers: Mapping[str, Resolver | Refused]
    table: Table


def plan(desired: Desired, observed: Observed, now: float, policy: Policy, doing: Sequence[Task] = ()) -> Plan:
    """What is safe to do now, and what cannot be done yet and why.

    `now` in seconds since the epoch. `doing` are the tasks that run already: nothing is planned for their keys, and
    the addresses they hand out are taken.
    """
    found = scene(desired, observed, now, policy, doing)
    found = replace(found, aside=instances.aside(found, now))
    wires = Wires(naming.resolvers(found), networks.table(found))
    busy = {task.key for task in doing}
    entries = chain(
        _specs(found, now),
        removal.entries(found.removal, desired, observed),
        images.pulls(desired.containers, observed.images, making.asked_since(found, now), now),
        networks.bridges(found, wires.resolvers, now),
        networks.guard(found),
        _volumes(found),
        _containers(found, wires, now, busy),
        rollout.forgotten(found, now),
        oneshots.forgotten(found, now),
        networks.firewall(found, wires.table),
        naming.names(found, wires.resolvers, now),
        _collection(found, now, busy),
    )
    open_entries = [entry for entry in entries if entry.key not in busy]
    return Plan(
        tasks=tuple(entry for entry in open_entries if isinstance(entry, Task)),
        waits=tuple(entry for entry in open_entries if isinstance(entry, Wait)),
        look_again_at=_soonest(
            images.next_check(desired.containers, observed.images, now),
            naming.next_question(found),
            jobruns.next_time(found, now),
        ),
    )


def _soonest(*times: float | None) -> float | None:
    return min((time for time in times if time is not None), default=None)


# --- one generator per kind --------------------------------------------------------------------------------------


def _specs(scene: Scene, now: float) -> Iterator[Entry]:
    if scene.desired.unavailable:
        yield Wait("specs", scene.desired.unavailable, code="specs-unreadable")
    reasons: dict[str, str] = {}  # the same one holds a file and its app
    for name, why in sorted(scene.desired.held.items()):
        reasons.setdefault(why, name)
    for why, name in reasons.items():
        yield Wait(f"held:{name}", why, code="spec-invalid")
    for why in scene.desired.unlocked:
        yield Wait("lock", why, code="lock-incomplete")
    for app, until in sorted(scene.desired.vanished.items()):
        if now < until:
            why = "its spec is gone; it goes too unless that comes back at once"
            yield Wait(f"removal:{app}", why, until, True, code="spec-gone")


def _volumes(scene: Scene) -> Iterator[Entry]:
    for name, volume in sorted(scene.desired.volumes.items()):
        if name in scene.observed.volumes:
            continue
        if volume.external:
            why = f"cannot use volume {name}: it is external and does not exist"
            yield Wait(f"volume:{name}", why, code="volume-external")
        else:
            yield Task(f"volume:{name}", "missing", (CreateVolume(volume),))


def _collection(scene: Scene, now: float, busy: Set[str]) -> Iterator[Entry]:
    """Not while an image is fetched, as that would be waited for, and nobody knows what is wanted then."""
    if not any(key.startswith("image:") for key in busy):
        keep = images.Keep(scene.policy.disk_limit, scene.policy.image_age)
        yield from images.collection(scene.desired, scene.observed, keep, now)


def _containers(scene: Scene, wires: Wires, now: float, busy: Set[str]) -> Iterator[Entry]:
    """Nothing of a name of which something is done: it would take a second address, or stop what is being started."""
    names = {key.partition("@")[0] for key in busy}
    for name, container in sorted(scene.desired.containers.items()):
        if lifecycle.key(name) not in names:
            yield from (_step if container.prepares else _replica)(scene, wires, container, now)
    for seen in scene.leaving:
        if lifecycle.key(seen.name) not in names:
            yield _beside(scene, seen, _retired(scene, seen, now))
    for seen in scene.kept:
        if lifecycle.key(seen.name) not in names and not jobruns.resting(seen):
            yield from (_beside(scene, seen, entry) for entry in _kept(scene, wires, seen, now))


def _beside(scene: Scene, seen: SeenContainer, entry: Entry) -> Entry:
    """`entry` of one of several instances of a name; the newest has the name for itself."""
    return entry if seen is scene.instances[seen.name][0] else _own(seen, entry)


def _own(seen: SeenContainer, entry: Entry) -> Entry:
    """`entry` under a key of this instance alone."""
    return replace(entry, key=f"{entry.key}@{seen.id[:12]}")


def _retired(scene: Scene, seen: SeenContainer, now: float) -> Entry:
    """The order of stopping is the reverse of that of starting."""
    waits_for = order.dependents(scene, seen) if isinstance(seen.state, Running) else ""
    if waits_for:
        return Wait(
            lifecycle.key(seen.name),
            f"not in any spec: waits for {waits_for}, which depends on it, to end",
            passing=True,
            code="dependents-running",
        )
    return lifecycle.retire(seen, now, "not in any spec")


# --- containers --------------------------------------------------------------------------------------------------


def _replica(scene: Scene, wires: Wires, wanted: Container, now: float) -> Iterator[Entry]:
    if wanted.schedule is not None:
        hands = jobruns.Hands(
            wires.resolvers,
            lambda found: _not_yet(scene, wires, found, now),
            lambda seen: _kept(scene, wires, seen, now),
        )
        yield from jobruns.entries(scene, wanted, hands, now)
        return
    found = instances.replica(scene, wanted)
    entries = [
        *_toward(scene, wires, found, now),
        *_olds(scene, wires, found, now),
        *rollout.settled(scene, found, now),
        *oneshots.noted(scene, found),
    ]
    yield from entries
    if found.bad and not any(entry.key == lifecycle.key(wanted.name) for entry in entries):
        yield Wait(lifecycle.key(wanted.name), str(found.bad), code="quarantined")


def _step(scene: Scene, wires: Wires, wanted: Container, now: float) -> Iterator[Entry]:
    """One that is run before a service: kept, or started again, until what it prepares is there."""
    found = instances.replica(scene, wanted)
    needed = preparing.wanted(scene, wanted)
    for seen in scene.instances.get(wanted.name, ()):
        if needed and seen is found.current:
            entries: Iterable[Entry] = _kept(scene, wires, seen, now)
        else:
            why = _why_replaced(scene, seen, found) if needed else f"what it prepares of {wanted.prepares} is there"
            entries = [lifecycle.retire(seen, now, why)]
        yield from (_beside(scene, seen, entry) for entry in entries)
    if needed and not scene.instances.get(wanted.name) and preparing.due(scene, wanted, now):
        wait = _not_yet(scene, wires, found, now)
        cause = f"before {wanted.prepares}"
        yield from [wait] if wait else making.create(scene, wires.resolvers, found, cause, now)


def _toward(scene: Scene, wires: Wires, found: Replica, now: float) -> Iterator[Entry]:
    """What brings the wanted instance into force, or keeps it there."""
    if found.current:
        yield from _new(scene, wires, found, found.current, now)
    elif found.stuck or found.over:
        return
    elif judgement := rollout.judged(scene, found, now):
        yield judgement
    elif (wait := _not_yet(scene, wires, found, now)) or (found.others and (wait := rollout.turn(scene, found, now))):
        yield wait
    elif found.others and (rollout.idle(found) or rollout.apart(scene, found)):
        yield _first_stop(scene, wires, found, now)
    else:
        assert found.image is not None
        cause = f"{_why_replaced(scene, found.others[0], found)}; start-first" if found.others else "missing"
        yield from making.create(scene, wires.resolvers, found, cause, now)


def _not_yet(scene: Scene, wires: Wires, found: Replica, now: float) -> Wait | None:
    """Why a new instance could not be made now; asked before the old one is touched."""
    container, image = found.container, found.image
    key = lifecycle.key(container.name)
    if why := making.not_ready(scene, container, image) or making.asks_first(container, image, now):
        passing = order.comes(scene, container.app, container.depends_on)
        return Wait(key, why.text, passing=passing, code=why.code)
    if reason := making.occupied(scene, container):
        return Wait(key, reason, now + LISTEN_AGAIN, reads=LISTENERS, code="port-taken")
    if why := naming.unserved(scene, wires.resolvers, container):
        return Wait(key, why.text, code=why.code)
    if found.bad or (found.others and rollout.exclusive(scene, container)):
        return None  # its steps ran when it was new; or they can run only when the old one is gone
    unprepared, passing = preparing.unprepared(scene, container)
    return Wait(key, unprepared.text, passing=passing, code=unprepared.code) if unprepared else None


def _first_stop(scene: Scene, wires: Wires, found: Replica, now: float) -> Entry:
    """Stop-first: what was good is kept in mind, and the old one goes, once ports lead to the other replicas."""
    old = found.others[0]
    if old.ready and old.ports and wires.table.digest != scene.observed.ruleset:
        why = "waits for ports to be moved to the other replicas"
        return Wait(lifecycle.key(old.name), why, passing=True, code="update-moving")
    why = "" if rollout.idle(found) else f"; stop-first, because {rollout.apart(scene, found)}"
    entry = lifecycle.retire(old, now, f"{_why_replaced(scene, old, found)}{why}")
    if isinstance(entry, Task):
        return replace(entry, steps=(*rollout.keeping(scene, found, now), *entry.steps))
    return entry


def _new(scene: Scene, wires: Wires, found: Replica, seen: SeenContainer, now: float) -> Iterator[Entry]:
    """The instance that is to be in force: judged while it is new, kept when it is well."""
    if judgement := rollout.judged(scene, found, now):
        yield judgement
    elif found.stuck and not instances.fit(scene, seen):
        return
    elif service := order.restarted_after(scene, seen, found.container.depends_on):
        yield lifecycle.stop(seen, f"service {service}, which it depends on, was replaced")
    else:
        kept = [*_kept(scene, wires, seen, now)]
        yield from kept
        moved = wires.table.digest == scene.observed.ruleset
        if not any(entry.key == lifecycle.key(seen.name) for entry in kept):
            yield from filter(None, [rollout.waiting(scene, found, moved, now)])


def _olds(scene: Scene, wires: Wires, found: Replica, now: float) -> Iterator[Entry]:
    """Every other instance: it runs on until another one serves in its place. Its keys are its own."""
    stops = found.current is None and not found.stuck and (rollout.idle(found) or rollout.apart(scene, found))
    for old in found.others[1:] if stops else found.others:
        if why := rollout.leaves(scene, found, old, now):
            entries: Iterable[Entry] = [lifecycle.retire(old, now, why)]
        elif isinstance(old.state, Running) and old.state.stop_sent is not None:
            entries = [lifecycle.retire(old, now, "stopping")]
        elif not instances.fit(scene, old):
            entries = []
        else:
            entries = _kept(scene, wires, old, now)
        yield from (_own(old, entry) for entry in entries)


def _why_replaced(scene: Scene, seen: SeenContainer, found: Replica) -> str:
    container = found.container
    if seen.damaged:
        return seen.damaged
    if found.bad:
        return f"back from revision {found.bad.revision[:12]}, which {found.bad.fault}"
    if container.shares and seen.revision == revision(container, seen.image_digest):
        return f"{container.shares}, whose network it shares, was replaced"
    if changed := instances.moved(scene, seen):
        return f"network {changed} is declared otherwise now"
    return images.moved(seen, container, found.image) or f"revision {seen.revision[:12]} is no longer wanted"


def _blocked(scene: Scene, wires: Wires, seen: SeenContainer) -> Reason | None:
    """Why `seen` cannot be connected or started now."""
    if seen.shares and not making.lends(scene, seen.shares):
        owner = scene.observed.containers.get(seen.shares)
        return making.waits_for_owner(owner.name if owner else seen.shares[:12])
    if seen.egress is not None and wires.table.digest != scene.observed.ruleset:
        return Reason("ruleset-missing", "waits for the ruleset that says where it may connect to")
    if reason := making.in_use(scene, seen.volumes, seen.id):
        return reason
    absent = next((end.network.name for end in seen.endpoints if not scene.usable(end.network.name)), "")
    return Reason("network-missing", f"waits for network {absent}") if absent else None


def _kept(scene: Scene, wires: Wires, seen: SeenContainer, now: float) -> Iterator[Entry]:
    """Keeps `seen` as it is: running, connected, well, and without leftovers."""
    urgent = _upkeep(scene, wires, seen, now)
    if urgent:
        yield urgent
    elif seen.health is not None and seen.health.state != "healthy" and isinstance(seen.state, Running):
        said = f": {seen.health.said}" if seen.health.said else ""
        starting = seen.health.state == "starting"
        code: Code = "health-starting" if starting else "unhealthy"
        yield Wait(f"health:{seen.name}", f"{seen.health.state}{said}", passing=starting, code=code)
    if not isinstance(urgent, Task) and (cleaning := lifecycle.clean(seen)):
        yield cleaning
    if seen.log_bytes > scene.policy.log_size and isinstance(seen.state, Running):
        yield Task(f"log:{seen.name}", f"grew to {seen.log_bytes} bytes", (RotateLog(seen.id, seen.name),))


def _upkeep(scene: Scene, wires: Wires, seen: SeenContainer, now: float) -> Entry | None:
    """What its container needs first of all: to run, and to be well."""
    declared = scene.desired.containers.get(seen.name, seen)  # as it was made, when no spec says anything of it now
    blocked = _blocked(scene, wires, seen)
    if not blocked and not isinstance(seen.state, Running):
        blocked = order.waits_for(scene, seen.app, declared.depends_on)
    urgent = lifecycle.keep(seen, declared.restart, blocked, now)
    match urgent:
        case Task(steps=steps) if any(isinstance(step, StartContainer) for step in steps):
            scene.claim(seen.volumes, seen.id)
        case Wait(code=code, passing=passing) if blocked and code == blocked.code:
            return replace(urgent, passing=passing or order.comes(scene, seen.app, declared.depends_on))
        case None if scene.policy.restart_unhealthy:
            return lifecycle.heal(seen, declared.restart, now)
    return urgent
