"""Small images for tests: tar layers made byte by byte, and OCI layouts of them.

Nothing of the program is used here, so that a mistake in its readers cannot hide in its own writer.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"


@dataclass
class Member:
    """One tar member. `kind` is tar's type character."""

    name: str
    content: bytes = b""
    kind: bytes = b"0"
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    mtime: int = 1_600_000_000
    link: str = ""
    device: tuple[int, int] = (0, 0)
    pax: Mapping[str, str] = field(default_factory=dict)


def folder(name: str, mode: int = 0o755, **more: Any) -> Member:
    """A directory."""
    return Member(name, kind=b"5", mode=mode, **more)


def symlink(name: str, target: str) -> Member:
    """A symbolic link."""
    return Member(name, kind=b"2", mode=0o777, link=target)


def hardlink(name: str, target: str, **more: Any) -> Member:
    """A hard link."""
    return Member(name, kind=b"1", link=target, **more)


def tar(*members: Member, end: bytes = bytes(1024)) -> bytes:
    """A tar stream of `members`, in pax format where needed, ending in `end`."""
    return b"".join(map(member_bytes, members)) + end


def member_bytes(member: Member) -> bytes:
    """Header and content of one member, as the standard library writes them."""
    info = tarfile.TarInfo(member.name)
    info.type, info.mode, info.uid, info.gid = member.kind, member.mode, member.uid, member.gid
    info.mtime, info.linkname, info.size = member.mtime, member.link, len(member.content)
    info.devmajor, info.devminor = member.device
    info.pax_headers = dict(member.pax)
    header = info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
    return header + member.content + bytes(-len(member.content) % 512)


def digest(content: bytes) -> str:
    """SHA-256 as the OCI writes it."""
    return "sha256:" + hashlib.sha256(content).hexdigest()


def packed(content: bytes) -> bytes:
    """gzip, the same bytes on every run."""
    out = io.BytesIO()
    with gzip.GzipFile(fileobj=out, mode="wb", compresslevel=1, mtime=0) as file:
        file.write(content)
    return out.getvalue()


def put(layout: Path, content: bytes) -> dict[str, Any]:
    """Store a blob; digest and size of its descriptor."""
    name = digest(content)
    blobs = layout / "blobs" / "sha256"
    blobs.mkdir(parents=True, exist_ok=True)
    (blobs / name.removeprefix("sha256:")).write_bytes(content)
    return {"digest": name, "size": len(content)}


def build_layout(
    path: Path,
    tag: str,
    layers: Sequence[bytes | Iterable[Member]],
    config: Mapping[str, Any] | None = None,
    architecture: str = "amd64",
) -> str:
    """Add an image to the OCI layout at `path` under `tag`; the digest of its manifest.

    A layer is either its members, or the blob as it is (then its diffID is that of the inflated content).
    """
    blobs = [layer if isinstance(layer, bytes) else packed(tar(*layer)) for layer in layers]
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {"mediaType": CONFIG, **put(path, config_bytes(blobs, config or {}, architecture))},
        "layers": [{"mediaType": layer_type(blob), **put(path, blob)} for blob in blobs],
    }
    entry = {"mediaType": MANIFEST, **put(path, json.dumps(manifest).encode())}
    _tag(path, {**entry, "annotations": {"org.opencontainers.image.ref.name": tag}})
    return str(entry["digest"])


def config_bytes(blobs: Sequence[bytes], config: Mapping[str, Any], architecture: str = "amd64") -> bytes:
    """An image config for layers with these blobs."""
    value = {
        "os": "linux",
        "architecture": architecture,
        "created": "2026-01-02T03:04:05Z",
        "config": dict(config),
        "rootfs": {"type": "layers", "diff_ids": [digest(plain(blob)) for blob in blobs]},
    }
    return json.dumps(value).encode()


def layer_type(blob: bytes) -> str:
    """The media type that fits a blob's first bytes."""
    return LAYER + {b"\x1f\x8b": "+gzip", b"\x28\xb5": "+zstd"}.get(blob[:2], "")


def plain(blob: bytes) -> bytes:
    """The tar of a layer blob."""
    if blob[:2] == b"\x1f\x8b":
        return gzip.decompress(blob)
    if blob[:4] == b"\x28\xb5\x2f\xfd":
        from backports import zstd

        return zstd.decompress(blob)
    return blob


def _tag(path: Path, entry: dict[str, Any]) -> None:
    file = path / "index.json"
    old = json.loads(file.read_text())["manifests"] if file.exists() else []
    kept = [item for item in old if item.get("annotations") != entry["annotations"]]
    (path / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    temporary = path / "index.json.new"
    temporary.write_text(json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": [*kept, entry]}))
    temporary.rename(file)


def header(name: bytes, kind: bytes = b"0", size: int = 0, **fields: bytes) -> bytes:
    """A ustar header with any field given byte by byte, and a right checksum."""
    parts = {
        "name": name.ljust(100, b"\0")[:100],
        "mode": b"0000644\0",
        "uid": b"0000000\0",
        "gid": b"0000000\0",
        "size": b"%011o\0" % size,
        "mtime": b"%011o\0" % 1_600_000_000,
        "checksum": b" " * 8,
        "kind": kind,
        "link": bytes(100),
        "magic": b"ustar\x0000",
        "uname": bytes(32),
        "gname": bytes(32),
        "major": b"0000000\0",
        "minor": b"0000000\0",
        "prefix": bytes(155),
    }
    widths = {key: len(value) for key, value in parts.items()}
    parts |= {key: value.ljust(widths[key], b"\0") for key, value in fields.items()}
    block = b"".join(parts.values()).ljust(512, b"\0")
    if "checksum" not in fields:
        block = block[:148] + b"%06o\0 " % sum(block) + block[156:]
    return block


def record(content: bytes, kind: bytes = b"x") -> bytes:
    """A pax or long-name record with `content` as it is."""
    return header(b"record", kind, len(content)) + content + bytes(-len(content) % 512)


def pax(**values: bytes) -> bytes:
    """A pax record of `values`; `__` in a name stands for a dot."""
    lines = b""
    for key, value in values.items():
        body = b" " + key.replace("__", ".").encode() + b"=" + value + b"\n"
        length = len(body) + 1
        while len(str(length)) + len(body) != length:
            length += 1
        lines += str(length).encode() + body
    return record(lines)
