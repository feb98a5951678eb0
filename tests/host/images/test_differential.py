"""The same images by this store and by independent tools: umoci, GNU tar over what skopeo fetched, and bsdtar.

Compared is all that a container can see: paths, types, modes, owners, times, attributes, content, and which names are
one file. Some images are made to be difficult, others hold real programs of the distribution.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from reconciler.host.images.store import ImageStore
from tests.end_to_end import images
from tests.host.images.builder import Member, build_layout, folder, hardlink, packed, plain, symlink, tar
from tests.host.images.frame import describe
from tests.host.images.test_merged import inside
from tests.host.images.tree import tree

pytestmark = [pytest.mark.root, pytest.mark.host]

CHECKOUT = Path(__file__).resolve().parents[3]
# cap_net_bind_service=ep as the kernel keeps it, version 2
CAPABILITY = {"SCHILY.xattr.security.capability": "\x01\0\0\x02\0\x04" + "\0" * 14}

# hard links, whiteouts, opaque and implied folders, setuid and sticky modes
HARD = [
    [
        folder("bin", 0o755),
        Member("bin/sh", b"\x7fELF" * 9000, mode=0o755),
        hardlink("bin/ash", "bin/sh"),
        hardlink("bin/ls", "/bin/sh"),
        Member("bin/su", b"su", mode=0o4755),
        folder("etc"),
        Member("etc/passwd", b"root:x:0:0::/:/bin/sh\n"),
        Member("etc/shadow", b"root:*\n", mode=0o640, gid=42),
        symlink("lib", "usr/lib"),
        folder("usr"),
        folder("usr/lib"),
        Member("usr/lib/libc.so", b"libc" * 50_000, mode=0o755),
        folder("tmp", 0o1777),
        folder("var/cache", 0o700, uid=100, gid=101, mtime=12345),
        *(Member(f"var/cache/{number}", b"%d" % number, uid=100, mtime=number) for number in range(50)),
    ],
    [
        folder("etc"),
        Member("etc/hosts", b"127.0.0.1 localhost\n"),
        Member("etc/.wh.shadow"),
        folder("var/cache", 0o700, uid=100, gid=101),
        Member("var/cache/.wh..wh..opq"),
        Member("var/cache/new", b"new"),
        Member("usr/lib/libm.so", b"libm", mode=0o755),
        Member("srv/www/index.html", b"<h1>hi</h1>", uid=33, gid=33),
    ],
    [
        Member(".wh.tmp"),
        folder("etc", 0o711, uid=1),
        Member("etc/passwd", b"app:x:1000:1000::/:\n"),
        symlink("bin/ash", "su"),
    ],
]


ATTRIBUTES = [
    [
        folder("bin"),
        Member("bin/ping", b"ping" * 100, mode=0o755, pax=CAPABILITY),
        Member("bin/note", b"x", pax={"SCHILY.xattr.user.note": "of the base"}),
        folder("srv", 0o3775, uid=7, gid=8, pax={"SCHILY.xattr.user.folder": "kept"}),
        Member("fine", b"x", mtime=1_234_567_890, pax={"mtime": "1234567890.123456789"}),
        Member("old", b"x", mtime=0),
        Member("pipe", kind=b"6", mode=0o620, gid=5),
        Member("large-owner", b"x", uid=2**31 - 2, gid=65534),
        Member("name with \u00e9, space and \\", b"x"),
        *(Member(f"{'deep/' * depth}file", b"x") for depth in range(1, 30)),
    ],
    [
        Member("bin/note", b"y", pax={"SCHILY.xattr.user.note": "of the layer above"}),
        hardlink("bin/note2", "bin/note"),
        folder("srv", 0o3775, uid=7, gid=8, mtime=1000),
        Member("srv/new", b"x"),
        Member("deep/deep/.wh.deep"),
        Member("deep/deep/deep/back", b"again"),
    ],
    [Member(".wh.old"), Member("old/now/a/folder", b"x"), symlink("pipe", "/dev/null"), Member("srv/.wh.new")],
]


@pytest.fixture(scope="module")
def layouts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Every image, by name, with the tag latest."""
    top = tmp_path_factory.mktemp("images")
    build_layout(top / "hard", "latest", HARD)
    build_layout(top / "attributes", "latest", ATTRIBUTES)
    build_layout(top / "many", "latest", [[Member(f"d{at % 7}/f{at}", b"%d" % at)] for at in range(100)])
    return {"hard": top / "hard", "attributes": top / "attributes", "many": top / "many", **images.build(top / "real")}


