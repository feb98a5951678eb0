"""Which images must be here, and when a registry is asked again what a tag names. Pure; `plan` calls it.

Compose `pull_policy` and the lock decide that. An image that is here is used, however long its registry has not
answered: the newest if it can be had, else what is here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from reconciler.core.durations import human
from reconciler.core.model import Container, Desired, Observed, SeenContainer, SeenImage, revision
from reconciler.core.reasons import Reason
from reconciler.core.reference import image_key, is_local, moves
from reconciler.core.steps import CheckImage, CollectImages, PullImage, Task

INTERVAL = 86400.0  # seconds between two collections
FULL_INTERVAL, FULL_AGE = 600.0, 120.0  # the same, and how old an image must be, as in kubelet, on a disk that fills up

JUST_NOW = 30.0  # seconds; an answer this old still counts as asked before a container is made

Seen = Mapping[str, SeenImage]


@dataclass(frozen=True, slots=True)
class _Wish:
    """One image and the containers that want it."""

    reference: str
    platform: str
    containers: tuple[Container, ...]

    def here(self, images: Seen) -> SeenImage | None:
        return image_of(self.containers[0], images)

    @property
    def interval(self) -> float:
        """Seconds between two questions for the tag; 0 when nobody wants that."""
        policies = [container.pull_policy for container in self.containers]
        return min((policy.interval for policy in policies if policy.when == "every"), default=0.0)


def image_of(container: Container, images: Seen) -> SeenImage | None:
    """The image that `container` is to be made from, when it is here; a locked one by whatever name it came."""
    exact = images.get(image_key(container.pulls, container.platform))
    if exact or not container.locked:
        return exact
    by_tag = images.get(image_key(container.image, container.platform))
    return by_tag if by_tag and container.locked in (by_tag.named, by_tag.digest) else None


def unavailable(container: Container) -> Reason:
    """What a container without its image waits for."""
    if _never(container):
        why = f"cannot use image {container.pulls}: it is not on this host, and its pull_policy is never"
        return Reason("image-not-pulled", why)
    return Reason("image-missing", f"waits for image {container.pulls}")


def moved(seen: SeenContainer, container: Container, image: SeenImage | None) -> str:
    """Why `seen` is replaced when nothing changed but what its image's name means; else ""."""
    if image is None or image.digest == seen.image_digest or revision(container, seen.image_digest) != seen.revision:
        return ""
    why = ", as the lock says" if container.locked else ""
    return f"image {container.image} moved from {seen.image_digest} to {image.digest}{why}"


def pulls(wanted: Mapping[str, Container], images: Seen, since: Mapping[str, float], now: float) -> Iterator[Task]:
    """What to fetch, and which tags to ask for again.

    `since` tells by name of each container with `pull_policy: always` from when on its tag must have been asked for.
    """
    for wish in _wishes(wanted):
        key, here = f"image:{image_key(wish.reference, wish.platform)}", wish.here(images)
        if here is None:
            willing = [entry for entry in wish.containers if not _never(entry)]
            if willing:
                cause = f"wanted by {willing[0].app}/{willing[0].service}"
                yield Task(key, cause, (PullImage(wish.reference, wish.platform),))
        elif cause := _due(wish, here, since, now):
            yield Task(key, cause, (CheckImage(wish.reference, wish.platform),))


def next_check(wanted: Mapping[str, Container], images: Seen, now: float) -> float | None:
    """When the next tag is to be asked for, as far as that lies ahead."""
    times = [
        here.checked_at + wish.interval
        for wish in _wishes(wanted)
        if wish.interval and moves(wish.reference) and (here := wish.here(images))
    ]
    return min((time for time in times if time > now), default=None)


@dataclass(frozen=True, slots=True)
class Keep:
    """What is kept though nothing uses it: on a disk that is not fuller than the share `full`, for `age` seconds."""

    full: float
    age: float


def collection(desired: Desired, observed: Observed, keep: Keep, now: float) -> Iterator[Task]:
    """When what nothing uses is thrown away: every day what is old enough, and sooner on a disk that fills up.

    Never while something is held: nobody knows what its spec needs.
    """
    if observed.collected_at is None or desired.unavailable or desired.held:
        return
    full = observed.disk_used >= keep.full
    interval = FULL_INTERVAL if full else min(INTERVAL, max(keep.age, FULL_INTERVAL))
    age = min(FULL_AGE, keep.age) if full else keep.age
    if observed.collected_at <= now < observed.collected_at + interval:
        return
    wanted = desired.containers.values()
    here = (image_of(container, observed.images) for container in wanted)
    digests = {image.digest for image in here if image} | {seen.image_digest for seen in observed.containers.values()}
    digests |= {good.image.digest for good in observed.good.values()}
    references = {reference for container in wanted for reference in (container.image, container.pulls)}
    cause = f"the disk is {observed.disk_used:.0%} full" if full else f"{human(interval)} since the last time"
    yield Task("collect", cause, (CollectImages(tuple(sorted(references)), tuple(sorted(digests)), age),))


def uncertain(image: SeenImage) -> Reason:
    """What a container waits for while unused images are thrown away, and nobody may have wanted this one before."""
    return Reason("image-uncertain", f"waits until it is known whether image {image.reference} is thrown away")


def unused(image: SeenImage, step: CollectImages) -> bool:
    """Whether `step` may throw `image` away; who wants it since the step was planned must wait until that is over."""
    return image.digest not in step.digests and image.reference not in step.references


def asks_first(container: Container, image: SeenImage, now: float) -> Reason | None:
    """What a new instance waits for when its tag has to be asked for before it is made; asked in vain is asked."""
    always = container.pull_policy.when == "always" and moves(container.pulls)
    wanted_at = now if container.scheduled is None else container.scheduled
    if not always or wanted_at - JUST_NOW <= max(image.checked_at, image.tried_at) <= now:
        return None
    return Reason("image-asked", f"waits for an answer what image {container.image} is now")


def _never(container: Container) -> bool:
    """No registry may be asked; what lies on this host in a file may be read."""
    return container.pull_policy.when == "never" and not is_local(container.image)


def _wishes(wanted: Mapping[str, Container]) -> list[_Wish]:
    found: dict[tuple[str, str], list[Container]] = defaultdict(list)
    for container in wanted.values():
        found[container.pulls, container.platform].append(container)
    return [_Wish(*image, tuple(containers)) for image, containers in sorted(found.items())]


def _due(wish: _Wish, here: SeenImage, since: Mapping[str, float], now: float) -> str:
    """Why the tag is asked for now, "" when it is not."""
    if not moves(wish.reference):
        return ""
    if wish.interval and not here.checked_at <= now < here.checked_at + wish.interval:  # or somebody set the clock
        return f"its tag is asked for every {human(wish.interval).lower().removeprefix('about ')}"
    for container in wish.containers:
        if container.pull_policy.when == "always" and here.checked_at < since.get(container.name, 0.0):
            return f"the pull_policy of {container.app}/{container.service} is always"
    return ""
