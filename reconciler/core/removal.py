"""Which apps that no spec declares any more may go now. Pure; `scene` asks, and `plan` says what is to be noted.

Few may go at once. When more than a settable number of apps and more than half of them left the specs, all that have
not begun to go stay, until their specs are back or a tombstone names them: it may have been a mistake. What left the
specs counts together until an hour has passed without another one, however many looks and daemons there were meanwhile:
what was there is noted on disk when the first one leaves, and nothing goes before that is done. Volumes never go.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from reconciler.core.model import Desired, Observed
from reconciler.core.remembering import NoteRemovals
from reconciler.core.steps import Task, Wait
from reconciler.core.tombstones import NAME, Removals

WINDOW = 3600.0  # seconds


@dataclass(frozen=True, slots=True)
class Decision:
    """`stays`: apps in no spec that stay for now; `why` when only a word ends that. `memory` is what is to be noted."""

    stays: frozenset[str] = frozenset()
    why: str = ""
    memory: Removals | None = None


def decide(desired: Desired, observed: Observed, limit: int | None, now: float) -> Decision:
    """Who goes, when no more than `limit` apps may without a word; None is for who wants all of them gone."""
    if limit is None:
        return Decision()
    if desired.unavailable:
        return Decision(memory=observed.removals)
    declared, gone = _declared(desired), strays(desired, observed)
    if not gone:
        return Decision(memory=_kept(observed, declared, now))
    memory = observed.removals or Removals(at=now, apps=_apps(observed))
    everybody = gone.union(memory.apps)
    left, begun = everybody - declared, frozenset(memory.gone) - declared
    open_ = gone - begun - desired.tombstones.apps
    stay = open_ if observed.removals else gone  # nothing goes before there is a note
    certain = {app for app in open_ if now >= desired.vanished.get(app, now)}
    if len(left) > limit and 2 * len(left) > len(everybody):
        why = _sentence(len(left), len(everybody), limit, sorted(open_)) if certain else ""
        return Decision(stay, why, replace(memory, gone=tuple(sorted(begun))))
    at = now if certain else memory.at
    return Decision(stay, memory=replace(memory, at=at, gone=tuple(sorted(begun | certain))))


def strays(desired: Desired, observed: Observed) -> frozenset[str]:
    """The apps on the host that no spec declares, nor one that cannot be read."""
    held = {seen.app for seen in observed.containers.values() if seen.spec in desired.held}
    return frozenset(_apps(observed)) - _declared(desired) - held


def noted(desired: Desired, observed: Observed, limit: int | None, now: float) -> Observed:
    """The host once it is noted what is to be noted."""
    return replace(observed, removals=decide(desired, observed, limit, now).memory)


def entries(decision: Decision, desired: Desired, observed: Observed) -> Iterator[Task | Wait]:
    """What is to be noted, and what the decision, and the file of tombstones, wait for."""
    if decision.memory != observed.removals:
        cause = "an hour without another, or all are back" if decision.memory is None else "no spec declares them"
        yield Task("removals", cause, (NoteRemovals(decision.memory),))
    if decision.why:
        yield Wait("removals", decision.why, code="removal-held")
    if desired.tombstones.problem:
        yield Wait("tombstones", desired.tombstones.problem, code="tombstones-unreadable")
    for app in sorted(desired.tombstones.apps & {wanted.app for wanted in desired.containers.values()}):
        why = f"a spec declares app {app}, so it stays; take its line out of {NAME}"
        yield Wait(f"tombstone:{app}", why, code="tombstone-void")


def _declared(desired: Desired) -> frozenset[str]:
    return frozenset({container.app for container in desired.containers.values()} | desired.held.keys())


def _apps(observed: Observed) -> tuple[str, ...]:
    return tuple(sorted({seen.app for seen in observed.containers.values()}))


def _kept(observed: Observed, declared: frozenset[str], now: float) -> Removals | None:
    """What is still remembered once all that left is gone, None when all of it came back or an hour has passed."""
    memory = observed.removals
    if memory is None or not memory.at <= now < memory.at + WINDOW:
        return None
    if declared.intersection(_apps(observed)).issuperset(memory.apps):
        return None
    return replace(memory, gone=tuple(app for app in memory.gone if app not in declared))


def _sentence(left: int, everybody: int, limit: int, waiting: list[str]) -> str:
    return (
        f"{left} of {everybody} apps have left the specs, more than {limit} and more than half of them:"
        f" {', '.join(waiting)} stay until their specs are back, or until {NAME} in the specs directory names them,"
        " one a line"
    )
