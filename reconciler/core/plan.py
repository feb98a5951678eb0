"""`plan(desired, observed, now, policy, doing)`: what to do now, and what to wait for. The program's one decision.

A pure function of values: the same values give the same plan. One generator per kind of resource; each emits only
what is safe now, for after each step the host is observed again. Nothing is executed, predicted or remembered
here; `daemon.loop` calls it at each look, and `reconciler plan` prints its answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from itertools import chain

from reconciler.core import dns, images, lifecycle, naming, networks, order
from reconciler.core.addresses import Refused
from reconciler.core.claims import taken
from reconciler.core.joining import declared
from reconciler.core.joints import Networks, joint
from reconciler.core.model import (
    Container,
    Desired,
    Observed,
    Running,
    SeenContainer,
    SeenImage,
    VolumeMount,
    container_id,
    revision,
)
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
    wires = Wires(naming.resolvers(found), networks.table(found))
    busy = {task.key for task in doing}
    entries = chain(
        _specs(found, now),
        images.pulls(desired.containers, observed.images, _asked_since(found, now), now),
        networks.bridges(found, wires.resolvers, now),
        networks.guard(found),
        _volumes(found),
        _containers(found, wires, now, busy),
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
    for name, container in sorted(scene.desired.containers.items()):
        if lifecycle.key(name) not in busy:  # else it would take a second address
            yield from _replica(scene, wires, container, now)
    for seen in scene.leaving:
        yield _retired(scene, seen, now)
    for seen in scene.kept:
        yield from _kept(scene, wires, seen, now)


def _retired(scene: Scene, seen: SeenContainer, now: float) -> Entry:
    """The order of stopping is the reverse of that of starting."""
    waits_for = order.dependents(scene, seen) if isinstance(seen.state, Running) else ""
    if waits_for:
        return Wait(
            lifecycle.key(seen.name),
            f"not in any spec: waits for {waits_for}, which depends on it, to end",
            passing=True,
        )
    return lifecycle.retire(seen, now, "not in any spec")


# --- containers --------------------------------------------------------------------------------------------------


def _replica(scene: Scene, wires: Wires, container: Container, now: float) -> Iterator[Entry]:
    instances = scene.instances.get(container.name, ())
    image = images.image_of(container, scene.observed.images)
    current = _current(scene, container, image)
    others = [seen for seen in instances if seen is not current]
    if current is None and (reason := _not_ready(scene, container, image) or _asks_first(container, image, now)):
        yield Wait(lifecycle.key(container.name), reason)
        yield from (entry for seen in others for entry in _kept(scene, wires, seen, now))
    elif current is None and (reason := _occupied(scene, container)):
        yield Wait(lifecycle.key(container.name), reason, now + LISTEN_AGAIN, reads=LISTENERS)
        yield from (entry for seen in others for entry in _kept(scene, wires, seen, now))
    elif current is None and (reason := naming.unserved(scene, wires.resolvers, container)):
        yield Wait(lifecycle.key(container.name), reason)
        yield from (entry for seen in others for entry in _kept(scene, wires, seen, now))
    elif others:
        moved = _moved(scene, others[0])
        yield lifecycle.retire(others[0], now, _why_replaced(others[0], current, container, image, moved))
    elif current is None:
        assert image is not None
        yield from _create(scene, wires, container, image, now)
    elif service := order.restarted_after(scene, current, container.depends_on):
        yield lifecycle.stop(current, f"service {service}, which it depends on, was replaced")
    else:
        yield from _kept(scene, wires, current, now)


def _current(scene: Scene, container: Container, image: SeenImage | None) -> SeenContainer | None:
    instances = scene.instances.get(container.name, ())
    owner = _owner(scene, container)
    fitting = (seen for seen in instances if seen.shares == owner and not _moved(scene, seen))
    return next((seen for seen in fitting if _is_current(seen, container, image)), None)


def _moved(scene: Scene, seen: SeenContainer) -> str:
    """The network that is declared otherwise than when `seen` joined it, "" for none; another app's spec may say so."""
    for endpoint in seen.endpoints:
        network = scene.networks.get(endpoint.network.name, endpoint.network)
        if network != endpoint.network and declared(network) != declared(endpoint.network):
            return network.name
    return ""


def _owner(scene: Scene, container: Container) -> str:
    """The id of the container whose network namespace it uses now, "" when it has its own."""
    return next((seen.id for seen in scene.instances.get(container.shares, ())), "")


def _is_current(seen: SeenContainer, container: Container, image: SeenImage | None) -> bool:
    """Whether `seen` is this revision. While its image is away (a dead registry), what it was made from counts."""
    if seen.damaged or (image is None and seen.image != container.image):
        return False
    return seen.revision == revision(container, image.digest if image else seen.image_digest)


