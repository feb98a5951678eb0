"""The flight recorder: writes down what was done and how it ended, in a thread of its own, and never stops anything.

Workers tell it each task before and after they execute it, the loop each look. What is recorded is decided in
`core.history`; here it is read, put together and written. A disk that is full, or anything else that goes wrong, is
told once and costs only the record.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import Protocol

from reconciler.core import history
from reconciler.core.changes import Change
from reconciler.core.history import AppRevision, Done, Entry, History, Life, Record
from reconciler.core.model import Container, Exited, Observed
from reconciler.core.status import Snapshot
from reconciler.core.steps import Task
from reconciler.errors import Failure
from reconciler.settings import HistoryLimits

STOP_TIME = 5.0  # seconds that the last records have
QUIET = 0.3  # seconds without news, after which is written what it was told: a start has something to tell four times
MOST = 400  # news in a row that are written even so

log = logging.getLogger(__name__)


class Files(Protocol):
    """Where records are kept; `host.history` implements it. Whatever fails raises HostError."""

    def key(self) -> str:
        """With what hidden values are marked."""

    def write(self, *records: Record) -> list[int]:
        """Keep these records; their sizes in bytes."""

    def remove(self, name: str) -> None:
        """Forget the record of that name."""

    def read(self) -> History:
        """All of them."""

    def records(self) -> Iterable[tuple[int, Record]]:
        """Each with its size."""

    def sweep(self) -> None:
        """Take away what is broken."""

    def output(self, id: str) -> list[str]:
        """The last lines of a container."""

    def made_from(self, id: str) -> Container | None:
        """What a container was made from."""


class Recorder:
    """Told by workers and by the loop; works in its own thread, which begins with the first thing that it is told."""

    def __init__(self, files: Files, limits: HistoryLimits, clock: Callable[[], float], quiet: float = QUIET) -> None:
        self._files, self._limits, self._clock, self._quiet = files, limits, clock, quiet
        self._told: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._key = ""
        self._entries: dict[str, Entry] = {}
        self._unwritten: dict[str, Record] = {}
        self._news = 0  # since it was written last
        self._lives: dict[str, Life] = {}  # those that are not gone, and the last of each name
        self._revisions: dict[str, str] = {}  # by app
        self._hidden: dict[str, frozenset[str]] = {}  # by id: what of its output is not kept
        self._observed = Observed()
        self._complaint = ""

    # --- what it is told: never waits, never raises --------------------------------------------------------------

    def before(self, task: Task) -> None:
        """`task` is about to be executed: what it removes is read now."""
        for id in history.removed(task):
            try:
                lines, made = self._files.output(id), self._files.made_from(id)
            except Exception as error:
                log.warning("history: cannot read what %s wrote: %s", id[:12], error)
            else:
                self._tell(partial(self._note_output, id, lines, made))

    def after(self, task: Task, failure: Failure | None) -> None:
        """`task` was executed."""
        if history.concerns(task):
            done = Done(task, failure, self._clock())
            self._tell(partial(self._note_task, done))

    def looked(self, before: Snapshot, after: Snapshot, changes: Iterable[Change]) -> None:
        """The loop has looked. Most looks change nothing that is recorded."""
        touched = any(change.kind == "container" and change.container for change in changes)
        if touched or after.desired is not before.desired or after.observed.images != before.observed.images:
            self._tell(partial(self._note_look, after))

    def stop(self) -> None:
        """Write what it was told, and end."""
        thread = self._thread
        if thread is not None:
            self._told.put(None)
            thread.join(STOP_TIME)

    def _tell(self, work: Callable[[], None]) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
            self._thread.start()
        self._told.put(work)

    # --- its thread ----------------------------------------------------------------------------------------------

    def _run(self) -> None:
        self._try(self._begin)
        while (work := self._next()) is not None:
            self._try(work)
            self._news += 1
        self._try(self._write)

    def _next(self) -> Callable[[], None] | None:
        if not self._unwritten:
            return self._told.get()
        try:
            return self._told.get(timeout=self._quiet) if self._news < MOST else self._write
        except queue.Empty:
            return self._write

    def _try(self, work: Callable[[], None]) -> None:
        try:
            if not self._key:
                self._key = self._files.key()
            work()
        except Exception as error:  # whatever it is: the host is kept, with or without a record of it
            if str(error) != self._complaint:
                log.warning("history: %s", error, exc_info=log.isEnabledFor(logging.DEBUG))
            self._complaint = str(error)
        else:
            self._complaint = ""

    def _begin(self) -> None:
        self._files.sweep()
        for size, record in self._files.records():
            self._entries[history.name_of(record)] = history.entry(record, size)
            self._remember(record)
        self._make_room()

    def _remember(self, record: Record) -> None:
        if isinstance(record, AppRevision):
            newest = max((one.at for one in self._entries.values() if one.group == f"{record.app}@"), default=record.at)
            if record.at >= newest:
                self._revisions[record.app] = record.revision
            return
        for other in [one for one in self._lives.values() if one.name == record.name and one.gone is not None]:
            if other.at <= record.at:
                del self._lives[other.id]
        self._lives[record.id] = record

    def _keep(self, record: Record) -> None:
        self._remember(record)
        self._entries[history.name_of(record)] = history.entry(record, 0)
        self._unwritten[history.name_of(record)] = record

    def _write(self) -> None:
        records, self._unwritten, self._news = self._unwritten, {}, 0
        sizes = self._files.write(*records.values())
        for (name, record), size in zip(records.items(), sizes, strict=True):
            self._entries[name] = history.entry(record, size)
        self._make_room()

    def _make_room(self) -> None:
        for name in history.surplus(self._entries.values(), self._limits.entries, self._limits.size):
            self._files.remove(name)
            del self._entries[name]

    def _hide(self, made: Mapping[str, Container]) -> None:
        """Keep in mind what of the output of these is hidden, for as long as their lives are."""
        self._hidden = {id: known for id, known in self._hidden.items() if id in self._lives}
        self._hidden |= {id: history.secrets_of(container) for id, container in made.items()}

    def _note_output(self, id: str, lines: list[str], made: Container | None) -> None:
        if made:
            self._hide({id: made})
        life = self._lives.get(id)
        if life and (spoken := self._spoken(life, lines)) != life:
            self._keep(spoken)

    def _spoken(self, life: Life, lines: list[str]) -> Life:
        """What an instance said of which nobody knows what is secret is not kept."""
        hidden = self._hidden.get(life.id)
        return life if hidden is None else history.with_output(life, lines, hidden)

    def _note_task(self, done: Done) -> None:
        for life in history.born(done.task, self._key, done.at, self._revisions):
            known = self._lives.get(life.id)
            if known is None or not known.acts:
                before = history.predecessor(life.name, life.id, self._observed, self._lives.values())
                self._lives[life.id] = history.joined(history.instead_of(life, self._lives.get(before)), known)
        self._hide(history.made(done.task))
        for id in history.concerns(done.task):
            if acted := self._lives.get(id):
                self._keep(history.acted(acted, done, self._hidden.get(id, ())))

    def _note_look(self, snapshot: Snapshot) -> None:
        self._observed = snapshot.observed
        for one in history.revisions(snapshot.desired, snapshot.observed, self._revisions, self._key, snapshot.at):
            self._keep(one)
        self._note_containers(snapshot.observed, snapshot.at)

    def _note_containers(self, observed: Observed, at: float) -> None:
        for id, seen in observed.containers.items():
            known, made = self._lives.get(id), None
            if id not in self._hidden and (made := self._files.made_from(id)):
                self._hidden[id] = history.secrets_of(made)
            life = known or history.found(seen, made, self._key)
            if isinstance(seen.state, Exited) and (after := history.ended(life, seen.state)) != life:
                life = self._spoken(after, self._files.output(id))
            if life != known:
                self._keep(life)
        for life in [one for one in self._lives.values() if one.gone is None and one.id not in observed.containers]:
            if life.at < at:
                self._keep(replace(life, gone=at))
