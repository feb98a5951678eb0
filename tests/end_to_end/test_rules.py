"""The tables are replaced without a lost visitor, and taken away without anything that opens."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.end_to_end.host import Host
from tests.end_to_end.load import Load
from tests.end_to_end.namespaces import until
from tests.end_to_end.probing import Probers, Way, closed_ways, tempt
from tests.end_to_end.stations import Station, ask
from tests.end_to_end.world import LAN, LAN6, RUNS, World, crossing

pytestmark = [pytest.mark.root, pytest.mark.host]

REPLACEMENTS = 100
SERVER = """
services:
  server:
    image: ${REGISTRY}/web:1
    ports: ["8080:8080"]
"""
# A ninth replica needs a chain of its own, so the whole table is replaced when it comes and when it goes.
CROWD = """
services:
  crowd:
    image: ${REGISTRY}/sleeper:1
    ports: ["9000:9000"]
    deploy: {replicas: COUNT}
"""
LATE = """
services:
  late:
    image: ${REGISTRY}/web:1
    stop_grace_period: 1s
"""
COMINGS = 8
FLUSHES = 7  # from the fourth on, who flushes is not followed at once: then closed is closed for long


def made(host: Host) -> int:
    """The handle of our table of family inet: whoever makes it again gives it another one."""
    listed = json.loads(host.machine.inside.run("nft", "--json", "list", "tables", "inet"))["nftables"]
    return int(next(entry["table"]["handle"] for entry in listed if "table" in entry))


def test_no_visitor_is_lost_while_the_table_is_replaced(host: Host) -> None:
    host.write("server.yaml", SERVER)
    host.write("crowd.yaml", CROWD.replace("COUNT", "8"))
    host.start()
    crowd = [f"crowd-crowd-{number}" for number in range(1, 9)]
    host.until_converged("server-server-1", *crowd)
    assert host.http(8080) == "one\n"
    visitors = Station("visitors", Path(f"/proc/{host.machine.network.pid}/ns/net"))
    handles, load = [made(host)], Load(visitors, host.machine.address, 8080)
    try:
        for turn in range(REPLACEMENTS):
            host.write("crowd.yaml", CROWD.replace("COUNT", str(9 - turn % 2)))
            handles.append(until(partial(_another, host, handles[-1]), f"replacement {turn}"))
    finally:
        load.end()
        visitors.end()
    print(f"the whole table was replaced {len(set(handles)) - 1} times; {load}")
    assert load.failures == []
    assert len(load.times) > REPLACEMENTS


def _another(host: Host, handle: int) -> int:
    """The table's handle once it is not this one."""
    now = made(host)
    return 0 if now == handle else now


def _answers(outside: Station, address: str) -> bool:
    return outside.do(ask, "tcp", address, 8000, 0.3).result() == "web"


@pytest.fixture
def world(host: Host) -> Iterator[World]:
    """The crossing."""
    made = crossing(host)
    yield made
    made.end()


def test_whoever_flushes_all_rules_opens_nothing(world: World) -> None:
    tempt(world)
    before, outside = world.host.pids(), world.stations["outside"]
    probers = Probers(world, closed_ways(world))
    try:
        for turn in range(FLUSHES):
            probers.during = f"flush {turn + 1}"
            world.host.machine.inside.run("nft", "flush", "ruleset")
            for address in (LAN, LAN6):
                world.host.until(partial(_answers, outside, address), "the port answers again")
    finally:
        probers.end()
    print(f"{FLUSHES} flushes, {probers.attempts} attempts at what is closed, {len(probers.leaks())} succeeded")
    assert not probers.leaks(), "\n".join(probers.leaks())
    assert probers.attempts > 0
    assert world.host.pids() == before


def test_network_that_comes_is_closed_from_its_first_moment(world: World) -> None:
    """Its subnet follows from its name, so others can try its address before it is there."""
    host, there = world.host, world.stations
    host.write("late.yaml", LATE)
    host.until_converged(*RUNS, "late-late-1")
    pid = str(host.pids()["late-late-1"])
    listed = json.loads(host.machine.inside.run("nsenter", "--target", pid, "--net", "ip", "-json", "-4", "address"))
    address = next(entry["local"] for link in listed for entry in link["addr_info"] if link["ifname"] == "eth0")
    probers = Probers(world, [Way(there[who], address, 8080) for who in ("stranger", "cousin", "outside", "guarded")])
    try:
        for turn in range(COMINGS):
            probers.during = f"coming {turn + 1}"
            host.remove("late.yaml")
            host.until_converged(*RUNS)
            host.write("late.yaml", LATE)
            host.until_converged(*RUNS, "late-late-1")
            until(partial(_serves, there["host"], address), "it serves")
    finally:
        probers.end()
    assert not probers.leaks(), "\n".join(probers.leaks())


def _serves(host: Station, address: str) -> bool:
    return host.do(_connects, address).result()


def _connects(address: str) -> bool:
    socket.create_connection((address, 8080), 1.0).close()
    return True
