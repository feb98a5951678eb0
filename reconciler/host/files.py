"""Small files that must be whole or absent, whatever happens in between: the commit protocol, in one place."""

from __future__ import annotations

import os
from pathlib import Path


def commit(path: Path, text: str, mode: int = 0o600) -> None:
    """Replace `path` by `text` so that a power cut leaves the old or the new content."""
    replace(path, text, mode, sync=True)
    sync_folder(path.parent)


def replace(path: Path, text: str, mode: int = 0o600, *, sync: bool = False) -> None:
    """Replace `path` by `text` so that a reader never sees half of it; enough by itself on a tmpfs."""
    half = path.with_name(f".{path.name}.new")
    descriptor = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    with open(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        if sync:
            os.fsync(descriptor)
    half.rename(path)


def sync_folder(path: Path) -> None:
    """Make the names in `path` durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
