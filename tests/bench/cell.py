"""A cell: the namespaces and control groups in which one contender runs, seen from the bench.

Everything that the contender starts is inside, so its CPU seconds, memory and leftovers can be told without asking
it; and one end of a socket holds it all: when the bench ends, however it ends, the cell's processes, mounts and
namespaces end too.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.bench import cgroups, workload

TICKS = os.sysconf("SC_CLK_TCK")


class CellError(Exception):
    """What the agent or the contender complained of."""


class Cell:
    """Use as a context manager. `agent` is the module to run inside, with its arguments."""

    def __init__(self, name: str, agent: list[str], environment: dict[str, str] | None = None) -> None:
        self.name = f"bench-{os.getpid()}-{name}"
        self._agent = agent
        self._environment = {**os.environ, **(environment or {})}

    def __enter__(self) -> Cell:
        with ExitStack() as stack:
            groups = cgroups.make(self.name)
            for group in groups:
                stack.callback(cgroups.remove, group)
            self._counter = cgroups.counting(groups)
            self._start(":".join(map(str, groups)))
            stack.callback(self._end)
            self.first = int(self._reply()["first"])
            self.network = os.open(f"/proc/{self.first}/ns/net", os.O_RDONLY)
            stack.callback(os.close, self.network)
            self._open = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def _start(self, groups: str) -> None:
        self._channel, theirs = socket.socketpair()
        self._lines = self._channel.makefile("rb")
        command = [sys.executable, "-m", "tests.bench.inside", str(theirs.fileno()), groups, *self._agent]
        with theirs:
            self._process = subprocess.Popen(
                command, pass_fds=[theirs.fileno()], env=self._environment, start_new_session=True
            )

    def _end(self) -> None:
        """Close the socket, which ends the agent and with it the cell; an agent that is busy is not waited for."""
        self._lines.close()
        self._channel.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            os.kill(self.first, signal.SIGKILL)
            self._process.wait()

    def call(self, function: str, *arguments: object) -> Any:
        """Have the agent do something; its result."""
        self._channel.sendall(json.dumps({"call": function, "arguments": arguments}).encode() + b"\n")
        reply = self._reply()
        if "error" in reply:
            raise CellError(f"{self.name}: {reply['error']}")
        return reply.get("result")

    def _reply(self) -> dict[str, Any]:
        line = self._lines.readline()
        if not line:
            raise CellError(f"{self.name}: the cell has ended")
        reply: dict[str, Any] = json.loads(line)
        return reply

    def cpu(self) -> float:
        """CPU seconds of everything that ever ran in the cell."""
        return cgroups.cpu_seconds(self._counter)

    def processes(self) -> list[int]:
        """Everything in the cell but its first process."""
        return [pid for pid in cgroups.processes(self._counter) if pid != self.first]

    def words(self, pid: int) -> list[str]:
        """The command line of a process; the first word without its folders."""
        first, *others = _read(pid, "cmdline").split("\0")
        return [os.path.basename(first) if first != workload.COMMAND else first, *others]

    def servers(self) -> dict[str, int]:
        """The workload's processes by the name that each was given."""
        found = {}
        for pid in self.processes():
            words = self.words(pid)
            if words[0] == workload.COMMAND:
                found[words[1]] = pid
        return found

    def overlays(self) -> int:
        """How many root file systems are mounted in the cell."""
        return _read(self.first, "mountinfo").count(" - overlay ")

    def memory(self, agent_counts: bool) -> dict[str, int]:
        """PSS in bytes, by program, of everything but the workload (and but the agent, unless it is the contender)."""
        found: dict[str, int] = {}
        for pid in self.processes():
            words = self.words(pid)
            if words[0] == workload.COMMAND or (not agent_counts and "tests.bench.agent" in words):
                continue
            said = _read(pid, "smaps_rollup").splitlines()
            size = 1024 * sum(int(line.split()[1]) for line in said if line[:4] == "Pss:")
            found[words[0]] = found.get(words[0], 0) + size
        return found


def process_cpu(pid: int) -> float:
    """CPU seconds of one process and its ended threads, not of its children; in steps of a tick (10 ms)."""
    fields = _read(pid, "stat").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def _read(pid: int, name: str) -> str:
    try:
        return Path(f"/proc/{pid}/{name}").read_text()
    except OSError:
        return ""
