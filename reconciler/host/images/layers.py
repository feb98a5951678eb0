"""The layers of one pull: those that are missing are unpacked two at once, and committed from the lowest up.

Two pulls that miss the same layer fetch it once: each holds the locks of all it misses, taken in one order. Called
by `store`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path

from reconciler.core.progress import LayerProgress, Pace, Progress
from reconciler.errors import HostError, ReconcilerError
from reconciler.host.images.disk import Disk, discard
from reconciler.host.images.documents import Descriptor
from reconciler.host.images.inherit import Attributes, attributes, give, layer_name
from reconciler.host.images.locks import Locks
from reconciler.host.images.mirrors import Mirrors
from reconciler.host.images.overlay import Limits
from reconciler.host.images.resolve import Resolved, Source
from reconciler.host.images.unpacker import Unpacked, Unpacker
from reconciler.ports import Report

AT_ONCE = 2  # one process each

Extracted = tuple[Path, Unpacked]


class _StoppedError(ReconcilerError):
    """Another layer of the pull failed; nobody hears of this one, and it is nobody's fault."""


class Counter:
    """Bytes of a pull so far, layer by layer, told to whoever asked for reports."""

    def __init__(self, reference: str, report: Report, clock: Callable[[], float] = time.monotonic) -> None:
        self.stopped = False
        self.reference = reference
        self._report = report
        self._clock = clock
        self._lock = threading.Lock()
        self._layers: dict[str, tuple[int, int, Pace]] = {}  # digest -> done, size
        self._pace = Pace(clock())

    def expect(self, layer: Descriptor) -> None:
        """`layer` will come, from its first byte; also when some of it came from a mirror that failed."""
        with self._lock:
            self._layers[layer.digest] = 0, layer.size, Pace(self._clock())

    def advance(self, digest: str, count: int) -> None:
        """`count` more bytes of a layer have come."""
        if self.stopped:
            raise _StoppedError
        with self._lock:
            done, size, pace = self._layers[digest]
            done = min(done + count, size)
            self._layers[digest] = done, size, pace.after(self._clock(), done)
            self._tell(over=False)

    def end(self) -> None:
        """Nothing more will come; said only of what was begun."""
        with self._lock:
            if self._layers:
                self._tell(over=True)

    def _tell(self, *, over: bool) -> None:
        now = self._clock()
        layers = tuple(
            LayerProgress(digest, done, size, pace.rate) for digest, (done, size, pace) in self._layers.items()
        )
        done = sum(layer.done for layer in layers)
        self._pace = self._pace.after(now, done)
        total = sum(layer.size for layer in layers)
        self._report(Progress(self.reference, done, total, self._pace.rate, layers, over, now))


class Layers:
    """What one pull does about its layers."""

    def __init__(self, disk: Disk, locks: Locks, limits: Limits, mirrors: Mirrors) -> None:
        self._disk = disk
        self._locks = locks
        self._mirrors = mirrors
        self._limits = limits

    def complete(self, sources: Sequence[Source], image: Resolved, reference: str, report: Report) -> list[str]:
        """Make every layer of `image` whole; their names in the store, lowest first."""
        missing = {diff for _, diff in image.layers if not self._disk.layer_names(diff)}
        counter = Counter(reference, report)
        try:
            with self._locks.hold(missing):
                return _Fetch(self._disk, self._limits, self._mirrors, sources, counter).run(image)
        finally:
            counter.end()


class _Fetch:
    """One run over the layers of an image, with the locks held."""

    def __init__(self, disk: Disk, limits: Limits, mirrors: Mirrors, sources: Sequence[Source], counter: Counter):
        self._disk = disk
        self._limits = limits
        self._mirrors = mirrors
        self._sources = sources
        self._counter = counter
        self._reference = counter.reference
        self._unpacker = Unpacker(counter.reference, limits)
        self._folders: list[Path] = []

    def run(self, image: Resolved) -> list[str]:
        blobs = {diff: blob for blob, diff in image.layers}
        missing = [diff for diff in blobs if not self._disk.layer_names(diff)]
        if not missing:
            return self._commit_all(image, {})
        with self._unpacker, self._disk.writing_back(), ThreadPoolExecutor(AT_ONCE, "layer") as pool:
            for diff in missing:
                self._counter.expect(blobs[diff])
            coming = {diff: pool.submit(self._extract, blobs[diff], diff) for diff in missing}
            try:
                return self._commit_all(image, coming)
            finally:
                self._counter.stopped = True
                pool.shutdown(cancel_futures=True)
                for folder in self._folders:
                    discard(folder)

    def _extract(self, blob: Descriptor, diff: str) -> Extracted:
        return self._mirrors.first(self._sources, lambda source: self._extract_from(source, blob, diff))

    def _extract_from(self, source: Source, blob: Descriptor, diff: str) -> Extracted:
        folder = self._disk.new_layer()
        self._folders.append(folder)
        self._counter.expect(blob)
        advance = partial(self._counter.advance, blob.digest)
        found = self._unpacker.unpack(blob, folder / "diff", lambda sink: source.send(blob, sink, advance))
        if found.diff != diff:
            raise HostError(
                f"cannot unpack layer {blob.digest[:19]} of {self._reference}: "
                f"it has the diffID {found.diff} instead of {diff}"
            )
        return folder, found

    def _commit_all(self, image: Resolved, coming: dict[str, Future[Extracted]]) -> list[str]:
        names: list[str] = []
        for blob, diff in image.layers:
            below = [self._disk.root / "layers" / name / "diff" for name in reversed(names)]
            name = self._present(diff, below)
            names.append(name or self._commit(blob, diff, below, coming.pop(diff, None)))
        return names

    def _present(self, diff: str, below: list[Path]) -> str | None:
        """The layer that the store has for `diff` above `below`."""
        names = self._disk.layer_names(diff)
        if not names:
            return None
        record = self._disk.layer(names[0]) or {}
        name = layer_name(diff, _taken(record.get("implied"), below))
        return name if name in names else None

    def _commit(self, blob: Descriptor, diff: str, below: list[Path], coming: Future[Extracted] | None) -> str:
        folder, found = coming.result() if coming else self._again(blob, diff)
        taken = [(path, attributes(below, path)) for path in found.implied]
        for path, attribute in reversed(taken):
            give(folder / "diff", path, attribute)
        name = layer_name(diff, taken)
        record = {
            "diff": diff,
            "blob": blob.digest,
            "size": found.size,
            "entries": found.entries,
            "implied": [path.decode("latin-1") for path in found.implied],
            "opaque_root": found.opaque_root,
        }
        self._disk.commit_layer(folder, name, record)
        self._folders.remove(folder)
        return name

    def _again(self, blob: Descriptor, diff: str) -> Extracted:
        """A layer that is here, but took its folders' owners from other layers than those of this image."""
        with Unpacker(self._reference, self._limits) as self._unpacker:
            return self._extract(blob, diff)


def _taken(implied: object, below: list[Path]) -> list[tuple[bytes, Attributes]]:
    paths = [str(path).encode("latin-1") for path in implied] if isinstance(implied, list) else []
    return [(path, attributes(below, path)) for path in paths]
