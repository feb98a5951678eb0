"""A new volume gets what the image has at its place, as in Docker: contents, owner and permissions."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

from reconciler.host.rootfs import open_inside
from reconciler.host.run import run

_TIMEOUT = 600.0  # seconds for copying; images are bounded, disks are not fast


def populate(volume: Path, root: Path, target: str) -> None:
    """Fill the empty folder `volume` from `target` in the root file system `root`; what is not empty is left alone.

    The copy is made beside it, and moved in when it is whole: an interrupted one is never taken for a filled volume.
    The folder itself stays, as another container may have it mounted.
    """
    whole = volume.with_name(f".{volume.name}.filled")
    if not whole.exists():
        if any(volume.iterdir()):
            return
        _copy(root, target, whole)
    if whole.exists():
        _move(whole, volume)


def _copy(root: Path, target: str, whole: Path) -> None:
    anchor = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        source = open_inside(anchor, target, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return
    finally:
        os.close(anchor)
    half = whole.with_suffix(".filling")
    shutil.rmtree(half, ignore_errors=True)
    try:
        half.mkdir(mode=0o700)
        run(["cp", "-a", f"/proc/self/fd/{source}/.", str(half)], timeout=_TIMEOUT, pass_fds=[source])
        run(["sync", "-f", str(half)], timeout=_TIMEOUT)
        half.rename(whole)
    finally:
        os.close(source)


def _move(whole: Path, volume: Path) -> None:
    seen = whole.stat()
    for entry in whole.iterdir():
        entry.rename(volume / entry.name)
    os.chown(volume, seen.st_uid, seen.st_gid)
    volume.chmod(stat.S_IMODE(seen.st_mode))
    whole.rmdir()
