"""Rings when something in the spec directory may have changed. Reads nothing, decides nothing.

A finished write, a rename, a removal ring at once; an open file that is still being written does not, and reading
our own specs does not. The directory itself may be removed, replaced or not there yet, so its parents are watched
too (inotify goes deaf when a watched folder is replaced). The only home of watchdog; started by `wire`.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection
from pathlib import Path

from watchdog.events import (
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileAttribEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver, ObservedWatch

log = logging.getLogger(__name__)

RINGING: list[type[FileSystemEvent]] = [
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileMovedEvent,
    FileAttribEvent,
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
]


class Watch:
    """Watches `root` with everything below it, and the folders on the way to it."""

    def __init__(self, root: Path, ring: Callable[[], None]) -> None:
        self._root = root.absolute()
        self._ring = ring
        self._observer: BaseObserver = Observer()
        self._watches: dict[Path, ObservedWatch] = {}
        self._lock = threading.Lock()

    def start(self) -> None:
        """Begin to listen."""
        self._observer.start()
        self._follow(frozenset())

    def stop(self) -> None:
        """End, and wait for the threads."""
        self._observer.stop()
        self._observer.join()

    def _inside(self, _event: FileSystemEvent) -> None:
        self._ring()

    def _around(self, event: FileSystemEvent) -> None:
        """Something happened beside or above the directory: perhaps another one stands there now."""
        on_the_way = {self._root, self._root.resolve(), *self._root.parents}
        changed = {Path(str(event.src_path)), Path(str(event.dest_path))} & on_the_way
        if changed:
            self._follow(changed)
            self._ring()

    def _follow(self, changed: Collection[Path]) -> None:
        """Listen to the folders that stand at these paths now, and anew at and below those that changed.

        That a folder is still the one that is listened to cannot be seen: a new one often gets the old one's inode.
        """
        with self._lock:
            target = self._root.resolve()
            nearest = next(path for path in self._root.parents if path.is_dir())
            wanted = {target, target.parent, self._root.parent, nearest}
            replaced = {path for path in self._watches if {path, *path.parents} & set(changed)}
            for path in (self._watches.keys() - wanted) | replaced:
                self._observer.unschedule(self._watches.pop(path))
            for path in wanted - self._watches.keys():
                self._listen(path, _Handler(self._inside if path == target else self._around), path == target)

    def _listen(self, path: Path, handler: FileSystemEventHandler, recursive: bool) -> None:
        try:
            self._watches[path] = self._observer.schedule(handler, str(path), recursive=recursive, event_filter=RINGING)
        except (FileNotFoundError, NotADirectoryError):
            return  # its parent tells when it is there
        except OSError as error:
            log.warning("cannot watch %s: %s; changes are found later", path, error.strerror)


class _Handler(FileSystemEventHandler):
    """Watchdog calls `dispatch` in a thread of its own."""

    def __init__(self, call: Callable[[FileSystemEvent], None]) -> None:
        self._call = call

    def dispatch(self, event: FileSystemEvent) -> None:
        self._call(event)
