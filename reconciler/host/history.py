"""The flight recorder's files below the state directory: `history/<name>.json`, each written whole.

They outlive daemons and reboots; nobody waits for the disk, so a power cut may take what was told just before.
What is in them is made in `core.history`. A file that cannot be read counts for nothing and is taken away when room is
made. The key with which hidden values are marked lies beside the folder, not in it. Called by `daemon.recorder`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from reconciler.core.history import AppRevision, History, Life, Record, name_of, parse, render
from reconciler.core.model import Container
from reconciler.errors import HostError
from reconciler.host import files, logs
from reconciler.host.revisions import MADE_FROM, parse_made_from
from reconciler.settings import Settings

_LINES = 40  # that are read; empty ones are not kept
_BROKEN = (OSError, ValueError, KeyError, TypeError)


class HistoryFiles:
    """The records of one state directory."""

    def __init__(self, settings: Settings) -> None:
        self._folder = settings.state / "history"
        self._key = settings.state / "history.key"
        self._containers = settings.containers

    def key(self) -> str:
        """The key of this host, 64 hex digits, made when there is none. Raises HostError."""
        try:
            try:
                found = self._key.read_text().strip()
                if len(bytes.fromhex(found)) == 32:
                    return found
            except (FileNotFoundError, ValueError):
                pass
            made = os.urandom(32).hex()
            self._key.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            files.replace(self._key, made)
            files.sync(self._key)
        except OSError as error:
            raise HostError(f"cannot keep history: {self._key}: {error.strerror}") from error
        return made

    def write(self, *records: Record) -> list[int]:
        """Keep `records` in place of older ones of their names; their sizes in bytes. Raises HostError."""
        texts = {self._folder / f"{name_of(record)}.json": render(record) for record in records}
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            for path, text in texts.items():
                files.replace(path, text)
        except OSError as error:
            raise HostError(f"cannot keep history: {self._folder}: {error.strerror}") from error
        return [len(text.encode()) for text in texts.values()]

    def remove(self, name: str) -> None:
        """Forget the record of that name. Raises HostError."""
        try:
            (self._folder / f"{name}.json").unlink(missing_ok=True)
        except OSError as error:
            raise HostError(f"cannot make room in the history: {error.strerror}") from error

    def read(self) -> History:
        """All that can be read."""
        records = [record for _, record in self.records()]
        return History(
            tuple(sorted((one for one in records if isinstance(one, Life)), key=lambda one: (one.at, one.id))),
            tuple(sorted((one for one in records if isinstance(one, AppRevision)), key=lambda one: (one.at, one.app))),
        )

    def records(self) -> Iterator[tuple[int, Record]]:
        """Each that can be read, with its size in bytes."""
        for path in sorted(self._folder.glob("[!.]*.json")):
            try:
                text = path.read_text()
                yield len(text.encode()), parse(text)
            except _BROKEN:
                continue

    def sweep(self) -> None:
        """Take away what cannot be read, and what an interrupted write left."""
        for path in (*self._folder.glob("*.json"), *self._folder.glob(".*.new")):
            try:
                if path.suffix == ".json":
                    parse(path.read_text())
                else:
                    path.unlink()
            except (ValueError, KeyError, TypeError):
                path.unlink(missing_ok=True)
            except OSError:
                continue

    def output(self, id: str) -> list[str]:
        """The last lines that container `id` wrote, as they are."""
        return logs.tail(self._containers / id / "log", _LINES)

    def made_from(self, id: str) -> Container | None:
        """What container `id` was made from, None when nobody knows."""
        try:
            return parse_made_from((self._containers / id / MADE_FROM).read_text())[0]
        except _BROKEN:
            return None
