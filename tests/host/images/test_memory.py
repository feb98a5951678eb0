"""What a pull takes in memory does not depend on the image: neither in the daemon nor in the confined child."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.host.images.documents import Descriptor
from reconciler.host.images.overlay import Limits
from reconciler.host.images.unpacker import Unpacker
from tests.host.images.builder import LAYER, Member, digest, packed, tar
from tests.host.images.scripted import Server

pytestmark = [pytest.mark.root, pytest.mark.host]

MIB = 1 << 20
BOUND = 8 * MIB  # of the difference that an image of ten times as much makes
PULL = """
import sys
from pathlib import Path
from reconciler.host.images.store import ImageStore
from reconciler.settings import Settings
from tests.host.images.test_memory import peak
store = ImageStore(Settings(state=Path(sys.argv[1])))
store.recover()
store.pull(sys.argv[2], lambda _: None)
print(peak("self"))
"""


def small() -> bytes:
    """A layer of 100 entries, packed and unpacked a tenth of a megabyte."""
    return tar(*(Member(f"small/{number}", b"x" * 1000) for number in range(100)))


def large() -> bytes:
    """A layer of 20,000 entries and one big file that cannot be packed."""
    few = (Member(f"{number // 100}/{number}", b"%d" % number) for number in range(20_000))
    return tar(Member("big", os.urandom(80 * MIB)), *few)


def peak(process: int | str) -> int:
    """The most bytes of memory that a process has had (VmHWM of proc(5)); one that ended has no memory any more."""
    status = Path(f"/proc/{process}/status").read_text()
    return next((int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM:")), 0)


def descendants(process: int) -> Iterator[int]:
    for thread in Path(f"/proc/{process}/task").iterdir():
        for child in (thread / "children").read_text().split():
            yield int(child)
            yield from descendants(int(child))


def test_the_daemon(tmp_path: Path) -> None:
    with Server().running() as server:
        peaks = []
        for tag, layer in (("small", packed(small())), ("large", packed(large()))):
            server.image([layer], tag=tag)
            argv = [sys.executable, "-c", PULL, str(tmp_path / tag), f"{server.host}/app:{tag}"]
            peaks.append(int(subprocess.run(argv, capture_output=True, check=True).stdout))
    assert abs(peaks[1] - peaks[0]) < BOUND, peaks


@pytest.mark.parametrize("pack", [packed, bytes], ids=["gzip", "plain"])
def test_the_confined_child(tmp_path: Path, pack: type[bytes]) -> None:
    peaks = []
    with Unpacker("test", Limits()) as unpacker:
        for name, layer in (("small", pack(small())), ("large", pack(large()))):
            (tmp_path / name / "diff").mkdir(parents=True)

            def send(sink: int, layer: bytes = layer) -> None:
                view = memoryview(layer)
                while len(view) > 1:  # with a byte of it missing the child is still there to be looked at
                    view = view[os.write(sink, view[:-1]) :]
                peaks.append(max(peak(child) for child in descendants(os.getpid())))
                os.write(sink, view)

            found = unpacker.unpack(Descriptor(LAYER, digest(layer), len(layer)), tmp_path / name / "diff", send)
            assert found.entries == (100 if name == "small" else 20_001)
    assert peaks[0] > MIB
    assert abs(peaks[1] - peaks[0]) < BOUND, peaks
