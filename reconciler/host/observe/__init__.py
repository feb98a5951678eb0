"""Reads the host into one `Observed` value: what runs, what is connected, what is in the store.

`Observer.look(names)` reads again only what the names say, and everything for `EVERYTHING`; no program is started
by a look that finds nothing new. The readers of this folder parse; the adapters beside it act. Called by
`daemon.loop`, and once by `reconciler plan`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from reconciler.core.jobs import Ended, Job
from reconciler.core.model import Observed, SeenContainer, SeenImage
from reconciler.core.names import (
    CONTAINER,
    EVERYTHING,
    IMAGES,
    LINKS,
    LISTENERS,
    NAMES,
    REVISIONS,
    RULES,
    SPECS,
    VOLUMES,
)
from reconciler.core.networking import Listener
from reconciler.core.oneshots import recalled
from reconciler.core.tombstones import Removals
from reconciler.core.updates import Good, Quarantine
from reconciler.core.wiring import disconnected, with_addresses
from reconciler.host.observe.links import Links
from reconciler.host.observe.names import SeenNames


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
    links: Callable[[bool], Links]  # True for a look from nothing
    ruleset: Callable[[], str]
    guarded: Callable[[], tuple[str, ...]]
    obstacles: Callable[[bool], tuple[str, ...]]  # True for those of IPv6 too
    names: Callable[[bool], SeenNames]  # True for a look from nothing
    revisions: Callable[[], tuple[Mapping[str, Good], Mapping[str, Quarantine]]]
    refused: Callable[[], Mapping[str, str]]
    removals: Callable[[], Removals | None]
    runs: Callable[[], tuple[Mapping[str, Job], Mapping[str, Ended]]]
    listeners: Callable[[bool], tuple[Listener, ...]]  # True to say who they are, which takes its time


@dataclass(frozen=True, slots=True)
class _Joined:
    """A container as it was read, what its links showed, and what follows from both."""

    seen: SeenContainer
    shown: tuple[object, ...]
    result: SeenContainer


@dataclass(slots=True)
class Observer:
    """Remembers what nothing has rung for since the last look."""

    readers: Readers
    _links: Links = field(default_factory=Links)
    _usage: tuple[float | None, float] = (None, 0.0)
    _volumes: frozenset[str] = frozenset()
    _ruleset: str = ""
    _guarded: tuple[str, ...] = ()
    _revisions: tuple[Mapping[str, Good], Mapping[str, Quarantine]] = field(default_factory=lambda: ({}, {}))
    _removals: Removals | None = None
    _runs: tuple[Mapping[str, Job], Mapping[str, Ended]] = field(default_factory=lambda: ({}, {}))
    _obstacles: tuple[str, ...] = ()
    _names: SeenNames = field(default_factory=SeenNames)
    _listeners: tuple[Listener, ...] = ()
    _joined: dict[str, _Joined] = field(default_factory=dict)

    def look(self, names: frozenset[str]) -> Observed:
        """The host as it is now; see `core.names` for what may be named."""
        everything = EVERYTHING in names
        if everything or IMAGES in names:
            self._usage = self.readers.usage()
        if everything or VOLUMES in names:
            self._volumes = self.readers.volumes()
        if everything or names & {SPECS, LISTENERS}:
            self._listeners = self.readers.listeners(LISTENERS in names)
        if everything or REVISIONS in names:
            self._revisions, self._removals = self.readers.revisions(), self.readers.removals()
            self._runs = self.readers.runs()
        self._look_at_networks(names, everything)
        ids = (
            None
            if everything
            else frozenset(name.removeprefix(CONTAINER) for name in names if name.startswith(CONTAINER))
        )
        return Observed(
            images=self.readers.images(),
            networks=self._links.networks,
            volumes=self._volumes,
            containers=recalled(self._join(self.readers.containers.look(ids)), self._runs[1]),
            ruleset=self._ruleset,
            routes=self._links.routes,
            guarded=self._guarded,
            resolvers=self._names.resolvers,
            names=self._names.names,
            resolved=self._names.resolved,
            listeners=self._listeners,
            obstacles=self._obstacles,
            collected_at=self._usage[0],
            disk_used=self._usage[1],
            mirrors=self.readers.mirrors(),
            good=self._revisions[0],
            quarantined=self._revisions[1],
            refused=self.readers.refused(),
            removals=self._removals,
            jobs=self._runs[0],
            ended=self._runs[1],
        )

    def _look_at_networks(self, names: frozenset[str], everything: bool) -> None:
        if everything or LINKS in names:
            self._links = self.readers.links(everything)
            self._guarded = self.readers.guarded()
        elif RULES in names:
            self._guarded = self.readers.guarded()
        if everything or RULES in names:
            self._ruleset = self.readers.ruleset()
            self._obstacles = self.readers.obstacles(any(seen.subnet6 for seen in self._links.networks.values()))
        if everything or NAMES in names:
            self._names = self.readers.names(everything)

    def _join(self, found: Mapping[str, SeenContainer]) -> dict[str, SeenContainer]:
        """Containers with their links; an unchanged one stays the same object, so that comparing it costs nothing."""
        self._joined = {id: self._with_links(id, seen) for id, seen in found.items()}
        return {id: joined.result for id, joined in self._joined.items()}

    def _with_links(self, id: str, seen: SeenContainer) -> _Joined:
        links = self._links
        shown = links.insides.get(id), links.ends.get(id, {}), links.granted.get(id, {})
        before = self._joined.get(id)
        if before and before.seen is seen and before.shown == shown:
            return before
        endpoints = with_addresses(seen.endpoints, shown[2])
        elsewhere = seen.host_network or seen.shares  # who is in somebody else's namespace has no links of its own
        fault = "" if elsewhere else disconnected(endpoints, shown[0], shown[1])
        last = before.result if before and before.seen is seen else seen
        if (last.endpoints, last.disconnected) != (endpoints, fault):
            last = replace(seen, endpoints=endpoints, disconnected=fault)
        return _Joined(seen, shown, last)
