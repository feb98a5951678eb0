"""What is said and remembered of apps that leave: the tombstones beside the specs, and who left lately. Values only.

A tombstone is the name of an app on a line of its own in the file `reconciler.removed`: the app may go although many
others go too. It counts only while no spec declares the app, so it may stay there, or be taken away, once that is gone.
`removal` decides with both.
"""

from __future__ import annotations

from dataclasses import dataclass, field

NAME = "reconciler.removed"


@dataclass(frozen=True, slots=True)
class Tombstones:
    """The apps that may go, and what is wrong with the file; lines that cannot be used allow nothing."""

    apps: frozenset[str] = field(default_factory=frozenset)
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Removals:
    """What is remembered from the first app that left the specs until an hour after the last one did.

    `apps` were on the host when the first one left, `gone` are those of them that were let go without a tombstone; `at`
    is when the last of these was, or else the beginning.
    """

    at: float
    apps: tuple[str, ...]
    gone: tuple[str, ...] = ()


def parse(text: bytes) -> Tombstones:
    """One name a line; what follows a `#`, and empty lines, say nothing."""
    try:
        lines = text.decode().splitlines()
    except UnicodeDecodeError:
        return Tombstones(problem=f"cannot read {NAME}: it is not UTF-8; write names of apps into it, one a line")
    found = {number: line.partition("#")[0].split() for number, line in enumerate(lines, 1)}
    apps = frozenset(words[0] for words in found.values() if len(words) == 1)
    wrong = next((number for number, words in found.items() if len(words) > 1), 0)
    return Tombstones(apps, f"cannot use {NAME}:{wrong}: write one name of an app a line" if wrong else "")
