"""Builds container images as OCI layouts on disk, from nothing but the standard library.

`python3 examples/build_image.py DIRECTORY` writes the image of the demonstration: busybox-static of the
distribution with its applets, and a web page. The functions are for whoever wants an image without a builder; the
end-to-end tests make theirs with them. Nothing here is part of the daemon. What is written follows the OCI image
specification (image-layout.md, config.md, layer.md); the same input gives the same digests.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import platform
import subprocess
import sys
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
MEDIA = "application/vnd.oci.image"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One entry of a layer. `kind` is a tar type; `link` is the target of a link; `path` has no leading slash."""

    path: str
    kind: bytes = tarfile.REGTYPE
    content: bytes = b""
    link: str = ""
    mode: int = 0o644
    uid: int = 0
    gid: int = 0


def file(path: str, content: bytes | str, mode: int = 0o644) -> Entry:
    """A regular file."""
    return Entry(path=path, content=content.encode() if isinstance(content, str) else content, mode=mode)


def folder(path: str, mode: int = 0o755, owner: int = 0) -> Entry:
    """A folder; `owner` is both user and group."""
    return Entry(path=path, kind=tarfile.DIRTYPE, mode=mode, uid=owner, gid=owner)


def symlink(path: str, target: str) -> Entry:
    """A symbolic link."""
    return Entry(path=path, kind=tarfile.SYMTYPE, link=target, mode=0o777)


def whiteout(path: str) -> Entry:
    """What hides `path` of the layers below (layer.md, "Whiteouts")."""
    where = PurePosixPath(path)
    return file(str(where.parent / f".wh.{where.name}"), b"")


def opaque(path: str) -> Entry:
    """What hides everything that the layers below have in the folder `path`."""
    return file(f"{path}/.wh..wh..opq", b"")


def layer(entries: Iterable[Entry]) -> bytes:
    """An uncompressed tar archive of `entries`, with every time at the epoch."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for entry in entries:
            header = tarfile.TarInfo(entry.path)
            header.type, header.linkname, header.mode = entry.kind, entry.link, entry.mode
            header.uid, header.gid, header.size = entry.uid, entry.gid, len(entry.content)
            archive.addfile(header, io.BytesIO(entry.content))
    return stream.getvalue()


def write_layout(directory: Path, layers: Sequence[bytes], config: Mapping[str, object], tag: str = "latest") -> str:
    """Write one image into the OCI layout `directory`, and return its digest; `config` as in config.md."""
    blobs = directory / "blobs" / "sha256"
    blobs.mkdir(parents=True, exist_ok=True)
    image = {
        "architecture": ARCHITECTURES.get(platform.machine(), platform.machine()),
        "os": "linux",
        "created": "1970-01-01T00:00:00Z",
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": [_digest(content) for content in layers]},
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{MEDIA}.manifest.v1+json",
        "config": _blob(blobs, json.dumps(image).encode(), "config.v1+json"),
        "layers": [_blob(blobs, gzip.compress(content, 1, mtime=0), "layer.v1.tar+gzip") for content in layers],
    }
    chosen = _blob(blobs, json.dumps(manifest).encode(), "manifest.v1+json")
    named = {**chosen, "annotations": {"org.opencontainers.image.ref.name": tag}}
    (directory / "oci-layout").write_text(json.dumps({"imageLayoutVersion": "1.0.0"}))
    (directory / "index.json").write_text(
        json.dumps({"schemaVersion": 2, "mediaType": f"{MEDIA}.index.v1+json", "manifests": [named]})
    )
    return str(chosen["digest"])


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _blob(blobs: Path, content: bytes, kind: str) -> dict[str, object]:
    digest = _digest(content)
    (blobs / digest.removeprefix("sha256:")).write_bytes(content)
    return {"mediaType": f"{MEDIA}.{kind}", "digest": digest, "size": len(content)}


def busybox() -> list[Entry]:
    """A small system: busybox-static of this machine, a link for each applet, users, and a writable /tmp."""
    binary = next(path for path in (Path("/bin/busybox"), Path("/usr/bin/busybox")) if path.exists())
    listed = subprocess.run([binary, "--list"], capture_output=True, text=True, check=True)
    applets = (name for name in listed.stdout.split() if name != "busybox")
    return [
        *(folder(path) for path in ("bin", "etc", "home", "root", "var")),
        folder("tmp", 0o1777),
        file("bin/busybox", binary.read_bytes(), 0o755),
        *(symlink(f"bin/{name}", "busybox") for name in applets),
        file("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/home:/bin/false\n"),
        file("etc/group", "root:x:0:\nnogroup:x:65534:\n"),
    ]


def demo(directory: Path) -> str:
    """The image of the demonstration: answers on port 80 with the name of the container that answers."""
    page = 'echo "${GREETING:-Hello} from $(hostname)" > /www/index.html'
    start = f"{page}; trap 'exit 0' TERM; httpd -f -h /www & wait"
    site = [folder("www"), file("www/index.html", "")]
    config = {"Env": ["PATH=/bin"], "Cmd": ["/bin/sh", "-c", start], "ExposedPorts": {"80/tcp": {}}}
    return write_layout(directory, [layer(busybox()), layer(site)], config)


if __name__ == "__main__":
    sys.stdout.write(f"{demo(Path(sys.argv[1]))}\n")
