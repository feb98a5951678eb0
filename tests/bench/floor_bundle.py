"""The floor's config.json: what Docker and podman give a container by default, from the OCI runtime-spec alone.

The seccomp profile is the distribution's own (package golang-github-containers-common), which is Docker's; without
that file the floor has no filter, and the bench says so.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

PROFILE = Path("/usr/share/containers/seccomp.json")
CAPABILITIES = [
    "CAP_AUDIT_WRITE",
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_MKNOD",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_RAW",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
]
MASKED = ["acpi", "asound", "kcore", "keys", "latency_stats", "timer_list", "timer_stats", "sched_debug", "scsi"]
READ_ONLY = ["bus", "fs", "irq", "sys", "sysrq-trigger"]
DEVICE_RULES = [(1, 5), (1, 3), (1, 9), (1, 8), (5, 0), (5, 1), (1, 7)]


def _mount(target: str, kind: str, options: str, source: str = "") -> dict[str, Any]:
    return {"destination": target, "type": kind, "source": source or kind, "options": options.split(",")}


MOUNTS = [
    _mount("/proc", "proc", "nosuid,noexec,nodev"),
    _mount("/dev", "tmpfs", "nosuid,strictatime,mode=755,size=65536k"),
    _mount("/dev/pts", "devpts", "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5"),
    _mount("/sys", "sysfs", "nosuid,noexec,nodev,ro"),
    _mount("/sys/fs/cgroup", "cgroup", "ro,nosuid,noexec,nodev"),
    _mount("/dev/mqueue", "mqueue", "nosuid,noexec,nodev"),
    _mount("/dev/shm", "tmpfs", "nosuid,noexec,nodev,mode=1777,size=67108864", "shm"),
]


def seccomp(profile: Path = PROFILE) -> dict[str, Any] | None:
    """The profile for this machine and these capabilities, in the form that a runtime takes."""
    if not profile.exists():
        return None
    document = json.loads(profile.read_text())
    return {
        "defaultAction": document["defaultAction"],
        "defaultErrnoRet": document.get("defaultErrnoRet", 1),
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
        "syscalls": [_rule(rule) for rule in document["syscalls"] if _applies(rule)],
    }


def _applies(rule: dict[str, Any]) -> bool:
    include, exclude = rule.get("includes") or {}, rule.get("excludes") or {}
    here = "amd64" in include.get("arches", ["amd64"]) and "amd64" not in exclude.get("arches", [])
    wanted = set(include.get("caps", [])) <= set(CAPABILITIES)
    return here and wanted and not set(exclude.get("caps", [])) & set(CAPABILITIES)


def _rule(rule: dict[str, Any]) -> dict[str, Any]:
    return {key: rule[key] for key in ["names", "action", "errnoRet", "args"] if rule.get(key)}


def config(root: str, argv: list[str], namespace: str, group: str) -> dict[str, Any]:
    """All of config.json but seccomp."""
    return {
        "ociVersion": "1.0.2",
        "hostname": "floor",
        "root": {"path": root},
        "mounts": MOUNTS,
        "process": {
            "user": {"uid": 0, "gid": 0},
            "args": argv,
            "cwd": "/",
            "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
            "capabilities": dict.fromkeys(("bounding", "effective", "permitted"), CAPABILITIES),
        },
        "linux": {
            "cgroupsPath": group,
            "namespaces": [
                *({"type": kind} for kind in ("mount", "uts", "ipc", "pid")),
                {"type": "network", "path": namespace},
            ],
            "maskedPaths": [f"/proc/{name}" for name in MASKED] + ["/sys/firmware"],
            "readonlyPaths": [f"/proc/{name}" for name in READ_ONLY],
            "resources": {"devices": devices()},
        },
    }


def devices() -> list[dict[str, Any]]:
    """Docker's rules: nothing but the harmless ones, terminals, and making nodes."""
    allowed = [
        {"allow": True, "type": "c", "major": major, "minor": minor, "access": "rwm"} for major, minor in DEVICE_RULES
    ]
    nodes = [{"allow": True, "type": kind, "access": "m"} for kind in "cb"]
    terminals = [
        {"allow": True, "type": "c", "major": 136, "access": "rwm"},
        {"allow": True, "type": "c", "major": 5, "minor": 2, "access": "rwm"},
    ]
    return [{"allow": False, "access": "rwm"}, *nodes, *allowed, *terminals]
