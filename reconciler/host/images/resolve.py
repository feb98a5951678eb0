"""From a source to one image: the manifest for this host, its config, and proof that the two fit.

Fetches two or three small documents and no layer. Called by `store`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from reconciler.errors import HostError
from reconciler.host.images.config import Image, read_config
from reconciler.host.images.documents import (
    INDEXES,
    Descriptor,
    Manifest,
    Platform,
    choose,
    digest_of,
    media_type_of,
    read_index,
    read_json,
    read_manifest,
)
from reconciler.host.images.mirrors import Place
from reconciler.settings import ImageLimits

DEPTH = 2  # an index may list an index, and no more

Advance = Callable[[int], None]


class Source(Place, Protocol):
    """Where one image comes from."""

    def top(self) -> tuple[str, bytes]:
        """Type and text of the manifest or index that the reference names."""

    def document(self, descriptor: Descriptor) -> bytes:
        """A manifest or config, checked against its digest."""

    def send(self, layer: Descriptor, sink: int, advance: Advance) -> None:
        """Write a layer's blob into `sink`; `advance` hears of every piece, in bytes."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """One image before its layers are fetched. `layers` pairs each blob with its diffID, lowest first.

    `named` is the digest of what the reference names: the manifest, or the index in which it was found.
    """

    named: str
    digest: str
    text: bytes
    config: Descriptor
    config_text: bytes
    layers: tuple[tuple[Descriptor, str], ...]


def resolve(source: Source, host: Platform, reference: str, limits: ImageLimits) -> Resolved:
    """The image that `source` has for `host`. Raises HostError."""
    try:
        named, text, manifest = _manifest(source, host)
        check_limits(len(text), manifest, limits)
        config_text = source.document(manifest.config)
        image = read_config(config_text, host)
        return Resolved(named, digest_of(text), text, manifest.config, config_text, _pair(manifest, image))
    except ValueError as error:
        raise HostError(f"cannot use image {reference}: {error}") from None


def check_limits(size: int, manifest: Manifest, limits: ImageLimits) -> None:
    """Raises ValueError when an image with this manifest, of `size` bytes, is more than one may be."""
    compressed = sum(layer.size for layer in manifest.layers)
    for what, count, most in (
        ("bytes of manifest", size, limits.manifest),
        ("bytes of config", manifest.config.size, limits.config),
        ("layers", len(manifest.layers), limits.layers),
        ("bytes of layers", compressed, limits.compressed),
    ):
        if count > most:
            raise ValueError(f"it has {count} {what}, and the settings allow {most}")


def manifest_digest(source: Source, host: Platform) -> str:
    """Which manifest `source` has for `host`. Raises HostError or ValueError."""
    return digest_of(_manifest(source, host)[1])


def _manifest(source: Source, host: Platform) -> tuple[str, bytes, Manifest]:
    """The digest of what is named, and the manifest for `host`."""
    told, text = source.top()
    named = digest_of(text)
    for _ in range(DEPTH + 1):
        document = read_json(text)
        if media_type_of(document, told) not in INDEXES:
            return named, text, read_manifest(document)
        chosen = choose(read_index(document), host)
        told, text = chosen.media_type, source.document(chosen)
    raise ValueError("an index lists an index that lists an index")


def _pair(manifest: Manifest, image: Image) -> tuple[tuple[Descriptor, str], ...]:
    if len(manifest.layers) != len(image.layers):
        raise ValueError(f"its manifest has {len(manifest.layers)} layers, its config {len(image.layers)}")
    return tuple(zip(manifest.layers, image.layers, strict=True))
