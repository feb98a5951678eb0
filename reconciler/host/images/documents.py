"""Manifests and indexes: JSON that strangers wrote, read strictly into values.

Pure. Every refusal is a `ValueError` with one reason; the caller says which image it was about. Sources: OCI
image-spec (manifest.md, image-index.md, descriptor.md), Docker image manifest v2 schema 2.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NoReturn

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
MANIFESTS = frozenset({OCI_MANIFEST, DOCKER_MANIFEST})
INDEXES = frozenset({OCI_INDEX, DOCKER_INDEX})
CONFIGS = frozenset({"application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"})
LAYERS = frozenset(
    f"application/vnd.oci.image.layer.{foreign}v1.tar{packed}"
    for foreign in ("", "nondistributable.")
    for packed in ("", "+gzip", "+zstd")
) | frozenset(
    f"application/vnd.docker.image.rootfs.{kind}.tar{packed}"
    for kind in ("diff", "foreign.diff")
    for packed in ("", ".gzip", ".zstd")
)

DOCUMENT_LIMIT = 4 * 1024 * 1024  # bytes of a manifest or config, the floor that the distribution-spec names
LAYER_LIMIT = 128  # overlayfs and Docker take no more
SIZE_LIMIT = 1 << 40
INDEX_LIMIT = 1000
DEPTH_LIMIT = 64

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Descriptor:
    """What a document says about another: its type, digest and size in bytes."""

    media_type: str
    digest: str
    size: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """One image for one platform; `layers` lowest first."""

    config: Descriptor
    layers: tuple[Descriptor, ...]


@dataclass(frozen=True, slots=True)
class Platform:
    """What an image runs on, in Go's words."""

    os: str
    architecture: str
    variant: str = ""

    def __str__(self) -> str:
        text = "/".join(part for part in (self.os, self.architecture, self.variant) if part)
        return "".join(letter if letter.isprintable() else "?" for letter in text)  # a stranger's words, in messages


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of an index. `name` is the annotation by which an OCI layout tags."""

    descriptor: Descriptor
    platform: Platform | None = None
    name: str = ""


# --- strict JSON -----------------------------------------------------------------------------------------------


def read_json(text: bytes) -> dict[str, object]:
    """One JSON object, UTF-8, without duplicate keys, NaN or deep nesting. Raises ValueError."""
    if len(text) > DOCUMENT_LIMIT:
        raise ValueError(f"it has more than {DOCUMENT_LIMIT} bytes")
    try:
        value = json.loads(text.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_constant)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except (ValueError, UnicodeDecodeError) as error:
        raise ValueError(f"it is not JSON: {str(error)[:120]}") from None
    if not isinstance(value, dict):
        raise ValueError("it is not a JSON object")
    _check_depth(value)
    return value


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    result = dict(pairs)
    # Go matches keys without regard to case, so `Layers` beside `layers` means two things to two readers.
    if len(result) != len(pairs):
        raise ValueError("a key stands twice")
    return result


def _constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _check_depth(value: object) -> None:
    level = [value]
    for _ in range(DEPTH_LIMIT):
        level = [child for item in level for child in _children(item)]
        if not level:
            return
    raise ValueError("it is nested too deeply")


def _children(value: object) -> list[object]:
    if isinstance(value, dict):
        return [item for item in value.values() if isinstance(item, dict | list)]
    return [item for item in value if isinstance(item, dict | list)] if isinstance(value, list) else []


def one_case(value: Mapping[str, object]) -> None:
    """Refuse keys that differ in case only: Go's readers take them for the same key."""
    if len({key.casefold() for key in value}) != len(value):
        raise ValueError("two keys differ in case only")


# --- documents -------------------------------------------------------------------------------------------------


def is_digest(text: str) -> bool:
    """Whether `text` is a SHA-256 digest in canonical form."""
    return _DIGEST.fullmatch(text) is not None


def check_digest(text: object) -> str:
    """`text` when it is a SHA-256 digest in canonical form; the only thing that may become part of a path."""
    if not isinstance(text, str) or _DIGEST.fullmatch(text) is None:
        raise ValueError(f"{str(text)[:80]!r} is not a SHA-256 digest")
    return text


def digest_of(text: bytes) -> str:
    """SHA-256 of `text` as the OCI writes it."""
    return "sha256:" + hashlib.sha256(text).hexdigest()


def media_type_of(document: Mapping[str, object], told: str) -> str:
    """The document's type, when what it says of itself, what its keys say and what we were told agree."""
    one_case(document)
    inside = document.get("mediaType", "")
    if "fsLayers" in document or document.get("schemaVersion") == 1:
        raise ValueError("Docker schema 1 is not supported; push the image again with a current tool")
    if document.get("schemaVersion") != 2:
        raise ValueError("schemaVersion is not 2")
    if not isinstance(inside, str) or (inside and told and inside != told):
        raise ValueError(f"it is of type {str(inside)[:80]!r}, but was announced as {told[:80]!r}")
    kind = inside or told
    _check_family(document, kind)
    return kind


