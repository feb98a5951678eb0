"""Writes the entries of one layer below `/`, in the form that overlayfs mounts.

Runs chrooted into the layer's directory, so every path that the kernel resolves stays inside; what a layer
says of lower layers becomes char devices 0:0 and `trusted.overlay.opaque`. Rules: RELIABILITY §1.3.

Decided: `..` is refused, absolute names lose their slash, parents are resolved as in the container. The last of
two entries with one name wins; what replaces a file by a directory hides what lower layers have there.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from reconciler.host.images import listing
from reconciler.host.images.inflate import LayerError
from reconciler.host.images.listing import Writer, crc32
from reconciler.host.images.tar import Entry

WHITEOUT = b".wh."
META = b".wh..wh."
OPAQUE = b".wh..wh..opq"
OPAQUE_XATTR = "trusted.overlay.opaque"
Content = Callable[[], Iterable[memoryview]]

_FOLDER = os.O_PATH | os.O_DIRECTORY
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
_LINKS = 40  # symbolic links in one path, as in the kernel
_KEPT_XATTRS = (b"user.", b"security.capability")
_DROPPED_XATTRS = (b"user.overlay.",)
FULL = "bytes are free on the disk"  # how the sentence ends that refuses a layer for that


@dataclass(frozen=True, slots=True)
class Limits:
    """What one layer may hold; no real image meets them."""

    entries: int = 2_000_000
    implied: int = 50_000  # folders without an entry of their own
    size: int = 64 << 30  # bytes, unpacked
    ratio: int = 250  # unpacked to compressed, looked at from `ratio_from` bytes on
    ratio_from: int = 256 << 20
    depth: int = 512  # folders in folders
    reserve: int = 64 << 20  # bytes that must stay free on the store's file system
    seconds: float = 3600.0  # for all layers of one image


def clean(name: bytes) -> bytes:
    """`name` relative to the layer's root, b"" for the root itself. Raises LayerError."""
    if b"\0" in name:
        raise LayerError("its name has a NUL")
    if len(name) >= 4096:
        raise LayerError("its name is too long")
    if name[:1] not in b"/." and b"//" not in name and b"/." not in name:
        return name.removesuffix(b"/")
    parts = [part for part in name.split(b"/") if part not in {b"", b"."}]
    if b".." in parts:
        raise LayerError("its name has ..")
    return b"/".join(parts)


def escape(name: bytes) -> str:
    """`name` on one line, for a message."""
    return ascii(name[:200].decode("latin-1"))[1:-1]


