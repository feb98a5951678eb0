"""What a container sees: several layers, mounted by overlayfs, against what two independent tools make of them."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from reconciler.host.images.store import ImageStore
from tests.host.images.builder import Member, build_layout, folder, packed, symlink, tar
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