def _check_family(document: Mapping[str, object], kind: str) -> None:
    if kind not in MANIFESTS | INDEXES:
        raise ValueError(f"type {kind[:80]!r} is not an image manifest or index")
    if "manifests" in document and ("layers" in document or "config" in document):
        raise ValueError("it is a manifest and an index at once")
    if ("manifests" in document) != (kind in INDEXES):
        raise ValueError(f"its content is not of type {kind}")


def read_manifest(document: Mapping[str, object]) -> Manifest:
    """The manifest of a runnable image."""
    config = read_descriptor(document.get("config"))
    if document.get("artifactType") or config.media_type not in CONFIGS:
        raise ValueError(f"it is not a runnable image: its config is {config.media_type[:80]!r}")
    listed = document.get("layers")
    if not isinstance(listed, list) or not listed:
        raise ValueError("it has no layers")
    if len(listed) > LAYER_LIMIT:
        raise ValueError(f"it has {len(listed)} layers, and overlayfs mounts {LAYER_LIMIT}")
    return Manifest(config, tuple(_read_layer(item) for item in listed))


def _read_layer(value: object) -> Descriptor:
    layer = read_descriptor(value)
    if layer.media_type not in LAYERS:
        raise ValueError(f"layer type {layer.media_type[:80]!r} is not supported")
    return layer


def read_index(document: Mapping[str, object]) -> tuple[Entry, ...]:
    """The entries of an index that may be images; attestations and other companions are left out."""
    listed = document.get("manifests")
    if not isinstance(listed, list):
        raise ValueError("it has no list of manifests")
    if len(listed) > INDEX_LIMIT:
        raise ValueError(f"it lists {len(listed)} manifests, more than {INDEX_LIMIT}")
    entries = (_read_entry(item) for item in listed)
    return tuple(entry for entry in entries if entry is not None)


def _read_entry(value: object) -> Entry | None:
    descriptor = read_descriptor(value)
    assert isinstance(value, dict)
    notes = value.get("annotations") or {}
    if not isinstance(notes, dict):
        raise ValueError("annotations are not an object")
    if "vnd.docker.reference.type" in notes or descriptor.media_type not in MANIFESTS | INDEXES:
        return None
    platform = _read_platform(value.get("platform"))
    if platform is not None and platform.os == "unknown":
        return None
    return Entry(descriptor, platform, str(notes.get("org.opencontainers.image.ref.name", "")))


def _read_platform(value: object) -> Platform | None:
    if value is None:
        return None
    if not isinstance(value, dict):
        raise ValueError("a platform is not an object")
    parts = [value.get(key, "") for key in ("os", "architecture", "variant")]
    if not all(isinstance(part, str) and len(part) < 64 for part in parts):
        raise ValueError("a platform is not made of short words")
    return Platform(*map(str, parts))


def read_descriptor(value: object) -> Descriptor:
    """A descriptor; foreign `urls` and embedded `data` are ignored, so content comes from the source alone."""
    if not isinstance(value, dict):
        raise ValueError("a descriptor is not an object")
    one_case(value)
    media_type, size = value.get("mediaType"), value.get("size")
    if not isinstance(media_type, str):
        raise ValueError("a descriptor has no media type")
    if type(size) is not int or not 0 <= size <= SIZE_LIMIT:
        raise ValueError(f"size {ascii(size)[:40]} of a descriptor is not possible")
    return Descriptor(media_type, check_digest(value.get("digest")), size)


# --- the choice of a platform ------------------------------------------------------------------------------------

_ARCHITECTURES = {
    "x86_64": Platform("linux", "amd64"),
    "aarch64": Platform("linux", "arm64", "v8"),
    "armv7l": Platform("linux", "arm", "v7"),
    "armv6l": Platform("linux", "arm", "v6"),
    "i686": Platform("linux", "386"),
}
SHOWN = 20  # platforms in a message
_ARM = ("v8", "v7", "v6", "v5")


def host_platform(machine: str) -> Platform:
    """The platform of a host whose `uname -m` is `machine`."""
    return _ARCHITECTURES.get(machine, Platform("linux", machine))


def choose(entries: Sequence[Entry], host: Platform) -> Descriptor:
    """The entry that suits `host` best. Raises ValueError that lists what there is."""
    for variant in _variants(host):
        for entry in entries:
            if entry.platform == replace(host, variant=variant):
                return entry.descriptor
    if len(entries) == 1 and entries[0].platform is None:
        return entries[0].descriptor
    found = sorted({str(entry.platform) for entry in entries if entry.platform})
    there = ", ".join(found[:SHOWN]) + (f" and {len(found) - SHOWN} more" if len(found) > SHOWN else "")
    raise ValueError(f"there is none for {host}; there is {there or 'nothing'}")


def _variants(host: Platform) -> tuple[str, ...]:
    if host.architecture == "arm":
        first = _ARM.index(host.variant) if host.variant in _ARM else 1
        return (*_ARM[first:], "")
    if host.architecture == "arm64":
        return ("v8", "")
    return ("", "v1")  # amd64 v2 and above need a look at the processor, which no registry image asks for
