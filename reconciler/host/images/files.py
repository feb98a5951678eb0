"""Where the files of a local image lie: in a folder, or in one tar archive that is read in place.

Nothing is unpacked to look at it: of an archive only the headers are read once, and a layer goes from the archive
straight into the pipe of the unpacker. Called by `layout` and `docker_archive`.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from reconciler.host.images.documents import DOCUMENT_LIMIT
from reconciler.host.images.inflate import LayerError
from reconciler.host.images.overlay import clean
from reconciler.host.images.tar import BLOCK, Stream, entries

ENTRIES_LIMIT = 100_000
_LINKS = 10
_CHUNK = 1 << 18

Advance = Callable[[int], None]
Stamp = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Part:
    """One file, or the place of one in an archive."""

    fd: int
    at: int
    size: int

    def read(self) -> bytes:
        """All of it. Raises ValueError when it is more than a document may have."""
        if self.size > DOCUMENT_LIMIT:
            raise ValueError(f"it has more than {DOCUMENT_LIMIT} bytes")
        return os.pread(self.fd, self.size, self.at)

    def head(self) -> bytes:
        """Its first bytes, by which packed and plain tell themselves apart."""
        return os.pread(self.fd, min(self.size, 4), self.at)

    def digest(self) -> str:
        """SHA-256 of all of it, as the OCI writes it."""
        found = hashlib.sha256()
        for at in range(self.at, self.at + self.size, _CHUNK):
            found.update(os.pread(self.fd, min(_CHUNK, self.at + self.size - at), at))
        return "sha256:" + found.hexdigest()

    def send(self, sink: int, advance: Advance) -> None:
        """All of it into the pipe `sink`, without a copy; `advance` hears of every piece, in bytes."""
        at, end = self.at, self.at + self.size
        while at < end and (count := os.splice(self.fd, sink, min(_CHUNK, end - at), offset_src=at)):
            at += count
            advance(count)


class Files(Protocol):
    """Files by name, from a stranger."""

    def part(self, name: str) -> AbstractContextManager[Part]:
        """The file `name`, open. Raises OSError or ValueError."""

    def stamp(self) -> Stamp:
        """Changes whenever the image may have; zeros when nothing is there. One system call."""


def stamp_of(path: Path) -> Stamp:
    """Inode, time and size of `path`."""
    try:
        found = path.stat()
    except OSError:
        return (0, 0, 0)
    return (found.st_ino, found.st_mtime_ns, found.st_size)


@contextmanager
def opened(path: Path) -> Iterator[int]:
    """A descriptor of `path`; a fifo in its place does not make us wait."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise ValueError("it is not a file")
        yield fd
    finally:
        os.close(fd)


class Folder:
    """A directory; `main` is the file that changes when anything does."""

    def __init__(self, folder: Path, main: str) -> None:
        self._folder = folder
        self._main = main

    @contextmanager
    def part(self, name: str) -> Iterator[Part]:
        """The file `name`, open."""
        with opened(self._folder / name) as fd:
            yield Part(fd, 0, os.fstat(fd).st_size)

    def stamp(self) -> Stamp:
        """Of the main file."""
        return stamp_of(self._folder / self._main)


class Archive:
    """A tar file. Links in it are followed, as `docker save` once wrote them."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._index: dict[str, tuple[int, int]] | None = None

    @contextmanager
    def part(self, name: str) -> Iterator[Part]:
        """The member `name`, where it lies."""
        with opened(self._path) as fd:
            if self._index is None:
                self._index = read_index_of(fd)
            if name not in self._index:
                raise ValueError(f"{name[:80]} is not in it")
            yield Part(fd, *self._index[name])

    def stamp(self) -> Stamp:
        """Of the archive."""
        return stamp_of(self._path)


class _Seeking(Stream):
    """A stream over a file that does not read what nobody wants."""

    def __init__(self, fd: int) -> None:
        super().__init__(iter(()))
        self._fd = fd
        self.at = 0
        self._rest = 0

    def exactly(self, count: int) -> bytes:
        found = os.pread(self._fd, count, self.at)
        self.at += len(found)
        return found

    def begin(self, size: int) -> None:
        self._rest = size + -size % BLOCK

    def finish(self) -> None:
        self.at += self._rest


def read_index_of(fd: int) -> dict[str, tuple[int, int]]:
    """Place and size of every file in the tar archive `fd`. Raises ValueError."""
    stream = _Seeking(fd)
    found: dict[bytes, tuple[int, int]] = {}
    links: dict[bytes, bytes] = {}
    try:
        for entry in entries(stream):
            name = clean(entry.name)
            if entry.kind == b"0":
                found[name] = (stream.at, entry.size)
            elif entry.kind in b"12":
                links[name] = entry.link if entry.kind == b"1" else _beside(name, entry.link)
            if len(found) + len(links) > ENTRIES_LIMIT:
                raise ValueError(f"it has more than {ENTRIES_LIMIT} entries")
    except LayerError as error:
        raise ValueError(f"it is no plain tar archive: {error}") from None
    for name in links:
        if (target := _follow(name, links)) in found:
            found[name] = found[target]
    return {name.decode("utf-8", "replace"): place for name, place in found.items()}


def _beside(name: bytes, target: bytes) -> bytes:
    """What a symbolic link names, counted from the top of the archive."""
    return os.path.normpath(os.path.join(b"/", os.path.dirname(name), target)).lstrip(b"/")


def _follow(name: bytes, links: dict[bytes, bytes]) -> bytes:
    for _ in range(_LINKS):
        if name not in links:
            break
        name = links[name]
    return name
