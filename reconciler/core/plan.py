"""`plan(desired, observed, now, policy, doing)`: what to do now, and what to wait for. The program's one decision.

A pure function of values: the same values give the same plan. One generator per kind of resource; each emits only
what is safe now, for after each step the host is observed again. Nothing is executed, predicted or remembered
here; `daemon.loop` calls it at each look, and `reconciler plan` prints its answer.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import IPv4Interface
from itertools import chain

from reconciler.core import addresses, images, lifecycle, ruleset
from reconciler.core.frontends import frontends
from reconciler.core.model import (
    Container,
    Desired,
    Exited,
    Network,
    Observed,
    Restart,
    Running,
    SeenContainer,
    SeenImage,
    SeenNetwork,
    VolumeMount,
    container_id,
    digest,
    revision,
)
from reconciler.core.steps import (
    ApplyRuleset,
    ConnectContainer,
    CreateContainer,
    CreateNetwork,
    CreateVolume,
    Plan,
    RemoveNetwork,
    RemoveRuleset,
    RotateLog,
    StartContainer,
    Step,
    Task,
    Wait,
)

Entry = Task | Wait


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The settings that decisions depend on. `log_size` in bytes; `started` is when the daemon did, 0 without one."""

    instance: str = "reconciler"
    address_pool: str = "10.192.0.0/12"
    network_prefix: int = 24
    log_size: int = 10 * 1024 * 1024
    disk_limit: float = 0.85  # a fuller disk has unused images collected at once
    image_age: float = 7 * 86400.0  # seconds that they are kept otherwise
    started: float = 0.0


def plan(desired: Desired, observed: Observed, now: float, policy: Policy, doing: Sequence[Task] = ()) -> Plan:
    """What is safe to do now, and what cannot be done yet and why.

    `now` in seconds since the epoch. `doing` are the tasks that run already: nothing is planned for their keys, and
    the addresses they hand out are taken.
    """
    scene = _scene(desired, observed, now, policy, doing)
    busy = {task.key for task in doing}
    entries = chain(
        _specs(scene, now),
        images.pulls(desired.containers, observed.images, _asked_since(scene, now), now),
        _networks(scene, now),
        _volumes(scene),
        _containers(scene, now, busy),
        _firewall(scene),
        images.collection(desired, observed, images.Keep(policy.disk_limit, policy.image_age), now),
    )
    open_entries = [entry for entry in entries if entry.key not in busy]
    return Plan(
        tasks=tuple(entry for entry in open_entries if isinstance(entry, Task)),
        waits=tuple(entry for entry in open_entries if isinstance(entry, Wait)),
        look_again_at=images.next_check(desired.containers, observed.images, now),
    )


# --- the scene: desired and observed, joined once ----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Scene:
    desired: Desired
    observed: Observed
    policy: Policy
    instances: Mapping[str, tuple[SeenContainer, ...]]  # by name, newest first
    kept: tuple[SeenContainer, ...]  # held: no spec says anything of them now, so they stay as they are
    leaving: tuple[SeenContainer, ...]  # no longer in any spec
    networks: Mapping[str, Network]  # what must be there: declared, or used by what is kept
    subnets: Mapping[str, str | addresses.Exhausted]
    taken: dict[str, set[str]] = field(default_factory=dict)  # network -> addresses; grows while planning


def _scene(desired: Desired, observed: Observed, now: float, policy: Policy, doing: Sequence[Task]) -> _Scene:
    instances: dict[str, list[SeenContainer]] = defaultdict(list)
    for seen in sorted(observed.containers.values(), key=lambda seen: (-seen.created_at, seen.id)):
        instances[seen.name].append(seen)
    in_hand = {step.id for step in _steps(doing) if isinstance(step, CreateContainer)}  # still without a record
    undeclared = [
        seen
        for name in sorted(instances)
        if name not in desired.containers
        for seen in instances[name]
        if seen.id not in in_hand
    ]
    kept = tuple(seen for seen in undeclared if _held(desired, seen.app, seen.spec, now))
    networks = {seen.network: Network(name=seen.network, app=seen.app, spec=seen.spec) for seen in kept if seen.network}
    networks |= desired.networks
    return _Scene(
        desired=desired,
        observed=observed,
        policy=policy,
        instances={name: tuple(found) for name, found in instances.items()},
        kept=kept,
        leaving=tuple(seen for seen in undeclared if not _held(desired, seen.app, seen.spec, now)),
        networks=networks,
        subnets=addresses.subnets(
            sorted(networks),
            _subnets_in_force(observed, policy, doing),
            observed.routes,
            policy.address_pool,
            policy.network_prefix,
        ),
        taken=_addresses_in_use(observed, doing),
    )


def _held(desired: Desired, app: str, spec: str, now: float) -> bool:
    vanishing = now < desired.vanished.get(app, now)
    return vanishing or bool(desired.unavailable) or app in desired.held or spec in desired.held


