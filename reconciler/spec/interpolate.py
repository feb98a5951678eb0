"""Variables in values: `${NAME}`, `$NAME`, `${NAME:-default}`, `${NAME?error}`, `${NAME:+other}` and `$$`.

Follows the chapter "Interpolation" of the Compose Specification: with a colon an empty variable counts as unset, and
what stands behind the operator is interpolated in turn. Where the variables come from is the caller's business; the
daemon's own environment never takes part, so that a spec means the same whoever starts the daemon.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

MAX_LENGTH: Final = 1 << 20
_MAX_NESTING: Final = 16
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_OPERATOR = re.compile(r":?[-?+]")
_PLAIN = re.compile(r"[^$}]+")


@dataclass(frozen=True, slots=True)
class Filled:
    """A value with its variables filled in, and the names that had no value and no default."""

    text: str
    unset: tuple[str, ...] = ()


def interpolate(text: str, variables: Mapping[str, str]) -> Filled:
    """Fill `variables` into `text`. Raises ValueError with the reason."""
    if "$" not in text:
        return Filled(text)
    reader = _Reader(text, variables)
    return Filled(reader.read(0), tuple(dict.fromkeys(reader.unset)))


@dataclass(slots=True)
class _Reader:
    text: str
    variables: Mapping[str, str]
    index: int = 0
    muted: int = 0
    unset: list[str] = field(default_factory=list)

    def read(self, depth: int) -> str:
        """Up to the end, or inside braces up to the one that closes them."""
        if depth > _MAX_NESTING:
            raise ValueError(f"variables are nested deeper than {_MAX_NESTING} levels")
        pieces: list[str] = []
        length = 0
        while self.index < len(self.text) and not (depth and self.text[self.index] == "}"):
            pieces.append(self._piece(depth))
            length += len(pieces[-1])
            if length > MAX_LENGTH:
                raise ValueError(f"its value would be longer than {MAX_LENGTH} characters")
        return "".join(pieces)

    def _piece(self, depth: int) -> str:
        found = _PLAIN.match(self.text, self.index)
        if found:
            self.index = found.end()
            return found[0]
        first, rest = self.text[self.index], self.text[self.index + 1 : self.index + 2]
        self.index += 1
        if first == "}":
            return first
        if rest == "$":
            self.index += 1
            return "$"
        if rest == "{":
            self.index += 1
            return self._braced(depth)
        return self._value(self._name())

    def _name(self) -> str:
        found = _NAME.match(self.text, self.index)
        if not found:
            raise ValueError("a '$' must start $NAME or ${NAME}; write $$ for a dollar sign")
        self.index = found.end()
        return found[0]

    def _braced(self, depth: int) -> str:
        name = self._name()
        found = _OPERATOR.match(self.text, self.index)
        operator = found[0] if found else ""
        self.index += len(operator)
        value = self.variables.get(name)
        present = bool(value) if operator.startswith(":") else value is not None
        wanted = present if operator.endswith("+") else not present
        operand = self._operand(depth + 1, wanted) if operator else ""
        if not self.text.startswith("}", self.index):
            raise ValueError(f"'${{{name}' lacks its closing brace")
        self.index += 1
        if operator.endswith("?") and wanted and not self.muted:
            raise ValueError(f"variable '{name}' is not set" + (f": {operand}" if operand else ""))
        if operator.endswith("+"):
            return operand if wanted else ""
        return operand if operator and wanted else self._value(name)

    def _operand(self, depth: int, wanted: bool) -> str:
        """What stands behind an operator; one that is not wanted is only stepped over."""
        self.muted += not wanted
        text = self.read(depth)
        self.muted -= not wanted
        return text

    def _value(self, name: str) -> str:
        if name not in self.variables and not self.muted:
            self.unset.append(name)
        return self.variables.get(name, "")
