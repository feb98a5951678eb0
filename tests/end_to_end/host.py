"""The language of the scenarios: a machine as its user sees it.

Write and remove specs, start and end the daemon, ask over the network, wait until something is so. Waiting is always
for a state that somebody outside can see, with a deadline, and fails with what the daemon itself says.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from tests.end_to_end import namespaces
from tests.end_to_end.machine import RUN, Machine
from tests.end_to_end.namespaces import Namespaces, child_of
from tests.end_to_end.registry import Registry

RUNTIME_ROOT = RUN / "runtime"
CHECKOUT = Path(__file__).resolve().parents[2]
PROGRAM = (sys.executable, "-m", "reconciler")
ENVIRONMENT = {"PYTHONPATH": str(CHECKOUT), "PYTHONDONTWRITEBYTECODE": "1", "COLUMNS": "200"}

SITE = Path(__file__).with_name("site")
SITE_RUNS = ("cache-redis-1", "site-web-1", "site-who-1", "site-who-2", "site-who-3", "worker-sleeper-1")

CONVERGED, INVALID, DIFFERENT, UNREACHABLE = 0, 3, 4, 5  # exit codes


class Host:
    """A machine, the daemon on it, and the directory of specs."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.specs = machine.disk / "specs"
        self._log = machine.disk / "daemon.log"
        self._daemon: subprocess.Popen[bytes] | None = None
        for folder in ("", "worker/"):
            self.write(f"{folder}.env", f"REGISTRY={Registry.http}\nSECURE_REGISTRY={Registry.https}\n")

    # --- specs ---------------------------------------------------------------------------------------------

    def write(self, name: str, text: str) -> Path:
        """Put a spec (or a file beside it) in place as an editor does: written aside, then renamed."""
        path = self.specs / name
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = path.with_name(f".{path.name}.swp")
        aside.write_text(text)
        return aside.rename(path)

    def write_site(self) -> None:
        """Put the specs of `site/` in place, and beside them the `.env` that says where the registry is."""
        for source in sorted(SITE.rglob("*.*")):
            self.write(str(source.relative_to(SITE)), source.read_text())

    def remove(self, *names: str) -> None:
        """Delete specs."""
        for name in names:
            (self.specs / name).unlink()

    # --- the program ---------------------------------------------------------------------------------------

    def reconciler(self, *arguments: str | Path, code: int = 0, before: Sequence[str] = ()) -> str:
        """What the program says as a command on this machine; fails unless it ends with `code`.

        `before` is a command that runs it, such as one that takes rights away.
        """
        return self.machine.inside.run(*before, *PROGRAM, *arguments, env=ENVIRONMENT, code=code)

    def start(self, program: Sequence[str] = PROGRAM) -> None:
        """Start the daemon and wait until its socket answers."""
        with self._log.open("ab") as output:
            self._daemon = subprocess.Popen(
                self.machine.inside.enter(*program, "run"),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **ENVIRONMENT, "RECONCILER_DEBUG": "1"},
            )
        self.until(lambda: self.ask("/healthz")["alive"], "the daemon answers")

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """End the daemon by a signal; its exit code, -n for signal n."""
        assert self._daemon, "the daemon was not started"
        with contextlib.suppress(ProcessLookupError):
            os.kill(child_of(self._daemon.pid), number)
        code = self._daemon.wait(30)
        self._daemon = None
        return code

    def until_it_dies(self) -> int:
        """Wait for the end of a daemon that ends by itself; its exit code, -n for signal n."""
        assert self._daemon, "the daemon was not started"
        try:
            code = self._daemon.wait(30)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the daemon lives on:\n{self.said()}") from None
        self._daemon = None
        return code

    def reboot(self) -> None:
        """Cut the power, switch on again, start the daemon."""
        self.machine.reboot()
        if self._daemon:
            self._daemon.wait(30)
        self.start()

    def said(self, lines: int = 40) -> str:
        """The end of what the daemon wrote."""
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-lines:]) if self._log.exists() else ""

    def logs(self) -> str:
        """The last line of what each container wrote."""
        found = (
            path.read_text(errors="replace").splitlines() for path in self.machine.state.glob("containers/*/log/*")
        )
        return "\n".join(lines[-1] for lines in found if lines)

    # --- the socket ----------------------------------------------------------------------------------------

    def ask(self, path: str, method: str = "GET") -> Any:
        """JSON of the status socket; fails on any answer but 200."""
        code, body = self.request(path, method)
        assert code == 200, f"{path} answers {code}: {body!r}"
        return json.loads(body)

    def request(self, path: str, method: str = "GET") -> tuple[int, bytes]:
        """Code and body that the status socket answers."""
        door = socket.socket(socket.AF_UNIX)
        door.settimeout(10)
        with contextlib.closing(door):
            door.connect(str(self.machine.path(RUN / "status.sock")))
            return _http(door, "localhost", path, method)

    def containers(self) -> dict[str, Any]:
        """Name -> what the status says of each container."""
        return {entry["name"]: entry for entry in self.ask("/v1/status")["containers"]}

    def pids(self) -> dict[str, int]:
        """Name -> process id (as on the machine), of everything that the Docker API lists as running."""
        found = {}
        for entry in self.ask("/containers/json"):
            shown = self.ask(f"/containers/{entry['Id']}/json")
            found[shown["Name"].lstrip("/")] = shown["State"]["Pid"]
        return found

    def process(self, name: str) -> Path:
        """`/proc` of the first process of a container."""
        return self.machine.path(Path("/proc") / str(self.pids()[name]))

    def kill(self, name: str) -> None:
        """Kill the first process of a container, behind the program's back."""
        self.machine.inside.run("kill", "-KILL", str(self.pids()[name]))

    def runtime(self, *arguments: str) -> str:
        """What the container runtime says when somebody asks it behind the program's back."""
        return self.machine.inside.run("runc", "--root", RUNTIME_ROOT, *arguments)

    # --- waiting -------------------------------------------------------------------------------------------

    def until(self, check: Callable[[], object], what: str, seconds: float = 30.0) -> None:
        """Wait until `check` is true; an ended daemon, or a deadline, fails with what the daemon says."""
        try:
            namespaces.until(lambda: self._alive() and check(), what, seconds)
        except AssertionError as error:
            plan = "no answer"
            with contextlib.suppress(OSError, AssertionError):
                plan = "\n".join(self.ask("/v1/plan")["text"])
            message = f"{error}\n--- the plan\n{plan}\n--- the daemon\n{self.said()}\n--- the containers\n{self.logs()}"
            raise AssertionError(message) from None

    def until_converged(self, *running: str, seconds: float = 60.0) -> None:
        """Wait until nothing is left to do and exactly the containers `running` run."""
        self.until(lambda: self._converged(set(running)), f"converged with {sorted(running)}", seconds)

    def _converged(self, names: set[str]) -> bool:
        status = self.ask("/v1/status")
        shown = {entry["name"]: entry["state"] for entry in status["containers"]}
        assert shown == dict.fromkeys(names, "running"), f"{shown}, troubles: {status['troubles']}"
        return bool(status["converged"])

    def _alive(self) -> bool:
        if self._daemon and self._daemon.poll() is not None:
            message = f"the daemon ended with {self._daemon.returncode}:\n{self.said()}"
            raise RuntimeError(message)
        return True

    # --- the network ---------------------------------------------------------------------------------------

    def http(self, port: int, path: str = "/", inside: bool = False, address: str = "") -> str:
        """The page that a visitor gets at a published port, from the network or from the machine itself.

        A server listens a moment after it runs.
        """
        where, target = self._visitor(inside, address)
        with contextlib.closing(namespaces.until(partial(where.connect, target, port), "it listens")) as connection:
            code, body = _http(connection, target, path)
        assert code == 200, f"{path} on port {port} answers {code}"
        return body.decode()

    def redis(self, *words: str, port: int = 6379) -> str:
        """What redis answers to a command, as its protocol writes it (`+PONG`).

        It listens a moment after it runs, and then reads its data for a moment.
        """
        where, target = self._visitor(False, "")
        command = "".join(f"${len(word.encode())}\r\n{word}\r\n" for word in words)

        def answer() -> str:
            with contextlib.closing(where.connect(target, port)) as connection:
                connection.sendall(f"*{len(words)}\r\n{command}".encode())
                said = connection.recv(4096).decode()
            assert not said.startswith("-LOADING")
            return said

        said = namespaces.until(answer, "redis answers")
        return said.split("\r\n")[1] if said.startswith("$") else said.strip()

    def refuses(self, port: int, inside: bool = False, address: str = "") -> bool:
        """Whether nothing answers at a port."""
        where, target = self._visitor(inside, address)
        try:
            where.connect(target, port, timeout=1.0).close()
        except OSError:
            return True
        return False

    def _visitor(self, inside: bool, address: str) -> tuple[Namespaces, str]:
        if inside:
            return self.machine.inside, address or "127.0.0.1"
        return self.machine.network, address or self.machine.address


def _http(connection: socket.socket, name: str, path: str, method: str = "GET") -> tuple[int, bytes]:
    request = http.client.HTTPConnection(name)
    request.sock = connection
    request.request(method, path, headers={"Connection": "close"})
    answer = request.getresponse()
    return answer.status, answer.read()