def _subnets_in_force(observed: Observed, policy: Policy, doing: Sequence[Task]) -> dict[str, str]:
    """What each network's subnet is, by its bridge, or, when a reboot took that, by its containers' addresses."""
    known = {name: seen.subnet for name, seen in observed.networks.items() if seen.subnet}
    for seen in observed.containers.values():
        if seen.network and seen.address and seen.network not in known:
            network = IPv4Interface(f"{seen.address}/{policy.network_prefix}").network
            known[seen.network] = f"{network[1]}/{network.prefixlen}"
    known |= {step.network.name: step.subnet for step in _steps(doing) if isinstance(step, CreateNetwork)}
    return known


def _addresses_in_use(observed: Observed, doing: Sequence[Task]) -> dict[str, set[str]]:
    taken: dict[str, set[str]] = defaultdict(set)
    for seen in observed.containers.values():
        if seen.network:
            taken[seen.network].add(seen.address)
    for step in _steps(doing):
        if isinstance(step, CreateContainer) and step.container.network:
            taken[step.container.network].add(step.address)
    return taken


def _steps(tasks: Sequence[Task]) -> Iterator[Step]:
    return chain.from_iterable(task.steps for task in tasks)


# --- one generator per kind --------------------------------------------------------------------------------------


def _specs(scene: _Scene, now: float) -> Iterator[Entry]:
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


def _networks(scene: _Scene, now: float) -> Iterator[Entry]:
    for name, network in sorted(scene.networks.items()):
        seen = scene.observed.networks.get(name)
        subnet = scene.subnets[name]
        if isinstance(subnet, addresses.Exhausted):
            yield Wait(f"network:{name}", subnet.message)
        elif seen is None or not seen.up or seen.subnet != subnet:
            bridge = addresses.bridge_name(scene.policy.instance, name)
            cause = "missing" if seen is None else "drifted: down or without its address"
            yield Task(f"network:{name}", cause, (CreateNetwork(network, bridge, subnet),))
    for name, seen in sorted(scene.observed.networks.items()):
        unused = name not in scene.networks and not scene.taken.get(name)
        if unused and not _held(scene.desired, seen.app, seen.spec, now):
            yield Task(f"network:{name}", "not in any spec", (RemoveNetwork(name, seen.bridge),))


def _volumes(scene: _Scene) -> Iterator[Entry]:
    for name, volume in sorted(scene.desired.volumes.items()):
        if name in scene.observed.volumes:
            continue
        if volume.external:
            yield Wait(f"volume:{name}", f"cannot use volume {name}: it is external and does not exist")
        else:
            yield Task(f"volume:{name}", "missing", (CreateVolume(volume),))


def _containers(scene: _Scene, now: float, busy: Set[str]) -> Iterator[Entry]:
    for name, container in sorted(scene.desired.containers.items()):
        if lifecycle.key(name) not in busy:  # else it would take a second address
            yield from _replica(scene, container, now)
    for seen in scene.leaving:
        yield lifecycle.retire(seen, now, "not in any spec")
    for seen in scene.kept:
        yield from _kept(scene, seen, seen.restart, now)


def _firewall(scene: _Scene) -> Iterator[Entry]:
    bridges = tuple(sorted((seen.bridge, seen.subnet) for seen in scene.observed.networks.values()))
    if not bridges:
        if scene.observed.ruleset and not scene.networks:  # a bridge that is only gone for now must not open anything
            yield Task("firewall", "no networks", (RemoveRuleset(),))
        return
    published = frontends(scene.observed.containers.values(), frozenset(seen.id for seen in scene.leaving))
    text, made = _ruleset(scene.policy.instance, bridges, published)
    if made != scene.observed.ruleset:
        cause = "changed" if scene.observed.ruleset else "missing, or changed by somebody else"
        summary = f"networks: {len(bridges)}, published ports: {len(published)}"
        yield Task("firewall", cause, (ApplyRuleset(text, summary),))


@lru_cache(maxsize=1)  # most looks find the same networks and ports as the one before
def _ruleset(
    instance: str, bridges: tuple[tuple[str, str], ...], published: tuple[ruleset.Published, ...]
) -> tuple[str, str]:
    """The text and its digest."""
    text = ruleset.render(instance, bridges, published)
    return text, digest(text)


# --- containers --------------------------------------------------------------------------------------------------


def _replica(scene: _Scene, container: Container, now: float) -> Iterator[Entry]:
    instances = scene.instances.get(container.name, ())
    image = images.image_of(container, scene.observed.images)
    current = _current(scene, container, image)
    others = [seen for seen in instances if seen is not current]
    if current is None and (reason := _not_ready(scene, container, image) or _asks_first(container, image, now)):
        yield Wait(lifecycle.key(container.name), reason)
        yield from (entry for seen in others for entry in _kept(scene, seen, container.restart, now))
    elif others:
        yield lifecycle.retire(others[0], now, _why_replaced(others[0], current, container, image))
    elif current is None:
        assert image is not None
        yield from _create(scene, container, image, now)
    elif reason := _waits_to_start(scene, container, current):
        yield Wait(lifecycle.key(container.name), reason)
    else:
        yield from _kept(scene, current, container.restart, now)