class Tree:
    """One layer while it is written. `finish` says what else the layer needs from those below."""

    def __init__(self, limits: Limits, lines: Writer) -> None:
        self._limits = limits
        self._listing = lines
        self.implied: set[bytes] = set()
        self.dropped: set[bytes] = set()
        self.opaque_root = False
        self._opaque: set[bytes] = set()
        self._times: dict[bytes, int] = {}
        self._parent = b"\0"  # no name has a NUL
        self._parent_fd = -1
        self._setgid = False

    # --- entries ---------------------------------------------------------------------------------------------

    def add(self, entry: Entry, content: Content) -> None:
        """Write one entry. Raises LayerError, or OSError from the file system."""
        name = clean(entry.name)
        if name.count(b"/") >= self._limits.depth:
            raise LayerError(f"it lies more than {self._limits.depth} folders deep")
        parent, _, base = name.rpartition(b"/")
        if not name:
            self._root(entry)
        elif base.startswith(WHITEOUT):
            self._whiteout(entry, parent, base)
        elif entry.kind == b"0":
            self._file(entry, name, content)
        elif entry.kind == b"5":
            self._folder(entry, name)
        elif entry.kind == b"1":
            self._hard_link(entry, name)
        elif entry.kind in b"2346":
            self._special(entry, name)
        else:
            raise LayerError(f"entries of type {escape(entry.kind)} are not supported")

    def _root(self, entry: Entry) -> None:
        if entry.kind != b"5":
            raise LayerError("the root is not a directory")
        self._attributes(b".", entry)

    def _file(self, entry: Entry, name: bytes, content: Content) -> None:
        fd = self._create(name, entry.mode)
        crc = 0
        try:
            for piece in content():
                _write(fd, piece)
                crc = crc32(piece, crc)
            if entry.uid or entry.gid or self._setgid:
                os.fchown(fd, entry.uid, entry.gid)
                if entry.mode & 0o6000:
                    os.fchmod(fd, entry.mode)  # chown has cleared setuid and setgid
            if entry.xattrs:
                self._xattrs(fd, entry)
            os.utime(fd, ns=(entry.mtime, entry.mtime))
        finally:
            os.close(fd)
        self._note(entry, name, crc)

    def _note(self, entry: Entry, name: bytes, crc: int = 0) -> None:
        self._listing.add(name, (entry.kind, entry.mode, entry.uid, entry.gid, crc))

    def _create(self, name: bytes, mode: int) -> int:
        parent, base = self._open_parent(name)
        try:
            return os.open(base, _NEW_FILE, mode, dir_fd=parent)
        except FileExistsError:
            self._clear(name)
        parent, base = self._open_parent(name)
        return os.open(base, _NEW_FILE, mode, dir_fd=parent)

    def _folder(self, entry: Entry, name: bytes) -> None:
        self._make_folder(name)
        self.implied.discard(name)
        self._setgid = self._setgid or bool(entry.mode & stat.S_ISGID)
        self._attributes(name, entry)
        self._note(entry, name)

    def _make_folder(self, name: bytes) -> None:
        parent, base = self._open_parent(name)
        try:
            os.mkdir(base, 0o755, dir_fd=parent)
        except FileExistsError:
            mode = os.stat(base, dir_fd=parent, follow_symlinks=False).st_mode
            if not stat.S_ISDIR(mode):
                self._unlink(name, mode)
                os.mkdir(name, 0o755)
                self._hide_lower(name)

    def _attributes(self, name: bytes, entry: Entry) -> None:
        os.chown(name, entry.uid, entry.gid, follow_symlinks=False)
        os.chmod(name, entry.mode)
        self._xattrs(name, entry)
        self._times[name] = entry.mtime

    def _hard_link(self, entry: Entry, name: bytes) -> None:
        target = clean(entry.link)
        if target.rpartition(b"/")[2].startswith(WHITEOUT):
            raise LayerError("it links to a whiteout")
        if not target or target == name:
            raise LayerError("it links to itself or to the root")
        try:
            mode = os.stat(target, follow_symlinks=False).st_mode
        except FileNotFoundError:
            raise LayerError(f"it links to {escape(target)}, which this layer does not have") from None
        if stat.S_ISDIR(mode) or _is_whiteout(target):
            raise LayerError(f"it links to {escape(target)}, which is no file")
        parent, base = self._open_parent(name)
        try:
            os.link(target, base, dst_dir_fd=parent, follow_symlinks=False)
        except FileExistsError:
            self._clear(name)
            os.link(target, name, follow_symlinks=False)
        self._note(entry, name)

    def _special(self, entry: Entry, name: bytes) -> None:
        self._make_special(entry, name)
        os.chown(name, entry.uid, entry.gid, follow_symlinks=False)
        if entry.kind != b"2":
            os.chmod(name, entry.mode)
        os.utime(name, ns=(entry.mtime, entry.mtime), follow_symlinks=False)
        self._note(entry, name, crc32(entry.link) if entry.kind == b"2" else 0)

    def _make_special(self, entry: Entry, name: bytes) -> None:
        parent, base = self._open_parent(name)
        if os.path.lexists(name):
            self._clear(name)
            parent, base = self._open_parent(name)
        if entry.kind == b"2":
            _check_target(entry.link)
            os.symlink(entry.link, base, dir_fd=parent)
        else:
            os.mknod(base, _node_type(entry), _device(entry), dir_fd=parent)

    # --- what a layer says of lower ones -----------------------------------------------------------------------

    def _whiteout(self, entry: Entry, parent: bytes, base: bytes) -> None:
        if entry.kind != b"0" or entry.size:
            raise LayerError("a whiteout is not an empty file")
        if base == OPAQUE:
            self._mark_opaque(parent)
            return
        if base.startswith(META):
            return  # leftovers of aufs
        hidden = base.removeprefix(WHITEOUT)
        if hidden in {b"", b".", b".."}:
            raise LayerError("a whiteout names no file")
        self._hide(parent + b"/" + hidden if parent else hidden)

    def _hide(self, name: bytes) -> None:
        folder, base = self._open_parent(name)
        try:
            os.mknod(base, stat.S_IFCHR, 0, dir_fd=folder)
            self._listing.add(name, (listing.WHITEOUT, 0, 0, 0, 0))
        except FileExistsError:  # made by this layer, so only what lies below is hidden
            if stat.S_ISDIR(os.stat(base, dir_fd=folder, follow_symlinks=False).st_mode):
                self._hide_lower(name)

    def _mark_opaque(self, name: bytes) -> None:
        if not name:
            self.opaque_root = True
            return
        self._open_parent(name + b"/.")  # makes the folder when only the mark names it
        self._hide_lower(name)

    def _hide_lower(self, name: bytes) -> None:
        os.setxattr(name, OPAQUE_XATTR, b"y")
        self._opaque.add(name)

    def finish(self) -> None:
        """The last touch: no whiteouts where nothing is below, and the times of folders."""
        self._forget()
        self._listing.flush()
        for name in self._opaque:
            _drop_whiteouts(name)
        for name, mtime in reversed(self._times.items()):
            try:
                os.utime(name, ns=(mtime, mtime), follow_symlinks=False)
            except (FileNotFoundError, NotADirectoryError):
                continue  # replaced by a later entry

    # --- parents -------------------------------------------------------------------------------------------------

    def _open_parent(self, name: bytes) -> tuple[int, bytes]:
        """A descriptor of the folder that `name` is in, made when it is missing, and the last part of `name`."""
        parent, _, base = name.rpartition(b"/")
        if parent != self._parent:
            self._forget()
            try:
                self._parent_fd = os.open(parent or b".", _FOLDER)
            except OSError:
                self._parent_fd = os.open(self._make_parents(parent), _FOLDER)
            self._parent = parent
        return self._parent_fd, base

    def _forget(self) -> None:
        if self._parent_fd >= 0:
            os.close(self._parent_fd)
        self._parent, self._parent_fd = b"\0", -1

    def _make_parents(self, name: bytes) -> bytes:
        """Make what is missing of the folder `name`, through symbolic links as in the container; its real name."""
        made: list[bytes] = []
        parts = name.split(b"/")[::-1]
        links = 0
        while parts:
            part = parts.pop()
            if part == b"..":
                made[-1:] = []
            elif part not in {b"", b"."}:
                target = self._enter(b"/".join([*made, part]))
                if target is None:
                    made.append(part)
                    continue
                links += 1
                if links > _LINKS:
                    raise LayerError("its parents are a loop of symbolic links")
                made = [] if target.startswith(b"/") else made
                parts += target.split(b"/")[::-1]
        return b"/".join(made) or b"."

    def _enter(self, name: bytes) -> bytes | None:
        """Make sure that `name` is a folder; the target when it is a symbolic link."""
        try:
            mode = os.lstat(name).st_mode
        except FileNotFoundError:
            self._imply(name)
            return None
        if stat.S_ISLNK(mode):
            return os.readlink(name)
        if not stat.S_ISDIR(mode):
            os.unlink(name)
            self._imply(name)
            self._hide_lower(name)
            self._listing.add(name, (listing.IMPLIED, 0, 0, 0, 0))
        return None

    def _imply(self, name: bytes) -> None:
        os.mkdir(name, 0o755)
        self.implied.add(name)
        if len(self.implied) > self._limits.implied:
            raise LayerError(f"more than {self._limits.implied} folders have no entry of their own")

    # --- replacing and attributes ----------------------------------------------------------------------------------

    def _clear(self, name: bytes) -> None:
        """Remove what this layer already has at `name`: the last entry wins."""
        mode = os.lstat(name).st_mode
        if not stat.S_ISDIR(mode):
            self._unlink(name, mode)
            return
        self._forget()
        remove_tree(name)
        below = name + b"/"
        for names in (self.implied, self._opaque):
            names -= {item for item in names if item == name or item.startswith(below)}

    def _unlink(self, name: bytes, mode: int) -> None:
        self._forget()
        os.unlink(name)
        if stat.S_ISLNK(mode):  # what came through it is listed under names that lead elsewhere from now on
            self._listing.add(listing.MOVED, (listing.IMPLIED, 0, 0, 0, 0))

    def _xattrs(self, target: int | bytes, entry: Entry) -> None:
        for key, value in entry.xattrs:
            if key.startswith(_KEPT_XATTRS) and not key.startswith(_DROPPED_XATTRS):
                os.setxattr(target, key, value)
            else:
                self.dropped.add(key)


