"""Mistakes of one file as they are found, each at its place and in words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from reconciler.errors import Problem, SpecError
from reconciler.spec.tree import Path, Tree

KINDS: Final = {"services": "service", "jobs": "job", "networks": "network", "volumes": "volume"}


@dataclass(frozen=True, slots=True)
class Report:
    """Collects problems of the file `name`, so that all of them are told at once."""

    name: str
    tree: Tree
    problems: list[Problem] = field(default_factory=list)

    def add(self, path: Path, why: str) -> None:
        """`path` cannot be used as it is."""
        self.problems.append(Problem(self.name, *self.tree.value_at(path), f"cannot use {subject(path)}: {why}"))

    @contextmanager
    def at(self, path: Path) -> Iterator[None]:
        """A ValueError inside is a mistake of the value at `path`."""
        try:
            yield
        except ValueError as error:
            self.add(path, str(error))

    def close(self) -> None:
        """Raise what was found, in the file's order."""
        if self.problems:
            unique = dict.fromkeys(self.problems)
            raise SpecError(*sorted(unique, key=lambda problem: (problem.line, problem.column)))


def subject(path: Path) -> str:
    """What `path` leads to, in words: `'ports[0]' of service 'web'`."""
    if len(path) > 1 and path[0] in KINDS:
        owner = f"{KINDS[str(path[0])]} '{path[1]}'"
        return f"'{_dotted(path[2:])}' of {owner}" if len(path) > 2 else owner
    return f"'{_dotted(path)}'" if path else "the spec"


def _dotted(path: Path) -> str:
    parts = [f"[{part}]" if isinstance(part, int) else f".{part}" for part in path]
    return "".join(parts).removeprefix(".")
