"""Names over time: replicas come and go, the daemon dies, a policy follows what a name means."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from tests.end_to_end.host import Host
from tests.end_to_end.stations import ask
from tests.end_to_end.world import LAN, NAMED, OUTSIDE, World

pytestmark = [pytest.mark.root, pytest.mark.host]

APP = """
services:
  web:
    image: ${REGISTRY}/sleeper:1
    deploy: {replicas: 3}
    ports: ["8000:80"]
  client:
    image: ${REGISTRY}/sleeper:1
    x-egress: ["outside.test:7000"]
"""
RUNS = ("app-client-1", "app-web-1", "app-web-2", "app-web-3")


@pytest.fixture
def world(host: Host) -> Iterator[World]:
    """Three replicas of a service, and who asks for them."""
    made = World(host)
    made.upstream.known["outside.test"] = [OUTSIDE]
    host.write("app.yaml", APP)
    host.start()
    host.until_converged(*RUNS)
    made.populate(*RUNS)
    yield made
    made.end()


def _addresses(world: World, *numbers: int) -> set[str]:
    return {world.address(f"app-web-{number}", 4) for number in numbers}


def _answers(world: World) -> set[str]:
    """Which replicas answer at the published port."""
    outside = world.stations["outside"]
    return {outside.do(ask, "tcp", LAN, 8000, 2.0).result() for _ in range(40)}


def test_service_means_all_replicas_and_after_one_ended_the_others(world: World) -> None:
    assert set(world.lookup("client", "web").found) == _addresses(world, 1, 2, 3)
    assert world.lookup("client", "app-web-2").found == (world.address("app-web-2", 4),)
    assert _answers(world) == {"app-web-1", "app-web-2", "app-web-3"}
    others = _addresses(world, 1, 3)
    world.host.kill("app-web-2")  # its restart policy is `no`
    world.host.until(lambda: set(world.lookup("client", "web").found) == others, "the others are left")
    world.host.until(lambda: _answers(world) == {"app-web-1", "app-web-3"}, "the others answer")


def test_names_and_ports_outlive_the_daemon(world: World) -> None:
    host, before = world.host, {pid for pid, line in world.host.machine.processes().items() if "dnsmasq" in line}
    host.end(signal.SIGKILL)
    assert set(world.lookup("client", "web").found) == _addresses(world, 1, 2, 3)
    assert world.lookup("client", "outside.test").found == (OUTSIDE,)
    assert _answers(world) == {"app-web-1", "app-web-2", "app-web-3"}
    host.start()
    host.until_converged(*RUNS)
    assert {pid for pid, line in host.machine.processes().items() if "dnsmasq" in line} == before


def test_a_destination_by_name_is_open_and_others_are_not(world: World) -> None:
    client = world.stations["client"]
    world.host.until(
        lambda: client.do(ask, "tcp", OUTSIDE, NAMED, 0.5).result() == "outside", "what the name means is open"
    )
    assert client.do(ask, "tcp", OUTSIDE, NAMED + 1, 0.5).result() == ""


def test_outside_names_follow_the_host_s_resolvers(world: World) -> None:
    assert world.lookup("client", "later.test").found == ()
    world.upstream.known["later.test"] = ["192.0.2.5"]
    assert world.lookup("app-web-1", "later.test").found == ("192.0.2.5",)
