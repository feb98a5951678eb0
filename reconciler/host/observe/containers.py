"""Containers as the host shows them: from files in memory and on disk, /proc and pidfds; no process is started.

The reader keeps what cannot change (records, who runs) and a pidfd of every live run's monitor, so that a look costs
what has changed. Used by one thread. `monitors` lets that thread wait for the end of a run: conmon writes the exit file
before it ends itself.
"""

from __future__ import annotations

import json
import os
import select
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

from reconciler.core.health import Health
from reconciler.core.model import Created, Dead, Exited, Running, SeenContainer, State
from reconciler.core.record import Record, from_annotations
from reconciler.core.starting import When
from reconciler.host import health, logs, runs
from reconciler.host.cgroups import Cgroups
from reconciler.host.revisions import spoken
from reconciler.host.runs import Run
from reconciler.settings import Settings

UNKNOWN_EXIT = 255
"""The exit code of a run whose monitor was gone before it could say one: a failure, as nobody knows better."""


@dataclass(frozen=True, slots=True)
class _Bundle:
    stamp: tuple[int, int]
    record: Record | None
    command: tuple[str, ...]
    damaged: str


@dataclass(frozen=True, slots=True)
class _Known:
    health: Health | None = None
    hooked: frozenset[When] = frozenset()


@dataclass(slots=True)
class _Watched:
    name: str  # of the run
    run: Run
    monitor: int | None  # pidfd, None when the monitor has ended


