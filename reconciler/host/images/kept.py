"""Manifests and configs by their digest: fetched once, however many ask, and not at all when the store has them.

What pulls that run have fetched is kept in memory until the last of them ends; only a pull that succeeds writes.
Called by `store`, which lets `resolve` ask here instead of the place itself.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from reconciler.host.images.disk import Disk, blob_name
from reconciler.host.images.documents import Descriptor, digest_of
from reconciler.host.images.locks import Locks
from reconciler.host.images.resolve import Advance, Source

AT_MOST = 64  # documents in memory, of a few kB each and of 4 MiB at most


class Documents:
    """Those of all pulls that run. Safe for threads."""

    def __init__(self, disk: Disk, locks: Locks) -> None:
        self._disk = disk
        self._locks = locks
        self._guard = threading.Lock()
        self._pulls = 0
        self._kept: dict[str, bytes] = {}

    @contextmanager
    def pulling(self) -> Iterator[None]:
        """While a pull runs."""
        with self._guard:
            self._pulls += 1
        try:
            yield
        finally:
            with self._guard:
                self._pulls -= 1
                if not self._pulls:
                    self._kept.clear()

    def get(self, digest: str, fetch: Callable[[], bytes]) -> bytes:
        """The document with this digest; `fetch` is asked when nobody has it. Raises what `fetch` raises."""
        with self._locks.hold({digest}):
            text = self._kept.get(digest) or self._disk.read(blob_name(digest))
            if text is None or digest_of(text) != digest:
                text = fetch()
                self._keep(digest, text)
        return text

    def _keep(self, digest: str, text: bytes) -> None:
        with self._guard:
            if self._pulls and len(self._kept) < AT_MOST:
                self._kept[digest] = text


@dataclass(frozen=True, slots=True)
class Kept:
    """`source`, whose documents are asked for only once."""

    source: Source
    documents: Documents

    @property
    def mirror(self) -> str:
        """As its source."""
        return self.source.mirror

    def top(self) -> tuple[str, bytes]:
        """As its source says now."""
        return self.source.top()

    def document(self, descriptor: Descriptor) -> bytes:
        """From whoever has it. Raises HostError."""
        return self.documents.get(descriptor.digest, lambda: self.source.document(descriptor))

    def send(self, layer: Descriptor, sink: int, advance: Advance) -> None:
        """As its source does."""
        self.source.send(layer, sink, advance)
