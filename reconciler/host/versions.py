"""What the host's OCI runtime is, and which known fixes it lacks: for `doctor` and the status, which only tell.

A version tells what upstream had fixed; distributions add fixes without changing it, so packages that are known to do
so have a table of their own (RELIABILITY §2.4).
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import PurePath

from reconciler.errors import HostError
from reconciler.host.cgroups import Cgroups
from reconciler.host.run import run

Version = tuple[int, int, int]

# runc: the first fixed release of each branch that got the fix.
RUNC_FIXES: tuple[tuple[str, tuple[Version, ...]], ...] = (
    ("CVE-2019-5736", ((1, 0, 0),)),
    ("CVE-2021-30465", ((1, 0, 0),)),
    ("CVE-2022-29162", ((1, 1, 2),)),
    ("CVE-2023-27561", ((1, 1, 5),)),
    ("CVE-2024-21626", ((1, 1, 12),)),
    ("CVE-2024-45310", ((1, 1, 14), (1, 2, 0))),
    ("CVE-2025-31133", ((1, 2, 8), (1, 3, 3), (1, 4, 0))),
    ("CVE-2025-52565", ((1, 2, 8), (1, 3, 3), (1, 4, 0))),
    ("CVE-2025-52881", ((1, 2, 8), (1, 3, 3), (1, 4, 0))),
    ("CVE-2026-41579", ((1, 3, 6), (1, 4, 3), (1, 5, 0))),
)
# Packages (a pattern of their version) that carry a fix which their upstream version lacks.
BACKPORTS: tuple[tuple[str, frozenset[str]], ...] = ((r"1\.1\.5\+ds1-1\+deb12u[1-9]", frozenset({"CVE-2024-21626"})),)


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeFacts:
    """The OCI runtime of the host. `missing` are the known fixes it lacks, by name."""

    program: str
    version: str  # as the program says
    package: str  # of the distribution, "" when it does not come from one
    missing: tuple[str, ...]
    cgroups: int  # 1 or 2
    driver: str


def runtime_facts(program: str, cgroups: Cgroups) -> RuntimeFacts:
    """Ask `program` and the package database. Raises HostError when the program cannot be run."""
    version = parse_version(run([program, "--version"], timeout=10.0))
    package = _package(program)
    missing = missing_fixes(version, package) if PurePath(program).name == "runc" else ()
    return RuntimeFacts(
        program=program,
        version=version,
        package=package,
        missing=missing,
        cgroups=2 if cgroups.unified else 1,
        driver=cgroups.driver,
    )


def parse_version(text: str) -> str:
    """The version in `runc version 1.1.5+ds1` or `crun version 1.8.1`, "" when there is none."""
    found = re.search(r"version ([0-9]\S*)", text)
    return found[1] if found else ""


def missing_fixes(version: str, package: str) -> tuple[str, ...]:
    """Which fixes runc `version`, installed as `package`, lacks. All, when the version cannot be read."""
    number = re.match(r"([0-9]+)\.([0-9]+)\.([0-9]+)", version)
    this = (int(number[1]), int(number[2]), int(number[3])) if number else (0, 0, 0)
    added = {fix for pattern, fixes in BACKPORTS if re.fullmatch(pattern, package) for fix in fixes}
    return tuple(name for name, fixed in RUNC_FIXES if name not in added and not _has(this, fixed))


def _has(this: Version, fixed: tuple[Version, ...]) -> bool:
    if this[:2] > max(fixed)[:2]:
        return True
    return any(this[:2] == release[:2] and this >= release for release in fixed)


def _package(program: str) -> str:
    if shutil.which("dpkg-query") is None:
        return ""
    try:
        return run(["dpkg-query", "--show", "--showformat=${Version}", PurePath(program).name]).strip()
    except HostError:
        return ""
