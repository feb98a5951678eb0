"""The specs directory: which of its files are specs, and what stands in them. Reads; neither parses nor watches.

Whatever may lie in a directory (a FIFO, a device, a loop of links, a file that is just being replaced) can neither
block nor fail the reading of the others. What cannot be read is an error, never an absence: only a file that is
really gone is gone.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from reconciler.core.expand import FOLDER_SPECS
from reconciler.core.lock import NAME as LOCK
from reconciler.core.tombstones import NAME as TOMBSTONES
from reconciler.errors import Problem, SpecError
from reconciler.sources.files import Files

# Not specs: dot files (with them `.x.swp`, `.#x` and `.goutputstream-…`), `#x#`, and, for their ending, `x~`, `x.tmp`,
# `x.bak` and vim's probe file 4913.
_SPEC = re.compile(r"[^.#][^/]*\.(?:toml|yaml|yml)", re.DOTALL)
_TRIES: Final = 5


@dataclass(frozen=True, slots=True)
class Listing:
    """The texts of the specs by path below the directory, and of lock and tombstones beside them, None without.

    `unavailable`: why the directory cannot be read, or "". `doubtful`: why it may be empty without anybody meaning it.
    """

    texts: Mapping[str, bytes | SpecError] = field(default_factory=dict)
    unavailable: str = ""
    doubtful: str = ""
    lock: bytes | SpecError | None = None
    tombstones: bytes | SpecError | None = None


@dataclass(slots=True)
class Directory:
    """One directory of specs."""

    root: Path
    _files: Files = field(default_factory=Files)
    _texts: Mapping[str, bytes | SpecError] = field(default_factory=dict)
    _home: tuple[int, int] | None = None  # device and inode of the folder in which specs were last seen

    def read(self) -> Listing:
        """All specs as they are now. Reads again when the directory was swapped for another meanwhile."""
        try:
            for _ in range(_TRIES):
                found = self._attempt()
                if found is not None:
                    self._files.keep(found)
                    lock, tombstones = found.pop(LOCK, None), found.pop(TOMBSTONES, None)
                    self._texts = found
                    return Listing(found, lock=lock, tombstones=tombstones, doubtful=self._doubt(found))
        except OSError as error:
            self._home = None
            return Listing({}, f"cannot read the specs directory '{self.root}': {_why(error)}")
        return Listing({}, f"cannot read the specs directory '{self.root}': it is replaced again and again")

    def _doubt(self, found: Mapping[str, bytes | SpecError]) -> str:
        """Files that went one by one were removed; another folder that is empty proves nothing (not mounted yet?)."""
        seen = self.root.stat()
        here = (seen.st_dev, seen.st_ino)
        if found:
            self._home = here
        if here == self._home:
            return ""
        return (
            f"the specs directory '{self.root}' holds no specs, and none were seen in it: what runs is left alone; "
            f"put the specs there, write the names of all apps that may go into {TOMBSTONES} there, one a line, "
            "or take everything away with `reconciler down`"
        )

    def _attempt(self) -> dict[str, bytes | SpecError] | None:
        """One reading of one directory, lock and all, through one descriptor; None when another took its place."""
        folder = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            found = {path: self._text(path, folder) for path in (LOCK, TOMBSTONES, *sorted(self._paths(folder)))}
            opened, now = os.fstat(folder), self.root.stat()
        finally:
            os.close(folder)
        if (opened.st_dev, opened.st_ino) != (now.st_dev, now.st_ino):
            return None
        return {path: text for path, text in found.items() if text is not None}

    def _paths(self, folder: int) -> Iterator[str]:
        with os.scandir(folder) as entries:
            for entry in entries:
                if is_spec(entry.name):
                    yield entry.name
                elif not entry.name.startswith((".", "#")) and not entry.is_file(follow_symlinks=False):
                    yield from self._inside(entry.name, folder)

    def _inside(self, name: str, folder: int) -> Iterator[str]:
        """`NAME/compose.yaml` and its like; the first one that is there, as in Compose."""
        try:
            inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
        except OSError:  # whether the specs in there still exist cannot be told: ask for each that we knew
            yield from (path for path in self._texts if path.startswith(f"{name}/"))
            return
        try:
            names = frozenset(os.listdir(inner))
        finally:
            os.close(inner)
        yield from [f"{name}/{spec}" for spec in FOLDER_SPECS if spec in names][:1]

    def _text(self, path: str, folder: int) -> bytes | SpecError | None:
        """The text of one file; None when it vanished since it was listed."""
        try:
            return self._files.read(path, folder)
        except FileNotFoundError:
            return _unusable(path, "a link leads nowhere") if _through_link(path, folder) else None
        except OSError as error:
            return _unusable(path, _why(error))
        except ValueError as error:
            return _unusable(path, str(error))


def is_spec(name: str) -> bool:
    """Whether a file of this name, directly in the directory, is a spec."""
    return bool(_SPEC.fullmatch(name))


def _through_link(path: str, folder: int) -> bool:
    for part in (path, path.partition("/")[0]):
        try:
            if stat.S_ISLNK(os.stat(part, dir_fd=folder, follow_symlinks=False).st_mode):
                return True
        except OSError:
            continue
    return False


def _unusable(path: str, why: str) -> SpecError:
    return SpecError(Problem(path, 1, 1, f"cannot read the file: {why}"))


def _why(error: OSError) -> str:
    return os.strerror(error.errno) if error.errno else str(error)
