"""What every contender runs: a static HTTP server, as a root file system, an OCI layout and a `docker load` archive.

All three are made here, without a builder, from the one compiled file.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

COMMAND = "/server"
TAG = "bench/server:1"


@dataclass(frozen=True, slots=True)
class Workload:
    """Where the forms of the image are."""

    root: Path
    layout: Path
    archive: Path


def make(folder: Path) -> Workload:
    """Compile the server and wrap it up, below `folder`."""
    made = Workload(folder / "root", folder / "layout", folder / "image.tar")
    made.root.mkdir(parents=True)
    source = Path(__file__).with_name("server.c")
    server = made.root / COMMAND.lstrip("/")
    subprocess.run(["gcc", "-Os", "-static", "-s", "-o", str(server), str(source)], check=True)
    for name in ("proc", "sys", "dev", "etc", "tmp"):
        (made.root / name).mkdir()
    layer = pack(made.root)
    write_layout(made.layout, layer)
    write_archive(made.archive, layer)
    return made


def pack(root: Path) -> bytes:
    """The root file system as a tar layer, owned by root."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for path in sorted(root.iterdir()):
            tar.add(path, path.name, filter=_plain)
    return packed.getvalue()


def _plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = entry.mtime = 0
    entry.uname = entry.gname = "root"
    return entry


def config(layer: bytes) -> bytes:
    """The image's config (OCI image-spec config.md), which Docker reads as well."""
    document = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Cmd": [COMMAND], "ExposedPorts": {"80/tcp": {}}},
        "rootfs": {"type": "layers", "diff_ids": [digest(layer)]},
        "history": [{"created_by": "bench"}],
    }
    return json.dumps(document).encode()


def digest(blob: bytes) -> str:
    """As the OCI writes it."""
    return "sha256:" + hashlib.sha256(blob).hexdigest()


def write_layout(folder: Path, layer: bytes) -> None:
    """An OCI image layout with the tag `1`."""
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)

    def put(blob: bytes, kind: str) -> dict[str, object]:
        (blobs / digest(blob).removeprefix("sha256:")).write_bytes(blob)
        return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": digest(blob), "size": len(blob)}

    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": put(config(layer), "config.v1+json"),
        "layers": [put(gzip.compress(layer, mtime=0), "layer.v1.tar+gzip")],
    }
    entry = put(json.dumps(manifest).encode(), "manifest.v1+json")
    entry["annotations"] = {"org.opencontainers.image.ref.name": "1"}
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')


def write_archive(path: Path, layer: bytes) -> None:
    """What `docker load` and `podman load` read."""
    manifest = [{"Config": "config.json", "RepoTags": [TAG], "Layers": ["layer.tar"]}]
    files = {"manifest.json": json.dumps(manifest).encode(), "config.json": config(layer), "layer.tar": layer}
    with tarfile.open(path, "w") as tar:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
