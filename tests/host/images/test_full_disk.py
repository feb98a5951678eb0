"""A disk without room (F-034): one sentence, nothing half done, everything else as it was."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.host.images.builder import Member, build_layout

pytestmark = [pytest.mark.root, pytest.mark.host]

# A file system of its own in a mount namespace of its own; what the pulls say, and what is left of them.
SCRIPT = """
import os, sys
from pathlib import Path
from reconciler.errors import HostError
from reconciler.host.images.store import ImageStore
from reconciler.settings import ImageLimits, Settings
from tests.host.images.frame import describe

state, layout, reserve = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
first = ImageStore(Settings(state=state, image_limits=ImageLimits(reserve=0)))
first.recover()
first.pull(f"oci:{layout}:small", lambda _: None)
store = ImageStore(Settings(state=state, image_limits=ImageLimits(reserve=reserve)))
before = describe(state)
for _ in range(3):
    try:
        store.pull(f"oci:{layout}:big", lambda _: None)
    except HostError as error:
        print(error)
after = describe(state)
assert before.items() <= after.items()
left = {name.split("/")[1] for name in after.keys() - before.keys()}
assert left <= {"layers", "l"}, left  # a layer that is whole stays, so that it is not fetched again
assert [image.reference for image in store.seen().values()] == [f"oci:{layout}:small"]
os.system(f"mount -o remount,size=64m,nr_inodes=9999 {state}")
store.pull(f"oci:{layout}:big", lambda _: None)
assert len(store.seen()) == 2
"""


@pytest.mark.parametrize(
    ("options", "reserve", "why"),
    [
        ("size=2m", 0, "No space left on device"),
        ("size=64m,nr_inodes=60", 0, "No space left on device"),
        ("size=8m", 32 << 20, "fewer than 33554432 bytes are free on the disk"),
    ],
    ids=["bytes", "inodes", "reserve"],
)
def test_a_disk_without_room(options: str, reserve: int, why: str, tmp_path: Path) -> None:
    members = [Member(f"f{number:03}", bytes(10_000)) for number in range(300)]
    build_layout(tmp_path / "layout", "small", [[Member("a", b"x")]])
    build_layout(tmp_path / "layout", "big", [[Member("b", b"x")], members])
    (tmp_path / "state").mkdir()
    mount = f'mount -t tmpfs -o {options} none "$1" && exec {sys.executable} -c "$4" "$1" "$2" "$3"'
    argv = ["unshare", "-m", "--propagation", "private", "sh", "-euc", mount, "sh"]
    done = subprocess.run(
        [*argv, tmp_path / "state", tmp_path / "layout", str(reserve), SCRIPT], capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    lines = done.stdout.decode().splitlines()
    assert len(lines) == 3
    assert all(line.startswith(("cannot unpack layer ", "cannot pull ")) and why in line for line in lines), lines
