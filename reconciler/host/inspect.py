"""Asks the host what `core.fitness` judges: programs, kernel, cgroups, firewall, routes, disks.

Only asks: reads files and runs programs that print. What cannot be asked counts as not there; whether that is bad
is not decided here. Called by `doctor`.
"""

from __future__ import annotations

import gzip
import os
import re
import shutil
from pathlib import Path

from reconciler.core.fitness import FEATURES, TOOLS, Disk, Facts
from reconciler.errors import HostError
from reconciler.host.run import ENVIRONMENT, run
from reconciler.settings import Settings

_SYSCTLS = ("net/ipv4/ip_forward", "net/bridge/bridge-nf-call-iptables")
_CONFIG = {"overlay": "OVERLAY_FS", "nf_tables": "NF_TABLES", "bridge": "BRIDGE", "veth": "VETH"}


def inspect(settings: Settings) -> Facts:
    """The facts of this host, for these settings."""
    programs = (settings.runtime, settings.monitor, *TOOLS)
    return Facts(
        root=os.geteuid() == 0,
        runtime=settings.runtime,
        monitor=settings.monitor,
        versions={program: version(program) for program in programs},
        filesystems=_read(Path("/proc/filesystems")),
        modules=_modules(),
        mounts=_read(Path("/proc/mounts")),
        controllers=_controllers(),
        sysctls={name: text for name in _SYSCTLS if (text := _read(Path("/proc/sys") / name))},
        ruleset=_ask("nft", "-j", "list", "ruleset"),
        routes=_ask("ip", "-j", "-4", "route", "show", "table", "main"),
        pool=settings.address_pool,
        table=settings.instance,
        disks=tuple(_disk(path) for path in _distinct(settings.state, settings.run)),
    )


def version(program: str) -> str | None:
    """What `program` prints for its version; None when the host has no such program."""
    if shutil.which(program, path=ENVIRONMENT["PATH"]) is None:
        return None
    return _ask(program, "-V" if Path(program).name == "ip" else "--version")


def _ask(*argv: str) -> str:
    try:
        return run(argv, timeout=10)
    except HostError:
        return ""


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def _controllers() -> str | None:
    unified = Path("/sys/fs/cgroup/cgroup.controllers")
    return _read(unified) if unified.exists() else None


def _modules() -> frozenset[str]:
    """Which of the features the kernel has: in use, in its build, or as a module that it can load."""
    known = Path("/lib/modules") / os.uname().release
    listed = _read(known / "modules.builtin") + _read(known / "modules.dep")
    return frozenset(
        {name for name in FEATURES if Path("/sys/module", name).exists()}
        | parse_modules(listed)
        | parse_config(_kernel_config())
    )


def parse_modules(listed: str) -> frozenset[str]:
    """The features among the modules that modules.builtin and modules.dep list."""
    names = {match.replace("-", "_") for match in re.findall(r"([\w-]+)\.ko(?:\.\w+)?(?=:|$)", listed, re.MULTILINE)}
    return frozenset(names & set(FEATURES))


def parse_config(config: str) -> frozenset[str]:
    """The features that a kernel's configuration has built in."""
    lines = set(config.splitlines())
    return frozenset(name for name, option in _CONFIG.items() if f"CONFIG_{option}=y" in lines)


def _kernel_config() -> str:
    try:
        return gzip.decompress(Path("/proc/config.gz").read_bytes()).decode(errors="replace")
    except (OSError, EOFError):
        return _read(Path(f"/boot/config-{os.uname().release}"))


def _distinct(*paths: Path) -> tuple[Path, ...]:
    """The nearest folders that exist, each disk once."""
    found: dict[int, Path] = {}
    for path in paths:
        existing = next(folder for folder in (path, *path.parents) if folder.exists())
        found.setdefault(existing.stat().st_dev, existing)
    return tuple(found.values())


def _disk(path: Path) -> Disk:
    space = os.statvfs(path)
    inodes = space.f_favail / space.f_files if space.f_files else 1.0
    return Disk(path=str(path), free=space.f_bavail * space.f_frsize, inodes=inodes)
