"""Rings when something in the spec directory may have changed. Reads nothing, decides nothing.

A finished write, a rename, a removal ring at once; an open file that is still being written does not, and reading
our own specs does not. The directory itself may be removed, replaced or not there yet, so its parents are watched
too (inotify goes deaf when a watched folder is replaced). The only home of watchdog; started by `wire`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
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


class Watch(FileSystemEventHandler):
    """Watches `root` with everything below it, and the folders on the way to it."""

    def __init__(self, root: Path, ring: Callable[[], None]) -> None:
        self._root = Path(root).absolute()
        self._ring = ring
        self._observer: BaseObserver = Observer()
        self._watches: dict[Path, tuple[int, ObservedWatch]] = {}
        self._lock = threading.Lock()

    def start(self) -> None:
        """Begin to listen."""
        self._observer.start()
        self._follow()

    def stop(self) -> None:
        """End, and wait for the threads."""
        self._observer.stop()
        self._observer.join()

    def dispatch(self, event: FileSystemEvent) -> None:
        """Called by watchdog in a thread of its own."""
        path = Path(str(event.dest_path or event.src_path))
        inside = self._root in path.parents
        if not inside:
            self._follow()
        if inside or path == self._root or Path(str(event.src_path)) in (self._root, *self._root.parents):
            self._ring()

    def _follow(self) -> None:
        """Listen to the folders that stand at these paths now; a replaced one has another inode."""
        with self._lock:
            wanted = {path: path == self._root for path in (self._root, self._root.parent, self._target_parent())}
            for path, recursive in wanted.items():
                self._listen(path, recursive=recursive)

    def _target_parent(self) -> Path:
        """Where a symbolic link to the directory leads, or the nearest parent that exists."""
        if self._root.is_symlink():
            return self._root.resolve().parent
        return next((path for path in self._root.parents if path.is_dir()), Path("/"))

    def _listen(self, path: Path, *, recursive: bool) -> None:
        try:
            inode = path.stat().st_ino
        except OSError:
            inode = 0
        known = self._watches.get(path)
        if known and known[0] == inode:
            return
        if known:
            del self._watches[path]
            self._observer.unschedule(known[1])
        if inode:
            watch = self._observer.schedule(self, str(path), recursive=recursive, event_filter=RINGING)
            self._watches[path] = (inode, watch)
