"""An image as `docker save` and `skopeo copy … docker-archive:` write it: `docker-archive:/path.tar[:TAG]`.

A source for `store`, beside `layout`. Such a file has a config and layers, but no manifest with digests; one is made
from what is there, always the same for the same content. What the content must be follows from the config's
diffIDs; the config is not vouched for by anything but the file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from reconciler.errors import HostError
from reconciler.host.images.documents import (
    DOCKER_MANIFEST,
    LAYER_LIMIT,
    Descriptor,
    check_digest,
    digest_of,
    read_json,
)
from reconciler.host.images.files import Advance, Files, Stamp
from reconciler.host.images.inflate import GZIP, ZSTD

_CONFIG = "application/vnd.docker.container.image.v1+json"
_LAYER = "application/vnd.docker.image.rootfs.diff.tar"


class DockerArchive:
    """One image of an archive."""

    mirror = ""

    def __init__(self, reference: str, files: Files, tag: str) -> None:
        self._reference = reference
        self._files = files
        self._tag = tag
        self._configs: dict[str, bytes] = {}
        self._layers: dict[str, str] = {}

    def top(self) -> tuple[str, bytes]:
        """Type and text of a manifest that says what the archive has."""
        try:
            config, names = select(json.loads(self._read("manifest.json")), self._tag)
            return DOCKER_MANIFEST, self._manifest(self._read(config), names)
        except (OSError, ValueError, RecursionError) as error:
            raise self._error(error) from None

    def document(self, descriptor: Descriptor) -> bytes:
        """The config."""
        return self._configs[descriptor.digest]

    def send(self, layer: Descriptor, sink: int, advance: Advance) -> None:
        """Write a layer into the pipe `sink`; `advance` hears of every piece, in bytes."""
        try:
            with self._files.part(self._layers[layer.digest]) as part:
                part.send(sink, advance)
        except BrokenPipeError:
            raise
        except (OSError, ValueError) as error:
            raise self._error(error) from error

    def stamp(self) -> Stamp:
        """Changes whenever the archive does."""
        return self._files.stamp()

    def _read(self, name: str) -> bytes:
        with self._files.part(name) as part:
            return part.read()

    def _error(self, error: Exception) -> HostError:
        why = getattr(error, "strerror", None) or str(error)[:200]
        return HostError(f"cannot read image {self._reference}: {why}")

    def _manifest(self, config: bytes, names: Sequence[str]) -> bytes:
        diffs = _diffs(read_json(config))
        if len(diffs) != len(names):
            raise ValueError(f"its manifest has {len(names)} layers, its config {len(diffs)}")
        layers = [self._layer(name, diff) for name, diff in zip(names, diffs, strict=True)]
        self._configs[digest_of(config)] = config
        described = {"mediaType": _CONFIG, "size": len(config), "digest": digest_of(config)}
        manifest = {"schemaVersion": 2, "mediaType": DOCKER_MANIFEST, "config": described, "layers": layers}
        return json.dumps(manifest, sort_keys=True).encode()

    def _layer(self, name: str, diff: str) -> Mapping[str, object]:
        with self._files.part(name) as part:
            packed = part.head().startswith((GZIP, ZSTD))
            digest = part.digest() if packed else diff  # a plain layer is its own content
            self._layers[digest] = name
            return {"mediaType": _LAYER, "size": part.size, "digest": digest}


def select(listed: object, tag: str) -> tuple[str, list[str]]:
    """Config and layers of the image with `tag`; the only one there is also answers to `latest`. Raises ValueError."""
    images = listed if isinstance(listed, list) else []
    wanted = [image for image in images if isinstance(image, dict) and tag in _tags(image)]
    if not wanted and tag == "latest" and len(images) == 1:
        wanted = images
    if len(wanted) != 1 or not isinstance(wanted[0], dict):
        names = ", ".join(sorted({name for image in images if isinstance(image, dict) for name in _tags(image)}))
        raise ValueError(f"the archive has {len(wanted)} images for {tag!r}; there is {names or 'no tag'}")
    config, layers = wanted[0].get("Config"), wanted[0].get("Layers")
    if not isinstance(config, str) or not isinstance(layers, list) or not all(isinstance(name, str) for name in layers):
        raise ValueError("its manifest names no config and layers")
    return config, layers


def _tags(image: Mapping[str, object]) -> list[str]:
    tags = image.get("RepoTags")
    return [str(tag).rpartition(":")[2] for tag in tags] if isinstance(tags, list) else []


def _diffs(config: Mapping[str, object]) -> list[str]:
    rootfs = config.get("rootfs")
    listed = rootfs.get("diff_ids") if isinstance(rootfs, dict) else None
    if not isinstance(listed, list) or len(listed) > LAYER_LIMIT:
        raise ValueError("its config has no list of layers")
    return [check_digest(item) for item in listed]
