"""`plan(desired, observed, now, policy, doing)`: what to do now, and what to wait for. The program's one decision.

A pure function of values: the same values give the same plan. One generator per kind of resource; each emits only
what is safe now, for after each step the host is observed again. Nothing is executed, predicted or remembered
here; `daemon.loop` calls it at each look, and `reconciler plan` prints its answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from itertools import chain

from reconciler.core import dns, images, instances, lifecycle, naming, networks, rollout
from reconciler.core.addresses import Refused
from reconciler.core.claims import taken
from reconciler.core.instances import Replica
from reconciler.core.joints import Networks, joint
from reconciler.core.model import (
    Container,
    Desired,
    Exited,
    Observed,
    Restart,
    Running,
    SeenContainer,
    SeenImage,
    container_id,
    revision,
)
from reconciler.core.mounts import volumes_of
from reconciler.core.names import LISTENERS
from reconciler.core.networking import Joint, Resolver
from reconciler.core.networks import Table
from reconciler.core.scene import Policy, Scene, scene
from reconciler.core.steps import (
    ConnectContainer,
    CreateContainer,
    CreateVolume,
    Plan,
    RotateLog,
    StartContainer,
    Step,
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
        images.pulls(desired.containers, observed.images, _asked_since(found, now), now),
        networks.bridges(found, wires.resolvers, now),
        networks.guard(found),
        _volumes(found),
        _containers(found, wires, now, busy),
        rollout.forgotten(found, now),
        networks.firewall(found, wires.table),
        naming.names(found, wires.resolvers, now),
        images.collection(desired, observed, images.Keep(policy.disk_limit, policy.image_age), now),
    )
    open_entries = [entry for entry in entries if entry.key not in busy]
    return Plan(
        tasks=tuple(entry for entry in open_entries if isinstance(entry, Task)),
        waits=tuple(entry for entry in open_entries if isinstance(entry, Wait)),
        look_again_at=_soonest(
            images.next_check(desired.containers, observed.images, now), naming.next_question(found)
        ),
    )


def _soonest(*times: float | None) -> float | None:
    return min((time for time in times if time is not None), default=None)


# --- one generator per kind --------------------------------------------------------------------------------------


def _specs(scene: Scene, now: float) -> Iterator[Entry]:
    if scene.desired.unavailable:
        yield Wait("specs", scene.desired.unavailable)
    reasons: dict[str, str] = {}  # the same one holds a file and its app
    for name, why in sorted(scene.desired.held.items()):
        reasons.setdefault(why, name)
    for why, name in reasons.items():
        yield Wait(f"held:{name}", why)
    for why in scene.desired.unlocked:
        yield Wait("lock", why)
    for app, until in sorted(scene.desired.vanished.items()):
        if now < until:
            yield Wait(f"removal:{app}", "its spec is gone; it goes too unless that comes back at once", until, True)


def _volumes(scene: Scene) -> Iterator[Entry]:
    for name, volume in sorted(scene.desired.volumes.items()):
        if name in scene.observed.volumes:
            continue
        if volume.external:
            yield Wait(f"volume:{name}", f"cannot use volume {name}: it is external and does not exist")
        else:
            yield Task(f"volume:{name}", "missing", (CreateVolume(volume),))


def _containers(scene: Scene, wires: Wires, now: float, busy: Set[str]) -> Iterator[Entry]:
    """Nothing of a name of which something is done: it would take a second address, or stop what is being started."""
    names = {key.partition("@")[0] for key in busy}
    for name, container in sorted(scene.desired.containers.items()):
        if lifecycle.key(name) not in names:
            yield from _replica(scene, wires, container, now)
    for seen in scene.leaving:
        if lifecycle.key(seen.name) not in names:
            yield _beside(scene, seen, lifecycle.retire(seen, now, "not in any spec"))
    for seen in scene.kept:
        if lifecycle.key(seen.name) not in names:
            yield from (_beside(scene, seen, entry) for entry in _kept(scene, wires, seen, seen.restart, now))


def _beside(scene: Scene, seen: SeenContainer, entry: Entry) -> Entry:
    """`entry` of one of several instances of a name; the newest has the name for itself."""
    return entry if seen is scene.instances[seen.name][0] else _own(seen, entry)


def _own(seen: SeenContainer, entry: Entry) -> Entry:
    """`entry` under a key of this instance alone."""
    return replace(entry, key=f"{entry.key}@{seen.id[:12]}")


# --- containers --------------------------------------------------------------------------------------------------


def _replica(scene: Scene, wires: Wires, wanted: Container, now: float) -> Iterator[Entry]:
    found = instances.replica(scene, wanted)
    entries = [
        *_toward(scene, wires, found, now),
        *_olds(scene, wires, found, now),
        *rollout.settled(scene, found, now),
    ]
    yield from entries
    if found.bad and not any(entry.key == lifecycle.key(wanted.name) for entry in entries):
        yield Wait(lifecycle.key(wanted.name), str(found.bad))


def _toward(scene: Scene, wires: Wires, found: Replica, now: float) -> Iterator[Entry]:
    """What brings the wanted instance into force, or keeps it there."""
    if found.current:
        yield from _new(scene, wires, found, found.current, now)
    elif found.stuck:
        return
    elif (wait := _not_yet(scene, wires, found, now)) or (found.others and (wait := rollout.turn(scene, found, now))):
        yield wait
    elif found.others and (rollout.idle(found) or rollout.apart(scene, found)):
        yield _first_stop(scene, found, now)
    else:
        assert found.image is not None
        cause = f"{_why_replaced(scene, found.others[0], found)}; start-first" if found.others else "missing"
        yield from _create(scene, wires, found, cause, now)


def _not_yet(scene: Scene, wires: Wires, found: Replica, now: float) -> Wait | None:
    """Why a new instance could not be made now; asked before the old one is touched."""
    container, image = found.container, found.image
    if reason := _not_ready(scene, container, image) or _asks_first(container, image, now):
        return Wait(lifecycle.key(container.name), reason)
    if reason := _occupied(scene, container):
        return Wait(lifecycle.key(container.name), reason, now + LISTEN_AGAIN, reads=LISTENERS)
    if reason := naming.unserved(scene, wires.resolvers, container):
        return Wait(lifecycle.key(container.name), reason)
    return None


def _first_stop(scene: Scene, found: Replica, now: float) -> Entry:
    """Stop-first: what was good is kept in mind, and the old one goes."""
    old = found.others[0]
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
    elif reason := _waits_to_start(scene, found.container, seen):
        yield Wait(lifecycle.key(seen.name), reason)
    else:
        kept = [*_kept(scene, wires, seen, found.container.restart, now)]
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
            entries = _kept(scene, wires, old, found.container.restart, now)
        yield from (_own(old, entry) for entry in entries)


def _why_replaced(scene: Scene, seen: SeenContainer, found: Replica) -> str:
    container = found.container
    if seen.damaged:
        return seen.damaged
    if found.bad:
        return str(found.bad)
    if container.shares and seen.revision == revision(container, seen.image_digest):
        return f"{container.shares}, whose network it shares, was replaced"
    if changed := instances.moved(scene, seen):
        return f"network {changed} is declared otherwise now"
    return images.moved(seen, container, found.image) or f"revision {seen.revision[:12]} is no longer wanted"


def _not_ready(scene: Scene, container: Container, image: SeenImage | None) -> str:
    """Why a new instance could not be made now; asked before the old one is touched."""
    if image is None:
        return images.unavailable(container)
    for attachment in container.networks:
        if not scene.usable(attachment.network):
            return _waits_for_network(scene, attachment.network)
    if container.shares and not _lends(scene, instances.owner_of(scene, container)):
        return _waits_for_owner(container.shares)
    missing = sorted(set(volumes_of(container)) - scene.observed.volumes)
    if missing:
        return f"waits for volume {missing[0]}"
    if not scene.instances.get(container.name) and (reason := _in_use(scene, volumes_of(container), "")):
        return reason
    return _waits_for_dependency(scene, container)


def _asks_first(container: Container, image: SeenImage | None, now: float) -> str:
    return images.asks_first(container, image, now) if image else ""


def _asked_since(scene: Scene, now: float) -> dict[str, float]:
    """`pull_policy: always` means before each creation of an instance, and once when the daemon starts."""
    found: dict[str, float] = {}
    for name, container in scene.desired.containers.items():
        if container.pull_policy.when == "always":
            image = images.image_of(container, scene.observed.images)
            current = instances.current_instance(scene, container, image)
            made = current.created_at if current else 0.0 if _not_ready(scene, container, image) else now
            found[name] = max(scene.policy.started, made - images.JUST_NOW)
    return found


def _waits_for_network(scene: Scene, name: str) -> str:
    undeclared = "" if name in scene.networks else ", which no spec declares"
    return f"waits for network {name}{undeclared}"


def _occupied(scene: Scene, container: Container) -> str:
    """Which port that `container` would publish anew somebody else listens on, "" when none."""
    published = {port for seen in scene.instances.get(container.name, ()) for port in seen.ports}
    new = [port for port in container.ports if port not in published]
    subnets = [subnet for seen in scene.observed.networks.values() for subnet in (seen.subnet, seen.subnet6)]
    for port in new:
        if listener := taken(port, scene.observed.listeners, subnets):
            at = f"{port.host_ip or '*'}:{port.published}/{port.protocol}"
            who = listener.owner or "another program"
            return f"cannot publish host port {at}: {who} listens there; stop it, or publish another port"
    return ""


def _lends(scene: Scene, owner: str) -> bool:
    """Whether others can be started in this container's network namespace: it is there as long as this one is."""
    seen = scene.observed.containers.get(owner)
    return seen is not None and seen.connected and isinstance(seen.state, Running)