class ContainerReader:
    """Looks at all containers, or at some."""

    def __init__(self, settings: Settings, cgroups: Cgroups) -> None:
        self._settings = settings
        self._roots = str(settings.containers.resolve())  # as mountinfo names them
        self._pins = str((settings.run / runs.NAMESPACES).resolve())
        self._runs = str(settings.run / runs.FOLDER)
        self._states = str(settings.run / runs.STATE)
        self._cgroups = cgroups
        self._bundles: dict[str, _Bundle] = {}
        self._watched: dict[str, _Watched] = {}  # the newest run of each container, by the container's id
        self._seen: dict[str, SeenContainer] = {}
        self._marked: dict[str, tuple[object, ...]] = {}  # by which a change would have shown

    def look(self, ids: frozenset[str] | None = None) -> Mapping[str, SeenContainer]:
        """All containers by id; only those in `ids`, and new ones, are read again, or all when it is None."""
        numbers = _runs(self._settings.run / runs.FOLDER)
        present = _names(self._settings.containers) | numbers.keys()
        for gone in self._bundles.keys() - present:
            self._forget(gone)
        again = [id for id in present if ids is None or id in ids or id not in self._seen]
        if again:
            mounted = mount_points(Path("/proc/self/mountinfo").read_text())
            for id in again:
                self._look(id, numbers.get(id, []), mounted)
        return dict(self._seen)

    def monitors(self) -> Mapping[int, str]:
        """Open pidfds of the monitors of live runs, and whose they are; readable when one has ended."""
        return {watched.monitor: id for id, watched in self._watched.items() if watched.monitor is not None}

    def close(self) -> None:
        """Close all descriptors."""
        for id in [*self._watched]:
            self._unwatch(id)

    # --- one container -----------------------------------------------------------------------------------------

    def _look(self, id: str, numbers: list[int], mounted: frozenset[str]) -> None:
        name = f"{id}-{numbers[-1]}" if numbers else ""
        places = (f"{self._roots}/{id}/rootfs" in mounted, f"{self._pins}/{id}" in mounted)
        marks = (*self._marks(id, name), len(numbers), *places)
        if self._marked.get(id) != marks or not self._settled(id):
            self._seen[id] = self._read(id, numbers, mounted)
            self._marked[id] = marks

    def _marks(self, id: str, run: str) -> tuple[object, ...]:
        """What changes when a container does: its record, its run's folder and state, its log."""
        return (
            _mark(f"{self._roots}/{id}/config.json"),
            _mark(f"{self._roots}/{id}/log/{logs.NAME}") or _mark(f"{self._roots}/{id}/log/{logs.NAME}.1"),
            *((_mark(f"{self._runs}/{run}"), _mark(f"{self._states}/{run}")) if run else (None, None)),
        )

    def _settled(self, id: str) -> bool:
        """Whether what was seen of `id` can only change together with its marks."""
        watched = self._watched.get(id)
        match self._seen[id].state:
            case Exited():
                return True
            case Running(monitored=True) if watched is not None and watched.monitor is not None:
                return not _readable(watched.monitor)
            case _:
                return False

    def _read(self, id: str, numbers: list[int], mounted: frozenset[str]) -> SeenContainer:
        folder = self._settings.containers / id
        names = [f"{id}-{number}" for number in numbers]
        newest = names[-1] if names else ""
        bundle = self._bundle(id, folder, newest)
        watched = self._watch(id, newest)
        state = self._state(watched) if watched else Dead()
        counts = (watched.run.restarts, watched.run.failures) if watched else _counts(folder)
        known = self._known(bundle.record, watched) if bundle.record and watched else _Known()
        whole = bundle.record is not None and isinstance(state, Running)  # it needs its record for the next start only
        return replace(
            seen_container(bundle.record, state) if bundle.record else replace(_damaged(id), state=state),
            damaged="" if whole else bundle.damaged,
            command=bundle.command,
            health=known.health,
            hooked=known.hooked,
            mounted=f"{self._roots}/{id}/rootfs" in mounted,
            disconnected=self._unpinned(id, bundle.record, mounted),
            restarts=counts[0],
            failures=counts[1],
            leftovers=self._leftovers(names, watched, state),
            draining=runs.read_draining(self._settings.run / runs.FOLDER / newest) if newest else None,
            log_bytes=logs.size(folder / "log"),
        )

    def _known(self, record: Record, watched: _Watched) -> _Known:
        """What was noted of its newest run."""
        folder = self._settings.run / runs.FOLDER / watched.name
        return _Known(
            health=health.read(folder, watched.run.since) if record.healthcheck else None,
            hooked=frozenset(when for when in get_args(When) if (folder / when).exists()),
        )

    def _unpinned(self, id: str, record: Record | None, mounted: frozenset[str]) -> str:
        """What is wrong with its own network namespace, "" for a container that uses another's."""
        elsewhere = record is not None and (record.host_network or record.shares)
        return "" if elsewhere or f"{self._pins}/{id}" in mounted else "its network namespace is not kept"

    def _bundle(self, id: str, folder: Path, run: str) -> _Bundle:
        """The record, from its newest run when it was lost or damaged itself: what runs must be known and stoppable."""
        path = folder / "config.json"
        try:
            seen = path.stat()
            stamp = (seen.st_mtime_ns, seen.st_ino)
            known = self._bundles.get(id)
            if known is None or known.stamp != stamp:
                known = _Bundle(stamp, *parse_bundle(path.read_text(), id), "")
        except (OSError, ValueError, KeyError, TypeError) as error:
            copy = self._settings.run / runs.FOLDER / run / "config.json"
            known = _Bundle((0, 0), *_copied(copy, id), f"cannot read {path}: {_why(error)}")
        self._bundles[id] = known
        return known

    # --- its runs ----------------------------------------------------------------------------------------------

    def _state(self, watched: _Watched) -> State:
        folder = self._settings.run / runs.FOLDER / watched.name
        monitored = watched.monitor is not None and not _readable(watched.monitor)
        alive = monitored or runs.lives(watched.run.init)
        code = _number(folder / "exit")  # read last: a monitor that has ended has written it before
        if code is not None or not alive:
            self._release(watched)
            return self._exited(watched, folder, code)
        if not monitored:
            self._release(watched)
        if (self._settings.run / runs.STATE / watched.name / "exec.fifo").exists():
            return Created(pid=watched.run.init.pid)
        return Running(
            pid=watched.run.init.pid,
            since=watched.run.since,
            stop_sent=_moment(folder / "stopped"),
            monitored=monitored,
        )

    def _exited(self, watched: _Watched, folder: Path, code: int | None) -> Exited:
        container = self._settings.containers / runs.split(watched.name)[0]
        at = _modified(folder / "exit") if code is not None else _modified(folder / "run.json")
        return Exited(
            code=UNKNOWN_EXIT if code is None else code,
            at=at or watched.run.since,
            since=watched.run.since,
            oom=(folder / "oom").exists() or self._cgroups.oom_kills(watched.name) > 0,
            stopped=(folder / "stopped").exists(),
            said="".join(spoken(container, 1)) if code else "",
        )

    def _watch(self, id: str, name: str) -> _Watched | None:
        watched = self._watched.get(id)
        if watched is None or watched.name != name:
            self._unwatch(id)
            run = runs.read(self._settings.run / runs.FOLDER / name) if name else None
            if run is None:
                return None
            watched = self._watched[id] = _Watched(name, run, runs.hold(run.monitor))
        return watched

    def _leftovers(self, names: list[str], watched: _Watched | None, state: State) -> tuple[str, ...]:
        """Old runs, the newest when it never came to life, and the newest when it has ended and was not cleaned."""
        if watched is None:
            return tuple(names)
        newest = names[-1:] if isinstance(state, Exited) and self._uncleaned(watched.name) else []
        return (*names[:-1], *newest)

    def _uncleaned(self, name: str) -> bool:
        return (self._settings.run / runs.STATE / name).exists()

    def _unwatch(self, id: str) -> None:
        watched = self._watched.pop(id, None)
        if watched is not None:
            self._release(watched)

    def _release(self, watched: _Watched) -> None:
        if watched.monitor is not None:
            os.close(watched.monitor)
            watched.monitor = None

    def _forget(self, id: str) -> None:
        self._bundles.pop(id, None)
        self._seen.pop(id, None)
        self._marked.pop(id, None)
        self._unwatch(id)


