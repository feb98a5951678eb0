"""`network_mode`: whose network a container is in, also after its owner was replaced, and after a reboot."""

from __future__ import annotations

import json
import os

import pytest

from tests.end_to_end.host import Host

pytestmark = [pytest.mark.root, pytest.mark.host]

APP = """
services:
  vpn:
    image: ${REGISTRY}/web:1
    ports: ["8080:8080"]
    environment: {REVISION: "1"}
    restart: always
    stop_grace_period: 2s
  rider:
    image: ${REGISTRY}/sleeper:1
    network_mode: service:vpn
    restart: always
  second:
    image: ${REGISTRY}/sleeper:1
    network_mode: service:vpn
    restart: always
  open:
    image: ${REGISTRY}/sleeper:1
    network_mode: host
    restart: always
  closed:
    image: ${REGISTRY}/sleeper:1
    network_mode: none
    restart: always
"""
RUNS = ("app-closed-1", "app-open-1", "app-rider-1", "app-second-1", "app-vpn-1")
RIDERS = ("app-rider-1", "app-second-1")


@pytest.fixture
def host(host: Host) -> Host:
    """A machine on which the app runs."""
    host.write("app.yaml", APP)
    host.start()
    host.until_converged(*RUNS)
    return host


def _network(host: Host, name: str) -> str:
    """The network namespace of a container, as the kernel calls it."""
    return os.readlink(host.process(name) / "ns/net")


def _started(host: Host, after: int) -> list[str]:
    _, lines = host.request(f"/v1/events?after={after}")
    events = [json.loads(line) for line in lines.splitlines()]
    return [event["name"] for event in events if event["action"] == "started"]


def _are_together(host: Host) -> None:
    assert {_network(host, name) for name in RIDERS} == {_network(host, "app-vpn-1")}


def test_each_is_in_the_network_that_its_mode_says(host: Host) -> None:
    _are_together(host)
    machine = os.readlink(f"/proc/{host.machine.inside.pid}/ns/net")
    assert _network(host, "app-open-1") == machine
    assert _network(host, "app-closed-1") not in (machine, _network(host, "app-vpn-1"))
    pid = str(host.pids()["app-closed-1"])
    listed = json.loads(host.machine.inside.run("nsenter", "--target", pid, "--net", "ip", "-json", "address"))
    assert [link["ifname"] for link in listed] == ["lo"]


@pytest.mark.parametrize("change", [('REVISION: "1"', 'REVISION: "2"'), ("web:1", "web:2")])
def test_when_the_owner_is_replaced_those_who_share_its_network_move_with_it_in_order(
    host: Host, change: tuple[str, str]
) -> None:
    before, network = host.pids(), _network(host, "app-vpn-1")
    last = max(json.loads(line)["sequence"] for line in host.request("/v1/events")[1].splitlines())
    host.write("app.yaml", APP.replace(*change))
    host.until(lambda: all(host.pids()[name] != before[name] for name in (*RIDERS, "app-vpn-1")), "all three are new")
    host.until_converged(*RUNS)
    _are_together(host)
    assert _network(host, "app-vpn-1") != network
    order = _started(host, last)
    assert order[0] == "app-vpn-1"
    assert sorted(order) == sorted((*RIDERS, "app-vpn-1"))
    assert host.http(8080) in ("one\n", "two\n")
    assert host.pids()["app-open-1"] == before["app-open-1"]


def test_owner_that_is_killed_keeps_its_network_and_who_shares_it_runs_on(host: Host) -> None:
    before, network = host.pids(), _network(host, "app-rider-1")
    host.kill("app-vpn-1")
    host.until(lambda: host.pids().get("app-vpn-1") not in (None, before["app-vpn-1"]), "it runs again")
    host.until_converged(*RUNS)
    assert _network(host, "app-vpn-1") == network
    assert {name: host.pids()[name] for name in RIDERS} == {name: before[name] for name in RIDERS}


def test_after_a_reboot_they_are_together_again(host: Host) -> None:
    host.reboot()
    host.until_converged(*RUNS)
    _are_together(host)
    assert host.http(8080) == "one\n"
