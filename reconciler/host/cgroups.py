"""Control groups: which kind the host has, where ours are, and what they count. cgroup v1, v2 and the mix of both.

Containers are put in their groups by the OCI runtime; only monitors are moved here. Nothing is limited here.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from reconciler.errors import HostError
from reconciler.host.run import run

Driver = Literal["cgroupfs", "systemd"]

ROOT = Path("/sys/fs/cgroup")
# The hierarchies of v1 in which a service manager limits or tracks what it started.
_TRACKED = ("memory", "pids", "cpu", "systemd", "unified")


@dataclass(frozen=True, slots=True)
class Cgroups:
    """The host's control groups, as `instance` uses them. `unified`: only v2; otherwise v1, beside it perhaps v2."""

    instance: str
    driver: Driver
    unified: bool
    root: Path = ROOT

    def path(self, name: str) -> str:
        """`cgroupsPath` of the runtime-spec, in the form that the driver wants."""
        if self.driver == "systemd":
            return f"{self.instance}.slice:{self.instance}:{name}"
        return f"/{self.instance}/{name}"

    def folder(self, name: str, controller: str) -> Path:
        """Where the group of the run `name` is, for a controller of v1; v2 has one for all."""
        base = self.root if self.unified else self.root / controller
        if self.driver == "systemd":
            return base / slice_path(self.instance) / f"{self.instance}-{name}.scope"
        return base / self.instance / name

    def oom_kills(self, name: str) -> int:
        """How often the kernel killed for want of memory in the group of the run `name`; 0 when it is gone."""
        file = "memory.events" if self.unified else "memory.oom_control"
        return _count(_text(self.folder(name, "memory") / file), "oom_kill")

    def adopt_monitor(self, pid: int) -> None:
        """Move a monitor to where no container's limit and no restart of the daemon's own service reaches it.

        Best effort: a host that forbids it still runs containers.
        """
        for folder in self._monitors():
            with contextlib.suppress(OSError):
                folder.mkdir(parents=True, exist_ok=True)
                (folder / "cgroup.procs").write_text(str(pid))

    def _monitors(self, *, every: bool = False) -> tuple[Path, ...]:
        place = Path(slice_path(self.instance) if self.driver == "systemd" else self.instance) / "monitors"
        if self.unified:
            return (self.root / place,)
        names = [path.name for path in self.root.iterdir() if path.is_dir()] if every else _TRACKED
        return tuple(self.root / name / place for name in names if (self.root / name).is_dir())

    def swap_limits(self) -> bool:
        """Whether swap can be limited: v1 only counts it when the kernel was told to, v2 when it has the file."""
        if not self.unified:
            return (self.root / "memory" / "memory.memsw.limit_in_bytes").exists()
        return any(self.root.glob("*/memory.swap.max"))

    def pids_limits(self) -> bool:
        """Whether the number of processes can be limited: some kernels and containers have no such controller."""
        if not self.unified:
            return (self.root / "pids").is_dir()
        return "pids" in _text(self.root / "cgroup.controllers").split()

    def remove(self) -> None:
        """Delete our groups, once nothing is in them any more; repeatable. One that is still used stays."""
        if self.driver == "systemd":
            self._stop_slices()
        for monitors in self._monitors(every=True):
            ours = monitors.parent
            left = [path for path in ours.glob("*") if path.is_dir()]  # also of runs whose record a reboot took
            for folder in (*left, ours):
                with contextlib.suppress(OSError):
                    folder.rmdir()

    def _stop_slices(self) -> None:
        """Our slice, and those above it (`a-b.slice` is in `a.slice`) unless they have others below them."""
        own = self.root / slice_path(self.instance)
        for folder in (own, *own.parents):
            above = folder != own
            if folder == self.root or (above and any(path.is_dir() for path in folder.glob("*"))):
                return
            with contextlib.suppress(HostError):
                run(["systemctl", "stop", folder.name])

    def freshen(self) -> None:
        """Join our own group once more: the next real move of a process then need not wait for the kernel.

        The first write to a cgroup.procs waits for an RCU grace period (some 10 ms), those soon after it do not.
        """
        with contextlib.suppress(OSError, StopIteration):
            line = next(line for line in own_groups() if self.unified or ":pids:" in line)
            _, name, path = line.split(":", 2)
            (self.root / name / path.lstrip("/") / "cgroup.procs").write_text("0")


def detect(instance: str, driver: str = "auto", root: Path = ROOT) -> Cgroups:
    """The host's control groups. `auto` is systemd where it runs and v2 is all there is, as in Docker."""
    unified = (root / "cgroup.controllers").exists()
    managed = unified and Path("/run/systemd/system").is_dir()
    chosen: Driver = "systemd" if driver == "systemd" or (driver == "auto" and managed) else "cgroupfs"
    return Cgroups(instance, chosen, unified, root)


def slice_path(instance: str) -> str:
    """Where systemd puts the slice of `instance`: each dash is a level (systemd.slice(5))."""
    parts = instance.split("-")
    return "/".join("-".join(parts[: level + 1]) + ".slice" for level in range(len(parts)))


def own_groups() -> list[str]:
    """The lines of /proc/self/cgroup: `number:controllers:path`."""
    return Path("/proc/self/cgroup").read_text().splitlines()


def _count(text: str, name: str) -> int:
    pairs = (line.split() for line in text.splitlines())
    return next((int(pair[1]) for pair in pairs if len(pair) == 2 and pair[0] == name), 0)


def _number(path: Path) -> int:
    return int(path.read_text())


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