IMAGES = ["hard", "attributes", "many", "web:1", "redis:7", "sleeper:1"]


def by_us(store: ImageStore, layout: Path) -> dict[str, str]:
    store.pull(f"oci:{layout}:latest", lambda _: None)
    command = f"PYTHONPATH={CHECKOUT} {sys.executable} -m tests.host.images.tree"
    found: dict[str, str] = json.loads(inside(store, f"oci:{layout}:latest", command))
    return found


def by_umoci(layout: Path, target: Path) -> dict[str, str]:
    argv = ["umoci", "unpack", "--image", f"{layout}:latest", str(target)]
    subprocess.run(argv, check=True, capture_output=True)
    return tree(target / "rootfs")


def without_times_of_folders(found: dict[str, str]) -> dict[str, str]:
    """A folder's time is its layer's here, and that of the last change elsewhere."""
    return {name: text.split(" @")[0] if text.startswith("dir") else text for name, text in found.items()}


@pytest.mark.parametrize("name", IMAGES)
def test_the_same_tree_as_by_umoci(name: str, layouts: dict[str, Path], store: ImageStore, tmp_path: Path) -> None:
    ours, theirs = by_us(store, layouts[name]), by_umoci(layouts[name], tmp_path / "bundle")
    assert without_times_of_folders(ours) == without_times_of_folders(theirs)
    assert len(ours) > 5


@pytest.mark.parametrize("name", IMAGES)
def test_the_same_tree_as_by_skopeo_and_gnu_tar(
    name: str, layouts: dict[str, Path], store: ImageStore, tmp_path: Path
) -> None:
    """Layers fetched by skopeo, unpacked by GNU tar in order, whiteouts applied by hand."""
    ours, theirs = by_us(store, layouts[name]), merged_by_tar(layouts[name], tmp_path / "by-tar")
    assert without_times_of_folders(ours) == without_times_of_folders(theirs)


def merged_by_tar(layout: Path, target: Path) -> dict[str, str]:
    copy = target.with_suffix(".dir")
    subprocess.run(["skopeo", "--insecure-policy", "copy", "-q", f"oci:{layout}:latest", f"dir:{copy}"], check=True)
    target.mkdir()
    for layer in json.loads((copy / "manifest.json").read_text())["layers"]:
        blob = copy / layer["digest"].removeprefix("sha256:")
        apply_whiteouts(blob, target)
        argv = [
            "tar",
            "-xpzf",
            blob,
            "-C",
            target,
            "--numeric-owner",
            "--exclude=.wh.*",
            "--anchored",
            "--exclude=*/.wh.*",
        ]
        subprocess.run([*argv, "--overwrite", "--xattrs", "--xattrs-include=*"], check=True)
    return tree(target)


def apply_whiteouts(blob: Path, target: Path) -> None:
    listed = subprocess.run(["tar", "-tzf", blob], capture_output=True, check=True).stdout.decode().splitlines()
    for name in listed:
        parent, _, base = name.rpartition("/")
        if base == ".wh..wh..opq":
            subprocess.run(["find", target / parent, "-mindepth", "1", "-delete"], check=True)
        elif base.startswith(".wh."):
            subprocess.run(["rm", "-rf", target / parent / base.removeprefix(".wh.")], check=True)
        elif name.endswith("/") and (target / name).is_dir():  # GNU tar leaves what attributes are there already
            for attribute in os.listxattr(target / name):
                os.removexattr(target / name, attribute)


def test_the_same_layer_as_by_bsdtar(store: ImageStore, tmp_path: Path) -> None:
    """One layer without whiteouts, entry by entry with times, owners and attributes."""
    blob = packed(tar(*HARD[0]))
    build_layout(tmp_path / "layout", "1", [blob])
    store.pull(f"oci:{tmp_path}/layout:1", lambda _: None)
    root, (lower,) = store.lower(store.seen()[f"oci:{tmp_path}/layout:1"])
    target = tmp_path / "bsdtar"
    target.mkdir()
    subprocess.run(["bsdtar", "-xpf", "-", "--numeric-owner", "-C", target], input=plain(blob), check=True)
    ours, theirs = describe((root / lower).resolve(), times=True), describe(target, times=True)
    del ours["var"], theirs["var"]  # implied: no two tools give it the same time
    assert ours == theirs
