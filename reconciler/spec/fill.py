"""Variables into a whole tree: every text value is interpolated, no key is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from reconciler.errors import Problem
from reconciler.spec.interpolate import Filled, interpolate
from reconciler.spec.report import subject
from reconciler.spec.tree import Path, Tree

_MAX_TOTAL: Final = 4 << 20


def fill(name: str, tree: Tree, variables: Mapping[str, str]) -> tuple[Tree, tuple[Problem, ...], tuple[Problem, ...]]:
    """`tree` with its variables filled in; what was wrong; and what deserves a warning (unset, so empty)."""
    filler = _Filler(name, tree, variables)
    data = filler.value(tree.data, ())
    return replace(tree, data=data), tuple(filler.problems), tuple(filler.warnings)


@dataclass(slots=True)
class _Filler:
    name: str
    tree: Tree
    variables: Mapping[str, str]
    length: int = 0
    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)

    def value(self, value: object, path: Path) -> object:
        if isinstance(value, str):
            return self._text(value, path) if "$" in value else value
        if isinstance(value, list):
            return [self.value(item, (*path, index)) for index, item in enumerate(value)]
        if isinstance(value, dict):
            return {key: self.value(item, (*path, key)) for key, item in value.items()}
        return value

    def _text(self, text: str, path: Path) -> str:
        try:
            filled = self._within_limit(interpolate(text, self.variables))
        except ValueError as error:
            self.problems.append(self._problem(path, f"cannot use {subject(path)}: {error}"))
            return text
        for unset in filled.unset:
            self.warnings.append(self._problem(path, f"variable '{unset}' is not set in .env; it is taken as empty"))
        return filled.text

    def _within_limit(self, filled: Filled) -> Filled:
        self.length += len(filled.text)
        if self.length > _MAX_TOTAL:
            raise ValueError(f"with its variables filled in, the spec is longer than {_MAX_TOTAL} characters")
        return filled

    def _problem(self, path: Path, message: str) -> Problem:
        return Problem(self.name, *self.tree.value_at(path), message)
