"""The dnsmasq processes that answer for our networks: which ones run, and how one is told from everybody else's.

A resolver that runs has a pid file below `<run>/names/`, which it wrote itself, called after its name and the digest of
what it was started with; its command line names that file. Both together are all that is known of it, so nothing
can be forgotten between starting and recording. `host.names` starts and ends them, `host.observe.names` looks.
"""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from reconciler.host import runs
from reconciler.host.runs import Process

PROGRAM = "dnsmasq"
_KILL_TIMEOUT = 2.0


@dataclass(frozen=True, slots=True)
class Places:
    """Where the files of the resolvers are, below the run directory."""

    run: Path

    @property
    def folder(self) -> Path:
        """Pid files, and what outside names mean."""
        return self.run / "names"

    @property
    def records(self) -> Path:
        """One folder per network, with one file per container."""
        return self.folder / "records"

    @property
    def resolved(self) -> Path:
        """What outside names mean."""
        return self.folder / "resolved.json"

    def pid_file(self, name: str, fingerprint: str) -> Path:
        """Of the resolver `name`, started with what `fingerprint` stands for."""
        return self.folder / f"{name}@{fingerprint}.pid"


@dataclass(frozen=True, slots=True)
class Served:
    """A resolver that runs."""

    name: str
    fingerprint: str
    process: Process
    addresses: tuple[str, ...]
    folders: tuple[str, ...]  # of records


def running(places: Places) -> Iterator[Served]:
    """All that run."""
    return filter(None, map(read, pid_files(places)))


def pid_files(places: Places) -> list[Path]:
    """Of all that run, or did."""
    try:
        return [places.folder / name for name in os.listdir(places.folder) if name.endswith(".pid")]
    except FileNotFoundError:
        return []


def watching(places: Places, network: str) -> Iterator[Served]:
    """Those that run and watch the records of `network`: its own, and of those of other views (`+`) some."""
    folder = str(places.records / network)
    for pid_file in pid_files(places):
        if pid_file.name.startswith(f"{network}@") or "+" in pid_file.name:
            seen = read(pid_file)
            if seen and folder in seen.folders:
                yield seen


def read(pid_file: Path) -> Served | None:
    """The resolver whose pid file this is, None when it does not run: also when its number is somebody else's now."""
    try:
        process = runs.identify(int(pid_file.read_text()))
        arguments = command_line(process.pid) if process else []
    except (OSError, ValueError):
        return None
    if process is None or f"--pid-file={pid_file}" not in arguments or not runs.lives(process):
        return None
    name, _, fingerprint = pid_file.name.removesuffix(".pid").rpartition("@")
    return Served(
        name=name,
        fingerprint=fingerprint,
        process=process,
        addresses=_values(arguments, "--listen-address="),
        folders=_values(arguments, "--hostsdir="),
    )


def command_line(pid: int) -> list[str]:
    """The arguments of a process, its program first."""
    return os.fsdecode(Path(f"/proc/{pid}/cmdline").read_bytes()).split("\0")


def _values(arguments: list[str], option: str) -> tuple[str, ...]:
    return tuple(word.removeprefix(option) for word in arguments if word.startswith(option))


def end(process: Process) -> None:
    """Kill it, for it has nothing to lose, and wait until its sockets are free."""
    with held(process) as descriptor:
        if descriptor is not None:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
            select.select([descriptor], [], [], _KILL_TIMEOUT)


@contextmanager
def held(process: Process) -> Iterator[int | None]:
    """A pidfd for as long as it is needed, None when the process has ended."""
    descriptor = runs.hold(process)
    try:
        yield descriptor
    finally:
        if descriptor is not None:
            os.close(descriptor)
