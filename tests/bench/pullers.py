"""Who pulls: each with an empty store in a folder of its own, its processes in one control group, so that their
CPU seconds and memory can be told without asking them. Called by `pull`.

What stays running between pulls (the daemons, our process, the floor's) is started by `ready` and not measured.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.bench import cgroups

SERVE = "from tests.bench import {module}; {module}.serve()"


class PullError(Exception):
    """A contender could not; what it said."""


class Group:
    """A control group, and programs in it: of this host, or of another release that is unpacked in `root`."""

    def __init__(self, folders: list[Path], root: Path | None = None) -> None:
        self._folders = folders
        self._root = root
        self._counter = cgroups.counting(folders)

    def seconds(self) -> float:
        """CPU seconds so far."""
        return cgroups.cpu_seconds(self._counter)

    def memory(self) -> int:
        """Bytes of anonymous memory that its processes have now."""
        return sum(_anonymous(pid) for pid in cgroups.processes(self._counter))

    def argv(self, argv: Sequence[str]) -> list[str]:
        """`argv`, to be run in the group."""
        enter = "".join(f"echo $$ > {folder}/cgroup.procs; " for folder in self._folders)
        there = ["chroot", str(self._root)] if self._root else []
        return ["sh", "-euc", f'{enter} exec "$@"', "sh", *there, *argv]

    def run(self, argv: Sequence[str]) -> None:
        """Run it to its end. Raises PullError."""
        done = subprocess.run(self.argv(argv), capture_output=True, text=True, check=False)
        if done.returncode:
            raise PullError(done.stderr.strip()[-400:])

    @contextmanager
    def daemon(self, argv: Sequence[str], log: Path, client: Sequence[str]) -> Iterator[None]:
        """`argv` running, from when `client` gets an answer from it."""
        with log.open("wb") as output:
            started = subprocess.Popen(self.argv(argv), stdout=output, stderr=output, stdin=subprocess.DEVNULL)
        try:
            while subprocess.run(self.argv(client), capture_output=True, check=False).returncode:
                if started.poll() is not None:
                    raise PullError(log.read_text()[-400:])
                time.sleep(0.1)
            yield
        finally:
            started.terminate()
            started.wait(30)


class Puller(ABC):
    """A contender. `programs` are what it needs."""

    name: str
    programs: tuple[str, ...] = ()

    def __init__(self, group: Group) -> None:
        self.group = group

    @contextmanager
    def ready(self, top: Path) -> Iterator[None]:
        """While it could pull into the folder `top`."""
        self.top = top
        yield

    @abstractmethod
    def pull(self, reference: str) -> int:
        """Pull once. By how many bytes the peak of the process that stays has grown, 0 where there is none."""


class Warm(Puller):
    """A Python process that has been there for long: it has loaded what it needs, and asked the registry once."""

    module: str

    @contextmanager
    def ready(self, top: Path) -> Iterator[None]:
        """Start it; it says a line when it is there."""
        argv = self.group.argv([sys.executable, "-c", SERVE.format(module=self.module), str(top)])
        with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as self._process:
            self._line()
            try:
                yield
            finally:
                self._process.communicate()

    def pull(self, reference: str) -> int:
        """One line asks, one line answers: how much more memory the process has had at its peak."""
        assert self._process.stdin
        self._process.stdin.write(reference + "\n")
        self._process.stdin.flush()
        return int(self._line())

    def _line(self) -> str:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise PullError("its process has ended")
        return line


class Reconciler(Warm):
    """The daemon's own store, in a process that does nothing else."""

    name = "reconciler"
    module = "pull_ours"


class Floor(Warm):
    """What the work itself costs."""

    name = "floor-pull"
    module = "floor_pull"


class Docker(Puller):
    """`docker pull`."""

    name = "docker"
    programs = ("dockerd", "docker")

    @contextmanager
    def ready(self, top: Path) -> Iterator[None]:
        """A daemon without networks, which no pull needs."""
        self._client = ["docker", "-H", f"unix://{top}/d.sock"]
        places = ["--data-root", f"{top}/data", "--exec-root", f"{top}/exec", "-p", f"{top}/pid"]
        quiet = ["--bridge=none", "--iptables=false", "--ip6tables=false", "--ip-forward=false"]
        daemon = ["dockerd", "-H", f"unix://{top}/d.sock", *places, *quiet]
        with self.group.daemon(daemon, top / "log", [*self._client, "version"]):
            yield

    def pull(self, reference: str) -> int:
        """The client waits until the image is unpacked."""
        self.group.run([*self._client, "pull", "-q", reference])
        return 0


class Podman(Puller):
    """`podman pull`, a new process every time."""

    name = "podman"
    programs = ("podman",)

    @contextmanager
    def ready(self, top: Path) -> Iterator[None]:
        """podman takes no long name for what it runs from."""
        self.top = top
        with tempfile.TemporaryDirectory(dir="/run", prefix="p") as self._run:
            yield

    def pull(self, reference: str) -> int:
        """It unpacks while it fetches."""
        places = ["--root", f"{self.top}/root", "--runroot", self._run]
        self.group.run(["podman", *places, "pull", "-q", "--tls-verify=false", reference])
        return 0


class Containerd(Puller):
    """`ctr images pull`."""

    name = "ctr"
    programs = ("containerd", "ctr")

    @contextmanager
    def ready(self, top: Path) -> Iterator[None]:
        """A daemon without the parts for Kubernetes."""
        (top / "config.toml").write_text('version = 2\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n')
        self._client = ["ctr", "-a", f"{top}/c.sock"]
        places = ["--root", f"{top}/root", "--state", f"{top}/state", "--address", f"{top}/c.sock"]
        daemon = ["containerd", "--config", f"{top}/config.toml", *places]
        with self.group.daemon(daemon, top / "log", [*self._client, "version"]):
            yield

    def pull(self, reference: str) -> int:
        """It unpacks as well."""
        self.group.run([*self._client, "images", "pull", "--plain-http", reference])
        return 0


OWN: tuple[type[Puller], ...] = (Reconciler, Floor)
PEERS: tuple[type[Puller], ...] = (Docker, Podman, Containerd)


def _anonymous(pid: int) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:  # it has ended
        return 0
    return sum(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("RssAnon:"))
