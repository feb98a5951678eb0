"""The store on disk, and the one protocol by which anything in it becomes visible.

    blobs/sha256/HEX       manifests and configs
    layers/NAME/diff/      a layer as overlayfs mounts it; NAME is its diffID, see `inherit` for when it is longer
    layers/NAME/record     how it came to be; a layer without one does not exist
    l/SHORT                links to layers/NAME/diff, short enough that 128 fit one page of mount options
    images/HEX             by manifest digest: which config and which layers make the image
    references/HEX         by reference: which manifest it named when it was pulled
    damaged/               what was found damaged; emptied at a start that finds none of our layers mounted
    tmp/                   everything that is not finished; emptied at start
    lock                   held while something is added, looked at or taken away; see `locks`

A file is written to tmp, synced, renamed, and its directory is synced. A layer is unpacked in tmp, its record is
written beside it, the file system is synced, the directory is renamed, and the directory above is synced: every sync is
a commit of the journal, at which whoever is unpacking beside us waits. Nothing here asks the network.
"""

from __future__ import annotations

import base64
import ctypes
import hashlib
import json
import os
import secrets
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from reconciler.errors import HostError
from reconciler.host.images.overlay import remove_tree

_PARTS = ("blobs/sha256", "layers", "l", "images", "references", "damaged", "tmp")
WRITE_BACK = 0.4  # seconds between syncs of what is being unpacked
SHORT = 8  # characters of a link's name


