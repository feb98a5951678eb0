"""Throwing away what nothing needs any more: references, then images, then layers and documents.

What is needed is an argument; nothing is decided here. Every step removes only what the step before left without a
name, and a layer leaves by a rename, so an interruption at any point leaves a store that is whole. Called by `store`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from reconciler.host.images.disk import Disk


@dataclass(frozen=True, slots=True, kw_only=True)
class Needed:
    """What must stay: references of specs, manifests of containers and of revisions to go back to."""

    references: Collection[str] = ()
    digests: Collection[str] = ()


@dataclass(frozen=True, slots=True)
class Collected:
    """What went."""

    references: tuple[str, ...] = ()
    images: int = 0
    layers: int = 0
    bytes: int = 0  # unpacked, of the layers


def collect(disk: Disk, needed: Needed, before: float) -> Collected:
    """Remove what is not `needed` and was pulled before the moment `before` (seconds since 1970)."""
    names, kept = _references(disk, needed, before)
    images, layers, documents = _images(disk, kept | set(needed.digests), before)
    gone = [
        name for name in disk.names("layers") if name not in layers and _is_old(disk, f"layers/{name}/record", before)
    ]
    size = sum(_size(disk.layer(name)) for name in gone)
    for name in gone:
        disk.remove_layer(name)
    for name in disk.names("blobs/sha256"):
        if name not in documents and _is_old(disk, f"blobs/sha256/{name}", before):
            disk.remove(f"blobs/sha256/{name}")
    return Collected(tuple(names), images, len(gone), size)


def _references(disk: Disk, needed: Needed, before: float) -> tuple[list[str], set[str]]:
    """References that went, and the manifests that those left name."""
    gone, kept = [], set()
    for name in disk.names("references"):
        record = disk.record(f"references/{name}") or {}
        reference, digest = str(record.get("reference")), str(record.get("digest"))
        if reference in needed.references or not _is_old(disk, f"references/{name}", before):
            kept.add(digest)
        else:
            disk.remove(f"references/{name}")
            gone.append(reference)
    return gone, kept


def _images(disk: Disk, kept: set[str], before: float) -> tuple[int, set[str], set[str]]:
    """How many images went, and the layers and documents of those left."""
    gone = 0
    layers: set[str] = set()
    documents: set[str] = set()
    for name in disk.names("images"):
        record = disk.record(f"images/{name}")
        if record is None or (f"sha256:{name}" not in kept and _is_old(disk, f"images/{name}", before)):
            disk.remove(f"images/{name}")
            gone += 1
            continue
        listed = record.get("layers")
        layers |= {str(layer) for layer in listed} if isinstance(listed, list) else set()
        documents |= {name, str(record.get("config")).removeprefix("sha256:")}
    return gone, layers, documents


def _is_old(disk: Disk, name: str, before: float) -> bool:
    return disk.written(name) < before


def _size(record: Mapping[str, object] | None) -> int:
    size = (record or {}).get("size")
    return size if isinstance(size, int) else 0
