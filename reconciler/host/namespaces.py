"""Network namespaces that outlive the daemon: each is kept by a bind mount, its pin, on a file of that name.

A namespace is made and entered only by threads that end with that work; what stays is a netlink socket made
there, through which the rest of the program speaks to the namespace. Names here are paths of pins; whose they
are is the business of `networks`.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from reconciler.host import rtnetlink, syscalls
from reconciler.host.netlink import Netlink

T = TypeVar("T")

_OWN = Path("/proc/self/ns/net")


def is_pinned(pin: Path) -> bool:
    """Whether a namespace is mounted there, and not just an empty file left."""
    try:
        return pin.stat().st_dev == _OWN.stat().st_dev
    except OSError:
        return False


def pinned(folder: Path) -> frozenset[str]:
    """The names in `folder` at which a namespace is mounted."""
    device = _OWN.stat().st_dev
    try:
        with os.scandir(folder) as entries:
            return frozenset(entry.name for entry in entries if entry.stat().st_dev == device)
    except FileNotFoundError:
        return frozenset()


@contextmanager
def opened(pin: Path) -> Iterator[tuple[int, Netlink]]:
    """The namespace's descriptor and a netlink socket inside it; makes and pins a new one when there is none."""
    pin.parent.mkdir(parents=True, exist_ok=True)
    inside = _apart(lambda: _enter(pin) if is_pinned(pin) else _make(pin))
    with inside:
        descriptor = os.open(pin, os.O_RDONLY | os.O_CLOEXEC)
        try:
            yield descriptor, inside
        finally:
            os.close(descriptor)


def unpin(pin: Path) -> None:
    """Let the namespace go; the kernel ends it when no process is in it either."""
    while is_pinned(pin):  # an interrupted try may have mounted it twice
        syscalls.umount(str(pin), syscalls.MNT_DETACH | syscalls.UMOUNT_NOFOLLOW)
    pin.unlink(missing_ok=True)


def pin_again(pin: Path, host: Netlink, netnsid: int) -> bool:
    """Pin the namespace that the links of `host` know as `netnsid`, if any process is in it.

    For a pin that somebody took away under a running container. Asks about each namespace that a process is in,
    some 0.02 ms for each process of the host.
    """
    for process in _processes_apart():
        with suppress(OSError), open(f"/proc/{process}/ns/net", "rb") as namespace:  # it may end meanwhile
            if rtnetlink.parse_namespace(host.ask(rtnetlink.get_namespace(namespace.fileno()))) == netnsid:
                _mount(f"/proc/self/fd/{namespace.fileno()}", pin)
                return True
    return False


def _processes_apart() -> Iterator[str]:
    """One process of each network namespace that is not this thread's own."""
    known = {Path("/proc/thread-self/ns/net").stat().st_ino}
    for process in filter(str.isdecimal, os.listdir("/proc")):
        with suppress(OSError):
            inode = Path("/proc", process, "ns/net").stat().st_ino
            if inode not in known:
                known.add(inode)
                yield process


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
