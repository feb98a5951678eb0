"""From one revision to the next without a gap, and back when it fails: what is safe for one replica now. Pure.

Start-first: the new instance is made beside the old one, becomes ready, takes over ports and names, the old one drains
and is stopped once the new one has been watched long enough. What cannot overlap is stop-first, and says why. Between
two looks nothing is remembered but on the host: what drains, what was good, what is in quarantine. Called by `plan`.

The gate is only there where there is something to go back to: another instance, or the last good revision. A service
that never ran well is restarted with a growing delay instead, as its restart policy says.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from reconciler.core import instances
from reconciler.core.health import Healthcheck
from reconciler.core.instances import Replica, proven, ready_since
from reconciler.core.lifecycle import finished, key
from reconciler.core.model import Container, Exited, Running, SeenContainer, VolumeMount
from reconciler.core.mounts import volumes_of
from reconciler.core.remembering import DrainContainer, ForgetRevisions, KeepGood, QuarantineRevision
from reconciler.core.scene import Scene
from reconciler.core.steps import Task, Wait
from reconciler.core.updates import Good, Quarantine, UpdateConfig

Entry = Task | Wait


def config(found: Replica) -> UpdateConfig:
    """How it is replaced: by `update_config`, or by `rollback_config` when that goes back."""
    return found.wanted.updates.back if found.bad else found.wanted.updates.config


# --- whether both may run at once --------------------------------------------------------------------------------


def apart(scene: Scene, found: Replica) -> str:
    """Why the new instance is started only when the old ones are gone, "" when it is started beside them."""
    order = config(found).order
    if order == "stop-first":
        return "its order is stop-first"
    if why := _clash(scene, found):
        return why
    if order == "start-first":
        return ""
    if not found.container.ports:
        return "it publishes no port"
    shared = [
        mount.volume for mount in found.container.mounts if isinstance(mount, VolumeMount) and not mount.read_only
    ]
    unclear = [name for name in shared if scene.exclusive(name) is None]
    return f"it writes to volume {unclear[0]}, and nothing says that two may" if unclear else ""


def _clash(scene: Scene, found: Replica) -> str:
    """What both would need and only one can have."""
    container = found.container
    if container.host_network or any(seen.host_network for seen in found.others):
        return "it uses the host's network"
    if container.shares or any(seen.shares for seen in found.others):
        return "it uses another container's network"
    if any(other.shares == container.name for other in scene.desired.containers.values()):
        return "others use its network"
    for attachment in container.networks:
        if attachment.ipv4_address or attachment.ipv6_address or attachment.mac_address:
            return f"its address in network {attachment.network} is fixed"
    if volume := exclusive(scene, container):
        return f"volume {volume} is exclusive"
    changed = next((name for seen in found.others if (name := instances.moved(scene, seen))), "")
    return f"network {changed} is declared otherwise now" if changed else ""


def exclusive(scene: Scene, container: Container) -> str:
    """A volume that it uses and nobody else may at the same time, "" for none."""
    return next((name for name in volumes_of(container) if scene.exclusive(name)), "")


def idle(found: Replica) -> bool:
    """Whether no old instance runs, so that nothing is lost by taking the newest of them away first."""
    return not any(isinstance(seen.state, Running) for seen in found.others)


# --- one after the other -----------------------------------------------------------------------------------------


def turn(scene: Scene, found: Replica, now: float) -> Wait | None:
    """Why this replica is not replaced yet: others of its service are, or were a moment ago. None when it is."""
    wanted, limits = found.wanted, config(found)
    others = [instances.replica(scene, other) for other in scene.siblings(wanted) if other.name != wanted.name]
    busy = [other.wanted.name for other in others if _in_progress(scene, other, now)]
    earlier = [other for other in scene.siblings(wanted) if other.name < wanted.name]
    ahead = [other.name for other in earlier if other.name not in busy and _replaceable(scene, other.name)]
    if limits.parallelism and len(busy) + len(ahead) >= limits.parallelism:
        return Wait(key(wanted.name), f"waits for its turn: {(*busy, *ahead)[0]} is replaced first", code="update-turn")
    ends = [
        ready_since(other.current) + limits.monitor
        for other in others
        if other.current and other.others == () and proven(other.current, now)
    ]
    last = max(ends, default=0.0)
    if limits.delay and last <= now < last + limits.delay:
        reason = f"waits for its turn: {limits.delay:g} s between two replicas"
        return Wait(key(wanted.name), reason, until=last + limits.delay, passing=True, code="update-delay")
    return None


def _in_progress(scene: Scene, found: Replica, now: float) -> bool:
    """Whether it is between two revisions now."""
    if (found.bad and found.stuck) or (found.over and found.current is None):
        return False
    stopping = any(isinstance(seen.state, Running) and seen.state.stop_sent is not None for seen in found.others)
    if found.current is None:
        return stopping or not found.others
    return bool(found.others) or (watched(scene, found) and not over(found, now))


def _replaceable(scene: Scene, name: str) -> bool:
    """Whether that replica is to be replaced too; its turn comes before."""
    found = instances.replica(scene, scene.desired.containers[name])
    return not found.stuck and found.current is None and bool(found.others)


# --- the gate ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an instance did not pass: since when it was ill, and how that showed."""

    fault: str
    ended: str


