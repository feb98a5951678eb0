"""The seccomp filter of a container: a profile in Docker's format, made into the runtime-spec's `linux.seccomp`.

Pure. A profile says under which conditions a rule holds: which capabilities the container may have, which processor
runs it. The kernel is not asked: every one that this program runs on is newer than any that a profile asks for. The
profile itself is package data of `host.seccomp`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, NotRequired, TypedDict


class Argument(TypedDict):
    """A condition on one argument of a call. With MASKED_EQ `value` is the mask and `valueTwo` what must remain."""

    index: int
    value: int
    op: str
    valueTwo: NotRequired[int]


class Rule(TypedDict):
    """One entry of a profile's `syscalls`."""

    names: list[str]
    action: str
    comment: NotRequired[str]
    errnoRet: NotRequired[int]
    args: NotRequired[list[Argument]]
    includes: NotRequired[Mapping[str, list[str]]]
    excludes: NotRequired[Mapping[str, list[str]]]


class Profile(TypedDict):
    """A profile. `archMap` names an architecture and those whose programs it runs too."""

    defaultAction: str
    defaultErrnoRet: int
    archMap: list[dict[str, Any]]
    syscalls: list[Rule]


# uname(2)'s machine: (the profile's name of the processor, libseccomp's).
MACHINES = {
    "x86_64": ("amd64", "SCMP_ARCH_X86_64"),
    "aarch64": ("arm64", "SCMP_ARCH_AARCH64"),
    "ppc64le": ("ppc64le", "SCMP_ARCH_PPC64LE"),
    "riscv64": ("riscv64", "SCMP_ARCH_RISCV64"),
    "s390x": ("s390x", "SCMP_ARCH_S390X"),
}


def resolve(profile: Profile, machine: str, capabilities: Collection[str]) -> dict[str, object]:
    """`linux.seccomp` for a container with `capabilities` (`CAP_…`, its bounding set) on `machine`.

    Calls that are allowed without a condition become one rule; an unknown machine gets only those.
    """
    arch, own = MACHINES.get(machine, ("", ""))
    families = next((entry for entry in profile["archMap"] if entry["architecture"] == own), None)
    rules = [rule for rule in profile["syscalls"] if _holds(rule, arch, capabilities)]
    plain = {name for rule in rules if _plain(rule) for name in rule["names"]}
    return {
        "defaultAction": profile["defaultAction"],
        "defaultErrnoRet": profile["defaultErrnoRet"],
        "architectures": [own, *families["subArchitectures"]] if families else [],
        "syscalls": [
            {"names": sorted(plain), "action": "SCMP_ACT_ALLOW"},
            *(_oci(rule) for rule in rules if not _plain(rule)),
        ],
    }


def _holds(rule: Rule, arch: str, capabilities: Collection[str]) -> bool:
    wanted, unwanted = rule.get("includes", {}), rule.get("excludes", {})
    return (
        set(wanted.get("caps", ())) <= set(capabilities)
        and (not wanted.get("arches") or arch in wanted["arches"])
        and not set(unwanted.get("caps", ())) & set(capabilities)
        and arch not in unwanted.get("arches", ())
    )


def _plain(rule: Rule) -> bool:
    return rule["action"] == "SCMP_ACT_ALLOW" and not rule.get("args")


def _oci(rule: Rule) -> dict[str, object]:
    kept = ("names", "action", "errnoRet", "args")
    return {name: rule[name] for name in kept if name in rule}  # type: ignore[literal-required]
