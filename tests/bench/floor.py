"""The floor: a warm process that mounts, wires and runs conmon and the runtime by hand, and checks nothing.

It is what the kernel, conmon and the runtime cost with nobody above them, and so the limit for any engine that is
built on them. It runs as the agent of its cell, keeps its state in memory, and shares no code with `reconciler`.
The fast variant adds the two tricks: the cgroup lock is taken once beforehand, and the start FIFO is opened here.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench import cgroups, floor_bundle, kernel, netlink, workload
from tests.bench.agent import serve

BRIDGE, GATEWAY, PREFIX = "floor0", "10.77.0.1", 16
WORKERS = 4  # each start waits for the kernel half of its time


@dataclass(slots=True)
class Run:
    """One container: what was made for it, and the process that runs now."""

    name: str
    port: int
    address: str
    folder: Path
    namespace: int = -1
    generation: int = 0
    pid: int = -1
    pidfd: int = -1
    ending: bool = False

    @property
    def id(self) -> str:
        """The runtime's name for the current generation."""
        return f"{self.name}-{self.generation}"


@dataclass(slots=True)
class Phases:
    """Milliseconds by phase, one entry a start."""

    seen: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Time what happens inside."""
        begin = time.perf_counter()
        yield
        self.seen[name].append((time.perf_counter() - begin) * 1000)


class Floor:
    """Starts, restarts and removes containers."""

    def __init__(self, runtime: str, fast: bool, lower: str, folder: Path) -> None:
        self._runtime, self._fast, self._lower, self._folder = shutil.which(runtime) or runtime, fast, lower, folder
        self._conmon = shutil.which("conmon") or "conmon"
        self._runs: dict[str, Run] = {}
        self._numbers = iter(range(2, 60000))
        self._lock = threading.Lock()
        self._phase = Phases()
        self._seccomp = json.dumps(floor_bundle.seccomp())
        self._home = os.open("/proc/self/ns/net", os.O_RDONLY)
        self._links, self._rules = netlink.Netlink(), netlink.Netlink(netlink.NETFILTER)
        subprocess.run(["nft", "-f", "-"], input=netlink.RULES, text=True, check=True)
        self._bridge = self._links.bridge(BRIDGE, GATEWAY, PREFIX)
        Path(f"/proc/sys/net/ipv4/conf/{BRIDGE}/route_localnet").write_text("1")
        self._watched = select.epoll()
        threading.Thread(target=self._watch, daemon=True).start()

    # --- what the bench asks for ---------------------------------------------------------------------------------

    def up(self, ports: dict[str, int]) -> None:
        """Start containers, each publishing its port on loopback."""
        if self._fast:
            threading.Thread(target=take_cgroup_lock).start()
        with ThreadPoolExecutor(WORKERS) as pool:
            list(pool.map(self._start, ports, ports.values()))

    def down(self, names: list[str]) -> None:
        """Remove containers."""
        with ThreadPoolExecutor(WORKERS) as pool:
            list(pool.map(self._remove, names))

    def phases(self) -> dict[str, list[float]]:
        """What each part of the starts took, in milliseconds."""
        return self._phase.seen

    # --- one container -------------------------------------------------------------------------------------------

    def _start(self, name: str, port: int) -> None:
        number = next(self._numbers)
        address = f"10.77.{number >> 8}.{number & 255}"
        run = Run(name, port, address, self._folder / f"{name}-{number}")
        with self._phase("mount"):
            self._mount(run)
        with self._phase("namespace"):
            run.namespace, inner = new_namespace(self._home)
        with self._phase("network"):
            self._wire(run, inner, number)
        self._runs[name] = run
        self._launch(run)

    def _mount(self, run: Run) -> None:
        for part in ("upper", "work", "root"):
            (run.folder / part).mkdir(parents=True)
        options = f"lowerdir={self._lower},upperdir={run.folder}/upper,workdir={run.folder}/work"
        kernel.mount("overlay", f"{run.folder}/root", "overlay", options=options)

    def _wire(self, run: Run, inner: netlink.Netlink, number: int) -> None:
        with self._lock:
            self._links.veth(number, self._bridge, run.namespace)
            self._rules.element(netlink.NEWSETELEM, run.port, run.address)
        inner.inside(run.address, PREFIX, GATEWAY)
        inner.close()

    def _launch(self, run: Run) -> None:
        with self._phase("config.json"):
            self._write_bundle(run)
        with self._phase("create"):
            run.pid = self._create(run)
        with self._phase("start"):
            self._release(run)
        run.pidfd = os.pidfd_open(run.pid)
        self._watched.register(run.pidfd, select.EPOLLIN)

    def _write_bundle(self, run: Run) -> None:
        namespace = f"/proc/{os.getpid()}/fd/{run.namespace}"
        config = floor_bundle.config(f"{run.folder}/root", [workload.COMMAND, run.name], namespace, f"/floor/{run.id}")
        text = json.dumps(config)
        (run.folder / "config.json").write_text(f'{text[:-2]}, "seccomp": {self._seccomp}}}}}')

    def _create(self, run: Run) -> int:
        """conmon and the runtime's `create`; conmon writes the process's number to its sync pipe."""
        reading, writing = os.pipe()
        command = [self._conmon, "--api-version", "1", "-c", run.id, "-u", run.id, "-r", self._runtime]
        command += ["-b", str(run.folder), "-p", f"{run.folder}/pid", "-l", f"k8s-file:{run.folder}/log"]
        command += ["--no-sync-log", "--full-attach"]
        started = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            pass_fds=[writing], env={**os.environ, "_OCI_SYNCPIPE": str(writing)},
        )  # fmt: skip
        os.close(writing)
        with open(reading) as pipe:
            reply = json.loads(pipe.readline() or "{}")
        started.wait()
        if reply.get("data", reply.get("pid", -1)) <= 0:
            raise OSError(f"cannot create {run.id}: {reply.get('message', 'conmon said nothing')}")
        return int(reply.get("data") or reply["pid"])

    def _release(self, run: Run) -> None:
        """`runtime start`; the fast variant opens the FIFO at which the container's process waits."""
        if not self._fast:
            subprocess.run([self._runtime, "start", run.id], check=True)
            return
        if self._runtime.endswith("crun"):
            Path(f"/run/crun/{run.id}/exec.fifo").write_bytes(b"0")
        else:
            fifo = Path(f"/run/runc/{run.id}/exec.fifo")
            fifo.read_bytes()
            fifo.unlink()

    def _remove(self, name: str) -> None:
        run = self._runs.pop(name)
        run.ending = True
        signal.pidfd_send_signal(run.pidfd, signal.SIGTERM)
        select.select([run.pidfd], [], [], 10)
        self._delete(run.id)
        with self._lock:
            self._rules.element(netlink.DELSETELEM, run.port, run.address)
        kernel.unmount(f"{run.folder}/root")
        os.close(run.pidfd)
        os.close(run.namespace)
        shutil.rmtree(run.folder)

    def _delete(self, id: str) -> None:
        subprocess.run([self._runtime, "delete", "-f", id], check=True, stderr=subprocess.DEVNULL)

    # --- repair --------------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        while True:
            for descriptor, _ in self._watched.poll():
                self._watched.unregister(descriptor)
                for run in [run for run in self._runs.values() if run.pidfd == descriptor and not run.ending]:
                    self._restart(run)

    def _restart(self, run: Run) -> None:
        """The next generation under a new name in the same namespace and mount; the old one is deleted after."""
        if self._fast:
            threading.Thread(target=take_cgroup_lock).start()
        old, descriptor = run.id, run.pidfd
        run.generation += 1
        self._launch(run)
        os.close(descriptor)
        self._delete(old)


def take_cgroup_lock() -> None:
    """Join the group that we are in, so that the runtime's moves find the kernel's grace period already paid."""
    hierarchy = cgroups.hierarchies()[0]
    (hierarchy.mountpoint / hierarchy.own.lstrip("/") / "cgroup.procs").write_text("0")


def new_namespace(home: int) -> tuple[int, netlink.Netlink]:
    """A network namespace and a netlink socket in it, made by this thread, which then returns `home`."""
    kernel.unshare(kernel.NEWNET)
    try:
        return os.open("/proc/thread-self/ns/net", os.O_RDONLY), netlink.Netlink()
    finally:
        kernel.setns(home)


def main(descriptor: int, runtime: str, variant: str, lower: str, folder: str) -> None:
    """Serve the bench as the agent of a cell."""
    floor = Floor(runtime, variant == "fast", lower, Path(folder))
    serve(descriptor, {"up": floor.up, "down": floor.down, "phases": floor.phases})


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:6])
