"""Commands in a container that runs, beside its process: health tests and hooks, by the runtime's `exec`.

They see what the container's process sees: its namespaces, environment, rights and limits. What they say is not
kept, as it may hold secrets, and nothing of them is left when their time is over. Called by `runtime`.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from reconciler.core import bundle
from reconciler.core.starting import Hook
from reconciler.errors import HostError
from reconciler.host import rootfs, run, runs


@dataclass(frozen=True, slots=True)
class Place:
    """A run: the runtime's words before the verb, the run's folder and name, and the container's root file system."""

    runtime: tuple[str, ...]
    folder: Path
    root: Path


def execute(place: Place, command: Hook, seconds: float) -> int:
    """Its exit status. Raises HostError when it cannot be run, TimeoutError when it is late."""
    text = (place.folder / "config.json").read_text()
    user = rootfs.find_user(place.root, command.user) if command.user else None
    process = json.dumps(bundle.command(json.loads(text)["process"], command, user))
    pid = place.folder / f"exec-{os.urandom(6).hex()}"
    with _in_memory(process) as descriptor:
        given = ("--process", f"/proc/self/fd/{descriptor}", "--pid-file", str(pid), place.folder.name)
        try:
            return run.status((*place.runtime, "exec", *given), pass_fds=(descriptor,), timeout=seconds)
        except TimeoutError:
            _kill(pid)
            raise
        finally:
            pid.unlink(missing_ok=True)


@contextmanager
def _in_memory(text: str) -> Iterator[int]:
    descriptor = os.memfd_create("process", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, text.encode())
        yield descriptor
    finally:
        os.close(descriptor)


def _kill(file: Path) -> None:
    """The process in the container; the runtime that waited for it is gone already."""
    with contextlib.suppress(OSError, ValueError):
        process = runs.identify(int(file.read_text()))
        descriptor = runs.hold(process) if process else None
        if descriptor is not None:
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
            os.close(descriptor)


def run_hooks(place: Place, hooks: tuple[Hook, ...], seconds: float) -> None:
    """One after the other; the first that fails raises HostError."""
    for hook in hooks:
        try:
            code = execute(place, hook, seconds)
        except TimeoutError:
            raise HostError(f"cannot run {hook.command[0]}: it did not end within {seconds:g} seconds") from None
        if code:
            raise HostError(f"cannot run {hook.command[0]}: it exited with status {code}")
