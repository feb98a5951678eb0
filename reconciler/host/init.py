"""The small init that a container with `init: true` starts with: one of the host's, static, for whatever image."""

from __future__ import annotations

import shutil
import struct
from collections.abc import Sequence
from pathlib import Path

from reconciler.errors import HostError

NAMES = ("docker-init", "tini-static", "catatonit", "/usr/libexec/podman/catatonit")
_PT_INTERP = 3


def find_init(names: Sequence[str] = NAMES) -> str:
    """The path of a static init. Raises HostError, saying what to install, when the host has none."""
    for name in names:
        path = shutil.which(name)
        if path is not None and is_static(Path(path).read_bytes()):
            return path
    raise HostError("cannot use init: true: the host has no static init; install catatonit, or tini with tini-static")


def is_static(program: bytes) -> bool:
    """Whether `program` is a 64-bit ELF executable that names no dynamic linker (elf(5))."""
    if len(program) < 64 or program[:5] != b"\x7fELF\x02":
        return False
    order = "<" if program[5] == 1 else ">"
    (start,) = struct.unpack_from(f"{order}Q", program, 32)
    size, count = struct.unpack_from(f"{order}HH", program, 54)
    try:
        kinds = [struct.unpack_from(f"{order}I", program, start + size * number)[0] for number in range(count)]
    except struct.error:
        return False
    return _PT_INTERP not in kinds
