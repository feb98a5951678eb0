"""Where the contenders keep their files: a fresh journalled ext4 in a loop file, in a mount namespace of the bench.

A file system without a journal, or one on which much was deleted just before, makes creating files dear; a fresh one
is the same for everybody. The mount namespace is private, so it is gone however the bench ends.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.bench import kernel

SIZE = 8 * 1024**3  # sparse


@contextmanager
def fresh(parent: Path) -> Iterator[tuple[Path, str]]:
    """A folder on such a file system, and what it is; a plain folder where loop devices cannot be had."""
    folder = Path(tempfile.mkdtemp(prefix="reconciler-bench-", dir=parent))
    folder.chmod(0o711)  # dnsmasq, which may do nothing, reads its records below
    kernel.unshare(kernel.NEWNS)
    kernel.mount("none", "/", flags=kernel.REC | kernel.PRIVATE)
    mounted = False
    try:
        mounted = mount_loop(folder / "disk", folder / "store")
        yield folder / "store", "a fresh ext4 in a loop file" if mounted else "a folder on the disk"
    finally:
        if mounted:
            kernel.unmount(str(folder / "store"))
        shutil.rmtree(folder)


def mount_loop(disk: Path, target: Path) -> bool:
    """Make and mount it; whether that worked."""
    target.mkdir()
    with disk.open("wb") as file:
        file.truncate(SIZE)
    commands = (
        ["mkfs.ext4", "-q", "-E", "lazy_itable_init=0,lazy_journal_init=0", str(disk)],
        ["mount", "-o", "loop", str(disk), str(target)],
    )
    try:
        return all(subprocess.run(command, capture_output=True, check=False).returncode == 0 for command in commands)
    except FileNotFoundError:
        return False
