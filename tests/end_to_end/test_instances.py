"""Two installations on one host: neither touches the other, and each takes away its own and nothing else."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from tests.end_to_end.host import ENVIRONMENT, PROGRAM, Host
from tests.end_to_end.machine import RUN, SETTINGS
from tests.end_to_end.namespaces import until
from tests.end_to_end.registry import Registry

pytestmark = [pytest.mark.root, pytest.mark.host]

WEB = """
services:
  web:
    image: ${REGISTRY}/web:PAGE
    ports: ["PORT:8080"]
    restart: always
    stop_grace_period: 2s
"""


class Second:
    """Another installation on the machine of `host`, with a name, folders and a bit of its own."""

    def __init__(self, host: Host, registry: Registry) -> None:
        self._host = host
        machine = host.machine
        self.name = f"{machine.instance}b"
        self.specs = machine.disk / "second-specs"
        self.specs.mkdir()
        (self.specs / ".env").write_text(f"REGISTRY={Registry.http}\n")
        text = SETTINGS.format(
            instance=self.name, disk=machine.disk, run=f"{RUN}-second", registry=registry.http, ca=registry.ca
        )
        text = text.replace(f'"{machine.disk}/specs"', f'"{self.specs}"').replace("/state", "/second-state")
        self.settings = machine.disk / "second.toml"
        self.settings.write_text(f"{text}packet_mark = 0x2000\n")

    def run(self, *arguments: str, code: int = 0) -> str:
        """What the program says with the settings of this installation."""
        enter = self._host.machine.inside
        return enter.run(*PROGRAM, *arguments, "--config", self.settings, env=ENVIRONMENT, code=code)


@pytest.fixture
def second(host: Host, registry: Registry) -> Iterator[Second]:
    """Two installations, each with a web server."""
    made = Second(host, registry)
    host.write("one.yaml", WEB.replace("PAGE", "1").replace("PORT", "8081"))
    (made.specs / "two.yaml").write_text(WEB.replace("PAGE", "2").replace("PORT", "8082"))
    host.start()
    host.until_converged("one-web-1")
    made.run("run", "--once")
    yield made
    made.run("down")


def _both_answer(host: Host) -> None:
    for inside in (False, True):
        assert host.http(8081, inside=inside) == "one\n"
        assert host.http(8082, inside=inside) == "two\n"


def test_two_installations_do_not_touch_each_other(host: Host, second: Second) -> None:
    before = host.pids()
    _both_answer(host)
    assert len(host.machine.tables()) == 4
    second.run("run", "--once")
    host.until_converged("one-web-1")
    _both_answer(host)
    assert host.pids() == before


def test_down_takes_away_its_own_and_nothing_of_the_other(host: Host, second: Second) -> None:
    host.end(signal.SIGTERM)
    host.reconciler("down")
    assert {name for _, name in host.machine.tables()} == {f"reconciler-{second.name}"}
    assert host.http(8082) == "two\n"
    assert host.refuses(8081)
    second.run("down")
    until(lambda: set(host.machine.leftovers()) <= {"cgroups"}, "nothing is left of both")
    assert host.machine.links() == set()
    assert host.machine.routing_rules() == []