def watched(scene: Scene, found: Replica) -> bool:
    """Whether what is to be in force is new, and there is something to go back to."""
    if found.bad or _is_job(found):
        return False
    new, good = _revision(found), scene.observed.good.get(found.wanted.name)
    back = good is not None and good.revision not in (new, *scene.observed.quarantined)
    return back or any(_worth(scene, seen, new) for seen in found.others)


def _revision(found: Replica) -> str:
    """What is to be in force; while its image is away, what was made from it."""
    return found.current.revision if found.current else found.revision


def _is_job(found: Replica) -> bool:
    """Whether it runs to its end and serves nobody: going back would do its work again."""
    asked = any(seen.healthcheck for seen in (found.current, *found.others) if seen)
    return found.wanted.restart.policy == "no" and not found.wanted.ports and not asked


def _worth(scene: Scene, seen: SeenContainer, new: str) -> bool:
    stopping = isinstance(seen.state, Running) and seen.state.stop_sent is not None
    return instances.fit(scene, seen) and not stopping and seen.revision != new


def failure(scene: Scene, found: Replica, now: float) -> Failure | None:
    """What is wrong with the new instance, None while it may still pass."""
    seen = found.current
    if seen is None or not isinstance(seen.state, Running):
        if why := scene.observed.refused.get(_revision(found)):
            return Failure("could not be started", why)
        if seen is None:
            return None
    taken_over = any(other.draining and other.draining.successor == seen.id for other in found.others)
    fault = "fell ill" if taken_over else "was never healthy"
    match seen.state:
        case Exited(stopped=False, code=code, oom=oom) if code or not finished(seen, found.wanted.restart):
            return Failure(fault, "out of memory" if oom else f"exit code {code}")
        case Running(stop_sent=None, since=since) if seen.health:
            if seen.health.state == "unhealthy":
                return Failure(fault, seen.health.said or "unhealthy")
            limit = patience(seen.healthcheck)
            if seen.health.state == "starting" and instances.over_for(since, limit, now):
                return Failure(fault, f"not healthy within {limit:g} s")
    return None


def patience(check: Healthcheck | None) -> float:
    """Seconds in which a healthcheck must have said once that all is well."""
    check = check or Healthcheck(test=None)
    return check.start_period + check.retries * (check.interval + check.timeout)


def over(found: Replica, now: float) -> bool:
    """Whether the current instance has been ready for as long as it is watched, or ended as it should."""
    seen = found.current
    if seen is None:
        return False
    if isinstance(seen.state, Exited):
        return finished(seen, found.wanted.restart)
    return proven(seen, now) and instances.over_for(ready_since(seen), config(found).monitor, now)


def judged(scene: Scene, found: Replica, now: float) -> Task | None:
    """Puts the new revision in quarantine when it does not pass."""
    if not watched(scene, found) or (wrong := failure(scene, found, now)) is None:
        return None
    wanted, new = found.wanted, _revision(found)
    bad = Quarantine(
        revision=new,
        name=wanted.name,
        app=wanted.app,
        service=wanted.service,
        spec=wanted.spec,
        fault=wrong.fault,
        ended=wrong.ended,
    )
    cause = f"it {wrong.fault}: {wrong.ended}"
    id = found.current.id if found.current else ""
    return Task(key(wanted.name), cause, (QuarantineRevision(id, bad),), about=f"quarantine {new}")


def keeping(scene: Scene, found: Replica, now: float) -> tuple[KeepGood, ...]:
    """Before it is replaced: what is needed to make the old one again, unless that is kept or was never good."""
    good = scene.observed.good.get(found.wanted.name)
    if found.bad or _is_job(found):
        return ()
    for seen in found.others:
        if instances.fit(scene, seen) and seen.revision != found.revision and _was_good(seen, bool(good), found, now):
            known = good is not None and good.revision == seen.revision
            return () if known else (KeepGood(seen.id, seen.name, seen.revision),)
    return ()


def _was_good(seen: SeenContainer, known: bool, found: Replica, now: float) -> bool:
    monitor = config(found).monitor
    match seen.state:
        case Running(stop_sent=None):
            return proven(seen, now) and now >= ready_since(seen) + monitor
        case Exited(stopped=False, at=at, since=since):
            return at - since >= monitor
        case Running() | Exited():
            return False
        case _:
            return not known  # it did not run since the boot: better than nothing


# --- from the old one to the new one -----------------------------------------------------------------------------


