"""Namespaces of their own, in which the end-to-end tests put machines and the network between them.

A set of namespaces is held by one process. Ending that process is the whole clean-up, for the kernel takes links,
rules, mounts and, with a process namespace, every process along. Nothing here knows the program under test.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

CLONE_NEWNET = 0x40000000
NETWORK = ("net",)
MACHINE = ("net", "mount", "pid", "ipc", "uts")


def until(check: Callable[[], T], what: str, seconds: float = 20.0) -> T:
    """The first true answer of `check`, asked again and again; fails, saying `what`, when none came in time."""
    deadline = time.monotonic() + seconds
    last: object = None
    while True:
        try:
            answer = check()
        except (OSError, AssertionError, LookupError, ValueError) as error:
            last = f"{type(error).__name__}: {error}"
        else:
            if answer:
                return answer
            last = answer
        if time.monotonic() > deadline:
            message = f"not within {seconds:g} s: {what}; last answer: {last!r}"
            raise AssertionError(message)
        time.sleep(0.03)


class Namespaces:
    """Linux namespaces of the given kinds, alive from construction to `end`."""

    def __init__(self, kinds: Sequence[str], setup: str = "") -> None:
        """Unshare `kinds`, run the shell text `setup` inside, and hold them.

        The holder asks the kernel to be killed with the thread that made it, and the first process inside to be
        killed with the holder, so that nothing is left when the tests themselves are killed.
        """
        self.kinds = tuple(kinds)
        proc, first = (("--mount-proc",), "tini -- sleep infinity") if "pid" in kinds else ((), "sleep infinity")
        script = f"set -e\n{setup}\necho ready\nexec {first}"
        self._holder = subprocess.Popen(
            [
                *("setpriv", "--pdeathsig", "KILL", "unshare", "--fork", "--kill-child", *proc),
                *(f"--{kind}" for kind in kinds),
                *("sh", "-c", script),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert self._holder.stdout is not None
        said = self._holder.stdout.readline()
        if said != "ready\n":
            raise OSError(f"cannot make namespaces: {said}{self._holder.stdout.read()}")
        self.pid = child_of(self._holder.pid)
        self.run("ip", "link", "set", "lo", "up")

    @property
    def root(self) -> Path:
        """The file system as it is seen inside."""
        return Path(f"/proc/{self.pid}/root")

    def enter(self, *argv: str | Path) -> list[str]:
        """`argv` as a command line that runs inside."""
        return ["nsenter", "--target", str(self.pid), *(f"--{kind}" for kind in self.kinds), *map(str, argv)]

    def run(self, *argv: str | Path, env: Mapping[str, str] | None = None, code: int | None = 0) -> str:
        """What a command inside says; fails unless it ends with `code`, where that is not None."""
        done = subprocess.run(
            self.enter(*argv),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            env={**os.environ, **(env or {})},
            check=False,
        )
        assert code is None or done.returncode == code, f"{argv} ended with {done.returncode}: {done.stdout}"
        return done.stdout

    def connect(self, address: str, port: int, timeout: float = 5.0) -> socket.socket:
        """A TCP connection made from inside. A socket stays in the namespace in which it was made."""
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(self._connect, address, port, timeout).result()

    def _connect(self, address: str, port: int, timeout: float) -> socket.socket:
        move_to(Path(f"/proc/{self.pid}/ns/net"))
        return socket.create_connection((address, port), timeout)

    def join(self, other: Namespaces, address: str, other_address: str) -> None:
        """Connect two network namespaces by a cable; addresses with prefix length."""
        here, there = f"to-{other.pid}", f"to-{self.pid}"
        self.run("ip", "link", "add", here, "type", "veth", "peer", "name", there, "netns", str(other.pid))
        for end, name, own in ((self, here, address), (other, there, other_address)):
            end.run("ip", "address", "add", own, "dev", name)
            end.run("ip", "link", "set", name, "up")

    def end(self) -> None:
        """Kill everything inside and wait until it is gone."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        self._holder.communicate()


def move_to(namespace: Path) -> None:
    """Move the calling thread, and it alone, to a network namespace."""
    with namespace.open() as file:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.setns(file.fileno(), CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"cannot enter {namespace}")


def child_of(pid: int) -> int:
    """The first child of process `pid`."""
    listed = until(lambda: Path(f"/proc/{pid}/task/{pid}/children").read_text().split(), f"a child of {pid}")
    return int(listed[0])
