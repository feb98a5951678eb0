"""Processes: runc (or crun) under conmon, one monitor per run.

Each start is a new run with folder, cgroup and runtime state of its own, so that a container is up again before what
its last run left is cleaned. The monitor outlives the daemon; nothing here keeps state in memory but one lock per
container. Decides nothing, and waits only for the runtime.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import shutil
import signal
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

from reconciler.core import bundle
from reconciler.core.process import signal_number
from reconciler.core.record import REVISION
from reconciler.core.starting import Hook, When
from reconciler.core.updates import Draining
from reconciler.errors import HostError, UnfitError
from reconciler.host import commands, refused, rootfs, runs
from reconciler.host.cgroups import Cgroups
from reconciler.host.files import replace
from reconciler.host.run import run, spoken
from reconciler.host.runs import Process, Run
from reconciler.settings import Settings

_CREATE_TIMEOUT = 60.0
_FIFO_TIMEOUT = 5.0
_KILL_TIMEOUT = 2.0
_VERSION_TIMEOUT = 10.0
# Words of runc and crun for what the container's own files or its spec have to give, unless the host lacks something.
_UNFIT = re.compile(r"exec: |executable|exec failed|chdir|error mounting|mount `")
_SCARCE = re.compile("no space left|cannot allocate|too many open files|temporarily unavailable", re.IGNORECASE)
_LONGEST_REPORT = 64 * 1024  # bytes of what the monitor says about a failed start


class OciRuntime:
    """The port `Runtime`."""

    def __init__(self, settings: Settings, cgroups: Cgroups, clock: Callable[[], float] = time.time) -> None:
        self._settings = settings
        self._cgroups = cgroups
        self._clock = clock
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self._open_fifo: Callable[[Path], bool] | None = None  # known after the first start

    def anticipate(self) -> None:
        """A start is likely soon: pay the kernel's wait for the first move between cgroups now, in the background."""
        threading.Thread(target=self._cgroups.freshen, name="anticipate", daemon=True).start()

    # --- start -------------------------------------------------------------------------------------------------

    def start(self, id: str, restarts: int, failures: int) -> None:
        """Create and start a new run, and record the two counts with it."""
        with self._locks[id]:
            number = self._next_run(id)
            name = f"{id}-{number}"
            folder = self._runs / name
            try:
                self._prepare(id, name, folder)
                self._start(id, name, {"run": number, "restarts": restarts, "failures": failures})
            except OSError as error:
                self._undo(name)
                raise HostError(f"cannot start container {id[:12]}: {error.filename}: {error.strerror}") from error
            except BaseException as error:
                self._undo(name)
                if isinstance(error, UnfitError):
                    refused.note(self._settings, self._revision(id), str(error))
                raise
            refused.take_back(self._settings, self._revision(id))

    def _revision(self, id: str) -> str:
        document = json.loads((self._settings.containers / id / "config.json").read_text())
        return str(document["annotations"].get(REVISION, ""))

    def _next_run(self, id: str) -> int:
        numbers = runs.of_container(self._runs, id)
        for number in numbers:
            seen = runs.read(self._runs / f"{id}-{number}")
            if seen and runs.lives(seen.init):
                raise HostError(f"cannot start container {id[:12]}: it runs as process {seen.init.pid}")
        return max([*numbers, read_counts(self._settings.containers / id).get("run", 0)]) + 1

    def _prepare(self, id: str, name: str, folder: Path) -> None:
        text = (self._settings.containers / id / "config.json").read_text()
        document = json.loads(text)
        destinations = [mount["destination"] for mount in document["mounts"] if mount["type"] in ("bind", "tmpfs")]
        rootfs.check_root(Path(document["root"]["path"]), destinations, document["process"]["cwd"])
        for needed in (self._runs, self._state):
            needed.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.mkdir(mode=0o700)
        replace(folder / "config.json", bundle.for_run(text, self._cgroups.path(id), self._cgroups.path(name)))

    def _start(self, id: str, name: str, counts: dict[str, int]) -> None:
        folder = self._runs / name
        reader, writer = os.pipe2(os.O_CLOEXEC)
        try:
            try:
                self._monitor(id, name, writer)
            finally:
                os.close(writer)
            monitor = int((folder / "conmon.pid").read_text())
            self._cgroups.adopt_monitor(monitor)
            replace(self._settings.containers / id / "runs.json", json.dumps(counts))  # a power cut ends all runs too
            pid = _created(reader, id)
        finally:
            os.close(reader)
        init, watch = runs.identify(pid), runs.identify(monitor)
        if init is None or watch is None:
            raise HostError(f"cannot start container {id[:12]}: its process ended before it was started")
        since = self._clock()
        runs.write(
            folder,
            Run(init=init, monitor=watch, since=since, restarts=counts["restarts"], failures=counts["failures"]),
        )
        self._release(name)

    def _monitor(self, id: str, name: str, writer: int) -> None:
        folder = self._runs / name
        argv = [
            *(self._settings.monitor, "--api-version", "1", "--cid", name, "--cuuid", name, "--name", name),
            *("--runtime", _found(self._settings.runtime), "--bundle", str(folder), "--full-attach", "--no-sync-log"),
            *("--conmon-pidfile", str(folder / "conmon.pid"), "--container-pidfile", str(folder / "pid")),
            *("--persist-dir", str(folder)),
            *("--log-path", f"k8s-file:{self._settings.containers / id / 'log' / 'container.log'}"),
            *("--runtime-arg=--root", f"--runtime-arg={self._state}"),
            *self._options(),
        ]
        run(argv, env={"_OCI_SYNCPIPE": str(writer)}, cwd=folder, pass_fds=[writer], timeout=_CREATE_TIMEOUT)

    def _release(self, name: str) -> None:
        """Let the created process go: by its start FIFO where that is all that `start` does, else by asking."""
        if self._open_fifo is None:
            said = run([self._settings.runtime, "--version"], timeout=_VERSION_TIMEOUT)
            self._open_fifo = next((act for name, act in _FIFOS.items() if said.startswith(name)), _no_fifo)
        if not self._open_fifo(self._state / name / "exec.fifo"):
            self._runtime("start", name)

    # --- beside the process ---------------------------------------------------------------------------------

    def run_hooks(self, id: str, when: When, hooks: tuple[Hook, ...], seconds: float) -> None:
        """Run these commands in it, in order, and note that it was done; what fails before a stop counts as done."""
        place = self._place(id)
        try:
            commands.run_hooks(place, hooks, seconds)
        except (HostError, OSError) as error:
            if when == "pre_stop":
                self._done(place.folder / when)
            raise HostError(f"cannot run {when} of container {id[:12]}: {error}") from error
        self._done(place.folder / when)

    def ask(self, id: str, argv: tuple[str, ...], seconds: float) -> tuple[bool, str]:
        """Whether a command in it succeeds, and how it ended; for health tests."""
        try:
            code = commands.execute(self._place(id), Hook(command=argv), seconds)
        except TimeoutError:
            return False, f"its test did not end within {seconds:g} s"
        except (HostError, OSError) as error:
            return False, str(error)
        return code == 0, f"its test exited with status {code}"

    def _place(self, id: str) -> commands.Place:
        live = self.live(id)
        if not live:
            raise HostError(f"cannot run a command in container {id[:12]}: it does not run")
        runtime = (self._settings.runtime, "--root", str(self._state), *self._options())
        return commands.Place(runtime, self._runs / live[-1][0], self._settings.containers / id / "rootfs")

    def _done(self, note: Path) -> None:
        with contextlib.suppress(FileNotFoundError):  # the run is gone
            note.touch(mode=0o600)

    # --- end ---------------------------------------------------------------------------------------------------

    def stop(self, id: str, signal: str) -> None:
        """Send `signal` to the first process and note when; returns at once."""
        with self._locks[id]:
            for name, seen in self.live(id):
                stopped = self._runs / name / "stopped"
                if not stopped.exists():
                    replace(stopped, repr(self._clock()))
                _send(seen.init, signal_number(signal))

    def drain(self, id: str, successor: str) -> None:
        """Note with its run that `successor` serves in its place, and when; what was noted of another is replaced."""
        with self._locks[id]:
            for name, _ in self.live(id):
                runs.write_draining(self._runs / name, Draining(successor=successor, since=self._clock()))

    def kill(self, id: str) -> None:
        """SIGKILL all its processes: the end of the first ends all in its PID namespace.

        Waits the few milliseconds until its monitor has said so too, so that the next look does not find it running;
        a process that cannot end (in the middle of a broken disk's answer) is not waited for longer than two seconds.
        """
        with self._locks[id]:
            for _, seen in self.live(id):
                _send(seen.init, signal.SIGKILL)
                for process in (seen.init, seen.monitor):  # the monitor may be gone already
                    _await_end(process, _KILL_TIMEOUT)

    def clean(self, id: str) -> None:
        """Delete the runtime's state and the cgroups of ended runs."""
        with self._locks[id]:
            numbers = runs.of_container(self._runs, id)
            for number in numbers:
                name = f"{id}-{number}"
                seen = runs.read(self._runs / name)
                if seen is None or not runs.lives(seen.init):
                    self._clean(name, keep=seen is not None and number == numbers[-1])

    def _clean(self, name: str, *, keep: bool) -> None:
        folder = self._runs / name
        if self._cgroups.oom_kills(name):
            (folder / "oom").touch(mode=0o600)
        if (self._state / name).exists():
            self._runtime("delete", name)
        if not keep:
            shutil.rmtree(folder)

    def _undo(self, name: str) -> None:
        with contextlib.suppress(OSError, ValueError):
            monitor = runs.identify(int((self._runs / name / "conmon.pid").read_text()))
            if monitor is not None and not (self._runs / name / "exit").exists():
                _send(monitor, signal.SIGKILL)
        with contextlib.suppress(HostError):
            if (self._state / name).exists():
                self._runtime("delete", "--force", name)
        shutil.rmtree(self._runs / name, ignore_errors=True)

    def live(self, id: str) -> list[tuple[str, Run]]:
        """The runs of `id` whose first process lives, by name."""
        names = [f"{id}-{number}" for number in runs.of_container(self._runs, id)]
        found = [(name, runs.read(self._runs / name)) for name in names]
        return [(name, seen) for name, seen in found if seen is not None and runs.lives(seen.init)]

    def _runtime(self, *words: str) -> str:
        return run([self._settings.runtime, "--root", str(self._state), *self._options(), *words])

    def _options(self) -> list[str]:
        return ["--systemd-cgroup"] if self._cgroups.driver == "systemd" else []

    @property
    def _runs(self) -> Path:
        return self._settings.run / runs.FOLDER

    @property
    def _state(self) -> Path:
        return self._settings.run / runs.STATE


