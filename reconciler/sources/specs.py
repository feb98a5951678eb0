"""The specs of a directory as documents. Nothing is parsed twice: a document lives as long as its files are the same.

Also remembers what must be known of a spec that can no longer be read: the name of its app.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from posixpath import dirname, join, normpath

from reconciler.core.document import Document
from reconciler.core.expand import app_name
from reconciler.core.lock import NAME as LOCK
from reconciler.core.lock import Lock
from reconciler.core.tombstones import Tombstones
from reconciler.core.tombstones import parse as parse_tombstones
from reconciler.errors import SpecError
from reconciler.sources.directory import Directory
from reconciler.sources.files import Files
from reconciler.spec.lock import parse as parse_lock
from reconciler.spec.parse import parse

Beside = dict[str, bytes | None]  # file beside a spec, relative to its folder -> its text, None when it cannot be read


@dataclass(frozen=True, slots=True)
class _Parsed:
    text: bytes
    beside: Beside
    result: Document | SpecError


@dataclass(slots=True)
class Specs:
    """All specs below `root`. Paths in errors, and of documents, are relative to it."""

    root: Path
    _directory: Directory = field(init=False)
    _absolute: str = field(init=False)
    _files: Files = field(default_factory=Files)
    _parsed: dict[str, _Parsed] = field(default_factory=dict)
    _loaded: Mapping[str, Document | SpecError] = field(default_factory=dict)
    _apps: dict[str, str] = field(default_factory=dict)
    lock: Lock = field(default_factory=Lock)  # beside the specs when they were last read
    doubtful: str = ""  # why no specs may not mean that none are wanted
    tombstones: Tombstones = field(default_factory=Tombstones)  # beside the specs, as the lock
    _lock_text: bytes | SpecError | None = None

    def __post_init__(self) -> None:
        self._directory = Directory(self.root)
        self._absolute = str(self.root.absolute())

    @property
    def apps(self) -> Mapping[str, str]:
        """Path of each present spec to the name of its app when it was last good."""
        return self._apps

    def load(self) -> tuple[Mapping[str, Document | SpecError], str]:
        """All specs by path, and why the directory cannot be read ("" when it can).

        When it cannot, the specs of the last reading are still in force and are returned again.
        """
        listing = self._directory.read()
        self.doubtful = listing.doubtful
        if listing.unavailable:
            return self._loaded, listing.unavailable
        self._parsed = {path: entry for path, entry in self._parsed.items() if path in listing.texts}
        self._apps = {path: app for path, app in self._apps.items() if path in listing.texts}
        self._loaded = {path: self._spec(path, text) for path, text in listing.texts.items()}
        if listing.lock is not self._lock_text:
            self.lock, self._lock_text = self._locked(listing.lock), listing.lock
        self.tombstones = _tombstones(listing.tombstones)
        self._files.keep({self._full(path, name) for path, entry in self._parsed.items() for name in entry.beside})
        return self._loaded, ""

    def _locked(self, text: bytes | SpecError | None) -> Lock:
        """The lock in `text`; the last good one stays in force while it cannot be used."""
        if text is None:
            return Lock()
        try:
            if isinstance(text, SpecError):
                raise text
            return Lock(parse_lock(LOCK, text))
        except SpecError as error:
            return Lock(self.lock.digests, str(error))

    def _spec(self, path: str, text: bytes | SpecError) -> Document | SpecError:
        if isinstance(text, SpecError):
            return text
        known = self._parsed.get(path)
        if known and known.text == text and self._same_beside(path, known.beside):
            return known.result
        parsed = self._parse(path, text)
        self._parsed[path] = parsed
        if isinstance(parsed.result, Document):
            self._apps[path] = app_name(path, parsed.result)
        return parsed.result

    def _parse(self, path: str, text: bytes) -> _Parsed:
        beside: Beside = {}

        def read(name: str) -> bytes:
            beside[name] = None
            found = beside[name] = self._files.read(self._full(path, name))
            return found

        try:
            return _Parsed(text, beside, parse(path, text, read, self._folder(path)))
        except SpecError as error:
            return _Parsed(text, beside, error)

    def _same_beside(self, path: str, beside: Beside) -> bool:
        return all(self._files.peek(self._full(path, name)) is text for name, text in beside.items())

    def _folder(self, path: str) -> str:
        return normpath(join(self._absolute, dirname(path)))

    def _full(self, path: str, name: str) -> str:
        return _beside(self._absolute, path, name)


def _tombstones(text: bytes | SpecError | None) -> Tombstones:
    return Tombstones(problem=str(text)) if isinstance(text, SpecError) else parse_tombstones(text or b"")


@lru_cache(maxsize=4096)  # each look asks for every file beside every spec
def _beside(root: str, path: str, name: str) -> str:
    return join(root, dirname(path), name)
