"""Network namespaces that outlive the daemon: each is kept by a bind mount, its pin, on a file of that name.

Only here does a thread leave its namespace, for as long as it takes to make a socket: that stays where it was made,
and through it the rest of the program speaks to the namespace. Names here are paths of pins; whose they are is
the business of `networks`.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypeVar

from reconciler.host import syscalls
from reconciler.host.netlink import Netlink

T = TypeVar("T")


@cache
def _device() -> int:
    """Of the file system that all namespaces are files of, as long as the host runs."""
    return Path("/proc/self/ns/net").stat().st_dev


def is_pinned(pin: Path) -> bool:
    """Whether a namespace is mounted there, and not just an empty file left."""
    try:
        return pin.stat().st_dev == _device()
    except OSError:
        return False


def pinned(folder: Path) -> Mapping[str, int]:
    """The names in `folder` at which a namespace is mounted, and the namespaces' inodes."""
    found: dict[str, int] = {}
    with suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in entries:
            with suppress(FileNotFoundError):  # it went meanwhile; all others are still there
                status = entry.stat()
                if status.st_dev == _device():
                    found[entry.name] = status.st_ino
    return found


@dataclass(frozen=True, slots=True)
class Namespace:
    """A namespace that is open: its descriptor, a socket inside it, and whether it was made just now."""

    descriptor: int
    netlink: Netlink
    fresh: bool


@contextmanager
def opened(pin: Path, fresh: bool) -> Iterator[Namespace]:
    """The namespace of the pin; a `fresh` one is made and pinned."""
    with _away():
        inside = _make(pin) if fresh else _enter(pin)
    with inside:
        descriptor = os.open(pin, os.O_RDONLY | os.O_CLOEXEC)
        try:
            yield Namespace(descriptor, inside, fresh)
        finally:
            os.close(descriptor)


def visit(pins: Mapping[str, Path], work: Callable[[Netlink], T]) -> dict[str, T]:
    """Do `work` with a socket in each of the namespaces; without those that are gone meanwhile."""
    found: dict[str, T] = {}
    with _away():
        for name, pin in pins.items():
            with if_pinned(), _enter(pin) as inside:
                found[name] = work(inside)
    return found


def stream(process: int, family: socket.AddressFamily) -> socket.socket:
    """A TCP socket in the namespace that `process` is in. Raises OSError when there is no such process any more."""
    with _away():
        with open(f"/proc/{process}/ns/net", "rb") as namespace:
            syscalls.setns(namespace.fileno(), syscalls.CLONE_NEWNET)
        return socket.socket(family, socket.SOCK_STREAM)


@contextmanager
def if_pinned() -> Iterator[None]:
    """Go on when a namespace's pin is no more, or only an empty file; no other trouble says that it is gone."""
    try:
        yield
    except OSError as error:
        if error.errno not in {errno.ENOENT, errno.EINVAL}:
            raise


def unpin(pin: Path) -> None:
    """Let the namespace go; the kernel ends it when no process is in it either."""
    while is_pinned(pin):  # an interrupted try may have mounted it twice
        syscalls.umount(str(pin), syscalls.MNT_DETACH | syscalls.UMOUNT_NOFOLLOW)
    pin.unlink(missing_ok=True)


def pin_again(pin: Path, process: int) -> bool:
    """Pin the namespace that `process` is in, unless that is ours; whether it was.

    For a pin that somebody took away under a running container.
    """
    try:
        with open(f"/proc/{process}/ns/net", "rb") as namespace:
            if os.fstat(namespace.fileno()).st_ino == Path("/proc/thread-self/ns/net").stat().st_ino:
                return False
            _mount(f"/proc/self/fd/{namespace.fileno()}", pin)
            return True
    except (FileNotFoundError, ProcessLookupError):  # it has just ended
        return False


@contextmanager
def _away() -> Iterator[None]:
    """Let this thread be in other namespaces meanwhile; a thread made for it would cost 0.2 ms more.

    One that cannot come back would do all its further work in the wrong place. The kernel refuses only when it has
    no memory left; then the daemon ends, as it may at any time, and the next one looks at the host anew.
    """
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield
    finally:
        try:
            syscalls.setns(home, syscalls.CLONE_NEWNET)
        except OSError:
            os.abort()
        os.close(home)


def _make(pin: Path) -> Netlink:
    syscalls.unshare(syscalls.CLONE_NEWNET)
    _mount("/proc/thread-self/ns/net", pin)
    return Netlink()


def _enter(pin: Path) -> Netlink:
    with open(pin, "rb") as namespace:
        syscalls.setns(namespace.fileno(), syscalls.CLONE_NEWNET)
    return Netlink()


def _mount(namespace: str, pin: Path) -> None:
    try:
        _touch(pin)
    except FileNotFoundError:
        pin.parent.mkdir(parents=True, exist_ok=True)
        _touch(pin)
    syscalls.mount(namespace, str(pin), "", syscalls.MS_BIND)


def _touch(pin: Path) -> None:
    os.close(os.open(pin, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
