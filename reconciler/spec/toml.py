"""TOML text to a tree with places. Knows TOML, not Compose.

`tomllib` reads and judges the text but keeps no positions, so a second pass over the text, valid by then, notes where
each key and each value stands.
"""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_right
from collections.abc import Iterator
from typing import Final

from reconciler.core.document import Place
from reconciler.errors import Problem, SpecError
from reconciler.spec.tree import MAX_DEPTH, MAX_NODES, Path, Tree, number

# tomllib needs memory that grows with the square of a dotted key's length, so a long one is refused before.
_LONG_KEY = re.compile(
    r"(?:^|[\[{,])[ \t]*+"
    r"""(?:(?:[A-Za-z0-9_-]++|"(?:[^"\\\n]|\\.)*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+)"""
    rf"{{{MAX_DEPTH}}}",
    re.MULTILINE,
)
_AT = re.compile(r"(.*) \(at (?:line (\d+), column (\d+)|end of document)\)", re.DOTALL)
_SPACE = re.compile(r"[ \t]*")
_BLANK = re.compile(r"(?:[ \t\n\r]|#[^\n]*)*")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_STRING = re.compile(
    r'"""(?:[^\\"]|\\.|"{1,2}(?!"))*"{3,5}'
    r"|'''(?:[^']|'{1,2}(?!'))*'{3,5}"
    r'|"(?:[^\\"\n]|\\.)*"'
    r"|'[^'\n]*'",
    re.DOTALL,
)
_WORD = re.compile(r"[^,\]}#\n]+")


def load(name: str, text: str) -> Tree:
    """The document in `text`. Raises SpecError; whatever tomllib raises becomes one problem."""
    if _LONG_KEY.search(text):
        raise SpecError(_too_deep(name))
    try:
        data = tomllib.loads(text, parse_float=number)
    except tomllib.TOMLDecodeError as error:
        raise SpecError(_syntax(name, text, str(error))) from None
    except RecursionError:
        raise SpecError(_too_deep(name)) from None
    except ValueError:  # an integer with thousands of digits
        raise SpecError(Problem(name, 1, 1, "cannot read TOML: a number is too large")) from None
    if not _shallow(data, 1):
        raise SpecError(_too_deep(name))
    scanner = _Scanner(text)
    scanner.scan()
    if len(scanner.values) > MAX_NODES:
        raise SpecError(Problem(name, 1, 1, f"cannot read TOML: there are more than {MAX_NODES} values"))
    return Tree(data, scanner.values, scanner.keys)


def _syntax(name: str, text: str, message: str) -> Problem:
    found = _AT.fullmatch(message)
    said = (found[1] if found else message).rstrip(".")
    if found and found[2]:
        return Problem(name, int(found[2]), int(found[3]), f"cannot read TOML: {said[:1].lower()}{said[1:]}")
    line, column = text.count("\n") + 1, len(text.rpartition("\n")[2]) + 1
    return Problem(name, line, column, f"cannot read TOML: {said[:1].lower()}{said[1:]} at the end of the file")


def _too_deep(name: str) -> Problem:
    return Problem(name, 1, 1, f"cannot read TOML: it is nested deeper than {MAX_DEPTH} levels")


def _shallow(value: object, depth: int) -> bool:
    if depth > MAX_DEPTH:
        return False
    if isinstance(value, dict):
        return all(_shallow(item, depth + 1) for item in value.values())
    if isinstance(value, list):
        return all(_shallow(item, depth + 1) for item in value)
    return True


class _Scanner:
    """Notes places in a text that tomllib has accepted."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.index = 0
        self.values: dict[Path, Place] = {(): Place(1, 1)}
        self.keys: dict[Path, Place] = {}
        self._lines: Final = [0, *(found.end() for found in re.finditer("\n", text))]
        self._arrays: dict[Path, int] = {}  # array of tables -> index of its last table

    def scan(self) -> None:
        table: Path = ()
        self._skip(_BLANK)
        while self.index < len(self.text):
            if self.text.startswith("[", self.index):
                table = self._header()
            else:
                self._pair(table)
            self._skip(_BLANK)

    def _header(self) -> Path:
        start = self._place()
        array = self.text.startswith("[[", self.index)
        self.index += 2 if array else 1
        path: Path = ()
        parts = list(self._key())
        for number_, (part, place) in enumerate(parts, start=1):
            path = (*path, part)
            self._note(path, place, place if number_ < len(parts) else start)
            if array and number_ == len(parts):
                self._arrays[path] = self._arrays.get(path, -1) + 1
            if path in self._arrays:
                path = (*path, self._arrays[path])
                self.values.setdefault(path, start)
        self.index += 2 if array else 1
        return path

    def _pair(self, table: Path) -> None:
        path = table
        for part, place in self._key():
            path = (*path, part)
            self._note(path, place, place)
        self.index += 1  # the equals sign
        self._skip(_SPACE)
        self._value(path)

    def _note(self, path: Path, key: Place, value: Place) -> None:
        self.keys.setdefault(path, key)
        self.values.setdefault(path, value)

    def _key(self) -> Iterator[tuple[str, Place]]:
        """The parts of a dotted key; leaves the index behind the key and its blanks."""
        while True:
            self._skip(_SPACE)
            place = self._place()
            bare = _BARE_KEY.match(self.text, self.index)
            token = bare[0] if bare else self._string()
            self.index = bare.end() if bare else self.index
            yield (token if bare else tomllib.loads(f"key={token}")["key"]), place
            self._skip(_SPACE)
            if not self.text.startswith(".", self.index):
                return
            self.index += 1

    def _value(self, path: Path) -> None:
        self.values[path] = self._place()
        first = self.text[self.index]
        if first == "[":
            self._array(path)
        elif first == "{":
            self._inline(path)
        elif first in "\"'":
            self._string()
        else:
            self._skip(_WORD)

    def _array(self, path: Path) -> None:
        self.index += 1
        count = 0
        while not self._closed("]"):
            self._value((*path, count))
            count += 1

    def _inline(self, path: Path) -> None:
        self.index += 1
        while not self._closed("}"):
            self._pair(path)

    def _closed(self, bracket: str) -> bool:
        """Skip blanks and a comma; whether the array or table ends here, and if so step over its end."""
        self._skip(_BLANK)
        if self.text.startswith(",", self.index):
            self.index += 1
            self._skip(_BLANK)
        if self.text.startswith(bracket, self.index):
            self.index += 1
            return True
        return False

    def _string(self) -> str:
        found = _STRING.match(self.text, self.index)
        assert found, "tomllib accepted the text, so a string stands here"
        self.index = found.end()
        return found[0]

    def _skip(self, pattern: re.Pattern[str]) -> None:
        found = pattern.match(self.text, self.index)
        if found:
            self.index = found.end()

    def _place(self) -> Place:
        line = bisect_right(self._lines, self.index)
        return Place(line, self.index - self._lines[line - 1] + 1)
