"""The system calls against the kernel, in namespaces of threads that end with the test."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import pytest

from reconciler.host import syscalls

T = TypeVar("T")
pytestmark = pytest.mark.root


def apart(work: Callable[[], T]) -> T:
    """Run `work` in a thread with namespaces of its own; the thread ends with it, so nothing is left."""

    def inside() -> T:
        syscalls.unshare(syscalls.CLONE_NEWNS | syscalls.CLONE_NEWNET)
        syscalls.mount("none", "/", "", syscalls.MS_REC | syscalls.MS_PRIVATE)
        return work()

    with ThreadPoolExecutor(max_workers=1) as threads:
        return threads.submit(inside).result()


def test_a_mount_is_seen_in_its_namespace_only(tmp_path: Path) -> None:
    def work() -> bool:
        syscalls.mount("memory", str(tmp_path), "tmpfs", syscalls.MS_NODEV, "size=64k")
        (tmp_path / "file").write_text("inside")
        size = os.statvfs(tmp_path)
        syscalls.mount("none", str(tmp_path), "", syscalls.MS_REMOUNT | syscalls.MS_BIND | syscalls.MS_RDONLY)
        with pytest.raises(OSError, match="Read-only"):
            (tmp_path / "file").write_text("again")
        return size.f_blocks * size.f_frsize == 64 * 1024

    assert apart(work)
    assert not list(tmp_path.iterdir())


def test_umount_takes_it_away(tmp_path: Path) -> None:
    def work() -> list[Path]:
        syscalls.mount("memory", str(tmp_path), "tmpfs")
        (tmp_path / "file").touch()
        syscalls.umount(str(tmp_path), syscalls.MNT_DETACH | syscalls.UMOUNT_NOFOLLOW)
        return list(tmp_path.iterdir())

    assert apart(work) == []


def test_a_failure_says_why_and_where(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="Invalid argument") as raised:
        syscalls.umount(str(tmp_path))
    assert (raised.value.errno, raised.value.filename) == (errno.EINVAL, str(tmp_path))
    with pytest.raises(OSError, match="No such device") as raised:
        syscalls.mount("none", str(tmp_path), "nosuchfs")
    assert raised.value.errno == errno.ENODEV


def test_setns_concerns_the_calling_thread_only() -> None:
    here = os.readlink("/proc/thread-self/ns/net")

    def work() -> str:
        own = os.readlink("/proc/thread-self/ns/net")
        with open("/proc/self/ns/net") as home:
            syscalls.setns(home.fileno(), syscalls.CLONE_NEWNET)
        assert os.readlink("/proc/thread-self/ns/net") == here
        return own

    assert apart(work) != here
    assert os.readlink("/proc/thread-self/ns/net") == here


def test_setns_refuses_another_kind() -> None:
    with open("/proc/self/ns/mnt") as other, pytest.raises(OSError, match="Invalid argument"):
        syscalls.setns(other.fileno(), syscalls.CLONE_NEWNET)


def test_inotify_says_which_folder_changed(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    descriptor = syscalls.inotify()
    try:
        mask = syscalls.IN_CLOSE_WRITE | syscalls.IN_DELETE
        one, two = (syscalls.inotify_watch(descriptor, str(tmp_path / name), mask) for name in ("one", "two"))
        assert syscalls.inotify_watch(descriptor, str(tmp_path / "one"), mask) == one != two
        (tmp_path / "one" / "a file with a name of some length").write_text("")
        (tmp_path / "two" / "b").write_text("")
        (tmp_path / "one" / "a file with a name of some length").unlink()
        assert list(syscalls.parse_inotify(os.read(descriptor, 4096))) == [one, two, one]
        with pytest.raises(BlockingIOError):
            os.read(descriptor, 4096)
        with pytest.raises(FileNotFoundError):
            syscalls.inotify_watch(descriptor, str(tmp_path / "none"), mask)
    finally:
        os.close(descriptor)