def _waits_for_owner(name: str) -> str:
    return f"waits for container {name}, whose network it shares"


def _in_use(scene: Scene, volumes: Iterable[str], id: str) -> str:
    """Which exclusive volume another container has, "" when none; else they are taken from now on."""
    for volume in volumes:
        if scene.claimed.get(volume, id) != id:
            owner = scene.observed.containers.get(scene.claimed[volume])
            return f"waits for volume {volume}, which is exclusive and in use{f' by {owner.name}' if owner else ''}"
    return ""


def _waits_to_start(scene: Scene, container: Container, seen: SeenContainer) -> str:
    return "" if isinstance(seen.state, Running | Exited) else _waits_for_dependency(scene, container)


def _waits_for_dependency(scene: Scene, container: Container) -> str:
    """Compose `depends_on`, list form: every replica of a dependency has been started (`service_started`)."""
    for service in (dependency.service for dependency in container.depends_on):
        for other in scene.desired.containers.values():
            if (other.app, other.service) == (container.app, service) and not _started(scene, other.name):
                return f"waits for service {service} to be started"
    return ""


def _started(scene: Scene, name: str) -> bool:
    return any(isinstance(seen.state, Running | Exited) for seen in scene.instances.get(name, ()))


def _create(scene: Scene, wires: Wires, found: Replica, cause: str, now: float) -> Iterator[Entry]:
    container, image = found.container, found.image
    assert image is not None
    where = _joint(scene, wires, container)
    if isinstance(where, Refused):
        yield Wait(lifecycle.key(container.name), where.message)
        return
    id, made = container_id(container, image.digest, now), revision(container, image.digest)
    scene.claimed.update(dict.fromkeys(volumes_of(container), id))
    elsewhere = bool(where.shares) or container.host_network
    steps: tuple[Step, ...] = (
        *rollout.keeping(scene, found, now),
        CreateContainer(id, container, made, image, where),
        *(() if elsewhere else (ConnectContainer(id, container.name, where.endpoints),)),
        # Where it may connect to must be in force before it runs; the table takes in who exists.
        *(() if container.egress is not None else (StartContainer(id, container.name, 0, 0),)),
    )
    yield Task(lifecycle.key(container.name), cause, steps, about=made)


