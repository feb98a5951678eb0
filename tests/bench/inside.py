"""The first process of a cell: joins the cell's groups, makes its namespaces, mounts what belongs to them, starts
the contender's agent, and reaps whatever is orphaned. When the agent ends, so does it, and the kernel ends the rest.

    python -m tests.bench.inside DESCRIPTOR GROUPS MODULE [ARGUMENT…]

DESCRIPTOR is the socket on which the agent talks with the bench, GROUPS the cell's groups, joined by colons.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

from tests.bench import cgroups, kernel


def main(descriptor: int, groups: list[str], agent: list[str]) -> int:
    """Make the namespaces; the child is process 1 of the cell, the parent only waits for it."""
    kernel.unshare(kernel.NEWNS | kernel.NEWNET | kernel.NEWPID | kernel.NEWIPC | kernel.NEWUTS)
    child = os.fork()
    if child == 0:
        return first_process(descriptor, groups, agent)
    with socket.socket(fileno=descriptor) as channel:
        channel.sendall(json.dumps({"first": child}).encode() + b"\n")
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def first_process(descriptor: int, groups: list[str], agent: list[str]) -> int:
    """Set up, start the agent, reap until it has ended."""
    for group in groups:
        Path(group, "cgroup.procs").write_text("0")
    hierarchies = cgroups.hierarchies()
    kernel.unshare(kernel.NEWCGROUP)
    mount_own(hierarchies)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
    command = [sys.executable, "-m", *agent[:1], str(descriptor), *agent[1:]]
    with subprocess.Popen(command, pass_fds=[descriptor]) as started:
        os.close(descriptor)
        return reap(started.pid)


def reap(agent: int) -> int:
    """Wait for any child until `agent` has ended; everything that loses its parent in the cell comes here."""
    while True:
        ended, status = os.wait()
        if ended == agent:
            os._exit(os.waitstatus_to_exitcode(status) & 0xFF)


def mount_own(hierarchies: list[cgroups.Hierarchy]) -> None:
    """Fresh /proc, /sys, /run and control groups, seen by this cell only."""
    kernel.mount("none", "/", flags=kernel.REC | kernel.PRIVATE)
    kernel.mount("proc", "/proc", "proc")
    kernel.mount("tmpfs", "/run", "tmpfs", options="mode=755")
    kernel.mount("sysfs", "/sys", "sysfs")
    if all(hierarchy.mountpoint != cgroups.ROOT for hierarchy in hierarchies):
        kernel.mount("tmpfs", str(cgroups.ROOT), "tmpfs", options="mode=755")
    for hierarchy in hierarchies:
        hierarchy.mountpoint.mkdir(exist_ok=True)
        kernel.mount("cgroup", str(hierarchy.mountpoint), hierarchy.kind, options=hierarchy.options)
        if hierarchy.kind == "cgroup2":
            hand_out_controllers(hierarchy.mountpoint)


def hand_out_controllers(root: Path) -> None:
    """Version 2: leave the cell's root for a leaf, then let groups below the root have the controllers."""
    controllers = (root / "cgroup.controllers").read_text().split()
    if controllers:
        (root / "cell").mkdir(exist_ok=True)
        (root / "cell" / "cgroup.procs").write_text("0")
        (root / "cgroup.subtree_control").write_text(" ".join(f"+{name}" for name in controllers))


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2].split(":"), sys.argv[3:]))
