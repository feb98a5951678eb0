"""The port Revisions of the one host in memory, see `fakes`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from reconciler.core.model import Container
from reconciler.core.tombstones import Removals
from reconciler.core.updates import Good, Quarantine
from reconciler.errors import UnfitError

if TYPE_CHECKING:
    from tests.fakes import FakeHost


def refuse(host: FakeHost, container: Container, what: str, revision: str) -> None:
    """What the container asks for cannot be had here, and that is noted; a start takes it back."""
    if host.unfit(container) == what:
        host.refused[revision] = f"cannot be {what}"
        raise UnfitError(f"{container.name} cannot be {what}")
    if what == "started":
        host.refused.pop(revision, None)


class FakeRevisions:
    def __init__(self, host: FakeHost) -> None:
        self.host = host

    def keep(self, id: str, name: str, revision: str) -> None:
        container, image = self.host.made_from[id]
        good = Good(revision=revision, container=container, image=image)
        self.host.call(f"keep {name}", lambda: self.host.good.update({name: good}))

    def quarantine(self, id: str, quarantine: Quarantine) -> None:
        kept = replace(quarantine, output=("last words",))
        self.host.call(f"quarantine {quarantine.name}", lambda: self.host.quarantined.update({kept.revision: kept}))

    def note_removals(self, removals: Removals | None) -> None:
        self.host.call("note removals", lambda: setattr(self.host, "removals", removals))

    def forget(self, good: tuple[str, ...], quarantined: tuple[str, ...]) -> None:
        def forget() -> None:
            for name in good:
                self.host.good.pop(name, None)
            for revision in quarantined:
                self.host.quarantined.pop(revision, None)
                self.host.refused.pop(revision, None)

        self.host.call("forget", forget)
