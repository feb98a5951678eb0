"""`.env` and `env_file` text to variables, by Compose's rules. Reads no file.

`KEY=value`, `export KEY=value`, `KEY: value`, `KEY` alone (taken from the variables around it, else left out);
comments; single quotes are literal, double quotes know backslash escapes, both may span lines. Unquoted and
double-quoted values are interpolated with the variables above them and around them.
Source: chapter "Env_file format" of the Compose Specification, and compose-go's dotenv where that is silent.
"""

from __future__ import annotations

import re
from collections import ChainMap
from collections.abc import Mapping
from typing import Final

from reconciler.errors import Problem, SpecError
from reconciler.spec.interpolate import MAX_LENGTH, interpolate

_BLANK = re.compile(r"(?:[ \t\n]|#[^\n]*)*+")
_KEY = re.compile(r"(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_.-]*)[ \t]*(?:([=:])[ \t]*|(?=\n|#|\Z))", re.ASCII)
_SINGLE = re.compile(r"'((?:[^'\\]|\\.)*+)'", re.DOTALL)
_DOUBLE = re.compile(r'"((?:[^"\\]|\\.)*+)"', re.DOTALL)
_TAIL = re.compile(r"[ \t]*(?:#[^\n]*)?(?:\n|\Z)")
_UNQUOTED = re.compile(r"[^\n]*")
_COMMENT = re.compile(r"(?:^|[ \t]+)#.*")
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_ESCAPED: Final = {"n": "\n", "r": "\r", "t": "\t", "$": "$$"}


def variables(name: str, text: str, around: Mapping[str, str]) -> dict[str, str]:
    """The variables of one file, in its order. `name` is the file as errors show it. Raises SpecError."""
    found: dict[str, str] = {}
    known = ChainMap(found, dict(around))
    length = 0
    index = _skip(text, 0)
    while index < len(text):
        try:
            key, value, end = _entry(text, index, known)
            length += len(value or "")
            _check(value or "", length)
        except ValueError as error:
            raise SpecError(Problem(name, *_place(text, index), f"cannot read the variable: {error}")) from None
        if value is not None:
            found[key] = value
        index = _skip(text, end)
    return found


def _entry(text: str, index: int, known: Mapping[str, str]) -> tuple[str, str | None, int]:
    """Name, value and end of the entry that starts at `index`."""
    entry = _KEY.match(text, index)
    if not entry:
        raise ValueError("a line must be NAME=value")
    if not entry[2]:
        return entry[1], known.get(entry[1]), entry.end()
    return entry[1], *_value(text, entry.end(), known)


def _check(value: str, length: int) -> None:
    if "\0" in value:
        raise ValueError("its value must not hold a NUL character")
    if length > MAX_LENGTH:
        raise ValueError(f"all values together are longer than {MAX_LENGTH} characters")


def _skip(text: str, index: int) -> int:
    blank = _BLANK.match(text, index)
    return blank.end() if blank else index


def _place(text: str, index: int) -> tuple[int, int]:
    before = text[:index]
    return before.count("\n") + 1, len(before.rpartition("\n")[2]) + 1


def _value(text: str, index: int, known: Mapping[str, str]) -> tuple[str, int]:
    quote = text[index : index + 1]
    if quote not in ("'", '"') or not quote:
        line = _UNQUOTED.match(text, index)
        assert line, "an empty line matches too"
        return interpolate(_COMMENT.sub("", line[0]).strip(), known).text, line.end()
    quoted = (_SINGLE if quote == "'" else _DOUBLE).match(text, index)
    if not quoted:
        raise ValueError(f"the value lacks its closing {quote}")
    tail = _TAIL.match(text, quoted.end())
    if not tail:
        raise ValueError(f"something stands behind the closing {quote}")
    if quote == "'":
        return quoted[1].replace("\\'", "'"), tail.end()
    plain = _ESCAPE.sub(lambda match: _ESCAPED.get(match[1], match[1]), quoted[1])
    return interpolate(plain, known).text, tail.end()
