"""The list of a layer: one line per entry, written while it is unpacked, read when it is verified.

Name and line are separated and ended by NUL, since a name may hold anything else. The content is stood for by a
CRC-32: it costs next to nothing and finds what a disk does to bits; an attacker with root is not what it is for.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import NamedTuple

from isal import isal_zlib

from reconciler.host.images.inflate import LayerError

crc32 = isal_zlib.crc32  # zlib's is ten times slower
HARD_LINK, IMPLIED, WHITEOUT = b"1", b"i", b"w"  # kinds; the others are tar's for files, links, folders and nodes
FOLDERS = (b"5", IMPLIED)
MOVED = b""  # a name for: some entries came through a symbolic link that is gone, so their names do not find them
_FLUSH = 1 << 16


class Line(NamedTuple):
    """One entry as it was unpacked."""

    kind: bytes
    mode: int
    uid: int
    gid: int
    crc: int


class Writer:
    """Collects lines and writes them in bigger pieces."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._lines: list[bytes] = []
        self._size = 0

    def add(self, name: bytes, line: Line | tuple[bytes, int, int, int, int]) -> None:
        """One more entry."""
        text = b"%s\0%s %d %d %d %d\0" % (name, *line)
        self._lines.append(text)
        self._size += len(text)
        if self._size >= _FLUSH:
            self.flush()

    def flush(self) -> None:
        """Write what is not yet written."""
        piece = memoryview(b"".join(self._lines))
        self._lines, self._size = [], 0
        while piece:
            piece = piece[os.write(self._fd, piece) :]


class Listing(NamedTuple):
    """The last line for every name, where in the list it stands, and where the last that made the name no folder."""

    lines: Mapping[bytes, Line]
    at: Mapping[bytes, int]
    ended: Mapping[bytes, int]


def parse_list(text: bytes) -> Listing:
    """Read it back. Raises LayerError."""
    parts = text.split(b"\0")
    found = Listing(lines := {}, at := {}, ended := {})
    try:
        for number, (name, values) in enumerate(zip(parts[:-1:2], parts[1::2], strict=True)):
            kind, mode, uid, gid, crc = values.split(b" ")
            lines[name] = Line(kind, int(mode), int(uid), int(gid), int(crc))
            at[name] = number
            if kind not in FOLDERS:
                ended[name] = number
    except ValueError:
        raise LayerError("its list is damaged") from None
    return found
