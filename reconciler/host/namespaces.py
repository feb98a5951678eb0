"""Network namespaces that outlive the daemon: each is kept by a bind mount, its pin, on a file of that name.

A namespace is made and entered only by threads that end with that work; what stays is a netlink socket made
there, through which the rest of the program speaks to the namespace. Names here are paths of pins; whose they
are is the business of `networks`.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from reconciler.host import syscalls
from reconciler.host.netlink import Netlink

T = TypeVar("T")

_OWN = Path("/proc/self/ns/net")


def is_pinned(pin: Path) -> bool:
    """Whether a namespace is mounted there, and not just an empty file left."""
    try:
        return pin.stat().st_dev == _OWN.stat().st_dev
    except OSError:
        return False


def pinned(folder: Path) -> Mapping[str, int]:
    """The names in `folder` at which a namespace is mounted, and the namespaces' inodes."""
    device = _OWN.stat().st_dev
    try:
        with os.scandir(folder) as entries:
            seen = {entry.name: entry.stat() for entry in entries}
            return {name: status.st_ino for name, status in seen.items() if status.st_dev == device}
    except FileNotFoundError:
        return {}


@dataclass(frozen=True, slots=True)
class Namespace:
    """A namespace that is open: its descriptor, a socket inside it, and whether it was made just now."""

    descriptor: int
    netlink: Netlink
    fresh: bool


@contextmanager
def opened(pin: Path) -> Iterator[Namespace]:
    """The namespace of the pin; makes and pins a new one when there is none."""
    pin.parent.mkdir(parents=True, exist_ok=True)
    fresh = not is_pinned(pin)
    inside = _apart(lambda: _make(pin) if fresh else _enter(pin))
    with inside:
        descriptor = os.open(pin, os.O_RDONLY | os.O_CLOEXEC)
        try:
            yield Namespace(descriptor, inside, fresh)
        finally:
            os.close(descriptor)


def visit(pins: Mapping[str, Path], work: Callable[[Netlink], T]) -> dict[str, T]:
    """Do `work` with a socket in each of the namespaces, one after another; without those that are gone meanwhile."""

    def go() -> dict[str, T]:
        found: dict[str, T] = {}
        for name, pin in pins.items():
            with suppress(OSError), _enter(pin) as inside:
                found[name] = work(inside)
        return found

    return _apart(go) if pins else {}


def unpin(pin: Path) -> None:
    """Let the namespace go; the kernel ends it when no process is in it either."""
    while is_pinned(pin):  # an interrupted try may have mounted it twice
        syscalls.umount(str(pin), syscalls.MNT_DETACH | syscalls.UMOUNT_NOFOLLOW)
    pin.unlink(missing_ok=True)


def pin_again(pin: Path, process: int) -> None:
    """Pin the namespace that `process` is in, unless it is ours: for a pin taken away under a running container."""
    try:
        with open(f"/proc/{process}/ns/net", "rb") as namespace:
            if os.fstat(namespace.fileno()).st_ino != Path("/proc/thread-self/ns/net").stat().st_ino:
                _mount(f"/proc/self/fd/{namespace.fileno()}", pin)
    except (FileNotFoundError, ProcessLookupError):
        return  # it has just ended


def _apart(work: Callable[[], T]) -> T:
    """Do `work` in a thread that ends with it: the only place where a thread changes its namespace."""
    result: Future[T] = Future()

    def run() -> None:
        try:
            result.set_result(work())
        except BaseException as error:  # whatever it is, it belongs to the thread that waits
            result.set_exception(error)

    thread = threading.Thread(target=run, name="namespace")
    thread.start()
    thread.join()
    return result.result()


def _make(pin: Path) -> Netlink:
    syscalls.unshare(syscalls.CLONE_NEWNET)
    _mount("/proc/thread-self/ns/net", pin)
    return Netlink()


def _enter(pin: Path) -> Netlink:
    with open(pin, "rb") as namespace:
        syscalls.setns(namespace.fileno(), syscalls.CLONE_NEWNET)
    return Netlink()


def _mount(namespace: str, pin: Path) -> None:
    pin.parent.mkdir(parents=True, exist_ok=True)
    pin.touch(mode=0o600)
    syscalls.mount(namespace, str(pin), "", syscalls.MS_BIND)
