"""The system calls that Python 3.11 does not offer: mount, umount2, unshare, setns, getsockopt with a
question, and those of inotify.

Each does one call and raises `OSError` with the kernel's errno; saying what that means for a person is the
caller's part. ctypes gives up the interpreter's lock during a call, so a slow mount stops no other thread.
`unshare` and `setns` concern the calling thread only: do that work in a thread made for it, and let it end.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterator
from typing import Any

_libc = ctypes.CDLL(None, use_errno=True)

# <linux/mount.h>
MS_RDONLY = 0x1
MS_NODEV = 0x4
MS_REMOUNT = 0x20
MS_BIND = 0x1000
MS_REC = 0x4000
MS_PRIVATE = 0x40000

# Flags of umount2, from <linux/fs.h>
MNT_DETACH = 0x2
UMOUNT_NOFOLLOW = 0x8

# <linux/sched.h>
CLONE_NEWNS = 0x20000
CLONE_NEWNET = 0x40000000

# <linux/inotify.h>
IN_CLOSE_WRITE = 0x8
IN_MOVED_FROM = 0x40
IN_MOVED_TO = 0x80
IN_CREATE = 0x100
IN_DELETE = 0x200
IN_DELETE_SELF = 0x400
IN_MOVE_SELF = 0x800
IN_ONLYDIR = 0x1000000
_INOTIFY_EVENT = struct.Struct("iIII")  # wd, mask, cookie, len


def mount(source: str, target: str, fstype: str = "", flags: int = 0, data: str = "") -> None:
    """mount(2). Empty `fstype` and `data` are passed as NULL, which bind mounts and remounts want."""
    kind = os.fsencode(fstype) or None
    options = os.fsencode(data) or None
    _call(_libc.mount(os.fsencode(source), os.fsencode(target), kind, ctypes.c_ulong(flags), options), target)


def umount(target: str, flags: int = 0) -> None:
    """umount2(2)."""
    _call(_libc.umount2(os.fsencode(target), ctypes.c_int(flags)), target)


def unshare(flags: int) -> None:
    """unshare(2): give the calling thread namespaces of its own."""
    _call(_libc.unshare(ctypes.c_int(flags)))


def setns(descriptor: int, flags: int = 0) -> None:
    """setns(2): move the calling thread into the namespace of `descriptor`; `flags` demand a kind."""
    _call(_libc.setns(ctypes.c_int(descriptor), ctypes.c_int(flags)))


def getsockopt(descriptor: int, level: int, option: int, data: bytes) -> bytes:
    """getsockopt(2) for options that take a question: `data`, whose length is that of the longest answer."""
    buffer = ctypes.create_string_buffer(data, len(data))
    length = ctypes.c_uint32(len(data))
    _call(_libc.getsockopt(ctypes.c_int(descriptor), level, option, buffer, ctypes.byref(length)))
    return buffer.raw[: length.value]


def inotify() -> int:
    """inotify_init1(2): a descriptor that does not block and is closed for programs that are run."""
    return _made(_libc.inotify_init1(ctypes.c_int(os.O_NONBLOCK | os.O_CLOEXEC)))


def inotify_watch(descriptor: int, path: str, events: int) -> int:
    """inotify_add_watch(2); the number of the watch, the same one for the same file."""
    return _made(_libc.inotify_add_watch(ctypes.c_int(descriptor), os.fsencode(path), ctypes.c_uint32(events)), path)


def inotify_ignore(descriptor: int, number: int) -> None:
    """inotify_rm_watch(2)."""
    _call(_libc.inotify_rm_watch(ctypes.c_int(descriptor), ctypes.c_int(number)))


def parse_inotify(events: bytes) -> Iterator[int]:
    """The numbers of the watches that something happened to; -1 when the kernel lost count (inotify(7))."""
    place = 0
    while place < len(events):
        watch, _, _, size = _INOTIFY_EVENT.unpack_from(events, place)
        yield watch
        place += _INOTIFY_EVENT.size + size


def _made(result: Any, path: str | None = None) -> int:
    if result < 0:
        errno = ctypes.get_errno()
        raise OSError(errno, os.strerror(errno), path)
    return int(result)


def _call(result: Any, path: str | None = None) -> None:
    if result != 0:
        errno = ctypes.get_errno()
        raise OSError(errno, os.strerror(errno), path)
