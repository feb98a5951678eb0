"""config.json: everything an OCI runtime is told about a container, as one value (runtime-spec 1.0.2).

Pure. Defaults are Docker's where users rely on them, and every value that would else be inherited from the daemon is
said. `host.bundles` writes what `render` returns; `for_run` is the same text for one run of the container.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from reconciler.core.model import Container, ImageConfig
from reconciler.core.mounts import INIT, check_mounts, oci_mounts
from reconciler.core.process import User, arguments, capabilities, environment, rlimits, working_dir
from reconciler.core.starting import Hook

Document = dict[str, object]

# More processes and threads than any but the largest services have, and few enough that a fork bomb stays inside.
PIDS_LIMIT = 2048
_PERIOD = 100_000  # microseconds; the kernel's and Docker's

MASKED = (
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
    "/sys/fs/selinux",
)
READ_ONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")

# Docker's since 20.10: an unprivileged service may listen on port 80 and ping, in a network namespace of its own.
SYSCTLS = {"net.ipv4.ip_unprivileged_port_start": "0", "net.ipv4.ping_group_range": "0 2147483647"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the things of one container are on the host; all absolute, but for `cgroup`, which the driver says."""

    root: str
    etc: str  # folder with hosts, hostname, resolv.conf
    volumes: str  # folder of named volumes
    network: str  # path of the network namespace, "" for the host's
    cgroup: str
    init: str = ""  # a static init, "" when none is wanted


@dataclass(frozen=True, slots=True, kw_only=True)
class HostFacts:
    """What depends on the host: not on the container, and not on the moment."""

    cgroup_namespaces: bool = True
    swap_limits: bool = True
    pids_limits: bool = True
    masked: tuple[str, ...] = ()  # more paths to hide, such as each processor's thermal_throttle
    hard_limits: Mapping[str, int] = field(default_factory=dict)  # the daemon's own, -1 unlimited


def config(container: Container, image: ImageConfig, user: User, place: Place, host: HostFacts) -> Document:
    """The document, without annotations and seccomp, which `render` adds."""
    check_mounts(container)
    return {
        "ociVersion": "1.0.2",
        "process": _process(container, image, user, host),
        "root": {"path": place.root, "readonly": container.read_only},
        "hostname": container.hostname,
        "mounts": oci_mounts(container, place.volumes, place.etc, place.init),
        "linux": {
            "cgroupsPath": place.cgroup,
            "namespaces": _namespaces(place.network, host),
            "resources": _resources(container, host),
            "rootfsPropagation": "private",
            "maskedPaths": [*MASKED, *host.masked],
            "readonlyPaths": [*READ_ONLY],
            "sysctl": _sysctls(container),
            "seccomp": None,
        },
    }


def render(document: Document, annotations: Mapping[str, str], seccomp: str) -> str:
    """`document` as text, with `seccomp` (JSON, made once for all containers) spliced in unparsed."""
    text = json.dumps({**document, "annotations": dict(annotations)}, separators=(",", ":"))
    return text.replace('"seccomp":null', f'"seccomp":{seccomp}', 1)


def for_run(text: str, cgroup: str, run_cgroup: str) -> str:
    """What `render` returned, for a run in a cgroup of its own, so that an ended run never shares one with the next."""
    return text.replace(f'"cgroupsPath":{json.dumps(cgroup)}', f'"cgroupsPath":{json.dumps(run_cgroup)}', 1)


def command(process: Mapping[str, object], hook: Hook, user: User | None) -> Document:
    """What runs beside a container's process, given that as in its config.json; `user` None is the same one."""
    own = list(process["env"]) if isinstance(process["env"], list) else []
    added = dict(hook.environment)
    kept = [entry for entry in own if str(entry).partition("=")[0] not in added]
    changed: Document = {
        "args": [*hook.command],
        "env": [*kept, *(f"{name}={value}" for name, value in hook.environment)],
    }
    if user is not None:
        changed["user"] = _user(user)
    if hook.working_dir:
        changed["cwd"] = hook.working_dir
    return {**process, **changed}


def _user(user: User) -> Document:
    return {"uid": user.uid, "gid": user.gid, "additionalGids": [*user.groups], "umask": 0o022}


def _process(container: Container, image: ImageConfig, user: User, host: HostFacts) -> Document:
    argv = arguments(container, image)
    allowed = [*capabilities(container)]
    return {
        "terminal": False,
        "user": _user(user),
        "args": [INIT, "--", *argv] if container.init else [*argv],
        "env": [*environment(container, image, container.hostname, user.home)],
        "cwd": working_dir(container, image),
        "capabilities": {
            "bounding": allowed,
            "effective": allowed,
            "permitted": allowed,
            "inheritable": [],
            "ambient": [],
        },
        "rlimits": [{"type": kind, "soft": soft, "hard": hard} for kind, soft, hard in rlimits(host.hard_limits)],
        "noNewPrivileges": False,
        "oomScoreAdj": 0,
    }


def _namespaces(network: str, host: HostFacts) -> list[dict[str, str]]:
    kinds = ["mount", "uts", "pid", "ipc", *(["cgroup"] if host.cgroup_namespaces else [])]
    own = [{"type": "network", "path": network}] if network else []
    return [*own, *({"type": kind} for kind in kinds)]


def _sysctls(container: Container) -> dict[str, str]:
    """Nothing of a network that is somebody else's. The domain name has no place of its own in runtime-spec 1.0."""
    network = {} if container.host_network or container.shares else SYSCTLS
    name = {"kernel.domainname": container.domainname} if container.domainname else {}
    return {**network, **name, **dict(container.sysctls)}


def _resources(container: Container, host: HostFacts) -> Document:
    wanted = container.resources
    document: Document = {"devices": [{"allow": False, "access": "rwm"}]}
    if host.pids_limits or wanted.pids is not None:
        pids = PIDS_LIMIT if wanted.pids is None else wanted.pids
        document["pids"] = {"limit": pids if pids > 0 else -1}
    if wanted.memory is not None:
        swap = {"swap": 2 * wanted.memory} if host.swap_limits else {}
        document["memory"] = {"limit": wanted.memory, **swap}
    if wanted.cpus is not None:
        document["cpu"] = {"period": _PERIOD, "quota": max(1000, round(wanted.cpus * _PERIOD))}
    return document
