"""Profiles become filters: conditions resolved, and the effect of the bundled one."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.process import CAPABILITIES, DEFAULT_CAPABILITIES
from reconciler.core.seccomp import MACHINES, Profile, resolve
from reconciler.host.seccomp import profile, rendered

DOCKER = frozenset(f"CAP_{name}" for name in DEFAULT_CAPABILITIES)
capability_sets = st.frozensets(st.sampled_from([f"CAP_{name}" for name in CAPABILITIES]))


def _allowed(capabilities: frozenset[str], machine: str = "x86_64") -> dict[str, list[Any]]:
    """Calls that may succeed: name -> conditions, empty when there are none."""
    rules: Any = resolve(profile(), machine, capabilities)["syscalls"]
    allowed: dict[str, list[Any]] = {}
    for rule in rules:
        if rule["action"] == "SCMP_ACT_ALLOW":
            for name in rule["names"]:
                allowed.setdefault(name, []).extend(rule.get("args", []))
    return allowed


CLOSED = (
    *("mount", "umount2", "setns", "unshare", "bpf", "perf_event_open", "keyctl", "add_key", "request_key"),
    *("io_uring_setup", "io_uring_enter", "userfaultfd", "kexec_load", "init_module", "open_by_handle_at", "ptrace_"),
    *(
        "reboot",
        "swapon",
        "pivot_root",
        "settimeofday",
        "acct",
        "iopl",
        "nfsservctl",
        "fsopen",
        "move_mount",
        "quotactl",
    ),
)


@pytest.mark.parametrize("name", CLOSED)
def test_closed_by_default(name: str) -> None:
    assert name not in _allowed(DOCKER)


@pytest.mark.parametrize(
    "name", ["read", "execve", "openat2", "chroot", "ptrace", "close_range", "futex_waitv", "arch_prctl"]
)
def test_open_by_default(name: str) -> None:
    assert _allowed(DOCKER)[name] == []


OPENED = [
    ("CAP_SYS_ADMIN", "mount"),
    ("CAP_SYS_ADMIN", "clone3"),
    ("CAP_DAC_READ_SEARCH", "open_by_handle_at"),
    ("CAP_SYS_TIME", "clock_settime"),
    ("CAP_SYS_MODULE", "init_module"),
    ("CAP_BPF", "bpf"),
    ("CAP_SYS_NICE", "mbind"),
    ("CAP_SYS_PTRACE", "kcmp"),
]


@pytest.mark.parametrize(("capability", "name"), OPENED)
def test_a_capability_opens_its_calls(capability: str, name: str) -> None:
    assert name not in _allowed(DOCKER)
    assert name in _allowed(DOCKER | {capability})


def test_alg_and_vsock_sockets_are_closed() -> None:
    def permits(family: int) -> bool:
        tests = {"SCMP_CMP_LT": int.__lt__, "SCMP_CMP_EQ": int.__eq__, "SCMP_CMP_GT": int.__gt__}
        return any(tests[rule["op"]](family, rule["value"]) for rule in _allowed(DOCKER)["socket"])

    assert [family for family in range(50) if not permits(family)] == [38, 40]


def test_clone3_fails_so_that_libraries_fall_back() -> None:
    rules: Any = resolve(profile(), "x86_64", DOCKER)["syscalls"]
    assert [rule["errnoRet"] for rule in rules if rule["names"] == ["clone3"]] == [38]
    (flags,) = [rule["args"][0] for rule in rules if rule["names"] == ["clone"]]
    namespaces = (0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000)
    assert all(flags["value"] & flag for flag in namespaces)
    assert flags["valueTwo"] == 0


@given(capability_sets, capability_sets, st.sampled_from([*MACHINES]))
def test_more_capabilities_never_close_a_call(some: frozenset[str], more: frozenset[str], machine: str) -> None:
    assert _allowed(some, machine).keys() <= _allowed(some | more, machine).keys()


def test_architectures_are_those_of_the_machine() -> None:
    assert resolve(profile(), "x86_64", DOCKER)["architectures"] == [
        "SCMP_ARCH_X86_64",
        "SCMP_ARCH_X86",
        "SCMP_ARCH_X32",
    ]
    assert resolve(profile(), "other", DOCKER)["architectures"] == []
    assert "arch_prctl" not in _allowed(DOCKER, "aarch64")


def test_conditions_all_must_hold() -> None:
    tiny: Profile = {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": 1,
        "archMap": [],
        "syscalls": [
            {
                "names": ["x"],
                "action": "SCMP_ACT_ALLOW",
                "includes": {"caps": ["A", "B"], "arches": ["amd64"]},
                "excludes": {"caps": ["C"]},
            }
        ],
    }

    def names(machine: str, *capabilities: str) -> object:
        rules: Any = resolve(tiny, machine, capabilities)["syscalls"]
        return rules[0]["names"]

    assert names("x86_64", "A", "B") == ["x"]
    for machine, capabilities in (("x86_64", ["A"]), ("aarch64", ["A", "B"]), ("x86_64", ["A", "B", "C"])):
        assert names(machine, *capabilities) == []


def test_rendered_is_that_filter_as_text() -> None:
    assert set(json.loads(rendered(()))) == {"defaultAction", "defaultErrnoRet", "architectures", "syscalls"}
