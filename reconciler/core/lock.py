"""What the lock file means: the digest that each tag stands for, for everything that the specs want. Pure.

A lock that exists decides, and holds nothing: what it lacks is pulled by its tag, and told. Read by `spec.lock`, made
by the verb `lock`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from reconciler.core.model import Container, Desired, Observed
from reconciler.core.reference import moves

NAME = "reconciler.lock"

Digests = Mapping[str, str]  # tag, as a canonical reference -> sha256:…


@dataclass(frozen=True, slots=True)
class Lock:
    """The lock in force. `digests` None: there is none, or none was ever good; `problem`: why the file is not used."""

    digests: Digests | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True, order=True)
class Change:
    """One line of difference between two locks; "" where the tag is not in one."""

    reference: str
    old: str
    new: str


def locked(desired: Desired, lock: Lock, observed: Observed) -> Desired:
    """`desired`, with the digest of each container's image, and what is to be said about the lock."""
    if lock.digests is None and not lock.problem:
        return desired
    known = _running(observed) if lock.digests is None else {}
    containers = {
        name: _with_digest(container, (lock.digests or known).get(container.image, ""))
        for name, container in desired.containers.items()
    }
    lacking = [] if lock.digests is None else sorted(tags(desired).keys() - lock.digests.keys())
    said = [f"image {reference} is not in {NAME}; `reconciler lock` adds it" for reference in lacking]
    return replace(desired, containers=containers, unlocked=tuple([lock.problem] * bool(lock.problem) + said))


def tags(desired: Desired) -> dict[str, set[str]]:
    """Every tag that the specs name, and the apps that want it."""
    found: dict[str, set[str]] = {}
    for container in desired.containers.values():
        if moves(container.image):
            found.setdefault(container.image, set()).add(container.app)
    return found


def to_ask(wanted: Mapping[str, set[str]], old: Digests, update: Collection[str] | None) -> list[str]:
    """Which tags a registry has to be asked for: the new ones, and those of the apps in `update`, all when it is empty.

    None: what is locked stays.
    """
    return sorted(
        reference
        for reference, apps in wanted.items()
        if reference not in old or (update is not None and (not update or apps & set(update)))
    )


def difference(old: Digests, new: Digests) -> tuple[Change, ...]:
    """What is not the same in both, sorted."""
    changes = (Change(name, old.get(name, ""), new.get(name, "")) for name in {*old, *new})
    return tuple(sorted(change for change in changes if change.old != change.new))


def _with_digest(container: Container, digest: str) -> Container:
    return replace(container, locked=digest) if digest and moves(container.image) else container


def _running(observed: Observed) -> dict[str, str]:
    """By tag, what runs: with a lock that nobody can read, that is the best guess at what it said."""
    newest = sorted(observed.containers.values(), key=lambda seen: seen.created_at)
    return {seen.image: seen.image_digest for seen in newest}
