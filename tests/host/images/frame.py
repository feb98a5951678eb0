"""Where a layer is unpacked in tests: beside a victim that must not change, and described entry by entry."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from reconciler.errors import HostError
from reconciler.host.images.documents import Descriptor
from reconciler.host.images.unpacker import Unpacked, Unpacker
from tests.host.images.builder import LAYER, digest, header

Listing = Mapping[str, str]

FILE = "file 644 x"
X = b"x"


@dataclass
class Frame:
    """`store/L` is where the layer goes; `victim` and `store/L-evil` are what it would like to reach."""

    top: Path
    unpacker: Unpacker

    def prepare(self) -> None:
        for name in ("store/L", "store/L-evil", "victim"):
            (self.top / name).mkdir(parents=True)
        (self.top / "victim" / "hello").write_text("hello")
        (self.top / "victim" / "hello").chmod(0o600)

    @property
    def root(self) -> Path:
        return self.top / "store" / "L"

    def unpack(self, blob: bytes) -> Unpacked:
        """Unpack `blob`; whatever becomes of it, nothing beside the layer has changed."""
        before = self.outside()
        try:
            return self.unpacker.unpack(Descriptor(LAYER, digest(blob), len(blob)), self.root, writer(blob))
        finally:
            assert self.outside() == before

    def refusal(self, blob: bytes) -> str:
        """Why `blob` is refused: one line."""
        try:
            self.unpack(blob)
        except HostError as error:
            text = str(error)
            assert "\n" not in text
            assert text.isprintable()
            return text
        raise AssertionError(f"taken: {describe(self.root)}")

    def outside(self) -> Listing:
        return {
            name: f"{text} {inode}"
            for name, (text, inode) in _walk(self.top).items()
            if not name.startswith("store/L/") and name not in {"store/L", "store/list"}
        }


def writer(blob: bytes):  # type: ignore[no-untyped-def]
    """What sends `blob` into a pipe."""

    def send(sink: int) -> None:
        view = memoryview(blob)
        while view:
            view = view[os.write(sink, view) :]

    return send


def describe(root: Path, times: bool = False) -> dict[str, str]:
    """Every entry below `root`: type, mode, owner, content or target, and what overlayfs reads from it."""
    return {name: text for name, (text, _) in _walk(root, times).items()}


def _walk(root: Path, times: bool = False) -> dict[str, tuple[str, int]]:
    found = {}
    for folder, folders, files in os.walk(os.fsencode(root)):
        for name in [*folders, *files]:
            path = os.path.join(folder, name)
            status = os.lstat(path)
            text = _text(path, status) + (f" @{status.st_mtime_ns}" if times else "")
            found[os.path.relpath(path, os.fsencode(root)).decode("latin-1")] = (text, status.st_ino)
    return found


def _text(path: bytes, status: os.stat_result) -> str:
    owner = f"{status.st_uid}:{status.st_gid}" if status.st_uid or status.st_gid else ""
    mode = f"{stat.S_IMODE(status.st_mode):o}"
    extra = " ".join(f"{name}={_value(path, name)}" for name in sorted(os.listxattr(path, follow_symlinks=False)))
    match stat.S_IFMT(status.st_mode):
        case stat.S_IFLNK:
            parts = ["->", os.readlink(path).decode("latin-1"), owner]
        case stat.S_IFDIR:
            parts = ["dir", mode, owner]
        case stat.S_IFREG:
            parts = ["file", mode, owner, _content(path)]
        case stat.S_IFCHR if status.st_rdev == 0:
            parts = ["whiteout"]
        case kind:
            device = f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"
            parts = [{stat.S_IFCHR: "char", stat.S_IFBLK: "block", stat.S_IFIFO: "fifo"}[kind], mode, owner, device]
    return " ".join(part for part in [*parts, extra] if part)


def _value(path: bytes, name: str) -> str:
    return os.getxattr(path, name, follow_symlinks=False).decode("latin-1")


def _content(path: bytes) -> str:
    with open(path, "rb") as file:
        content = file.read()
    return content.decode("latin-1") if len(content) < 32 else hashlib.sha256(content).hexdigest()[:12]


def raw(*parts: bytes) -> bytes:
    return b"".join(parts) + bytes(1024)


def at(name: bytes, **fields: bytes) -> bytes:
    """A one-byte file."""
    return header(name, size=1, **fields) + b"x".ljust(512, b"\0")


def base256(value: int, width: int) -> bytes:
    return bytes([0x80 if value >= 0 else 0xFF]) + (value % (1 << 8 * (width - 1))).to_bytes(width - 1, "big")