def _current(scene: _Scene, container: Container, image: SeenImage | None) -> SeenContainer | None:
    instances = scene.instances.get(container.name, ())
    return next((seen for seen in instances if _is_current(seen, container, image)), None)


def _is_current(seen: SeenContainer, container: Container, image: SeenImage | None) -> bool:
    """Whether `seen` is this revision. While its image is away (a dead registry), what it was made from counts."""
    if seen.damaged or (image is None and seen.image != container.image):
        return False
    return seen.revision == revision(container, image.digest if image else seen.image_digest)


def _why_replaced(
    seen: SeenContainer, current: SeenContainer | None, container: Container, image: SeenImage | None
) -> str:
    if seen.damaged:
        return seen.damaged
    if current:
        return "a newer instance runs"
    return images.moved(seen, container, image) or f"revision {seen.revision[:12]} is no longer wanted"


def _not_ready(scene: _Scene, container: Container, image: SeenImage | None) -> str:
    """Why a new instance could not be made now; asked before the old one is touched."""
    if image is None:
        return images.unavailable(container)
    if container.network and not _usable(scene.observed.networks.get(container.network)):
        return f"waits for network {container.network}"
    missing = sorted(_volumes_of(container) - scene.observed.volumes)
    if missing:
        return f"waits for volume {missing[0]}"
    return _waits_for_dependency(scene, container)


def _asks_first(container: Container, image: SeenImage | None, now: float) -> str:
    return images.asks_first(container, image, now) if image else ""


def _asked_since(scene: _Scene, now: float) -> dict[str, float]:
    """`pull_policy: always` means before each creation of an instance, and once when the daemon starts."""
    found: dict[str, float] = {}
    for name, container in scene.desired.containers.items():
        if container.pull_policy.when == "always":
            image = images.image_of(container, scene.observed.images)
            current = _current(scene, container, image)
            made = current.created_at if current else 0.0 if _not_ready(scene, container, image) else now
            found[name] = max(scene.policy.started, made - images.JUST_NOW)
    return found


def _usable(network: SeenNetwork | None) -> bool:
    """A bridge is there before its address is."""
    return network is not None and bool(network.subnet)


def _volumes_of(container: Container) -> set[str]:
    return {mount.volume for mount in container.mounts if isinstance(mount, VolumeMount)}


def _waits_to_start(scene: _Scene, container: Container, seen: SeenContainer) -> str:
    return "" if isinstance(seen.state, Running | Exited) else _waits_for_dependency(scene, container)


def _waits_for_dependency(scene: _Scene, container: Container) -> str:
    """Compose `depends_on`, list form: every replica of a dependency has been started (`service_started`)."""
    for service in container.depends_on:
        for other in scene.desired.containers.values():
            if (other.app, other.service) == (container.app, service) and not _started(scene, other.name):
                return f"waits for service {service} to be started"
    return ""


def _started(scene: _Scene, name: str) -> bool:
    return any(isinstance(seen.state, Running | Exited) for seen in scene.instances.get(name, ()))


def _create(scene: _Scene, container: Container, image: SeenImage, now: float) -> Iterator[Entry]:
    address, subnet, bridge = "", "", ""
    if container.network:
        seen = scene.observed.networks[container.network]
        bridge, subnet = seen.bridge, seen.subnet
        taken = scene.taken.setdefault(container.network, set())
        free = addresses.free_address(subnet, taken)
        if isinstance(free, addresses.Exhausted):
            yield Wait(lifecycle.key(container.name), free.message)
            return
        address = free
        taken.add(address)
    id, made = container_id(container, image.digest, now), revision(container, image.digest)
    steps: tuple[Step, ...] = (
        CreateContainer(id, container, made, image, address, subnet),
        ConnectContainer(id, container.name, bridge, address, subnet),
        StartContainer(id, container.name, 0, 0),
    )
    yield Task(lifecycle.key(container.name), "missing", steps, about=made)


def _kept(scene: _Scene, seen: SeenContainer, restart: Restart, now: float) -> Iterator[Entry]:
    """Keeps `seen` as it is: running, connected, and without leftovers."""
    network = scene.observed.networks.get(seen.network) if seen.network else None
    urgent = lifecycle.keep(seen, restart, network if _usable(network) else None, now)
    if urgent:
        yield urgent
    if not isinstance(urgent, Task) and (cleaning := lifecycle.clean(seen)):
        yield cleaning
    if seen.log_bytes > scene.policy.log_size and isinstance(seen.state, Running):
        yield Task(f"log:{seen.name}", f"grew to {seen.log_bytes} bytes", (RotateLog(seen.id, seen.name),))
