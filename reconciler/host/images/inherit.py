"""Folders that a layer has no entry for: they take owner, mode, times and attributes from the layers below.

Without this overlayfs would show them as 0755 root:root (containerd does the same in its `mkparent`). What such a
layer looks like depends on those below, so its name gets a suffix that stands for what it took over. Paths come from
the child and are not trusted: every step is taken with O_NOFOLLOW.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

_STEP = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_OPAQUE = "trusted.overlay.opaque"


@dataclass(frozen=True, slots=True)
class Attributes:
    """What a folder takes over."""

    mode: int = 0o755
    uid: int = 0
    gid: int = 0
    mtime: int = 0  # nanoseconds
    xattrs: tuple[tuple[str, bytes], ...] = ()


def attributes(layers: Sequence[Path], path: bytes) -> Attributes:
    """How `path` looks in the merged `layers`, topmost first; the defaults when it is no folder there."""
    for layer in layers:
        found, deeper = _look(layer, path.split(b"/"))
        if found or not deeper:
            return found or Attributes()
    return Attributes()


def _look(layer: Path, parts: Iterable[bytes]) -> tuple[Attributes | None, bool]:
    """What `layer` has, and whether layers below it still count."""
    fd = os.open(layer, _STEP)
    try:
        for part in parts:
            try:
                found = os.stat(part, dir_fd=fd, follow_symlinks=False)
            except FileNotFoundError:
                return None, not _is_opaque(fd)
            if not stat.S_ISDIR(found.st_mode):
                return None, False
            inner = os.open(part, _STEP, dir_fd=fd)
            os.close(fd)
            fd = inner
        return _read(fd), False
    finally:
        os.close(fd)


def _is_opaque(fd: int) -> bool:
    return _OPAQUE in os.listxattr(fd)


def _read(fd: int) -> Attributes:
    found = os.fstat(fd)
    kept = (name for name in os.listxattr(fd) if not name.startswith("trusted.overlay."))
    return Attributes(
        mode=stat.S_IMODE(found.st_mode),
        uid=found.st_uid,
        gid=found.st_gid,
        mtime=found.st_mtime_ns,
        xattrs=tuple(sorted((name, os.getxattr(fd, name)) for name in kept)),
    )


def give(layer: Path, path: bytes, taken: Attributes) -> None:
    """Let the folder `path` of `layer` look like `taken`."""
    fd = os.open(layer, _STEP)
    try:
        for part in path.split(b"/"):
            inner = os.open(part, _STEP, dir_fd=fd)
            os.close(fd)
            fd = inner
        os.fchown(fd, taken.uid, taken.gid)
        os.fchmod(fd, taken.mode)
        for name, value in taken.xattrs:
            os.setxattr(fd, name, value)
        os.utime(fd, ns=(taken.mtime, taken.mtime))
    finally:
        os.close(fd)


def layer_name(diff: str, taken: Iterable[tuple[bytes, Attributes]]) -> str:
    """The name of a layer with the diffID `diff` that took over `taken`."""
    plain = diff.removeprefix("sha256:")
    text = "\n".join(f"{path!r} {item}" for path, item in sorted(taken, key=lambda pair: pair[0]))
    return f"{plain}-{hashlib.sha256(text.encode()).hexdigest()[:16]}" if text else plain
