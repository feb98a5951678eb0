"""Killed at every system call that changes something (F-032): the next start finds nothing half done visible.

strace kills the process at its n-th such call, once before the call takes effect and once after it, for every n until
the pull gets through alive. After each the store is started again and the image pulled: what was finished is not
fetched again, and the store is, name for name, what it is after a pull that nobody disturbed.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.host.images.store import ImageStore
from reconciler.settings import Settings
from tests.host.images.builder import Member, digest, folder, hardlink, packed, symlink, tar
from tests.host.images.frame import describe
from tests.host.images.scripted import Server

pytestmark = [pytest.mark.root, pytest.mark.host, pytest.mark.timeout(400)]

LAYERS = [
    packed(tar(folder("srv", 0o700, uid=3), Member("a", b"a" * 9000), hardlink("b", "a"), symlink("c", "a"))),
    packed(tar(Member("srv/x", b"x"), Member(".wh.a"), folder("d"), Member("d/.wh..wh..opq"), Member("a2", b"2"))),
]
COMMIT = "fsync,syncfs,rename,mkdir,symlink,unlink,rmdir,chmod,fchown,fchmod,fremovexattr"
UNPACK = "unshare,mount,chroot,capset,mkdirat,mknodat,linkat,symlinkat,unlinkat,setxattr,fchown,fchownat,utimensat,sendmsg,pipe2,splice"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server().running() as made:
        made.image(LAYERS)
        yield made


@pytest.fixture(scope="module")
def undisturbed(server: Server, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    state = tmp_path_factory.mktemp("whole") / "state"
    store = ImageStore(Settings(state=state), sleep=lambda _: None)
    store.recover()
    store.pull(f"{server.host}/app:1", lambda _: None)
    return describe(state)


def killed(state: Path, reference: str, trace: list[str]) -> bool:
    """Pull under strace; whether it was killed."""
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    argv = ["strace", "-qq", "-o", "/dev/null", *trace, sys.executable, "-m", "tests.host.images.pull_once"]
    done = subprocess.run([*argv, str(state), reference], env=environment, capture_output=True, check=False)
    return done.returncode != 0


def check(state: Path, server: Server, undisturbed: dict[str, str]) -> None:
    """What a new start makes of the rest."""
    store = ImageStore(Settings(state=state), sleep=lambda _: None)
    store.recover()
    assert list((state / "images" / "tmp").iterdir()) == []
    for layer in (state / "images" / "layers").iterdir():
        for name, text in describe(layer).items():
            assert undisturbed[f"images/layers/{layer.name}/{name}"] == text
    whole = {layer.name[:64] for layer in (state / "images" / "layers").iterdir()}
    for image in store.seen().values():
        assert {name.removeprefix("sha256:") for name in image.layers} <= whole
    server.asked.clear()
    store.pull(f"{server.host}/app:1", lambda _: None)
    for layer in LAYERS:
        diff = digest(tar_of(layer)).removeprefix("sha256:")
        assert len(server.paths(digest(layer))) == (0 if diff in whole else 1)
    assert describe(state) == undisturbed


def tar_of(layer: bytes) -> bytes:
    import gzip

    return gzip.decompress(layer)


@pytest.mark.parametrize("when", ["after", "before"])
@pytest.mark.parametrize(
    ("calls", "others", "least"), [(COMMIT, [], 40), (UNPACK, ["-f"], 12)], ids=["commit", "unpack"]
)
def test_killed_at_every_call(
    calls: str, others: list[str], least: int, when: str, tmp_path: Path, server: Server, undisturbed: dict[str, str]
) -> None:
    error = "error=EIO:" if when == "before" else ""
    for number in range(1, 400):
        state = tmp_path / str(number) / "state"
        state.parent.mkdir()
        trace = [*others, "-e", f"trace={calls}", "-e", f"inject={calls}:{error}signal=KILL:when={number}"]
        alive = not killed(state, f"{server.host}/app:1", trace)
        check(state, server, undisturbed)
        if alive:
            assert number > least
            return
    raise AssertionError("it never got through")