def read_counts(folder: Path) -> dict[str, int]:
    """The last run's number and its two counts, from a container's folder; empty before the first."""
    try:
        return {str(name): int(value) for name, value in json.loads((folder / "runs.json").read_text()).items()}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}


def _created(reader: int, id: str) -> int:
    """The process that the monitor's runtime created, from its report on the sync pipe."""
    report = b""
    deadline = time.monotonic() + _CREATE_TIMEOUT
    while not report.endswith(b"\n") and len(report) < _LONGEST_REPORT:
        if not select.select([reader], [], [], max(0.0, deadline - time.monotonic()))[0]:
            raise HostError(f"cannot start container {id[:12]}: the runtime did not answer in {_CREATE_TIMEOUT:g} s")
        part = os.read(reader, 4096)
        if not part:
            break
        report += part
    return parse_report(report, id)


def parse_report(report: bytes, id: str) -> int:
    """`{"data": pid}`, or `{"data": -1, "message": why}` (conmon's sync pipe)."""
    try:
        given = json.loads(report)
        pid = int(given["data"])
    except (ValueError, KeyError, TypeError):
        raise HostError(f"cannot start container {id[:12]}: the monitor gave up without a word") from None
    if pid <= 0:
        said = [spoken(line) for line in str(given.get("message", "")).splitlines() if line.strip()]
        why = said[-1] if said else f"status {pid}"
        kind = UnfitError if _UNFIT.search(why) and not _SCARCE.search(why) else HostError
        raise kind(f"cannot start container {id[:12]}: {why}")
    return pid


