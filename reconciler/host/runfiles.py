"""What is remembered of what was run to its end, as small files below the state directory: jobs, and one-shot services.

`jobs/<name>.json` is a job with its newest runs, `ended/<name>.json` a one-shot container that has had its run. Written
whole, and on the disk before the writer returns: a job's run is started only after that. A file that cannot be read
counts for nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TypeVar

from reconciler.core.decode import decode
from reconciler.core.jobs import Ended, Job
from reconciler.errors import HostError
from reconciler.host import files
from reconciler.settings import Settings

T = TypeVar("T", Job, Ended)


class RunFiles:
    """The port `Runs`, and its reader."""

    def __init__(self, settings: Settings) -> None:
        self._jobs = settings.state / "jobs"
        self._ended = settings.state / "ended"

    def keep_job(self, job: Job) -> None:
        """Remember this of a job, in place of what was remembered; it lasts once this has returned."""
        _write(self._jobs, job)

    def keep_end(self, ended: Ended) -> None:
        """Remember that a one-shot container has had its run."""
        _write(self._ended, ended)

    def forget(self, jobs: tuple[str, ...], ended: tuple[str, ...]) -> None:
        """Forget the jobs and the one-shot containers of these names."""
        for path in (*(_path(self._jobs, name) for name in jobs), *(_path(self._ended, name) for name in ended)):
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise HostError(f"cannot forget {path}: {error.strerror}") from error

    def look(self) -> tuple[Mapping[str, Job], Mapping[str, Ended]]:
        """All of them by the name of their containers."""
        return _read(self._jobs, Job), _read(self._ended, Ended)


def parse(kind: type[T], text: str) -> T:
    """What was written of a job or a one-shot container. Raises ValueError, KeyError or TypeError."""
    return decode(kind, json.loads(text))


def _path(folder: Path, name: str) -> Path:
    return folder / f"{name}.json"


def _read(folder: Path, kind: type[T]) -> dict[str, T]:
    found: dict[str, T] = {}
    for path in sorted(folder.glob("[!.]*.json")):
        try:
            entry = parse(kind, path.read_text())
        except (OSError, ValueError, KeyError, TypeError):
            continue
        if path == _path(folder, entry.name):
            found[entry.name] = entry
    return found


def _write(folder: Path, entry: Job | Ended) -> None:
    path = _path(folder, entry.name)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        files.replace(path, json.dumps(asdict(entry)), lasting=True)
    except OSError as error:
        raise HostError(f"cannot remember the runs of {entry.name}: {path}: {error.strerror}") from error
