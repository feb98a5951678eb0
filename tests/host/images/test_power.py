"""The power is cut during and after a pull (F-033): an ext4 of its own, shut down without what was not synced.

The kernel drops the un-synced part of a file system at once (FS_IOC_SHUTDOWN without a flush), as a power cut does.
A process is killed at its n-th call of those by which things become visible, the file system is shut down, mounted
again, and the store started: whatever is visible is whole, what was finished is not fetched again, and an image whose
pull had returned is there. That the test notices is shown by leaving out one sync after the other.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.host.images.builder import Member, digest, folder, hardlink, packed, symlink, tar
from tests.host.images.scripted import Server

pytestmark = [pytest.mark.root, pytest.mark.host, pytest.mark.timeout(400)]

LAYERS = [
    packed(tar(folder("srv", 0o700, uid=3), Member("a", b"a" * 300_000), hardlink("b", "a"), symlink("c", "a"))),
    packed(tar(Member("srv/x", b"x" * 9000), Member(".wh.a"), Member("a2", b"2"))),
]

# $1 disk image, $2 mount point, $3 strace's words, $4 reference, $5 what is left out
SCRIPT = """
mount -o loop,noauto_da_alloc,commit=300 "$1" "$2"
strace -qq -o /dev/null $3 "$PYTHON" -m tests.host.images.pull_once "$2/state" "$4" $5 >&2 || echo killed
"$PYTHON" -c "import fcntl, os, struct, sys
fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x8004587d, struct.pack('I', 2))" "$2"
umount "$2"
mount -o loop "$1" "$2"
"$PYTHON" -m tests.host.images.after_power "$2/state" "$4"
"""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server().running() as made:
        made.image(LAYERS)
        yield made


@dataclass
class Cut:
    """What was found after a power cut."""

    killed: bool
    layers: list[str]
    damaged: dict[str, list[str]]
    litter: list[str]
    seen: list[str]
    stored: dict[str, str]
    fetched: list[str]


def cut(top: Path, server: Server, trace: str, without: str = "") -> Cut:
    """Pull on a new file system, cut the power, start again, pull again."""
    top.mkdir()
    (top / "mount").mkdir()
    with (top / "disk").open("wb") as file:
        file.truncate(160 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0", top / "disk"], check=True)
    server.asked.clear()
    argv: list[str | Path] = [
        "unshare",
        "-m",
        "--propagation",
        "private",
        "sh",
        "-euc",
        SCRIPT,
        "sh",
        top / "disk",
        top / "mount",
    ]
    environment = {**os.environ, "PYTHON": sys.executable, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [*argv, trace, f"{server.host}/app:1", without], env=environment, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    *killed, found = done.stdout.decode().splitlines()
    (top / "disk").unlink()
    again: dict[str, Any] = json.loads(found)
    return Cut(killed=killed == ["killed"], fetched=server.paths("/blobs/"), **again)


def check(found: Cut, whole: Cut) -> None:
    """Nothing half done is visible, and nothing is missing in the end."""
    assert found.damaged == {}
    assert found.litter == []
    assert found.stored.keys() == whole.stored.keys()
    assert {name: text for name, text in found.stored.items() if "/references/" not in name} == {
        name: text for name, text in whole.stored.items() if "/references/" not in name
    }
    for blob in LAYERS:
        here = digest(gzip.decompress(blob)).removeprefix("sha256:") in {name[:64] for name in found.layers}
        assert here or found.killed, "a pull that returned did not last"
        fetched = sum(digest(blob) in path for path in found.fetched)
        assert fetched == 1 if here else fetched in (1, 2)
    if not found.killed:
        assert len(found.seen) == 1


@pytest.fixture(scope="module")
def whole(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Cut:
    """After a pull that was left alone, and a power cut."""
    return cut(tmp_path_factory.mktemp("whole") / "cut", server, "-e trace=none")


def test_a_pull_that_returned_outlives_a_power_cut(whole: Cut) -> None:
    assert not whole.killed
    check(whole, whole)


@pytest.mark.parametrize("call", ["fsync", "syncfs", "rename"])
def test_the_power_is_cut_at_every_step(call: str, whole: Cut, server: Server, tmp_path: Path) -> None:
    """Right after the n-th call, for every n."""
    for number in range(1, 200):
        found = cut(tmp_path / str(number), server, f"-e trace={call} -e inject={call}:signal=KILL:when={number}")
        check(found, whole)
        if not found.killed:
            break
    assert number > {"fsync": 12, "syncfs": 2, "rename": 6}[call]


@pytest.mark.parametrize("without", ["file", "folder", "layer"])
def test_this_test_notices_a_missing_sync(without: str, whole: Cut, server: Server, tmp_path: Path) -> None:
    found = cut(tmp_path / "cut", server, "-e trace=none", without)
    with pytest.raises(AssertionError):
        check(found, whole)


# --- the order of the calls ------------------------------------------------------------------------------------------

CALL = re.compile(r"^(?:\d+ +)?(\w+)\((.*)\) += 0")
PATH = re.compile(r'\d+<([^>]*)>|"([^"]*)"')


def calls(trace: str) -> list[tuple[str, list[str]]]:
    """Name and paths of every call that succeeded."""
    found = [CALL.match(line) for line in trace.splitlines()]
    return [
        (match[1], [fd or name for fd, name in PATH.findall(match[2])])
        for match in found
        if match and match[1] != "exit"
    ]


def disorder(found: list[tuple[str, list[str]]]) -> list[str]:
    """What becomes visible before it lasts, or is built upon before it does."""
    wrong, synced, pending = [], set(), ""
    for name, paths in found:
        if name in {"fsync", "syncfs"}:
            synced.add(paths[0])
            pending = "" if paths[0] == pending else pending
        elif name == "rename":
            source, target = map(Path, paths)
            if str(source) not in synced:
                wrong.append(f"{source} was renamed before it was synced")
            if pending:
                wrong.append(f"{target} was made visible before {pending} was synced")
            pending = str(target.parent)
    return wrong + ([f"{pending} was never synced"] if pending else [])


def test_everything_is_synced_before_it_is_visible_and_lasts_before_the_next_step(
    server: Server, tmp_path: Path
) -> None:
    trace = tmp_path / "trace"
    argv: list[str | Path] = [
        "strace",
        "-qq",
        "-y",
        "-s",
        "4096",
        "-o",
        trace,
        "-e",
        "trace=rename,fsync,syncfs",
        sys.executable,
    ]
    subprocess.run([*argv, "-m", "tests.host.images.pull_once", tmp_path / "state", f"{server.host}/app:1"], check=True)
    found = calls(trace.read_text())
    assert sum(name == "rename" for name, _ in found) == 7  # collected; two layers; manifest, config, image; reference
    assert disorder(found) == []


@pytest.mark.parametrize(
    ("lines", "wrong"),
    [
        (["rename a/x b/y", "fsync b"], "a/x was renamed before it was synced"),
        (["fsync a/x", "rename a/x b/y"], "b was never synced"),
        (["fsync a/x", "fsync a/z", "rename a/x b/y", "rename a/z c/z", "fsync b", "fsync c"], "before b was synced"),
    ],
)
def test_what_is_out_of_order(lines: list[str], wrong: str) -> None:
    (found,) = disorder([(line.split()[0], line.split()[1:]) for line in lines])[:1]
    assert wrong in found