def _blocked(scene: Scene, wires: Wires, seen: SeenContainer) -> str:
    """Why `seen` cannot be connected or started now."""
    if seen.shares and not _lends(scene, seen.shares):
        owner = scene.observed.containers.get(seen.shares)
        return _waits_for_owner(owner.name if owner else seen.shares[:12])
    if seen.egress is not None and wires.table.digest != scene.observed.ruleset:
        return "waits for the ruleset that says where it may connect to"
    if reason := _in_use(scene, seen.volumes, seen.id):
        return reason
    absent = next((end.network.name for end in seen.endpoints if not scene.usable(end.network.name)), "")
    return f"waits for network {absent}" if absent else ""


def _joint(scene: Scene, wires: Wires, container: Container) -> Joint | Refused:
    """Where a new instance goes; all its networks are usable."""
    if container.shares:
        return Joint(shares=instances.owner_of(scene, container))
    names = [attachment.network for attachment in container.networks]
    subnets = {name: scene.subnets[name] for name in names}
    found = joint(
        container,
        Networks(
            declared=scene.networks,
            bridges={name: scene.bridge(scene.networks[name]) for name in names},
            subnets={name: (str(ipv4), str(ipv6)) for name, (ipv4, ipv6) in subnets.items()},
            taken=scene.taken,
        ),
    )
    if isinstance(found, Refused):
        return found
    return replace(found, nameservers=dns.nameservers(naming.view(scene, container), wires.resolvers))


def _kept(scene: Scene, wires: Wires, seen: SeenContainer, restart: Restart, now: float) -> Iterator[Entry]:
    """Keeps `seen` as it is: running, connected, and without leftovers."""
    urgent = lifecycle.keep(seen, restart, _blocked(scene, wires, seen), now)
    if urgent:
        yield urgent
    if not isinstance(urgent, Task) and (cleaning := lifecycle.clean(seen)):
        yield cleaning
    if seen.log_bytes > scene.policy.log_size and isinstance(seen.state, Running):
        yield Task(f"log:{seen.name}", f"grew to {seen.log_bytes} bytes", (RotateLog(seen.id, seen.name),))