def _write(fd: int, piece: memoryview) -> None:
    written = os.write(fd, piece)
    while written < len(piece):
        written += os.write(fd, piece[written:])


def _check_target(target: bytes) -> None:
    if not target or b"\0" in target or len(target) >= 4096:
        raise LayerError("its link target is empty or too long")


def _node_type(entry: Entry) -> int:
    return {b"3": stat.S_IFCHR, b"4": stat.S_IFBLK, b"6": stat.S_IFIFO}[entry.kind] | 0o600


def _device(entry: Entry) -> int:
    major, minor = entry.device
    if entry.kind == b"6":
        return 0
    if not (0 <= major < 1 << 12 and 0 <= minor < 1 << 20):
        raise LayerError(f"there is no device {major}:{minor}")
    if (major, minor) == (0, 0):
        raise LayerError("device 0:0 would hide a file of a lower layer")
    return os.makedev(major, minor)


def _is_whiteout(name: bytes) -> bool:
    found = os.lstat(name)
    return stat.S_ISCHR(found.st_mode) and found.st_rdev == 0


def _drop_whiteouts(top: bytes) -> None:
    """In a folder that hides everything below it a whiteout would show as a name without a file."""
    folders = [top] if os.path.isdir(top) else []
    while folders:
        with os.scandir(folders.pop()) as found:
            for item in found:
                if item.is_dir(follow_symlinks=False):
                    folders.append(item.path)
                elif _is_whiteout(item.path):
                    os.unlink(item.path)


def remove_tree(top: bytes) -> None:
    """Remove the directory `top` and all below it; follows no links, takes no stack."""
    folders = [top]
    for folder in folders:
        with os.scandir(folder) as found:
            for item in found:
                if item.is_dir(follow_symlinks=False):
                    folders.append(item.path)
                else:
                    os.unlink(item.path)
    for folder in reversed(folders):
        os.rmdir(folder)
