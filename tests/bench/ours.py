"""The program itself, and the floor below it."""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

from tests.bench.cell import CellError
from tests.bench.contender import Contender, Look
from tests.bench.peers import compose_file
from tests.bench.probe import wait_until

NUDGES = 10
RUN = "/run/reconciler"  # in memory, as on any host
OWNER, SHARED = "owner", "bench"
PAUSE = 0.1  # between nudges, so that each is a look of its own


class Reconciler(Contender):
    """`reconciler run` on a directory of specs, one file a container; the bench only renames and unlinks files.

    All of them join one network that is there beforehand, as the containers of `docker run` do.
    """

    engine = "reconciler"
    idles = True
    kept = 1  # the one that the network belongs to
    runtime = "runc"

    def prepare(self) -> None:
        """Start the daemon on an empty directory and wait for its socket; the first spec brings the image."""
        self.specs, self._aside, self.state = (self.folder / part for part in ("specs", "aside", "state"))
        for folder in (self.specs, self._aside, self.state):
            folder.mkdir()
        self._socket = Path(f"/proc/{self.cell.first}/root{RUN}/status.sock")
        self.cell.call("spawn", self.command(), str(self.folder / "log"))
        wait_until(self._listens, "the daemon's socket")
        self._fetch_image()

    def _listens(self) -> bool:
        if not any(self.engine in self.cell.words(pid) for pid in self.cell.processes()):
            raise CellError("the daemon has ended")
        return self._socket.exists()

    def command(self) -> list[str]:
        """The daemon's command line."""
        places = ["--state", str(self.state), "--run-directory", RUN]
        return [sys.executable, "-m", "reconciler", "run", str(self.specs), "--instance", "bench",
                "--runtime", self.runtime, "--max-removal", "1000000", *places]  # fmt: skip

    def _fetch_image(self) -> None:
        self._write(OWNER, {OWNER: 19999}, {"name": SHARED})
        self.wait_up({OWNER: 19999})

    def up(self, ports: dict[str, int]) -> None:
        """Rename the specs into the directory."""
        for name, port in ports.items():
            self._write(name, {name: port}, {"name": SHARED, "external": True})

    def up_with(self, ports: dict[str, int], more: dict[str, object]) -> None:
        """As `up`, with `more` in each service; what runs already is changed."""
        for name, port in ports.items():
            self._write(name, {name: port}, {"name": SHARED, "external": True}, more)

    def _write(
        self, stem: str, ports: dict[str, int], network: dict[str, object], more: dict[str, object] | None = None
    ) -> None:
        document = json.loads(compose_file(f"oci:{self.workload.layout}:1", ports))
        for service in document["services"].values():
            service.update(more or {})
        path = self._aside / f"{stem}.yaml"
        path.write_text(json.dumps({**document, "name": stem, "networks": {"default": network}}))
        path.rename(self.specs / path.name)

    def down(self, names: list[str]) -> None:
        """Unlink the specs."""
        for path in self._declared():
            path.unlink()

    def _declared(self) -> list[Path]:
        return [path for path in self.specs.iterdir() if path.stem != OWNER]

    def leftovers(self) -> int:
        """Folders of containers in the state directory."""
        containers = self.state / "containers"
        return len(os.listdir(containers)) - self.kept if containers.exists() else 0

    def again(self) -> Look | None:
        """One spec is renamed into place with the same text: a look that reads one file and finds nothing to do."""
        path = self._declared()[0]
        before = self.cell.cpu()
        for _ in range(NUDGES):
            self._nudge(path)
        cpu = (self.cell.cpu() - before) / NUDGES
        return Look(cpu=cpu, wall=self._look_wall(path))

    def _nudge(self, path: Path) -> None:
        aside = self._aside / path.name
        aside.write_bytes(path.read_bytes())
        aside.rename(path)
        time.sleep(PAUSE)

    def _look_wall(self, path: Path) -> float | None:
        """Median of what the daemon says that its last look took; asking costs CPU, so this is done apart."""
        if "look_wall" not in self.ask("/v1/status"):
            return None
        said: list[float] = []
        for _ in range(NUDGES):
            self._nudge(path)
            said.append(self.ask("/v1/status")["look_wall"])
        return median(said)

    def wait_converged(self) -> None:
        """Until the daemon says that nothing is left to do."""
        wait_until(lambda: bool(self.ask("/healthz")["converged"]), "everything to be as the specs say")

    def ask(self, path: str) -> dict[str, Any]:
        """GET on the daemon's socket."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(self._socket))
            connection.sendall(f"GET {path} HTTP/1.0\r\nHost: bench\r\n\r\n".encode())
            reply = b"".join(iter(lambda: connection.recv(65536), b""))
        document: dict[str, Any] = json.loads(reply.partition(b"\r\n\r\n")[2] or b"{}")
        return document


class ReconcilerRunc(Reconciler):
    """With the default runtime."""

    name = "reconciler-runc"


class ReconcilerCrun(Reconciler):
    """With the faster runtime."""

    name = "reconciler-crun"
    runtime = "crun"


class ReconcilerAlone(ReconcilerCrun):
    """An app, and so a network with a bridge, rules and a resolver of its own, for each container."""

    name = "reconciler-own-networks"
    kept = 0

    def _fetch_image(self) -> None:
        self.up({"first": 19999})
        self.wait_up({"first": 19999})
        self.down(["first"])
        self.wait_down()

    def up(self, ports: dict[str, int]) -> None:
        """Rename the specs into the directory."""
        for name, port in ports.items():
            self._write(name, {name: port}, {})


class ReconcilerOneFile(ReconcilerAlone):
    """The same services in one spec, as docker compose has them: one app, one network that is made with them."""

    name = "reconciler-one-file"
    idles = False  # no other than those with a file for each

    def up(self, ports: dict[str, int]) -> None:
        """Rename one spec with all services into the directory."""
        self._write("bench", ports, {})


class Floor(Contender):
    """The floor; it is its own agent."""

    agent_counts = True
    engine = "tests.bench.floor"
    runtime, variant = "runc", "plain"

    def __init__(self, folder: Path, workload: Any) -> None:
        super().__init__(folder, workload)
        self.agent = ("tests.bench.floor", self.runtime, self.variant, str(workload.root), str(self.folder))

    def up(self, ports: dict[str, int]) -> None:
        """By hand."""
        self.cell.call("up", ports)

    def down(self, names: list[str]) -> None:
        """By hand."""
        self.cell.call("down", names)


class FloorRunc(Floor):
    """conmon and runc."""

    name = "floor-runc"


class FloorCrun(Floor):
    """conmon and crun."""

    name, runtime = "floor-crun", "crun"


class FloorFast(Floor):
    """conmon and crun, with both tricks."""

    name, runtime, variant = "floor-fast", "crun", "fast"
