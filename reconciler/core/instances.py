"""Which observed instance is which revision: what of a replica is there, and what is to be in force for it. Pure.

Called by `rollout` and `plan` for each desired container. Instances of one name are told apart by their ids alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

from reconciler.core import images
from reconciler.core.joining import declared
from reconciler.core.model import Container, Running, SeenContainer, SeenImage, revision
from reconciler.core.scene import Scene
from reconciler.core.updates import Good, Quarantine

SETTLED = 1.0  # seconds that a container without a healthcheck must have run before another one makes way for it

FAR = 60.0  # seconds


@dataclass(frozen=True, slots=True)
class Replica:
    """One desired container: what is to be in force for it, and what is there.

    `container` is `wanted`, or the last good one when that is in quarantine (`bad`). `stuck`: nothing good is known to
    make, so what is there stays. `others` are all instances but `current`, newest first. `over`: what is to be in force
    is a one-shot service that has had its run.
    """

    wanted: Container
    container: Container
    image: SeenImage | None
    current: SeenContainer | None
    others: tuple[SeenContainer, ...]
    bad: Quarantine | None = None
    stuck: bool = False
    over: bool = False

    @property
    def revision(self) -> str:
        """What is to be in force, "" while its image is not here."""
        return revision(self.container, self.image.digest) if self.image else ""


def replica(scene: Scene, wanted: Container) -> Replica:
    """What is to be in force for `wanted` now."""
    image = images.image_of(wanted, scene.observed.images)
    bad = _bad(scene, wanted, image)
    good = _last_good(scene, wanted, bad) if bad else None
    if bad and good is None:
        instances = scene.instances.get(wanted.name, ())
        kept = next((seen for seen in instances if fit(scene, seen) and isinstance(seen.state, Running)), None)
        kept = kept or next((seen for seen in instances if fit(scene, seen)), None)
        return Replica(wanted, wanted, image, kept, _others(instances, kept), bad, stuck=True)
    container, image = (good.container, good.image) if good else (wanted, image)
    current = current_instance(scene, container, image)
    others = _others(scene.instances.get(wanted.name, ()), current)
    return Replica(wanted, container, image, current, others, bad, over=had_its_run(scene, container, image))


def had_its_run(scene: Scene, container: Container, image: SeenImage | None) -> bool:
    """Whether this very revision is remembered to have ended. While its image is away nobody knows."""
    ended = scene.observed.ended.get(container.name)
    return ended is not None and image is not None and ended.revision == revision(container, image.digest)


def fit(scene: Scene, seen: SeenContainer) -> bool:
    """Whether it may be started: its record is whole and its revision is not in quarantine."""
    return not seen.damaged and seen.revision not in scene.observed.quarantined


def proven(seen: SeenContainer, now: float) -> bool:
    """Whether it is ready to take another one's place: whoever asks it says so, or it has run for a moment."""
    if not seen.ready or not seen.connected or not isinstance(seen.state, Running):
        return False
    return seen.health is not None or over_for(seen.state.since, SETTLED, now)


def over_for(since: float, seconds: float, now: float) -> bool:
    """Whether so many seconds have gone by. `now` may be a moment old; `since` far ahead: somebody set the clock."""
    return not since - FAR <= now < since + seconds


def ready_since(seen: SeenContainer) -> float:
    """Since when it is ready; for one that is."""
    assert isinstance(seen.state, Running)
    return seen.health.since if seen.health else seen.state.since


def aside(scene: Scene, now: float) -> frozenset[str]:
    """The ids of those that get no new connections, because another instance of the same name serves in their place.

    That is the wanted one as soon as it is proven, else whatever is ready, else whatever runs; of equals one that does
    not drain, for its connections may be cut soon, and then the oldest.
    """
    found: set[str] = set()
    for name, instances in scene.instances.items():
        if len(instances) > 1:
            wanted = scene.desired.containers.get(name)
            current = replica(scene, wanted).current if wanted else None
            first = max(instances, key=partial(_rank, current, now))
            found |= {seen.id for seen in instances if seen is not first}
    return frozenset(found)


def _rank(current: SeenContainer | None, now: float, seen: SeenContainer) -> tuple[float, ...]:
    known = proven(seen, now)
    running = isinstance(seen.state, Running)
    return known, seen.ready, running, known and seen is current, seen.draining is None, -seen.created_at


def current_instance(scene: Scene, container: Container, image: SeenImage | None) -> SeenContainer | None:
    """The instance that is as `container` says and where it says, None when it has to be made."""
    owner = owner_of(scene, container)
    fitting = (seen for seen in scene.instances.get(container.name, ()) if seen.shares == owner)
    return next((seen for seen in fitting if _is_current(seen, container, image) and not moved(scene, seen)), None)


def moved(scene: Scene, seen: SeenContainer) -> str:
    """The network that is declared otherwise than when `seen` joined it, "" for none; another app's spec may say so."""
    for endpoint in seen.endpoints:
        network = scene.networks.get(endpoint.network.name, endpoint.network)
        if network != endpoint.network and declared(network) != declared(endpoint.network):
            return network.name
    return ""


def owner_of(scene: Scene, container: Container) -> str:
    """The id of the container whose network namespace it uses now, "" when it has its own."""
    return next((seen.id for seen in scene.instances.get(container.shares, ())), "")


def _is_current(seen: SeenContainer, container: Container, image: SeenImage | None) -> bool:
    """Whether `seen` is this revision. While its image is away (a dead registry), what it was made from counts."""
    if seen.damaged or seen.scheduled is not None or (image is None and seen.image != container.image):
        return False
    return seen.revision == revision(container, image.digest if image else seen.image_digest)


def _others(instances: tuple[SeenContainer, ...], current: SeenContainer | None) -> tuple[SeenContainer, ...]:
    return tuple(seen for seen in instances if seen is not current)


# --- quarantine --------------------------------------------------------------------------------------------------


def quarantined(scene: Scene, wanted: Container) -> Quarantine | None:
    """Why the wanted revision of this very replica is in quarantine, None when it is not."""
    return scene.observed.quarantined.get(wanted_revision(scene, wanted))


def wanted_revision(scene: Scene, wanted: Container) -> str:
    """What the spec asks for, "" while its image is not here."""
    image = images.image_of(wanted, scene.observed.images)
    return revision(wanted, image.digest) if image else ""


def _bad(scene: Scene, wanted: Container, image: SeenImage | None) -> Quarantine | None:
    """Why `wanted` may not be in force: it failed itself, or too many of its siblings did."""
    if not scene.observed.quarantined:
        return None
    if own := quarantined(scene, wanted):
        return own
    config, siblings = wanted.updates.config, scene.siblings(wanted)
    failed = [bad for other in siblings if (bad := quarantined(scene, other))]
    if len(failed) <= config.max_failure_ratio * len(siblings) or config.failure_action == "continue":
        return None
    paused = config.failure_action == "pause" and current_instance(scene, wanted, image)
    return None if paused else failed[0]


def _last_good(scene: Scene, wanted: Container, bad: Quarantine) -> Good | None:
    """What is made again: the last good revision of the replica, or of a sibling under its name."""
    for other in (wanted, *scene.siblings(wanted)):
        good = scene.observed.good.get(other.name)
        if good and good.revision != bad.revision and good.revision not in scene.observed.quarantined:
            container = replace(good.container, name=wanted.name, replica=wanted.replica)
            return replace(good, container=container, revision=revision(container, good.image.digest))
    return None
