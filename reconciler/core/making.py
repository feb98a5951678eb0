"""What a new instance needs before it can be made, and how it is made. Pure; called by `plan`.

Whoever is replaced is touched only when nothing of this is missing for his successor.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from reconciler.core import dns, images, instances, lifecycle, naming, order, rollout, scheduling
from reconciler.core.addresses import Refused
from reconciler.core.claims import taken
from reconciler.core.instances import Replica
from reconciler.core.joints import Networks, joint
from reconciler.core.model import Container, Running, SeenImage, container_id, revision
from reconciler.core.mounts import volumes_of
from reconciler.core.networking import Joint, Resolver
from reconciler.core.reasons import Reason
from reconciler.core.scene import Scene
from reconciler.core.steps import ConnectContainer, CreateContainer, StartContainer, Step, Task, Wait

Resolvers = Mapping[str, Resolver | Refused]


def not_ready(scene: Scene, container: Container, image: SeenImage | None) -> Reason | None:
    """Why a new instance could not be made now; asked before the old one is touched."""
    if image is None or (scene.collecting and images.unused(image, scene.collecting)):
        return images.unavailable(container) if image is None else images.uncertain(image)
    for attachment in container.networks:
        if not scene.usable(attachment.network):
            return _waits_for_network(scene, attachment.network)
    if container.shares and not lends(scene, instances.owner_of(scene, container)):
        return waits_for_owner(container.shares)
    missing = sorted(set(volumes_of(container)) - scene.observed.volumes)
    if missing:
        return Reason("volume-missing", f"waits for volume {missing[0]}")
    if not scene.instances.get(container.name) and (reason := in_use(scene, volumes_of(container), "")):
        return reason
    return order.waits_for(scene, container.app, container.depends_on, new=True)


def asks_first(container: Container, image: SeenImage | None, now: float) -> Reason | None:
    """Why its tag must be asked for before an instance is made, None when it need not."""
    return images.asks_first(container, image, now) if image else None


def asked_since(scene: Scene, now: float) -> dict[str, float]:
    """`pull_policy: always` means before each creation of an instance, and once when the daemon starts."""
    found: dict[str, float] = {}
    for name, container in scene.desired.containers.items():
        if container.pull_policy.when == "always" and not container.prepares:
            found[name] = max(scene.policy.started, _made_at(scene, container, now) - images.JUST_NOW)
    return found


def _made_at(scene: Scene, container: Container, now: float) -> float:
    """When its instance was made, or will be; 0 when nobody makes one soon."""
    if container.schedule:
        return scheduling.due_since(container.schedule, scene.observed.jobs.get(container.name), now)
    image = images.image_of(container, scene.observed.images)
    if current := instances.current_instance(scene, container, image):
        return current.created_at
    return 0.0 if instances.had_its_run(scene, container, image) or not_ready(scene, container, image) else now


def _waits_for_network(scene: Scene, name: str) -> Reason:
    if name in scene.networks:
        return Reason("network-missing", f"waits for network {name}")
    return Reason("network-undeclared", f"waits for network {name}, which no spec declares")


def occupied(scene: Scene, container: Container) -> str:
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


def lends(scene: Scene, owner: str) -> bool:
    """Whether others can be started in this container's network namespace: it is there as long as this one is."""
    seen = scene.observed.containers.get(owner)
    return seen is not None and seen.connected and isinstance(seen.state, Running)


def waits_for_owner(name: str) -> Reason:
    """Why one whose namespace is not there is not started."""
    return Reason("namespace-missing", f"waits for container {name}, whose network it shares")


def in_use(scene: Scene, volumes: Iterable[str], id: str) -> Reason | None:
    """Which exclusive volume another container has, None when none."""
    for volume in volumes:
        if scene.claimed.get(volume, id) != id:
            owner = scene.observed.containers.get(scene.claimed[volume])
            by = f" by {owner.name}" if owner else ""
            return Reason("volume-in-use", f"waits for volume {volume}, which is exclusive and in use{by}")
    return None


def create(scene: Scene, resolvers: Resolvers, found: Replica, cause: str, now: float) -> Iterator[Task | Wait]:
    """Makes and starts the instance that is to be in force; all that it needs is there."""
    container, image = found.container, found.image
    assert image is not None
    where = _joint(scene, resolvers, container)
    if isinstance(where, Refused):
        yield Wait(lifecycle.key(container.name), where.message, code="no-address")
        return
    id, made = container_id(container, image.digest, now), revision(container, image.digest)
    scene.claim(volumes_of(container), id)
    elsewhere = bool(where.shares) or container.host_network
    steps: tuple[Step, ...] = (
        *rollout.keeping(scene, found, now),
        CreateContainer(id, container, made, image, where),
        *(() if elsewhere else (ConnectContainer(id, container.name, where.endpoints),)),
        # Where it may connect to must be in force before it runs; the table takes in who exists.
        *(() if container.egress is not None else (StartContainer(id, container.name, 0, 0),)),
    )
    yield Task(lifecycle.key(container.name), cause, steps, about=made)


def _joint(scene: Scene, resolvers: Resolvers, container: Container) -> Joint | Refused:
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
    return replace(found, nameservers=dns.nameservers(naming.view(scene, container), resolvers))
