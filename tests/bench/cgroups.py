"""Control groups of a cell: where its CPU seconds are counted, on version 1 and 2.

A version 1 hierarchy is nested below the group that the bench itself is in; on version 2 the cell lies at the
root, since a group that holds processes cannot hand out controllers. Called by `cell` and `inside`.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """One mounted hierarchy: where, of which kind, with which options, and the group that this process is in."""

    mountpoint: Path
    kind: str  # cgroup | cgroup2
    options: str
    own: str

    def group(self, name: str) -> Path:
        """The folder of the cell `name`."""
        alone = self.mountpoint == ROOT  # version 2 only; in the hybrid form it hands out no controllers
        return self.mountpoint / ("" if alone else self.own.lstrip("/")) / name


def hierarchies() -> list[Hierarchy]:
    """Every mounted hierarchy, as /proc says."""
    mounts = Path("/proc/self/mountinfo").read_text()
    return parse_hierarchies(mounts, Path("/proc/self/cgroup").read_text())


def parse_hierarchies(mounts: str, membership: str) -> list[Hierarchy]:
    """mountinfo (proc(5)) and /proc/self/cgroup (cgroups(7)), put together by the names of the controllers."""
    own = {fields[1]: fields[2] for line in membership.splitlines() if (fields := line.split(":", 2))}
    found = []
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        kind, _, options = after.split(" ", 2)
        if kind not in {"cgroup", "cgroup2"}:
            continue
        chosen = [option for option in options.split(",") if option not in {"rw", "ro", "none", "xattr"}]
        key = "" if kind == "cgroup2" else ",".join(chosen)
        if key in own:
            option = "" if kind == "cgroup2" else ("none," + key if key.startswith("name=") else key)
            found.append(Hierarchy(Path(before.split(" ")[4]), kind, option, own[key]))
    return found


def make(name: str) -> list[Path]:
    """Make the group `name` in every hierarchy; a cpuset must be given processors before it takes a process."""
    groups = [hierarchy.group(name) for hierarchy in hierarchies()]
    for group in groups:
        group.mkdir(exist_ok=True)
        for key in ("cpuset.cpus", "cpuset.mems"):
            if (group / key).exists() and (group.parent / "cgroup.clone_children").exists():
                (group / key).write_text((group.parent / key).read_text())
                (group / "cgroup.clone_children").write_text("1")
    return groups


def remove(group: Path) -> None:
    """Delete a group and all below it, as soon as the kernel has let go of its last process."""
    deadline = time.monotonic() + 5
    for folder, _, _ in os.walk(group, topdown=False):
        while time.monotonic() < deadline:
            with suppress(OSError):
                Path(folder).rmdir()
            if not Path(folder).exists():
                break
            time.sleep(0.02)


def counting(groups: list[Path]) -> Path:
    """The one of a cell's groups that counts CPU seconds."""
    accounts = [group for group in groups if (group / "cpuacct.usage").exists()]
    return accounts[0] if accounts else next(group for group in groups if (group / "cgroup.controllers").exists())


def processes(group: Path) -> list[int]:
    """Every process in the group and below, as seen from here."""
    found: list[int] = []
    for folder, _, _ in os.walk(group):
        with suppress(OSError):
            found += [int(pid) for pid in Path(folder, "cgroup.procs").read_text().split()]
    return found


def cpu_seconds(group: Path) -> float:
    """CPU seconds that the group's tree has used, those of ended processes included."""
    counter = group / "cpuacct.usage"
    if counter.exists():
        return int(counter.read_text()) / 1e9
    return int((group / "cpu.stat").read_text().split()[1]) / 1e6
