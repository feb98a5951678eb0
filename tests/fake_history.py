"""The flight recorder's files in memory, over the one host in memory; they fail when told to."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from reconciler.core.history import AppRevision, History, Life, Record, name_of, parse, render
from reconciler.core.model import Container
from reconciler.daemon.recorder import Recorder
from reconciler.errors import HostError
from reconciler.settings import HistoryLimits

if TYPE_CHECKING:
    from tests.fakes import FakeHost

KEY = "00" * 32


class FakeHistory:
    def __init__(self, host: FakeHost) -> None:
        self.host = host
        self.texts: dict[str, str] = {}
        self.full = False
        self.writes: dict[str, int] = {}  # how often each record was
        self.said: dict[str, list[str]] = {}

    def key(self) -> str:
        return KEY

    def write(self, *records: Record) -> list[int]:
        if self.full:
            raise HostError("cannot keep history: No space left on device")
        self.writes |= {name_of(record): self.writes.get(name_of(record), 0) + 1 for record in records}
        self.texts |= {name_of(record): render(record) for record in records}
        return [len(render(record)) for record in records]

    def remove(self, name: str) -> None:
        self.texts.pop(name, None)

    def read(self) -> History:
        found = [record for _, record in self.records()]
        return History(
            tuple(sorted((one for one in found if isinstance(one, Life)), key=lambda one: one.at)),
            tuple(sorted((one for one in found if isinstance(one, AppRevision)), key=lambda one: one.at)),
        )

    def records(self) -> Iterable[tuple[int, Record]]:
        return [(len(text), parse(text)) for text in self.texts.values()]

    def sweep(self) -> None:
        return

    def output(self, id: str) -> list[str]:
        return self.said.get(id, []) if id in self.host.containers else []

    def made_from(self, id: str) -> Container | None:
        return self.host.made_from[id][0] if id in self.host.made_from else None


def recording(host: FakeHost, files: FakeHistory | None = None, **limits: int) -> Recorder:
    """A recorder over `host`, whose time it has; it writes when it is stopped."""
    return Recorder(files or FakeHistory(host), HistoryLimits(**limits), lambda: host.now, quiet=60.0)
