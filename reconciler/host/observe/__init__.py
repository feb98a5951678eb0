"""Reads the host into one `Observed` value: what runs, what is connected, what is in the store.

`Observer.look(names)` reads again only what the names say, and everything for `EVERYTHING`; no program is started
by a look that finds nothing new. The readers of this folder parse; the adapters beside it act. Called by
`daemon.loop`, and once by `reconciler plan`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from reconciler.core.model import Observed, SeenContainer, SeenImage
from reconciler.core.names import CONTAINER, EVERYTHING, IMAGES, LINKS, RULES, VOLUMES
from reconciler.host.observe.links import Links


class Containers(Protocol):
    """Reads containers; keeps what it was not asked to read again."""

    def look(self, ids: frozenset[str] | None) -> Mapping[str, SeenContainer]:
        """All containers by id; those in `ids` are read again, all of them for None."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Readers:
    """Where each part of the observation comes from."""

    images: Callable[[], Mapping[str, SeenImage]]
    usage: Callable[[], tuple[float | None, float]]  # of the image store
    mirrors: Callable[[], Mapping[str, str]]
    volumes: Callable[[], frozenset[str]]
    containers: Containers
    links: Callable[[], Links]
    ruleset: Callable[[], str]


@dataclass(slots=True)
class Observer:
    """Remembers what nothing has rung for since the last look."""

    readers: Readers
    _links: Links = field(default_factory=Links)
    _usage: tuple[float | None, float] = (None, 0.0)
    _volumes: frozenset[str] = frozenset()
    _ruleset: str = ""
    _joined: dict[str, tuple[SeenContainer, SeenContainer]] = field(default_factory=dict)

    def look(self, names: frozenset[str]) -> Observed:
        """The host as it is now; see `core.names` for what may be named."""
        everything = EVERYTHING in names
        if everything or LINKS in names:
            self._links = self.readers.links()
        if everything or RULES in names:
            self._ruleset = self.readers.ruleset()
        if everything or IMAGES in names:
            self._usage = self.readers.usage()
        if everything or VOLUMES in names:
            self._volumes = self.readers.volumes()
        ids = (
            None
            if everything
            else frozenset(name.removeprefix(CONTAINER) for name in names if name.startswith(CONTAINER))
        )
        return Observed(
            images=self.readers.images(),
            networks=self._links.networks,
            volumes=self._volumes,
            containers=self._join(self.readers.containers.look(ids)),
            ruleset=self._ruleset,
            routes=self._links.routes,
            collected_at=self._usage[0],
            disk_used=self._usage[1],
            mirrors=self.readers.mirrors(),
        )

    def _join(self, found: Mapping[str, SeenContainer]) -> dict[str, SeenContainer]:
        """Containers with their links; an unchanged one stays the same object, so that comparing it costs nothing."""
        self._joined = {id: self._with_link(id, seen) for id, seen in found.items()}
        return {id: joined for id, (_, joined) in self._joined.items()}

    def _with_link(self, id: str, seen: SeenContainer) -> tuple[SeenContainer, SeenContainer]:
        connected = id in (self._links.pinned if seen.network is None else self._links.attached)
        before = self._joined.get(id)
        if before and before[0] is seen and before[1].connected == connected:
            return before
        return seen, seen if seen.connected == connected else replace(seen, connected=connected)