# --- parsing, pure -----------------------------------------------------------------------------------------------


def parse_bundle(text: str, id: str) -> tuple[Record, tuple[str, ...]]:
    """Record and command of a bundle's config.json. Raises ValueError, KeyError or TypeError."""
    document = json.loads(text)
    record = from_annotations(document["annotations"])
    if record.id != id:
        raise ValueError("it belongs to another container")
    return record, tuple(str(argument) for argument in document["process"]["args"])


def mount_points(mountinfo: str) -> frozenset[str]:
    """Where something is mounted: the fifth field of proc(5)'s mountinfo, unescaped."""
    return frozenset(unescape(line.split(" ", 5)[4]) for line in mountinfo.splitlines())


def unescape(name: str) -> str:
    """A name from mountinfo: blanks and backslashes stand there as three octal digits."""
    first, *rest = name.split("\\")
    return first + "".join(chr(int(part[:3], 8)) + part[3:] for part in rest)


def seen_container(record: Record, state: State) -> SeenContainer:
    """What `record` says of the container."""
    return SeenContainer(
        id=record.id,
        name=record.name,
        app=record.app,
        service=record.service,
        replica=record.replica,
        spec=record.spec,
        revision=record.revision,
        image=record.image,
        image_digest=record.image_digest,
        endpoints=record.endpoints,
        host_network=record.host_network,
        shares=record.shares,
        nameservers=record.nameservers,
        dns=record.dns,
        egress=record.egress,
        net_admin=record.net_admin,
        stop_signal=record.stop_signal,
        stop_grace_period=record.stop_grace_period,
        state=state,
        created_at=record.created_at,
        ports=record.ports,
        restart=record.restart,
        volumes=record.volumes,
        healthcheck=record.healthcheck,
        hooks=record.hooks,
        depends_on=record.depends_on,
        scheduled=record.scheduled,
    )


def _damaged(id: str) -> SeenContainer:
    return SeenContainer(
        id=id,
        name=id[:12],
        app="",
        service="",
        replica=0,
        spec="",
        revision="",
        image="",
        image_digest="",
        stop_signal="SIGTERM",
        stop_grace_period=10.0,
        state=Dead(),
        created_at=0.0,
    )


def _copied(path: Path, id: str) -> tuple[Record | None, tuple[str, ...]]:
    """Record and command from a run's own config.json, None when there is none that can be used."""
    try:
        return parse_bundle(path.read_text(), id)
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None, ()


# --- asking ------------------------------------------------------------------------------------------------------


def _names(folder: Path) -> set[str]:
    try:
        return {name for name in os.listdir(folder) if not name.startswith(".")}
    except FileNotFoundError:
        return set()


def _runs(folder: Path) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for name in _names(folder):
        id, dash, number = name.rpartition("-")
        if dash and number.isascii() and number.isdigit():
            found.setdefault(id, []).append(int(number))
    return {id: sorted(numbers) for id, numbers in found.items()}


def _mark(path: str) -> tuple[int, int, int] | None:
    try:
        seen = os.lstat(path)
    except OSError:
        return None
    return seen.st_mtime_ns, seen.st_ino, seen.st_size


def _readable(descriptor: int) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))


def _counts(folder: Path) -> tuple[int, int]:
    try:
        given = json.loads((folder / "runs.json").read_text())
        return int(given["restarts"]), int(given["failures"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0, 0


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


def _moment(path: Path) -> float | None:
    try:
        return float(path.read_text())
    except (OSError, ValueError):
        return None


def _modified(path: Path) -> float | None:
    try:
        return path.stat().st_mtime
    except OSError:
        return None


def _why(error: Exception) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else str(error) or type(error).__name__
