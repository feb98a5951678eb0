"""A terminal of the tests: obeys what `cli.screen` may say, and knows what a person sees."""

from __future__ import annotations

import io
import re
import threading

_ORDER = re.compile(r"\x1b\[(\d*)([AJ])|(\r)|(\n)|([^\x1b\r\n]+)")


class Terminal(io.StringIO):
    """Rows of text and a cursor."""

    def __init__(self) -> None:
        super().__init__()
        self.rows = [""]
        self.written = threading.Event()
        self._row = self._column = 0

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        end = 0
        for found in _ORDER.finditer(text):
            assert found.start() == end, f"not understood: {text[end : found.start()]!r}"
            end = found.end()
            self._obey(found)
        assert end == len(text)
        self.written.set()
        return len(text)

    def _obey(self, found: re.Match[str]) -> None:
        count, order, back, new, plain = found.groups()
        if order == "A":
            self._row -= int(count)
            assert self._row >= 0
        elif order == "J":
            self.rows[self._row :] = [self.rows[self._row][: self._column]]
        elif back:
            self._column = 0
        elif new:
            self._row, self._column = self._row + 1, 0
            self.rows += [""] * (self._row + 1 - len(self.rows))
        else:
            row = self.rows[self._row].ljust(self._column)
            self.rows[self._row] = row[: self._column] + plain + row[self._column + len(plain) :]
            self._column += len(plain)

    @property
    def seen(self) -> list[str]:
        """The rows that have something on them."""
        return [row.rstrip() for row in self.rows if row.strip()]
