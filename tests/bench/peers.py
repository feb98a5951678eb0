"""Docker and podman as the distribution ships them, each in its cell with a store of its own."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from pathlib import Path

from tests.bench import workload
from tests.bench.contender import Contender, Look
from tests.bench.probe import wait_until

ONE_NETWORK = "bench"
RUNS_AT_ONCE = 4  # docker run, where there is no compose
PODMAN_AT_ONCE = 2  # more are slower: podman's processes wait for one another's locks
LIMITS = """
[containers]
default_ulimits = ["nofile=1024:20000", "nproc=90000:90000"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "{runtime}"
[network]
network_backend = "netavark"
network_config_dir = "{folder}/networks"
"""
STORAGE = """
[storage]
driver = "overlay"
graphroot = "{folder}/store"
runroot = "/run/containers/storage"
"""


def find_compose() -> list[str]:
    """The command of Compose version 2, installed as a plugin or on its own; [] where there is none."""
    for command in (["docker", "compose"], ["docker-compose"]):
        if shutil.which(command[0]) is None:
            continue
        said = subprocess.run([*command, "version", "--short"], capture_output=True, text=True, check=False)
        if said.returncode == 0 and not said.stdout.startswith("1."):
            return command
    return []


def container(name: str, port: int) -> list[str]:
    """What `docker run` and `podman run` are told alike."""
    publish = f"127.0.0.1:{port}:80"
    return ["run", "-d", "--name", name, "--restart", "always", "-p", publish, workload.TAG, workload.COMMAND, name]


def compose_file(image: str, ports: dict[str, int]) -> str:
    """The same containers as a Compose document; JSON is YAML."""
    services = {
        name: {
            "image": image,
            "command": [workload.COMMAND, name],
            "ports": [f"127.0.0.1:{port}:80"],
            "restart": "always",
        }
        for name, port in ports.items()
    }
    return json.dumps({"name": "bench", "services": services})


class Docker(Contender):
    """dockerd; one container by `docker run -d`, many by `docker compose up -d`."""

    name = "docker"
    engine = "dockerd"
    idles = True
    compose: list[str] = []  # noqa: RUF012 - set once, by the command line

    def prepare(self) -> None:
        """Start dockerd with its own store and socket, wait until it answers, load the image."""
        command = ["dockerd", "--data-root", str(self.folder / "store"), "--storage-driver", "overlay2"]
        self.cell.call("spawn", command, str(self.folder / "log"))
        wait_until(self._answers, "dockerd")
        self.cell.call("run", ["docker", "load", "-i", str(self.workload.archive)])
        self._composed = False

    def _answers(self) -> bool:
        time.sleep(0.2)
        done = "docker version >/dev/null 2>&1 && echo yes || true"
        return bool(self.cell.call("run", ["sh", "-c", done]))

    def up(self, ports: dict[str, int]) -> None:
        """By compose where it is, else by several `docker run` at once."""
        self._composed = len(ports) > 1 and bool(self.compose)
        if self._composed:
            (self.folder / "compose.yaml").write_text(compose_file(workload.TAG, ports))
            self._compose("up", "-d")
        else:
            self.cell.call(
                "run_all", [["docker", *container(name, port)] for name, port in ports.items()], RUNS_AT_ONCE
            )

    def _compose(self, *words: str) -> None:
        self.cell.call("run", [*self.compose, "-f", str(self.folder / "compose.yaml"), *words])

    def down(self, names: list[str]) -> None:
        """By the same way back."""
        if self._composed:
            self._compose("down")
        else:
            self.cell.call("run", ["docker", "rm", "-f", *names])

    def again(self) -> Look | None:
        """`docker compose up -d`, nothing changed."""
        if not self._composed:
            return None
        cpu, begin = self.cell.cpu(), time.perf_counter()
        self._compose("up", "-d")
        return Look(wall=time.perf_counter() - begin, cpu=self.cell.cpu() - cpu)


class Podman(Contender):
    """podman run; it has no daemon."""

    name = "podman"
    runtime = "crun" if shutil.which("crun") else "runc"

    def __init__(self, folder: Path, made: workload.Workload) -> None:
        super().__init__(folder, made)
        for name, text in (("containers.conf", LIMITS), ("storage.conf", STORAGE)):
            (self.folder / name).write_text(text.format(runtime=self.runtime, folder=self.folder))
        self.environment = {
            "CONTAINERS_CONF": str(self.folder / "containers.conf"),
            "CONTAINERS_STORAGE_CONF": str(self.folder / "storage.conf"),
        }

    def prepare(self) -> None:
        """Load the image."""
        self.cell.call("run", ["podman", "load", "-i", str(self.workload.archive)])

    def up(self, ports: dict[str, int]) -> None:
        """Several at once."""
        self.cell.call("run_all", [["podman", *container(name, port)] for name, port in ports.items()], PODMAN_AT_ONCE)

    def down(self, names: list[str]) -> None:
        """All in one command."""
        self.cell.call("run", ["podman", "rm", "-f", *names])
