"""A container's root file system, seen from outside: paths in it are resolved as if it were /, and never leave it.

An image is input from a stranger. Its links are followed by the kernel alone (openat2 with RESOLVE_IN_ROOT), what is
read must be a regular file of bounded size, and the folders that the runtime mounts over must be folders (RELIABILITY
H-01, H-02, C-02, C-09). Users of images are found here; what they mean stands in `core.process`.
"""

from __future__ import annotations

import ctypes
import os
import stat
from collections.abc import Iterable
from pathlib import Path

from reconciler.core.mounts import KERNEL_FOLDERS, beneath
from reconciler.core.process import User, user
from reconciler.errors import HostError, UnfitError

LARGEST_FILE = 10 * 2**20  # of passwd and group, in bytes

# Where the runtime mounts the kernel's file systems: a link or a file there sends it to the host (CVE-2026-41579).
_MOUNTED_OVER = ("dev", "dev/pts", "dev/shm", "dev/mqueue", "proc", "sys", "sys/fs", "sys/fs/cgroup")

# Where the bundle itself mounts memory below those.
_OURS = ("/dev", "/dev/shm")  # noqa: S108 - mount points, not files for us

_MOST_LINKS = 40  # as in the kernel

_SYS_OPENAT2 = 437  # the same on every architecture
_RESOLVE_NO_MAGICLINKS = 0x02
_RESOLVE_NO_SYMLINKS = 0x04
_RESOLVE_IN_ROOT = 0x10

_libc = ctypes.CDLL(None, use_errno=True)


class _How(ctypes.Structure):
    """struct open_how of <linux/openat2.h>."""

    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


def open_inside(root: int, path: str, flags: int, resolve: int = _RESOLVE_NO_MAGICLINKS) -> int:
    """openat2(2): a descriptor of `path` with `root` as /. Raises OSError, EAGAIN when names moved meanwhile."""
    how = _How(flags | os.O_CLOEXEC, 0, _RESOLVE_IN_ROOT | resolve)
    name = os.fsencode(path)
    result = _libc.syscall(
        ctypes.c_long(_SYS_OPENAT2), ctypes.c_int(root), name, ctypes.byref(how), ctypes.c_size_t(ctypes.sizeof(how))
    )
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), path)
    return int(result)


def find_user(root: Path, spec: str) -> User:
    """Who `spec` is in the root file system at `root`."""
    descriptor = _folder(root)
    try:
        return user(spec, _read(descriptor, "/etc/passwd"), _read(descriptor, "/etc/group"))
    finally:
        os.close(descriptor)


def check_root(root: Path, destinations: Iterable[str], cwd: str = "/") -> None:
    """Raise HostError unless the runtime can mount into the root file system at `root` without leaving it.

    `destinations` are the spec's mounts, `cwd` is where the process starts; neither may lead below /proc, /sys or /dev.
    """
    descriptor = _folder(root)
    try:
        for name in _MOUNTED_OVER:
            _check_folder(descriptor, name)
        for path in (*destinations, cwd):
            place = locate(descriptor, path)
            if path not in _OURS and beneath(place, KERNEL_FOLDERS):
                raise UnfitError(f"cannot use {path!r} in the image: it leads to {place}")
    finally:
        os.close(descriptor)


def locate(root: int, path: str) -> str:
    """Where `path` is with `root` as /: every link followed, whether what it leads to exists or not."""
    done: list[str] = []
    todo = _parts(path)
    links = 0
    while todo:
        part = todo.pop()
        if part == "..":
            del done[-1:]
            continue
        link = _link(root, "/".join((*done, part)))
        if link is None:
            done.append(part)
            continue
        links += 1
        if links > _MOST_LINKS:
            raise UnfitError(f"cannot use {path[:200]!r} in the image: too many links")
        if link.startswith("/"):
            done = []
        todo += _parts(link)
    return "/" + "/".join(done)


def _parts(path: str) -> list[str]:
    """The names in `path`, the first one last."""
    return [part for part in reversed(path.split("/")) if part not in ("", ".")]


def _link(root: int, path: str) -> str | None:
    """What the link at `path` says, None when it is none; no part of `path` before the last may be a link."""
    try:
        descriptor = open_inside(root, path, os.O_PATH | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        return os.readlink("", dir_fd=descriptor) if stat.S_ISLNK(os.fstat(descriptor).st_mode) else None
    finally:
        os.close(descriptor)


def _folder(root: Path) -> int:
    try:
        return os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise HostError(f"cannot open the root file system {root}: {error.strerror}") from error


def _check_folder(root: int, name: str) -> None:
    try:
        descriptor = open_inside(root, name, os.O_PATH | os.O_DIRECTORY, _RESOLVE_NO_SYMLINKS | _RESOLVE_NO_MAGICLINKS)
    except FileNotFoundError:
        return
    except OSError as error:
        raise UnfitError(f"cannot run this image: its /{name} is not a folder") from error
    os.close(descriptor)


def _read(root: int, path: str) -> str:
    """The text of a regular file, "" when there is none; undecodable bytes do not matter for what is looked up."""
    try:
        place = open_inside(root, path, os.O_PATH)
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise HostError(f"cannot read the image's {path}: {(error.strerror or '').lower()}") from error
    try:
        seen = os.fstat(place)
        if not stat.S_ISREG(seen.st_mode):
            raise UnfitError(f"cannot read the image's {path}: it is not a regular file")
        if seen.st_size > LARGEST_FILE:
            raise UnfitError(f"cannot read the image's {path}: it is larger than {LARGEST_FILE} bytes")
        with open(f"/proc/self/fd/{place}", "rb") as file:
            return file.read(LARGEST_FILE).decode(errors="replace")
    finally:
        os.close(place)
