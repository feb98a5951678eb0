"""Text for people: tables, colours on a terminal, plain words in a pipe.

Whatever comes from specs or images is cleaned of control characters before it reaches a terminal.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TextIO

_CODES = {"red": "31", "green": "32", "yellow": "33", "blue": "34", "grey": "90", "bold": "1"}


def coloured(stream: TextIO) -> bool:
    """Whether `stream` shows colours: a terminal, and nobody said no (https://no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def colour(text: str, name: str, on: bool = True) -> str:
    """`text` in a colour; as it is when `on` is false or there is no such colour."""
    return f"\x1b[{_CODES[name]}m{text}\x1b[0m" if on and name in _CODES else text


def clean(text: str) -> str:
    """`text` on one line and without anything that a terminal would obey."""
    return "".join(char if char.isprintable() else " " for char in text)


def table(head: Sequence[str], rows: Sequence[Sequence[str]], colours: Sequence[Sequence[str]] = ()) -> list[str]:
    """Lines with aligned columns, `head` first; `colours` has the name of a colour, or "", for each cell."""
    cells = [[clean(cell) for cell in row] for row in (head, *rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    names: list[Sequence[str]] = [["grey"] * len(head) if colours else [], *colours]
    lines = []
    for index, row in enumerate(cells):
        tints = names[index] if index < len(names) else ()
        padded = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        padded[-1] = row[-1]
        shown = [colour(cell, tints[column]) if tints else cell for column, cell in enumerate(padded)]
        lines.append("  ".join(shown).rstrip())
    return lines
