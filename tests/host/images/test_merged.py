"""What a container sees: several layers, mounted by overlayfs, against what two independent tools make of them."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from reconciler.host.images.store import ImageStore
from tests.host.images.builder import Member, build_layout, folder, hardlink, packed, plain, symlink, tar
from tests.host.images.frame import describe
from tests.host.images.test_unpack import TAKEN, is_tar

pytestmark = [pytest.mark.root, pytest.mark.host]

X = b"x"


def inside(store: ImageStore, reference: str, command: str) -> str:
    """What `command` prints in the mounted image, in a mount namespace of its own."""
    root, lower = store.lower(store.seen()[reference])
    options = ":".join([*lower, "l"])  # an empty folder would do as well: overlayfs wants two
    done = subprocess.run(
        ["unshare", "-m", "--propagation", "private", "sh", "-euc", MOUNT, "sh", options, command],
        cwd=root,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode("latin-1")


# The empty folder is mounted below everything, so that one layer alone can be mounted too.
MOUNT = """
mount -t tmpfs none /mnt && mkdir /mnt/empty /mnt/merged
mount -t overlay overlay -o lowerdir="${1%:l}":/mnt/empty /mnt/merged
cd /mnt/merged
eval "$2"
"""
LIST = (
    # a folder's time is its layer's here, and that of the last change there
    "find . -mindepth 1 -type d -printf '%P %y %m %U %G\\n' | sort"
    " && find . -mindepth 1 -not -type d -printf '%P %y %m %U %G %T@ %l\\n' | sort"
    " && find . -type f -exec sha256sum {} + | sort && find . -samefile bin/sh | sort"
    " && getcap -r . 2>/dev/null | sort"
)


def pulled(store: ImageStore, folder: Path, layers: Sequence[Sequence[Member]]) -> str:
    build_layout(folder, "1", layers)
    store.pull(f"oci:{folder}:1", lambda _: None)
    return f"oci:{folder}:1"


def names(store: ImageStore, reference: str) -> list[str]:
    return inside(store, reference, "find . -mindepth 1 -printf '%P\\n' | sort").splitlines()


CASES: dict[str, tuple[list[list[Member]], list[str]]] = {
    "U-31 whiteouts": (
        [[Member("a", X), Member("d/b", X), Member("d/c", X)], [Member(".wh.a"), Member("d/.wh.b")]],
        ["d", "d/c"],
    ),
    "U-31 whole folder": ([[Member("d/b", X), Member("e", X)], [Member(".wh.d")]], ["e"]),
    "U-34 opaque": ([[Member("d/old", X)], [Member("d/new", X), Member("d/.wh..wh..opq")]], ["d", "d/new"]),
    "U-34 opaque root": ([[Member("old", X)], [Member(".wh..wh..opq"), Member("new", X)]], ["new"]),
    "U-35 no phantoms": ([[Member("d/x", X)], [Member("d/.wh.x"), Member("d/.wh..wh..opq")]], ["d"]),
    "U-36 made again": ([[Member("d/old", X)], [Member(".wh.d"), Member("d/new", X)]], ["d", "d/new"]),
    "U-39 file over folder": ([[Member("d/x", X)], [Member("d", X)]], ["d"]),
    "U-39 folder over file": ([[Member("d", X)], [folder("d"), Member("d/x", X)]], ["d", "d/x"]),
    "U-39 symlink over folder": ([[Member("d/x", X)], [symlink("d", "e")]], ["d"]),
    "U-39 folder over symlink": ([[symlink("d", "e"), Member("e/y", X)], [Member("d/x", X)]], ["d", "d/x", "e", "e/y"]),
    "deleted, then back again": ([[Member("a", X)], [Member(".wh.a")], [Member("a", X)]], ["a"]),
    "a whiteout of nothing": (
        [[Member("a", X), folder("d")], [Member("d/.wh.none"), Member("d/b", X)]],
        ["a", "d", "d/b"],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_merged(name: str, store: ImageStore, tmp_path: Path) -> None:
    layers, expected = CASES[name]
    assert names(store, pulled(store, tmp_path / "layout", layers)) == expected


def test_implied_folders_look_like_those_below(store: ImageStore, tmp_path: Path) -> None:
    """DEPENDENCIES §2.3: without this overlayfs would show 0755 root:root."""
    below = [folder("srv", 0o2770, uid=3, gid=4, mtime=1000), folder("srv/in", 0o700, uid=5), Member("srv/in/a", X)]
    reference = pulled(
        store, tmp_path / "layout", [below, [Member("x", X)], [Member("srv/in/b", X), Member("new/c", X)]]
    )
    shown = inside(store, reference, "stat -c '%n %a %u %g %Y' srv srv/in new")
    assert shown == "srv 2770 3 4 1000\nsrv/in 700 5 0 1600000000\nnew 755 0 0 0\n"


def test_one_layer_over_two_different_ones(store: ImageStore, tmp_path: Path) -> None:
    """Shared by diffID, but not where it took over other owners."""
    top = [Member("srv/b", X)]
    first = pulled(store, tmp_path / "one", [[folder("srv", 0o700, uid=3)], top])
    second = pulled(store, tmp_path / "two", [[folder("srv", 0o711, uid=4)], top])
    third = pulled(store, tmp_path / "three", [[folder("srv", 0o700, uid=3), Member("y")], top])
    assert inside(store, first, "stat -c '%a %u' srv") == "700 3\n"
    assert inside(store, second, "stat -c '%a %u' srv") == "711 4\n"
    assert inside(store, third, "stat -c '%a %u' srv") == "700 3\n"
    assert store.lower(store.seen()[first])[1][0] == store.lower(store.seen()[third])[1][0]


@pytest.mark.parametrize("count", [20, 60, 128])
def test_many_layers_are_all_mounted(count: int, store: ImageStore, tmp_path: Path) -> None:
    """F-063: mount options end at one page, and the kernel does not say so."""
    reference = pulled(store, tmp_path / "layout", [[Member(f"f{number:03}", X)] for number in range(count)])
    assert names(store, reference) == [f"f{number:03}" for number in range(count)]
    assert len(":".join(store.lower(store.seen()[reference])[1])) < 2048


REAL = [
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


def test_the_same_tree_as_by_skopeo_and_gnu_tar(store: ImageStore, tmp_path: Path) -> None:
    """Layers fetched by skopeo, unpacked by GNU tar in order, whiteouts applied by hand: the same merged tree."""
    reference = pulled(store, tmp_path / "layout", REAL)
    expected = merged_by_tar(tmp_path / "layout", tmp_path / "by-tar")
    ours = inside(store, reference, LIST)
    assert ours == expected


def merged_by_tar(layout: Path, target: Path) -> str:
    copy = target.with_suffix(".dir")
    subprocess.run(["skopeo", "--insecure-policy", "copy", "-q", f"oci:{layout}:1", f"dir:{copy}"], check=True)
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
    done = subprocess.run(["sh", "-c", LIST], cwd=target, capture_output=True, check=True)
    return done.stdout.decode("latin-1")


def apply_whiteouts(blob: Path, target: Path) -> None:
    listed = subprocess.run(["tar", "-tzf", blob], capture_output=True, check=True).stdout.decode().splitlines()
    for name in listed:
        parent, _, base = name.rpartition("/")
        if base == ".wh..wh..opq":
            subprocess.run(["find", target / parent, "-mindepth", "1", "-delete"], check=True)
        elif base.startswith(".wh."):
            subprocess.run(["rm", "-rf", target / parent / base.removeprefix(".wh.")], check=True)


def test_the_same_layer_as_by_bsdtar(store: ImageStore, tmp_path: Path) -> None:
    """One layer without whiteouts, entry by entry with times, owners and attributes."""
    blob = packed(tar(*REAL[0]))
    build_layout(tmp_path / "layout", "1", [blob])
    store.pull(f"oci:{tmp_path}/layout:1", lambda _: None)
    root, (lower,) = store.lower(store.seen()[f"oci:{tmp_path}/layout:1"])
    target = tmp_path / "bsdtar"
    target.mkdir()
    subprocess.run(["bsdtar", "-xpf", "-", "--numeric-owner", "-C", target], input=plain(blob), check=True)
    ours, theirs = describe((root / lower).resolve(), times=True), describe(target, times=True)
    del ours["var"], theirs["var"]  # implied: no two tools give it the same time
    assert ours == theirs


TRAP = [
    symlink("l", "/"),
    symlink("up", ".."),
    symlink("run", "/var/run"),
    symlink("d", "/etc"),
    symlink("a", "/etc/passwd"),
    symlink("foo", "/victim"),
    Member("etc/passwd", b"base"),
    Member("victim/hello", b"hello"),
]


@pytest.mark.parametrize("name", sorted(name for name in TAKEN if is_tar(TAKEN[name][0])))
def test_over_a_base_that_sets_a_trap(name: str, store: ImageStore, tmp_path: Path) -> None:
    """Every vector again as second layer: links of the base lead nowhere, and what the layer holds is on top."""
    blob, own = TAKEN[name]
    build_layout(tmp_path / "layout", "1", [packed(tar(*TRAP)), blob])
    store.pull(f"oci:{tmp_path}/layout:1", lambda _: None)
    root, (top, base) = store.lower(store.seen()[f"oci:{tmp_path}/layout:1"])
    assert describe((root / base).resolve())["victim/hello"] == "file 644 hello"
    assert set(describe((root / top).resolve())) == set(own)
    seen = set(inside(store, f"oci:{tmp_path}/layout:1", "find . -mindepth 1 -printf '%P\\0'").split("\0"))
    hidden = {path for path, text in own.items() if text == "whiteout"}
    assert {path for path in own if path not in hidden and "/" not in path} <= seen
    assert not {path for path in hidden if "/" not in path} & seen
