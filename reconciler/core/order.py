"""Order: what a container waits for before it starts, who is started again after whom, and who ends before whom. Pure.

Compose's `depends_on`, kept for as long as the daemon lives: at each start, also after a reboot, a crash or a
replacement, the conditions must hold again. What runs is never stopped because of what it depends on fell ill. Called
by `plan`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import assert_never

from reconciler.core.instances import replica
from reconciler.core.lifecycle import finished
from reconciler.core.model import Exited, Running, SeenContainer
from reconciler.core.reasons import Code, Reason
from reconciler.core.scene import Scene
from reconciler.core.starting import Condition, Dependency


def waits_for(scene: Scene, app: str, depends_on: Iterable[Dependency], *, new: bool = False) -> Reason | None:
    """Why a container of `app` that depends on these cannot start now, None when it can.

    A `new` instance waits for what its dependencies are to be. One that ran before is also content with what they were
    when that has ended well and its successor is not there yet, which may take long.
    """
    for dependency in depends_on:
        for there in _replicas(scene, app, dependency.service):
            instances = tuple(seen for seen in there if _counts(scene, seen)) if new else there
            if any(_holds(seen, dependency.condition) for seen in instances):
                continue
            if not there and _remembered(scene, app, dependency):
                continue
            if dependency.required or not _hopeless(instances, dependency.condition):
                return _reason(dependency, instances)
    return None


def comes(scene: Scene, app: str, depends_on: Iterable[Dependency]) -> bool:
    """Whether a run is on its way for whose end, and no other event, a container of `app` waits."""
    return any(
        entry.condition == "service_completed_successfully" and isinstance(seen.state, Running)
        for entry in depends_on
        for there in _replicas(scene, app, entry.service)
        for seen in there
    )


def restarted_after(scene: Scene, seen: SeenContainer, depends_on: Iterable[Dependency]) -> str:
    """The service with `restart: true` that was replaced after `seen` started and is up again, "" for none.

    As in Compose this is about what is done on purpose: a dependency that crashed and came back restarts nobody.
    """
    state = seen.state
    if not isinstance(state, Running) or state.stop_sent is not None or waits_for(scene, seen.app, depends_on):
        return ""
    for dependency in depends_on:
        if dependency.restart and any(
            other.created_at > state.since and other.id not in scene.aside and _holds(other, dependency.condition)
            for instances in _replicas(scene, seen.app, dependency.service)
            for other in instances
        ):
            return dependency.service
    return ""


def dependents(scene: Scene, seen: SeenContainer) -> str:
    """Who leaves too, depends on `seen` and still runs, "" for none: what starts last stops first."""
    for other in scene.leaving:
        depends = any(entry.service == seen.service for entry in other.depends_on)
        if depends and other.app == seen.app and isinstance(other.state, Running):
            return other.name
    return ""


def _replicas(scene: Scene, app: str, service: str) -> Iterator[tuple[SeenContainer, ...]]:
    """The instances of each replica of the service; those of a held app are what there is."""
    wanted = [entry.name for entry in scene.desired.containers.values() if (entry.app, entry.service) == (app, service)]
    held = {entry.name for entry in scene.kept if (entry.app, entry.service) == (app, service)}
    yield from (scene.instances.get(name, ()) for name in (*wanted, *sorted(held)))


def _counts(scene: Scene, seen: SeenContainer) -> bool:
    """Whether it serves, or is the instance that is to be in force, and not the rest of an earlier revision."""
    wanted = scene.desired.containers.get(seen.name)
    return wanted is None or isinstance(seen.state, Running) or replica(scene, wanted).current is seen


def _holds(seen: SeenContainer, condition: Condition) -> bool:
    match condition:
        case "service_started":
            return isinstance(seen.state, Running | Exited)
        case "service_healthy":
            return seen.ready and seen.health is not None
        case "service_completed_successfully":
            return isinstance(seen.state, Exited) and seen.state.code == 0 and finished(seen, seen.restart)
        case _:
            assert_never(condition)


def _remembered(scene: Scene, app: str, dependency: Dependency) -> bool:
    """Whether the one-shot containers that are gone have had their run, and well where that is required."""
    wanted = [
        entry for entry in scene.desired.containers.values() if (entry.app, entry.service) == (app, dependency.service)
    ]
    gone = [entry for entry in wanted if entry.name not in scene.instances]
    codes = [scene.observed.ended[entry.name].code for entry in gone if replica(scene, entry).over]
    if dependency.condition == "service_healthy" or len(codes) < len(gone):
        return False
    return dependency.condition == "service_started" or not dependency.required or not any(codes)


def _hopeless(instances: tuple[SeenContainer, ...], condition: Condition) -> bool:
    """Whether the condition will not come true by waiting: then who does not require it goes on, as in Compose."""
    newest = instances[0] if instances else None
    match condition:
        case "service_started":
            return False
        case "service_healthy":
            return newest is not None and (
                newest.healthcheck is None
                or isinstance(newest.state, Exited)
                or (newest.health is not None and newest.health.state == "unhealthy")
            )
        case "service_completed_successfully":
            return newest is not None and isinstance(newest.state, Exited)
        case _:
            assert_never(condition)


def _reason(dependency: Dependency, instances: tuple[SeenContainer, ...]) -> Reason:
    newest = instances[0] if instances else None
    service = dependency.service
    match dependency.condition:
        case "service_started":
            return Reason("dependency-not-started", f"waits for service {service} to be started")
        case "service_healthy":
            code, why = _not_healthy(newest)
            return Reason(code, f"waits for service {service} to be healthy{why}")
        case "service_completed_successfully":
            failed = newest is not None and isinstance(newest.state, Exited) and newest.state.code
            sentence = f"waits for service {service} to complete successfully"
            if failed:
                return Reason("dependency-failed", f"{sentence}; it exited with code {failed}")
            return Reason("dependency-not-completed", sentence)
        case _:
            assert_never(dependency.condition)


def _not_healthy(seen: SeenContainer | None) -> tuple[Code, str]:
    if seen is not None and seen.healthcheck is None:
        return "dependency-unchecked", ", but neither its spec nor its image has a healthcheck; write one"
    if seen is not None and seen.health is not None and seen.health.state == "unhealthy":
        return "dependency-unhealthy", f"; it is unhealthy: {seen.health.said or 'it does not answer'}"
    return "dependency-not-healthy", ""
