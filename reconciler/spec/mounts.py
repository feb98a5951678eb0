"""The mounts of a service: `volumes` and `tmpfs` entries to the mounts of the document."""

from __future__ import annotations

import re
from collections.abc import Container, Iterator
from posixpath import join, normpath
from typing import Final

from reconciler.core.model import BindMount, TmpfsMount, VolumeMount
from reconciler.spec import compose, units
from reconciler.spec.report import Report
from reconciler.spec.tree import Path

Mount = VolumeMount | BindMount | TmpfsMount

_TMPFS_OPTIONS = re.compile(
    r"rw|exec|noexec|suid|nosuid|dev|nodev|(?:uid|gid)=[0-9]{1,10}|nr_inodes=[0-9]{1,9}k?", re.ASCII
)
_FOREIGN: Final = {"volume": ("bind", "tmpfs"), "bind": ("volume", "tmpfs"), "tmpfs": ("bind", "volume", "source")}


def mounts(
    report: Report, path: Path, service: compose.Workload, declared: Container[str], folder: str
) -> tuple[Mount, ...]:
    """All mounts of the service at `path`, in the order of their entries. `declared` are the app's volumes."""
    found: dict[str, Mount] = {}
    for at, mount in _all(report, path, service, folder):
        if mount.target in found:
            report.add(at, f"something is mounted at '{mount.target}' already")
        if isinstance(mount, VolumeMount) and mount.volume not in declared:
            report.add(at, f"volume '{mount.volume}' is not declared; add it to the top-level 'volumes'")
        found[mount.target] = mount
    return tuple(found.values())


def _all(report: Report, path: Path, service: compose.Workload, folder: str) -> Iterator[tuple[Path, Mount]]:
    for index, entry in enumerate(service.volumes):
        at = (*path, "volumes", index)
        with report.at(at):
            yield at, _mount(entry, folder)
    for index, text in enumerate(service.tmpfs):
        at = (*path, "tmpfs", index) if (*path, "tmpfs", index) in report.tree.values else (*path, "tmpfs")
        with report.at(at):
            yield at, _tmpfs(text)


def _mount(entry: compose.Mount, folder: str) -> Mount:
    for key in _FOREIGN[entry.type]:
        if key in entry.model_fields_set:
            raise ValueError(f"a {entry.type} mount has no '{key}'")
    target = _target(entry.target)
    if entry.type == "tmpfs":
        options = entry.tmpfs
        return TmpfsMount(target=target, size=options.size, mode=options.mode, read_only=entry.read_only)
    if not entry.source:
        raise ValueError(f"a {entry.type} mount needs a 'source'")
    if entry.type == "volume":
        return VolumeMount(volume=entry.source, target=target, read_only=entry.read_only, nocopy=entry.volume.nocopy)
    return BindMount(
        source=_source(entry.source, folder),
        target=target,
        read_only=entry.read_only,
        create_host_path=entry.bind.create_host_path,
        propagation=entry.bind.propagation,
    )


def _source(source: str, folder: str) -> str:
    if source.startswith("~"):
        raise ValueError(f"'{source}' depends on who starts the daemon; write the absolute path")
    return normpath(join(folder, source))


def _target(target: str) -> str:
    if not target.startswith("/"):
        raise ValueError(f"'{target}' must be an absolute path")
    plain = normpath("/" + target.lstrip("/"))
    if plain == "/" or plain.startswith("/proc/") or plain == "/proc":
        raise ValueError(f"nothing can be mounted at '{target}'")
    return plain


def _tmpfs(text: str) -> TmpfsMount:
    target, _, options = text.partition(":")
    size = mode = None
    read_only = False
    kept: list[str] = []
    for option in options.split(",") if options else ():
        name, _, value = option.partition("=")
        if name == "size":
            size = units.size(value)
        elif name == "mode" and re.fullmatch("[0-7]{3,4}", value):
            mode = int(value, 8)
        elif option == "ro":
            read_only = True
        elif _TMPFS_OPTIONS.fullmatch(option):
            kept.append(option)
        else:
            raise ValueError(f"'{option}' is no option of a tmpfs; write size=64m or mode=1777")
    return TmpfsMount(target=_target(target), size=size, mode=mode, read_only=read_only, options=tuple(kept))
