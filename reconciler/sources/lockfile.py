"""Writes the lock file beside the specs: whole, or not at all. The only home of tomli-w; called by the verb `lock`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import tomli_w

_HEAD = (
    "# What each tag of the specs beside this file stands for. Written by `reconciler lock`; keep it with the specs.\n"
)


def render(digests: Mapping[str, str]) -> str:
    """The same text for the same digests, in whatever order they come."""
    return _HEAD + "\n" + tomli_w.dumps({"images": dict(sorted(digests.items()))})


def write(path: Path, digests: Mapping[str, str]) -> None:
    """Put the lock at `path`, lasting when this returns. Raises OSError."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("w") as file:
            file.write(render(digests))
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
