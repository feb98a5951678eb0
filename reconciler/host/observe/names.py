"""Reads who answers for names, with which records, and what outside names mean.

`look` reads again only what something rang for since; the bell is one descriptor for the end of every resolver, for
every change of a record's file, and for a resolver that no longer answers. A thread beside asks all resolvers a
question every two seconds, and at each full look: whoever is silent for a second counts as not running from then on.
"""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from reconciler.core.networking import Pairs
from reconciler.host import resolvers, runs, syscalls
from reconciler.host.lookup import Resolved
from reconciler.host.question import silent
from reconciler.host.resolvers import Places, Served
from reconciler.host.runs import Process
from reconciler.settings import Settings

_PATIENCE = 1.0  # seconds that a resolver has to answer
_PERIOD = 2.0  # seconds between two questions to it
_MOVED = syscalls.IN_MOVED_FROM | syscalls.IN_MOVED_TO | syscalls.IN_DELETE | syscalls.IN_ONLYDIR
_FOLDERS, _FILES = _MOVED | syscalls.IN_CREATE, _MOVED | syscalls.IN_CLOSE_WRITE

Stamp = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class SeenNames:
    """As in `Observed`."""

    resolvers: Mapping[str, str] = field(default_factory=dict)
    names: Mapping[str, Pairs] = field(default_factory=dict)
    resolved: Resolved = field(default_factory=dict)


class NameReader:
    """For one thread. `fileno` is readable when something rang: then `drain`, and look."""

    def __init__(self, settings: Settings, known: Callable[[], Resolved]) -> None:
        self._places = Places(settings.run)
        self._known = known
        self._bell = select.epoll()
        self._inotify = syscalls.inotify()
        self._hung = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        for descriptor in (self._inotify, self._hung):
            self._bell.register(descriptor, select.EPOLLIN)
        self._served: dict[int, Served] = {}  # by pidfd
        self._silent: frozenset[Process] = frozenset()
        self._asked: tuple[Served, ...] = ()
        self._asking: threading.Thread | None = None
        self._due, self._closing = threading.Event(), threading.Event()
        self._watches: dict[int, str] = {}  # number -> network, "" for the folder of all of them
        self._rung: set[str] = {""}
        self._files: dict[str, dict[str, tuple[Stamp, str]]] = {}

    def fileno(self) -> int:
        """The bell."""
        return self._bell.fileno()

    def drain(self) -> None:
        """Take note of what rang."""
        for descriptor, _ in self._bell.poll(0):
            if descriptor == self._hung:
                os.eventfd_read(self._hung)
            elif descriptor == self._inotify:
                self._note(os.read(self._inotify, 65536))
            else:
                self._forget(descriptor)

    def look(self, everything: bool = True) -> SeenNames:
        """The names as they are now; `everything` trusts nothing that was noted before."""
        self.drain()
        self._look_at_resolvers()
        if everything:
            self._rung |= {"", *self._files}
            self._ask()
        self._look_at_records()
        alive = [served for served in self._served.values() if served.process not in self._silent]
        return SeenNames(
            resolvers={served.name: served.fingerprint for served in alive},
            names={network: _pairs(files) for network, files in self._files.items() if files},
            resolved=self._known(),
        )

    def close(self) -> None:
        """Let all descriptors go."""
        self._closing.set()
        self._due.set()
        if self._asking:
            self._asking.join()
        for descriptor in [*self._served]:
            self._forget(descriptor)
        for descriptor in (self._inotify, self._hung):
            os.close(descriptor)
        self._bell.close()

    # --- resolvers ---

    def _look_at_resolvers(self) -> None:
        """Hold those that are new. One that runs is known by its pidfd, whatever became of its pid file."""
        known = {self._places.pid_file(served.name, served.fingerprint) for served in self._served.values()}
        for pid_file in resolvers.pid_files(self._places):
            served = resolvers.read(pid_file) if pid_file not in known else None
            descriptor = runs.hold(served.process) if served else None
            if served and descriptor is not None:
                self._served[descriptor] = served
                self._bell.register(descriptor, select.EPOLLIN)
        self._asked = tuple(served for served in self._served.values() if served.addresses)

    def _forget(self, descriptor: int) -> None:
        """The pidfd of a process that has ended stays readable for ever."""
        self._bell.unregister(descriptor)
        del self._served[descriptor]
        os.close(descriptor)

    def _ask(self) -> None:
        """Now; the first time begins what goes on every two seconds."""
        if self._asking is None:
            self._asking = threading.Thread(target=self._keep_asking, name="names", daemon=True)
            self._asking.start()
        self._due.set()

    def _keep_asking(self) -> None:
        while True:
            self._due.wait(_PERIOD)
            self._due.clear()
            if self._closing.is_set():
                return
            if self._asked:
                self._question(self._asked)

    def _question(self, asked: tuple[Served, ...]) -> None:
        unheard = silent([served.addresses[0] for served in asked], _PATIENCE)
        found = frozenset(served.process for served in asked if served.addresses[0] in unheard)
        if found != self._silent:
            self._silent = found
            with suppress(OSError):  # closed meanwhile
                os.eventfd_write(self._hung, 1)

    # --- records ---

    def _note(self, events: bytes) -> None:
        for watch in syscalls.parse_inotify(events):
            if watch == -1:
                self._rung |= {"", *self._files}
            elif watch in self._watches:
                self._rung.add(self._watches[watch])

    def _look_at_records(self) -> None:
        if "" in self._rung or "" not in self._watches.values():  # which cannot ring before it is there
            self._look_at_folders()
        for network in self._rung - {""}:
            self._look_at_network(network)
        self._rung.clear()

    def _look_at_folders(self) -> None:
        """Which networks have records. Watching begins before reading, so that no change falls between."""
        self._watch(self._places.records, "")
        try:
            names = {entry.name for entry in os.scandir(self._places.records) if entry.is_dir(follow_symlinks=False)}
        except FileNotFoundError:
            names = set()
        self._rung |= {*names, *self._files}

    def _look_at_network(self, network: str) -> None:
        folder = self._places.records / network
        self._watch(folder, network)
        before = self._files.get(network, {})
        try:
            found = {entry.name: _read(entry, before.get(entry.name)) for entry in os.scandir(folder)}
        except FileNotFoundError:
            self._files.pop(network, None)
            self._watches = {watch: name for watch, name in self._watches.items() if name != network}
            return
        self._files[network] = {name: seen for name, seen in found.items() if not name.startswith(".")}

    def _watch(self, folder: Path, network: str) -> None:
        mask = _FILES if network else _FOLDERS
        with suppress(FileNotFoundError):
            self._watches[syscalls.inotify_watch(self._inotify, str(folder), mask)] = network


def _read(entry: os.DirEntry[str], before: tuple[Stamp, str] | None) -> tuple[Stamp, str]:
    """The text of a file, as before when nothing was written to it since; "" for what cannot be read."""
    try:
        status = entry.stat(follow_symlinks=False)
        stamp = (status.st_ino, status.st_mtime_ns, status.st_size)
        if before and before[0] == stamp:
            return before
        return stamp, Path(entry.path).read_text()
    except (OSError, UnicodeDecodeError):
        return (0, 0, 0), ""


def _pairs(files: Mapping[str, tuple[Stamp, str]]) -> Pairs:
    return tuple((name, text) for name, (_, text) in sorted(files.items()))
