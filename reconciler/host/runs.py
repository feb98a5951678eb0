"""The files of one run of a container, below `<run>/runs/<id>-<n>/`: what its monitor and we leave for one another.

A run is one life of a container's process. Its folder is the OCI bundle that the runtime sees; it lies in memory, so
that a reboot takes all runs with it. `host.runtime` writes here, `host.observe.containers` reads, and neither knows
the other. Files: `config.json` (this run's), `conmon.pid`, `run.json` (who the processes are), `stopped` (when the stop
signal went out), `draining` (who serves in its place), and conmon's `exit`, `oom` and `ctl`.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from reconciler.core.decode import decode
from reconciler.core.updates import Draining
from reconciler.host.files import replace

FOLDER = "runs"
STATE = "runtime"  # the runtime's own --root, beside
NAMESPACES = "netns"


@dataclass(frozen=True, slots=True)
class Process:
    """A process that cannot be mistaken for a later one with the same number: `ticks` is its start time since boot."""

    pid: int
    ticks: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Who runs. Written when the runtime has created the container, just before it is started."""

    init: Process
    monitor: Process
    since: float
    restarts: int
    failures: int


def split(run: str) -> tuple[str, int]:
    """`<id>-<n>` as its two parts. Raises ValueError for another name."""
    id, _, number = run.rpartition("-")
    return id, int(number)


def write(folder: Path, run: Run) -> None:
    """Record `run` in its folder."""
    replace(folder / "run.json", json.dumps(asdict(run)))


def write_draining(folder: Path, draining: Draining) -> None:
    """Record who serves in this run's place."""
    replace(folder / "draining", json.dumps(asdict(draining)))


def read_draining(folder: Path) -> Draining | None:
    """What `write_draining` wrote, None when nobody serves in its place."""
    try:
        return decode(Draining, json.loads((folder / "draining").read_text()))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def read(folder: Path) -> Run | None:
    """The run recorded in `folder`, None when there is none that can be used. Raises OSError when nobody can tell."""
    try:
        return parse((folder / "run.json").read_text())
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError):
        return None


def parse(text: str) -> Run:
    """What `write` wrote."""
    given = json.loads(text)
    return Run(
        init=Process(**given["init"]),
        monitor=Process(**given["monitor"]),
        since=float(given["since"]),
        restarts=int(given["restarts"]),
        failures=int(given["failures"]),
    )


def identify(pid: int) -> Process | None:
    """The process that has `pid` now, None when there is none, or only its ended rest."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return Process(pid, int(fields[19])) if fields[0] not in "ZX" else None


def lives(process: Process) -> bool:
    """Whether `process` still runs: the same number with another start time is another process."""
    return identify(process.pid) == process


def hold(process: Process) -> int | None:
    """A pidfd of `process`, None when it has ended."""
    try:
        descriptor = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return None
    if lives(process):
        return descriptor
    os.close(descriptor)
    return None


def of_container(runs: Path, id: str) -> list[int]:
    """The numbers of all runs of `id` that have a folder, ascending."""
    try:
        names = [name for name in os.listdir(runs) if name.startswith(f"{id}-")]
    except FileNotFoundError:
        return []
    return sorted(split(name)[1] for name in names if name.rpartition("-")[2].isdigit())
