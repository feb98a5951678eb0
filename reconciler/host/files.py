"""Small files that must be whole or absent, whatever happens in between, and what makes them outlast a power cut."""

from __future__ import annotations

import os
from pathlib import Path


def replace(path: Path, text: str, mode: int = 0o600, *, lasting: bool = False) -> None:
    """Replace `path` by `text` so that a reader never sees half of it; a power cut may leave it empty.

    `lasting`: not even that, and whoever comes back from here has it on the disk.
    """
    half = path.with_name(f".{path.name}.new")
    descriptor = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    with open(descriptor, "w", encoding="utf-8") as file:
        os.fchmod(descriptor, mode)  # whatever the umask
        file.write(text)
        if lasting:
            file.flush()
            os.fsync(descriptor)
    half.rename(path)
    if lasting:
        sync(path.parent)


def sync(path: Path) -> None:
    """Make the content of a file, or the names in a folder, durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
