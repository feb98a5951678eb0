"""Killed at every system call that changes something (F-032): the next start finds nothing half done visible.

strace kills the process at its n-th such call, once before the call takes effect and once after it, for every n until
the pull gets through alive. After each the store is started again and the image pulled: what was finished is not
fetched again, and the store is, name for name, what it is after a pull that nobody disturbed.
"""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from reconciler.host.images.store import ImageStore
from reconciler.settings import Settings
from tests.host.images.builder import Member, digest, folder, hardlink, packed, symlink, tar
from tests.host.images.frame import describe
from tests.host.images.pull_once import NOON
from tests.host.images.scripted import Server

pytestmark = [pytest.mark.root, pytest.mark.host, pytest.mark.timeout(400)]

LAYERS = [
    packed(tar(folder("srv", 0o700, uid=3), Member("a", b"a" * 9000), hardlink("b", "a"), symlink("c", "a"))),
    packed(tar(Member("srv/x", b"x"), Member(".wh.a"), folder("d"), Member("d/.wh..wh..opq"), Member("a2", b"2"))),
]
COMMIT = ["write", "fsync", "syncfs", "rename", "mkdir", "symlink", "chmod", "fchown", "fchmod", "unlink", "rmdir"]
UNPACK = [
    "unshare",
    "chroot",
    "capset",
    "mkdir",
    "mkdirat",
    "mknodat",
    "linkat",
    "symlinkat",
    "setxattr",
    "fchown",
    "utimensat",
]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server().running() as made:
        made.image(LAYERS)
        yield made


@pytest.fixture(scope="module")
def undisturbed(server: Server, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    state = tmp_path_factory.mktemp("whole") / "state"
    store = ImageStore(Settings(state=state), sleep=lambda _: None, clock=lambda: NOON)
    store.recover()
    store.pull(f"{server.host}/app:1", lambda _: None)
    return stored(state)


def stored(state: Path) -> dict[str, str]:
    """Everything in the store; of references only that they are there, since they say when they were asked."""
    return {name: text if "/references/" not in name else text[:8] for name, text in describe(state).items()}


def killed(state: Path, reference: str, trace: list[str]) -> bool:
    """Pull under strace; whether it was killed."""
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    argv = ["strace", "-qq", "-o", "/dev/null", *trace, sys.executable, "-m", "tests.host.images.pull_once"]
    done = subprocess.run([*argv, str(state), reference], env=environment, capture_output=True, check=False)
    return done.returncode != 0


def check(state: Path, server: Server, undisturbed: dict[str, str]) -> None:
    """What a new start makes of the rest."""
    store = ImageStore(Settings(state=state), sleep=lambda _: None, clock=lambda: NOON)
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
    for blob in LAYERS:
        diff = digest(gzip.decompress(blob)).removeprefix("sha256:")
        assert len(server.paths(digest(blob))) == (0 if diff in whole else 1)
    assert stored(state) == undisturbed


@dataclass
class Scenario:
    """Kill, start again, look; for one system call after the other."""

    top: Path
    server: Server
    undisturbed: dict[str, str]
    points: int = 0

    def kill_at_every(self, call: str, how: str, *options: str) -> None:
        """Until the call does not come that often any more."""
        for number in range(1, 200):
            state = self.top / f"{call}-{how or 'after'}-{number}" / "state"
            state.parent.mkdir()
            trace = [*options, "-e", f"trace={call}", "-e", f"inject={call}:{how}signal=KILL:when={number}"]
            alive = not killed(state, f"{self.server.host}/app:1", trace)
            check(state, self.server, self.undisturbed)
            if alive:
                return
            self.points += 1
        raise AssertionError("it never got through")


@pytest.fixture
def scenario(tmp_path: Path, server: Server, undisturbed: dict[str, str]) -> Scenario:
    return Scenario(tmp_path, server, undisturbed)


def test_all_of_a_layer_is_on_the_disk_before_it_is_visible_and_then_its_name(server: Server, tmp_path: Path) -> None:
    """What a power failure leaves: the record and the files are synced with the file system, then comes the rename."""
    trace = tmp_path / "trace"
    argv = ["strace", "-qq", "-y", "-o", str(trace), "-e", "trace=openat,syncfs,fsync,rename", sys.executable]
    state = tmp_path / "state"
    subprocess.run(
        [*argv, "-m", "tests.host.images.pull_once", str(state), f"{server.host}/app:1"],
        check=True,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )
    layers = state / "images" / "layers"
    steps = [step for line in trace.read_text().splitlines() if (step := committing(line, str(layers)))]
    assert steps == ["record", "syncfs", "rename", "fsync"] * len(LAYERS)


def committing(line: str, layers: str) -> str:
    """Which step of a layer's commit a line of strace is, "" for any other call."""
    call = line.partition("(")[0]
    if call == "openat" and "/record" in line and "O_CREAT" in line:
        return "record"
    wanted = {"syncfs": "", "rename": f', "{layers}/', "fsync": f"<{layers}>"}
    return call if call in wanted and wanted[call] in line else ""


@pytest.mark.parametrize("how", ["", "error=EIO:"], ids=["after", "before"])
def test_killed_while_committing(how: str, scenario: Scenario) -> None:
    """The thread that commits: every call of COMMIT, one after the other."""
    for call in COMMIT:
        scenario.kill_at_every(call, how)
    print(f"killed at {scenario.points} points")
    assert scenario.points >= 40


def test_killed_while_unpacking(scenario: Scenario) -> None:
    """Any process or thread, the confined ones too: whoever comes first to the n-th call."""
    for call in UNPACK:
        scenario.kill_at_every(call, "", "-f")
    print(f"killed at {scenario.points} points")
    assert scenario.points >= 20
