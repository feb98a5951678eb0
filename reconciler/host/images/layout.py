"""An image in an OCI layout on disk: `oci:/absolute/path[:TAG]`.

A source for `store`, beside `registry`, with the same checks: a folder may come from a stranger as well. Also says
by one `stat` whether the layout may have changed. Source: OCI image-spec image-layout.md.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from reconciler.core.reference import layout
from reconciler.errors import HostError
from reconciler.host.images.documents import (
    DOCUMENT_LIMIT,
    Descriptor,
    Entry,
    digest_of,
    read_index,
    read_json,
)

PREFIX = "oci:"
_CHUNK = 1 << 18

Advance = Callable[[int], None]


class Layout:
    """One image of a layout."""

    def __init__(self, reference: str) -> None:
        self._reference = reference
        place = layout(reference)
        self._folder, self._tag = Path(place.path), place.tag

    def top(self) -> tuple[str, bytes]:
        """Type and text of the manifest or index that the tag names."""
        descriptor = self.tagged()
        return descriptor.media_type, self.document(descriptor)

    def tagged(self) -> Descriptor:
        """What `index.json` says about the tag. Raises HostError."""
        try:
            return select(read_index(read_json(self._read(self._folder / "index.json"))), self._tag)
        except ValueError as error:
            raise HostError(f"cannot read image {self._reference}: {error}") from None

    def document(self, descriptor: Descriptor) -> bytes:
        """A manifest or config by its digest, checked."""
        body = self._read(self._blob(descriptor))
        if digest_of(body) != descriptor.digest:
            raise HostError(f"cannot read image {self._reference}: blob {descriptor.digest} has another content")
        return body

    def send(self, layer: Descriptor, sink: int, advance: Advance) -> None:
        """Write the blob of `layer` into the pipe `sink`; `advance` hears of every piece, in bytes."""
        with self._opened(self._blob(layer)) as fd:
            while count := os.splice(fd, sink, _CHUNK):
                advance(count)

    def stamp(self) -> tuple[int, int, int]:
        """Changes whenever `index.json` does; zeros when it is not there. One system call."""
        try:
            found = (self._folder / "index.json").stat()
        except OSError:
            return (0, 0, 0)
        return (found.st_ino, found.st_mtime_ns, found.st_size)

    def _blob(self, descriptor: Descriptor) -> Path:
        return self._folder / "blobs" / "sha256" / descriptor.digest.removeprefix("sha256:")

    def _read(self, path: Path) -> bytes:
        with self._opened(path) as fd:
            body = os.read(fd, DOCUMENT_LIMIT + 1)
        if len(body) > DOCUMENT_LIMIT:
            raise HostError(f"cannot read image {self._reference}: {path.name} has more than {DOCUMENT_LIMIT} bytes")
        return body

    @contextmanager
    def _opened(self, path: Path) -> Iterator[int]:
        try:
            fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # a fifo in its place must not hang us
        except OSError as error:
            raise HostError(f"cannot read image {self._reference}: {path}: {error.strerror}") from error
        try:
            yield fd
        finally:
            os.close(fd)


def select(entries: tuple[Entry, ...], tag: str) -> Descriptor:
    """The entry with `tag`; the only one there is also answers to `latest`. Raises ValueError."""
    wanted = [entry for entry in entries if entry.name == tag]
    if not wanted and tag == "latest" and len(entries) == 1:
        wanted = list(entries)
    if len(wanted) != 1:
        names = ", ".join(sorted(entry.name for entry in entries if entry.name)) or "no tag"
        raise ValueError(f"the layout has {len(wanted)} images for {tag!r}; there is {names}")
    return wanted[0].descriptor
