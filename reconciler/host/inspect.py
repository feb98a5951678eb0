"""Asks the host what `core.fitness` judges: programs, kernel, cgroups, firewall, routes, disks.

Only asks: reads files and runs programs that print. What cannot be asked counts as not there; whether that is bad
is not decided here. Called by `doctor`.
"""

from __future__ import annotations

import gzip
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

from reconciler.core.fitness import FEATURES, TOOLS, Disk, Facts
from reconciler.errors import HostError
from reconciler.host.images.hosts import Endpoint, endpoints, named
from reconciler.host.run import ENVIRONMENT, run
from reconciler.settings import Settings

RUN_BYTES = 16 << 20  # some 100 KB for each container
_ANSWER_LIMIT = 64 << 10  # bytes of what a mirror says of itself
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
        disks=_disks(settings),
        mirrors=mirrors(settings),
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


def _disks(settings: Settings) -> tuple[Disk, ...]:
    """Where the state is, and the run directory if that is elsewhere: mostly in memory, and enough for small files."""
    state, run_directory = _existing(settings.state), _existing(settings.run)
    disks = [Disk(path=str(state), free=_free(state), inodes=_inodes(state))]
    if state.stat().st_dev != run_directory.stat().st_dev:
        free, inodes = _free(run_directory), _inodes(run_directory)
        purpose = "the records of running containers"
        disks.append(Disk(path=str(run_directory), free=free, inodes=inodes, needed=RUN_BYTES, purpose=purpose))
    return tuple(disks)


def mirrors(settings: Settings) -> Mapping[str, str]:
    """Every mirror that the settings or containerd's folder name, and why it is no use, "" for one that answers."""
    found: dict[str, str] = {}
    for registry in named(settings.registry_mirrors, settings.registry_hosts):
        try:
            places = endpoints(registry, settings.registry_mirrors, settings.registry_hosts)
            found |= {place.host: _why_not(settings, place) for place in places if place.mirrors}
        except HostError as error:
            found[registry] = str(error)
    return found


def _why_not(settings: Settings, place: Endpoint) -> str:
    from reconciler.host.images.transport import Transport  # noqa: PLC0415 - large, and needed by few

    try:
        transport = Transport(settings)
        if place.trust is not None:
            transport.trust(place.host, place.trust)
        base = place.base or f"{transport.base(place.host)}/v2"
        transport.refuse_plain(base)
        status = transport.get(f"{base}/", {}, _ANSWER_LIMIT).status
    except HostError as error:
        return str(error)
    return "" if status in {200, 401, 403, 404} else f"it answers {status}"


def _existing(path: Path) -> Path:
    return next(folder for folder in (path, *path.parents) if folder.exists())


def _free(path: Path) -> int:
    space = os.statvfs(path)
    return space.f_bavail * space.f_frsize


def _inodes(path: Path) -> float:
    space = os.statvfs(path)
    return space.f_favail / space.f_files if space.f_files else 1.0