class Disk:
    """The folders of one store. Methods that write may be called from several threads."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def prepare(self) -> None:
        """Make the folders, private to root: layers hold setuid programs. Remove what was not finished."""
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.root.chmod(0o700)
        for part in _PARTS:
            (self.root / part).mkdir(mode=0o700, parents=True, exist_ok=True)
        for folder in (self.root.parent, self.root, self.root / "blobs"):
            sync(folder)  # what is renamed into a folder lasts no longer than the folder
        for layer in list((self.root / "layers").iterdir()):
            if self.has_layer(layer.name):
                self._link(layer.name)
            else:
                self.set_aside(layer.name)  # a disk did this; who runs from it keeps it
        self._clean()
        (self.root / "lock").touch(0o600)
        sync(self.root / "l")

    def _clean(self) -> None:
        for left in (self.root / "tmp").iterdir():
            discard(left)
        if b"lowerdir=l/" not in Path("/proc/self/mountinfo").read_bytes():
            for left in (self.root / "damaged").iterdir():
                discard(left)
        for link in (self.root / "l").iterdir():
            if not link.exists():
                link.unlink()

    # --- files -----------------------------------------------------------------------------------------------------

    def write(self, name: str, content: bytes) -> None:
        """Put `content` at `name`, whole or not at all, and lasting when this returns."""
        target = self.root / name
        temporary = self.root / "tmp" / secrets.token_hex(8)
        write_new(temporary, content, synced=True)
        temporary.rename(target)
        sync(target.parent)

    def read(self, name: str) -> bytes | None:
        """The content of `name`, None when there is none."""
        try:
            return (self.root / name).read_bytes()
        except FileNotFoundError:
            return None

    def record(self, name: str) -> Mapping[str, object] | None:
        """The record at `name`, None when there is none or something damaged it."""
        text = self.read(name)
        return parse_record(text) if text is not None else None

    def records(self, folder: str) -> Iterator[Mapping[str, object]]:
        """Every record in `folder` that can be read; a damaged one is as if it were not there."""
        try:
            paths = sorted((self.root / folder).iterdir())
        except FileNotFoundError:  # nothing was ever pulled on this host
            return
        for path in paths:
            if record := parse_record(path.read_bytes()):
                yield record

    def names(self, folder: str) -> list[str]:
        """What is in `folder`; nothing where nothing was ever pulled."""
        try:
            return sorted(path.name for path in (self.root / folder).iterdir())
        except FileNotFoundError:
            return []

    def written(self, name: str) -> float:
        """When `name` was written, seconds since 1970."""
        return (self.root / name).stat().st_mtime

    def remove(self, name: str) -> None:
        """Remove a file, so that it stays removed."""
        (self.root / name).unlink(missing_ok=True)
        sync((self.root / name).parent)

    # --- layers ----------------------------------------------------------------------------------------------------

    def new_layer(self) -> Path:
        """An empty directory in which a layer may be unpacked, below it `diff`."""
        folder = self.root / "tmp" / secrets.token_hex(8)
        folder.mkdir(mode=0o700)
        (folder / "diff").mkdir(mode=0o755)
        (folder / "diff").chmod(0o755)
        return folder

    @contextmanager
    def writing_back(self) -> Iterator[None]:
        """Start writing to the disk while layers are still unpacked, so that the last sync finds little left."""
        over = threading.Event()

        def write_back() -> None:
            with suppress(OSError):  # the last sync tells
                while not over.wait(WRITE_BACK):
                    syncfs(self.root)

        thread = threading.Thread(target=write_back, name="write-back", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def commit_layer(self, folder: Path, name: str, record: Mapping[str, object]) -> None:
        """Make the unpacked `folder` the layer `name`, lasting when this returns."""
        write_new(folder / "record", json.dumps(record).encode())
        syncfs(folder)
        self.set_aside(name)  # only one with a damaged record can be there
        folder.rename(self.root / "layers" / name)
        sync(self.root / "layers")
        self._link(name)  # not synced: `prepare` makes those that are missing

    def remove_layer(self, name: str) -> None:
        """Remove a layer: gone at once for everybody, and from the disk when this returns."""
        doomed = self.root / "tmp" / secrets.token_hex(8)
        (self.root / self.short(name)).unlink(missing_ok=True)
        (self.root / "layers" / name).rename(doomed)
        sync(self.root / "layers")
        discard(doomed)

    def has_layer(self, name: str) -> bool:
        """Whether a layer is there, with a record that can be read."""
        return self.layer(name) is not None

    def set_aside(self, name: str) -> None:
        """Move a damaged layer or document away; what is mounted from it stays mounted."""
        for folder in ("layers", "blobs/sha256"):
            if (self.root / folder / name).exists():
                (self.root / folder / name).rename(self.root / "damaged" / f"{name}.{secrets.token_hex(4)}")
                sync(self.root / folder)

    def layer(self, name: str) -> Mapping[str, object] | None:
        """The record of a layer that is whole."""
        return self.record(f"layers/{name}/record")

    def layer_names(self, diff: str) -> list[str]:
        """The layers with the diffID `diff`: none, one, or one for each set of inherited folders."""
        prefix = diff.removeprefix("sha256:")
        if self.has_layer(prefix):
            return [prefix]
        names = sorted(path.name for path in (self.root / "layers").glob(f"{prefix}-*"))
        return [name for name in names if self.has_layer(name)]

    def short(self, name: str) -> str:
        """The path of a layer's content relative to the root, as it goes into mount options."""
        return f"l/{short_name(name)}"

    def _link(self, name: str) -> None:
        link, target = self.root / self.short(name), f"../layers/{name}/diff"
        if link.is_symlink():
            if str(link.readlink()) == target:
                return
            raise HostError(f"cannot store layer {name}: its short name is taken by {link.readlink()}")
        link.symlink_to(target)


def blob_name(digest: str) -> str:
    """Where the document with this digest is."""
    return f"blobs/sha256/{digest.removeprefix('sha256:')}"


def short_name(name: str) -> str:
    """Eight characters for a layer's name: 40 bits of its digest."""
    return base64.b32encode(hashlib.sha256(name.encode()).digest())[:SHORT].decode().lower()


def parse_record(text: bytes) -> Mapping[str, object] | None:
    """A record that we wrote; None when something damaged it."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def write_new(path: Path, content: bytes, *, synced: bool = False) -> None:
    """A new file with `content`; `synced`: on the disk when this returns."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        view = memoryview(content)
        while view:
            view = view[os.write(fd, view) :]
        if synced:
            os.fsync(fd)
    finally:
        os.close(fd)


def sync(folder: Path) -> None:
    """Make the names in `folder` last."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def syncfs(folder: Path) -> None:
    """Make everything on the file system of `folder` last: one call for any number of files."""
    libc = ctypes.CDLL(None, use_errno=True)
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if libc.syncfs(fd):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
    finally:
        os.close(fd)


def discard(path: Path) -> None:
    """Remove a file or a whole directory; follows no links."""
    if path.is_dir() and not path.is_symlink():
        remove_tree(os.fsencode(path))
    else:
        path.unlink(missing_ok=True)
