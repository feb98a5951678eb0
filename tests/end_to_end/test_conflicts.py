"""A port that somebody else has: found before anything is touched, and named with both owners."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.end_to_end.host import DIFFERENT, Host
from tests.end_to_end.namespaces import child_of, until

pytestmark = [pytest.mark.root, pytest.mark.host]

WEB = """
services:
  web:
    image: ${REGISTRY}/web:1
    ports: ["8080:8080"]
"""
LISTENS = "import socket, signal; s = socket.create_server(('0.0.0.0', 8080)); signal.pause()"


@pytest.fixture
def listener(host: Host) -> Iterator[subprocess.Popen[bytes]]:
    """A program of somebody else that listens on port 8080 of the machine."""
    process = subprocess.Popen(host.machine.inside.enter(sys.executable, "-c", LISTENS))
    until(lambda: not host.refuses(8080), "it listens")
    yield process
    process.kill()
    process.wait()


def _waits(host: Host) -> str:
    return "\n".join(host.ask("/v1/plan")["text"])


def test_foreign_listener_is_named_and_nothing_is_touched_until_it_ends(
    host: Host, listener: subprocess.Popen[bytes]
) -> None:
    inside = next(pid for pid, line in host.machine.processes().items() if LISTENS in line)
    host.write("web.yaml", WEB)
    host.start()
    host.until(
        lambda: f"python (process {inside}) listens there" in _waits(host), "the conflict is told, and with whom"
    )
    assert "container:web-web-1: waits: cannot publish host port *:8080/tcp" in _waits(host)
    assert "python" in host.reconciler("status", code=DIFFERENT)
    assert host.pids() == {}
    assert not host.refuses(8080), "the other program still answers"
    subprocess.run(["kill", "-KILL", str(child_of(listener.pid))], check=True)
    host.until_converged("web-web-1")
    assert host.http(8080) == "one\n"


def test_foreign_listener_that_comes_later_stops_nothing(host: Host) -> None:
    host.write("web.yaml", WEB)
    host.start()
    host.until_converged("web-web-1")
    before = host.pids()
    later = subprocess.Popen(host.machine.inside.enter(sys.executable, "-c", LISTENS))
    try:
        host.write("web.yaml", f"# looked at again\n{WEB}")
        host.until_converged("web-web-1")
        assert host.http(8080) == "one\n"
        assert host.pids() == before
    finally:
        subprocess.run(["kill", "-KILL", str(child_of(later.pid))], check=True)
        later.wait()


def test_two_apps_that_want_one_port_are_both_named(host: Host) -> None:
    host.write("first.yaml", WEB)
    host.start()
    host.until_converged("first-web-1")
    before = host.pids()
    host.write("second.yaml", WEB)
    host.until(lambda: host.ask("/v1/status")["troubles"], "the conflict is told")
    said = str(host.ask("/v1/status")["troubles"])
    assert "first" in said, said
    assert "second" in said, said
    assert host.pids() == before
    assert host.http(8080) == "one\n"