def _why_replaced(
    seen: SeenContainer, current: SeenContainer | None, container: Container, image: SeenImage | None, moved: str
) -> str:
    if seen.damaged:
        return seen.damaged
    if current:
        return "a newer instance runs"
    if container.shares and seen.revision == revision(container, seen.image_digest):
        return f"{container.shares}, whose network it shares, was replaced"
    if moved:
        return f"network {moved} is declared otherwise now"
    return images.moved(seen, container, image) or f"revision {seen.revision[:12]} is no longer wanted"


def _not_ready(scene: Scene, container: Container, image: SeenImage | None) -> str:
    """Why a new instance could not be made now; asked before the old one is touched."""
    if image is None:
        return images.unavailable(container)
    for attachment in container.networks:
        if not scene.usable(attachment.network):
            return _waits_for_network(scene, attachment.network)
    if container.shares and not _lends(scene, _owner(scene, container)):
        return _waits_for_owner(container.shares)
    missing = sorted(_volumes_of(container) - scene.observed.volumes)
    if missing:
        return f"waits for volume {missing[0]}"
    return order.waits_for(scene, container.app, container.depends_on)


def _asks_first(container: Container, image: SeenImage | None, now: float) -> str:
    return images.asks_first(container, image, now) if image else ""


def _asked_since(scene: Scene, now: float) -> dict[str, float]:
    """`pull_policy: always` means before each creation of an instance, and once when the daemon starts."""
    found: dict[str, float] = {}
    for name, container in scene.desired.containers.items():
        if container.pull_policy.when == "always":
            image = images.image_of(container, scene.observed.images)
            current = _current(scene, container, image)
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


def _volumes_of(container: Container) -> set[str]:
    return {mount.volume for mount in container.mounts if isinstance(mount, VolumeMount)}


def _create(scene: Scene, wires: Wires, container: Container, image: SeenImage, now: float) -> Iterator[Entry]:
    where = _joint(scene, wires, container)
    if isinstance(where, Refused):
        yield Wait(lifecycle.key(container.name), where.message)
        return
    id, made = container_id(container, image.digest, now), revision(container, image.digest)
    elsewhere = bool(where.shares) or container.host_network
    steps: tuple[Step, ...] = (
        CreateContainer(id, container, made, image, where),
        *(() if elsewhere else (ConnectContainer(id, container.name, where.endpoints),)),
        # Where it may connect to must be in force before it runs; the table takes in who exists.
        *(() if container.egress is not None else (StartContainer(id, container.name, 0, 0),)),
    )
    yield Task(lifecycle.key(container.name), "missing", steps, about=made)


def _blocked(scene: Scene, wires: Wires, seen: SeenContainer) -> str:
    """Why `seen` cannot be connected or started now."""
    if seen.shares and not _lends(scene, seen.shares):
        owner = scene.observed.containers.get(seen.shares)
        return _waits_for_owner(owner.name if owner else seen.shares[:12])
    if seen.egress is not None and wires.table.digest != scene.observed.ruleset:
        return "waits for the ruleset that says where it may connect to"
    absent = next((end.network.name for end in seen.endpoints if not scene.usable(end.network.name)), "")
    return f"waits for network {absent}" if absent else ""


def _joint(scene: Scene, wires: Wires, container: Container) -> Joint | Refused:
    """Where a new instance goes; all its networks are usable."""
    if container.shares:
        return Joint(shares=_owner(scene, container))
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


def _kept(scene: Scene, wires: Wires, seen: SeenContainer, now: float) -> Iterator[Entry]:
    """Keeps `seen` as it is: running, connected, well, and without leftovers."""
    declared = scene.desired.containers.get(seen.name, seen)  # as it was made, when no spec says anything of it now
    restart, blocked = declared.restart, _blocked(scene, wires, seen)
    if not blocked and not isinstance(seen.state, Running):
        blocked = order.waits_for(scene, seen.app, declared.depends_on)
    urgent = lifecycle.keep(seen, restart, blocked, now)
    if urgent is None and scene.policy.restart_unhealthy:
        urgent = lifecycle.heal(seen, restart, now)
    if urgent:
        yield urgent
    elif seen.health is not None and seen.health.state != "healthy" and isinstance(seen.state, Running):
        said = f": {seen.health.said}" if seen.health.said else ""
        yield Wait(f"health:{seen.name}", f"{seen.health.state}{said}", passing=seen.health.state == "starting")
    if not isinstance(urgent, Task) and (cleaning := lifecycle.clean(seen)):
        yield cleaning
    if seen.log_bytes > scene.policy.log_size and isinstance(seen.state, Running):
        yield Task(f"log:{seen.name}", f"grew to {seen.log_bytes} bytes", (RotateLog(seen.id, seen.name),))
