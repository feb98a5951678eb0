"""The common ground of YAML and TOML: plain data, and the place of every value and key.

Also the rules that hold for both: size, encoding, depth, and when a number is a number. Reads no file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from reconciler.core.document import Place
from reconciler.errors import Problem, SpecError

Path = tuple[str | int, ...]
Scalar = str | int | float | bool | None

MAX_BYTES = 1 << 20
MAX_DEPTH = 32
MAX_NODES = 100_000

_INT = re.compile(r"-?(0|[1-9][0-9]{0,17})", re.ASCII)
_FLOAT = re.compile(r"-?[0-9]{1,15}\.[0-9]{1,15}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Tree:
    """A parsed file: `data` of dict, list and scalars, and where in the text each value and each key stands."""

    data: object
    values: Mapping[Path, Place]
    keys: Mapping[Path, Place]

    def value_at(self, path: Path) -> Place:
        """The place of the value at `path`, or of the nearest value around it."""
        while path and path not in self.values:
            path = path[:-1]
        return self.values.get(path, Place(1, 1))

    def key_at(self, path: Path) -> Place:
        """The place of the key that ends `path`, or else of its value."""
        return self.keys.get(path) or self.value_at(path)


def decode(name: str, text: bytes) -> str:
    """UTF-8 to text with plain newlines; a byte order mark at the start is dropped."""
    if len(text) > MAX_BYTES:
        raise SpecError(Problem(name, 1, 1, f"cannot read the file: it is larger than {MAX_BYTES} bytes"))
    try:
        return text.removeprefix(b"\xef\xbb\xbf").decode().replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        before = text[: error.start]
        line = before.count(b"\n") + 1
        column = len(before.rpartition(b"\n")[2].decode(errors="replace")) + 1
        raise SpecError(Problem(name, line, column, "cannot read the file: it is not UTF-8")) from None


def number(text: str) -> int | float | str:
    """`text` as a number, when that number prints as `text` again; otherwise `text`.

    So `1.10`, `0755`, `1e3` and `0x1F` stay as they were written, and nothing is converted silently. Where a
    number is wanted, the document's models read it from text too.
    """
    if _INT.fullmatch(text) and text != "-0":
        return int(text)
    if _FLOAT.fullmatch(text) and repr(float(text)) == text:
        return float(text)
    return text