def _read_fifo(fifo: Path) -> bool:
    """runc: the process writes a byte when somebody reads, and whoever read it removes the FIFO."""
    descriptor = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if select.select([descriptor], [], [], _FIFO_TIMEOUT)[0] and os.read(descriptor, 1):
            fifo.unlink()
            return True
    finally:
        os.close(descriptor)
    return False


def _write_fifo(fifo: Path) -> bool:
    """crun: the process waits for a byte, and whoever writes it removes the FIFO first."""
    try:
        descriptor = os.open(fifo, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fifo.unlink()
        return os.write(descriptor, b"\0") == 1
    finally:
        os.close(descriptor)


def _no_fifo(_: Path) -> bool:
    return False


# What `start` does in these versions, no more; a fact of long standing, promised by neither.
_FIFOS: dict[str, Callable[[Path], bool]] = {"runc version 1.": _read_fifo, "crun version 1.": _write_fifo}


def _send(process: Process, number: int) -> None:
    descriptor = runs.hold(process)
    if descriptor is None:
        return
    try:
        signal.pidfd_send_signal(descriptor, number)
    except ProcessLookupError:
        return
    finally:
        os.close(descriptor)


def _await_end(process: Process, seconds: float) -> None:
    descriptor = runs.hold(process)
    if descriptor is None:
        return
    try:
        select.select([descriptor], [], [], seconds)
    finally:
        os.close(descriptor)


def _found(program: str) -> str:
    """conmon executes the runtime without looking it up."""
    path = shutil.which(program)
    if path is None:
        raise HostError(f"cannot run {program}: it is not installed")
    return path
