"""Whether a layer on disk is still what was unpacked: every entry of its list, and nothing else.

Runs in the confined child, chrooted into the layer, because even to look at a stranger's tree means to resolve its
names. The list itself stands in `listing`.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator

from reconciler.host.images.listing import HARD_LINK, IMPLIED, MOVED, WHITEOUT, Line, Listing, crc32, parse_list
from reconciler.host.images.overlay import escape

SHOWN = 20  # damaged entries in one answer
_CHUNK = 1 << 18
_KINDS = {
    stat.S_IFREG: b"0",
    stat.S_IFLNK: b"2",
    stat.S_IFCHR: b"3",
    stat.S_IFBLK: b"4",
    stat.S_IFDIR: b"5",
    stat.S_IFIFO: b"6",
}


def damages(text: bytes) -> list[str]:
    """What differs between the list and the directory that is our root, in at most SHOWN sentences."""
    listing = parse_list(text)
    found: list[str] = []
    known: set[tuple[int, int]] = set()
    for name, line in listing.lines.items():
        if name != MOVED and (why := _compare(name, line, known)) and not _is_replaced(name, listing):
            found.append(f"{escape(name)}: {why}")
    if MOVED not in listing.lines:
        found += [f"{escape(name)}: it was not there" for name in _others(known)]
    return found[:SHOWN]


def _compare(name: bytes, line: Line, known: set[tuple[int, int]]) -> str:
    try:
        now = os.lstat(name)
    except OSError:
        return "" if line.kind == WHITEOUT else "it is gone"
    known.add((now.st_dev, now.st_ino))
    kind = WHITEOUT if stat.S_ISCHR(now.st_mode) and now.st_rdev == 0 else _KINDS.get(stat.S_IFMT(now.st_mode), b"")
    if line.kind == HARD_LINK or (line.kind == IMPLIED and kind == b"5"):
        return ""  # what a hard link names has its own line; an implied folder takes mode and owner from below
    if kind != line.kind:
        return "it is of another kind"
    if kind not in (b"2", WHITEOUT) and (stat.S_IMODE(now.st_mode), now.st_uid, now.st_gid) != line[1:4]:
        return "its mode or owner has changed"
    return "" if _crc(name, kind) == line.crc else "its content has changed"


def _is_replaced(name: bytes, listing: Listing) -> bool:
    """Whether the line is about what is no longer found under `name`, rightly so.

    Something above it was made no folder later; or was a link, through which it came, and a link was removed later.
    """
    mine, moved = listing.at[name], listing.at.get(MOVED, -1)
    parents = name.split(b"/")[:-1]
    above = (listing.ended.get(b"/".join(parents[:count])) for count in range(1, len(parents) + 1))
    return any(ended is not None and max(ended, moved) > mine for ended in above)


def _crc(name: bytes, kind: bytes) -> int:
    if kind == b"2":
        return crc32(os.readlink(name))
    if kind != b"0":
        return 0
    crc = 0
    fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        while piece := os.read(fd, _CHUNK):
            crc = crc32(piece, crc)
    finally:
        os.close(fd)
    return crc


def _others(known: set[tuple[int, int]]) -> Iterator[bytes]:
    """Files that are in no line."""
    folders = [b"."]
    while folders:
        with os.scandir(folders.pop()) as found:
            for item in found:
                if item.is_dir(follow_symlinks=False):
                    folders.append(item.path)
                elif _identity(item) not in known:
                    yield item.path[2:]


def _identity(item: os.DirEntry[bytes]) -> tuple[int, int]:
    found = item.stat(follow_symlinks=False)
    return found.st_dev, found.st_ino
