"""Overlay mounts: layers below, one writable folder above.

mount(2) silently cuts its options at one page (RELIABILITY F-063), so the layers are named relative to their folder,
in a thread that has a working directory of its own; what would still be too long is refused.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Thread

from reconciler.errors import HostError
from reconciler.host import syscalls

MOST_OPTIONS = 4095  # bytes: a page, less the zero at the end
_CLONE_FS = 0x200


def mount(target: Path, layers: Path, names: Sequence[str], upper: Path, work: Path) -> None:
    """Mount `names`, topmost first, all below the folder `layers`, with `upper` above them, at `target`.

    `upper`, `work` and `target` are absolute; folders with a colon, comma or backslash are escaped. Raises HostError.
    """
    lower = ":".join(_escaped(name).replace(":", "\\:") for name in names)
    data = f"lowerdir={lower},upperdir={_escaped(str(upper))},workdir={_escaped(str(work))},index=off"
    if not names:
        raise HostError(f"cannot mount {target}: the image has no layers")
    if len(os.fsencode(data)) > MOST_OPTIONS:
        raise HostError(f"cannot mount {target}: the image has {len(names)} layers, more than a mount can name")

    def act() -> None:
        syscalls.unshare(_CLONE_FS)
        os.chdir(layers)
        syscalls.mount("overlay", str(target), "overlay", 0, data)

    try:
        _in_thread(act)
    except OSError as error:
        raise HostError(f"cannot mount {target}: {(error.strerror or str(error)).lower()}") from error


def unmount(target: Path) -> None:
    """Take away everything that is mounted at `target`; nothing there is right too."""
    while True:
        try:
            syscalls.umount(str(target), syscalls.MNT_DETACH | syscalls.UMOUNT_NOFOLLOW)
        except OSError as error:
            if error.errno in (errno.EINVAL, errno.ENOENT):
                return
            raise HostError(f"cannot unmount {target}: {(error.strerror or '').lower()}") from error


def _escaped(name: str) -> str:
    return name.replace("\\", "\\\\").replace(",", "\\,")


def _in_thread(act: Callable[[], None]) -> None:
    failed: list[OSError] = []

    def body() -> None:
        try:
            act()
        except OSError as error:
            failed.append(error)

    thread = Thread(target=body, name="mount")
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
