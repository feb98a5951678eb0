"""What happened between two looks, as events: `changes(before, after)`. Pure; `daemon.loop` publishes the answer.

Level-triggered like everything else: nobody reports an event when it happens, the difference between two
observations is the event. So what happened while the daemon was away is told as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Literal

from reconciler.core.health import Health
from reconciler.core.model import Created, Dead, Exited, Observed, Running, SeenContainer
from reconciler.core.networking import Pairs
from reconciler.core.progress import describe
from reconciler.core.status import Snapshot

Kind = Literal["container", "image", "network", "volume", "firewall", "spec", "daemon"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """An event before it has a sequence number and a time."""

    kind: Kind
    name: str
    action: str
    message: str = ""
    container: str = ""
    attributes: Pairs = ()


def changes(before: Snapshot, after: Snapshot) -> tuple[Change, ...]:
    """Everything that differs between two snapshots, in the order in which it must have happened."""
    return tuple(
        chain(
            _specs(before, after),
            _pulls(before, after),
            _sets(before.observed, after.observed),
            _moved(before.observed, after.observed),
            _ruleset(before, after),
            _containers(before.observed, after.observed),
            _drift(before, after),
            _failures(before, after),
        )
    )


def news(before: Snapshot, after: Snapshot) -> Iterator[str]:
    """What no step tells and somebody who watches wants to know: which specs cannot be used, and when all is done."""
    old, new = before.desired, after.desired
    if new.unavailable != old.unavailable:
        yield new.unavailable or "specs: the directory can be read again"
    yield from sorted({why for name, why in new.held.items() if old.held.get(name) != why})
    for name in sorted(old.held.keys() - new.held.keys()):
        if "." in name:  # held by path and by app; one of them is enough
            yield f"{name}: no longer a problem"
    yield from _mirrors(before.observed.mirrors, after.observed.mirrors)
    if _done(after) and not (_done(before) and before.generation):
        running = sum(isinstance(seen.state, Running) for seen in after.observed.containers.values())
        yield f"converged: {running} {'container runs' if running == 1 else 'containers run'}"


def _mirrors(old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[str]:
    yield from (f"mirror:{name}: passed over: {new[name]}" for name in sorted(new.keys() - old.keys()))
    yield from (f"mirror:{name}: it serves again" for name in sorted(old.keys() - new.keys()))


def _done(snapshot: Snapshot) -> bool:
    return snapshot.plan.converged and not snapshot.busy


def _specs(before: Snapshot, after: Snapshot) -> Iterator[Change]:
    for name, why in sorted(after.desired.held.items()):
        if before.desired.held.get(name) != why:
            yield Change(kind="spec", name=name, action="held", message=why)
    for name in sorted(before.desired.held.keys() - after.desired.held.keys()):
        yield Change(kind="spec", name=name, action="recovered")


def _sets(before: Observed, after: Observed) -> Iterator[Change]:
    kinds: tuple[tuple[Kind, frozenset[str], frozenset[str], str], ...] = (
        ("image", frozenset(before.images), frozenset(after.images), "pulled"),
        ("network", frozenset(before.networks), frozenset(after.networks), "created"),
        ("volume", before.volumes, after.volumes, "created"),
    )
    for kind, old, new, action in kinds:
        for name in sorted(new - old):
            yield Change(kind=kind, name=name, action=action)
        for name in sorted(old - new):
            yield Change(kind=kind, name=name, action="removed")


def _pulls(before: Snapshot, after: Snapshot) -> Iterator[Change]:
    """That a pull began, and every tenth of it: few enough that they do not push other events out of memory."""
    for name, now in sorted(after.progress.items()):
        old = before.progress.get(name)
        if old is None or now.tenths > old.tenths:
            counts = {"done": now.done, "total": now.total, "layersDone": now.finished, "layers": len(now.layers)}
            attributes = tuple((key, str(value)) for key, value in counts.items())
            yield Change(kind="image", name=name, action="pulling", message=describe(now), attributes=attributes)


def _ruleset(before: Snapshot, after: Snapshot) -> Iterator[Change]:
    """While we replace it ourselves nobody can say which table is in force; that is not a loss."""
    old, new = before.observed.ruleset, after.observed.ruleset
    if new and new != old:
        yield Change(kind="firewall", name="ruleset", action="applied")
    elif old and not new and "firewall" not in after.busy:
        yield Change(kind="firewall", name="ruleset", action="lost")


def _moved(before: Observed, after: Observed) -> Iterator[Change]:
    """Tags that name another image now, and it is here."""
    for name, image in sorted(after.images.items()):
        old = before.images.get(name)
        if old is not image and old is not None and old.digest != image.digest:
            yield Change(kind="image", name=name, action="pulled", message=f"moved from {old.digest} to {image.digest}")


def _containers(before: Observed, after: Observed) -> Iterator[Change]:
    for id, seen in after.containers.items():
        old = before.containers.get(id)
        if old is seen:
            continue
        if old is None:
            yield _change(seen, "created")
        if old is None or old.state != seen.state:
            yield from _transition(old, seen)
        if seen.health is not None and isinstance(seen.state, Running):
            yield from _health(old.health if old else None, seen, seen.health)
    for id in before.containers.keys() - after.containers.keys():
        yield _change(before.containers[id], "removed")


def _transition(old: SeenContainer | None, seen: SeenContainer) -> Iterator[Change]:
    match seen.state:
        case Running(stop_sent=None, since=since):
            if old is None or not isinstance(old.state, Running) or old.state.since != since:
                yield _change(seen, "started")
        case Running():
            yield _change(seen, "stopping")
        case Exited(code=code, oom=oom):
            why = "out of memory" if oom else f"exit code {code}"
            yield _change(seen, "died", why, (("exitCode", str(code)), ("oom", str(oom).lower())))
        case Created() | Dead():
            return


def _health(old: Health | None, seen: SeenContainer, new: Health) -> Iterator[Change]:
    if new.state != "starting" and (old is None or old.state != new.state):
        yield _change(seen, new.state, new.said)


def _failures(before: Snapshot, after: Snapshot) -> Iterator[Change]:
    for key, outcome in sorted(after.outcomes.items()):
        old = before.outcomes.get(key)
        if outcome.error and (old is None or old.failures != outcome.failures):
            yield _about(key, "failed", outcome.error)


def _drift(before: Snapshot, after: Snapshot) -> Iterator[Change]:
    """What somebody changed whom no spec told to; what it was stands in the cause of the task that repairs it."""
    known = {(task.key, task.cause) for task in before.plan.tasks}
    for task in after.plan.tasks:
        if task.drift and (task.key, task.cause) not in known:
            yield _about(task.key, "drifted", task.cause.removeprefix("drifted: "))


def _about(key: str, action: str, message: str) -> Change:
    """An event about what a task's key names."""
    kind, _, name = key.partition(":")
    known: Kind = kind if kind in {"image", "network", "volume", "firewall"} else "container"  # type: ignore[assignment]
    if kind in {"names", "resolver"}:
        known = "network"
    return Change(kind=known, name=name or key, action=action, message=message)


def _change(seen: SeenContainer, action: str, message: str = "", attributes: Pairs = ()) -> Change:
    return Change(
        kind="container", name=seen.name, action=action, message=message, container=seen.id, attributes=attributes
    )