def waiting(scene: Scene, found: Replica, moved: bool, now: float) -> Task | Wait | None:
    """What is between a new instance that runs and the end of its update. `moved`: the ruleset is in force."""
    seen = found.current
    assert seen is not None
    olds = [old for old in found.others if instances.fit(scene, old) and isinstance(old.state, Running)]
    if not proven(seen, now):
        ready = Wait(key(seen.name), "waits until it is ready", _ready_by(seen), passing=True, code="update-not-ready")
        return ready if olds else None
    fresh = [old for old in olds if not old.draining or old.draining.successor != seen.id]
    if fresh and moved:
        steps = tuple(DrainContainer(old.id, old.name, seen.id) for old in fresh)
        return Task(key(seen.name), f"{seen.id[:12]} serves in its place", steps)
    if fresh:
        return Wait(key(seen.name), "waits for ports to be moved to it", passing=True, code="update-moving")
    if not over(found, now) and (found.others or watched(scene, found)):
        monitor = config(found).monitor
        over_at = ready_since(seen) + monitor
        return Wait(key(seen.name), f"is watched for {monitor:g} s", over_at, passing=True, code="update-watched")
    until = max((end for old in olds if (end := drains_until(found, old, now))), default=None)
    if until is None:
        return None
    return Wait(key(seen.name), "connections to the old one drain", until, passing=True, code="update-draining")


def _ready_by(seen: SeenContainer) -> float | None:
    if not isinstance(seen.state, Running):
        return None
    return seen.state.since + (patience(seen.healthcheck) if seen.health else instances.SETTLED)


def leaves(scene: Scene, found: Replica, old: SeenContainer, now: float) -> str:
    """Why an old instance is stopped now, "" while it stays."""
    if not instances.fit(scene, old):
        if found.stuck and found.current is None:
            return ""  # nothing could take its place
        return old.damaged or "its revision is in quarantine"
    current = found.current
    if found.stuck or current is None or not over(found, now):
        return ""
    if isinstance(old.state, Running) and old.state.stop_sent is None and drains_until(found, old, now):
        return ""
    return f"{current.id[:12]} serves in its place"


def drains_until(found: Replica, old: SeenContainer, now: float) -> float | None:
    """Until when its established connections have time, None when that is over."""
    if old.draining is None or found.current is None or old.draining.successor != found.current.id:
        return now + 1.0
    since, drain = old.draining.since, found.wanted.updates.drain
    return None if instances.over_for(since, drain, now) else since + drain


# --- what is remembered ------------------------------------------------------------------------------------------


def settled(scene: Scene, found: Replica, now: float) -> Iterator[Task]:
    """Once all replicas are what they should be, that is the last good revision."""
    seen, good = found.current, scene.observed.good.get(found.wanted.name)
    if seen is None or found.bad or good is None or good.revision == seen.revision:
        return
    siblings = scene.siblings(found.wanted)
    if all(instances.quarantined(scene, other) or _done(instances.replica(scene, other), now) for other in siblings):
        yield Task(f"good:{seen.name}", "the update went well", (KeepGood(seen.id, seen.name, seen.revision),))


def _done(found: Replica, now: float) -> bool:
    return not found.others and over(found, now)


def forgotten(scene: Scene, now: float) -> Iterator[Task]:
    """What is remembered of what nobody wants any more; of what is held nothing is forgotten."""
    good = [name for name, entry in scene.observed.good.items() if _gone(scene, name, entry, now)]
    bad = [entry.revision for entry in scene.observed.quarantined.values() if _other_now(scene, entry, now)]
    bad += _refused_before(scene)
    if good or bad:
        step = ForgetRevisions(tuple(sorted(good)), tuple(sorted(bad)))
        yield Task("revisions", "nothing wants them", (step,))


def _refused_before(scene: Scene) -> list[str]:
    """What nobody wants any more may be tried anew when somebody does: what was missing for it may be there by then."""
    refused = scene.observed.refused.keys() - scene.observed.quarantined.keys()
    if not refused:
        return []
    wanted = {_revision(instances.replica(scene, container)) for container in scene.desired.containers.values()}
    made = {seen.revision for seen in scene.observed.containers.values()}
    return sorted(refused - wanted - made)


def _gone(scene: Scene, name: str, good: Good, now: float) -> bool:
    there = name in scene.desired.containers or name in scene.instances
    return not there and not scene.held(good.container.app, good.container.spec, now)


def _other_now(scene: Scene, bad: Quarantine, now: float) -> bool:
    """Whether the spec or the image is another one now. While the image is away nobody knows."""
    wanted = scene.desired.containers.get(bad.name)
    there = any(seen.revision == bad.revision for seen in scene.instances.get(bad.name, ()))
    if wanted is None:
        return not there and not scene.held(bad.app, bad.spec, now)
    revision = instances.wanted_revision(scene, wanted)
    return bool(revision) and revision != bad.revision and not there
