"""Many: 250 published ports on 100 containers, each of which answers, with an address and a name of its own."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from tests.end_to_end.host import Host
from tests.end_to_end.stations import ask
from tests.end_to_end.world import LAN, World

pytestmark = [pytest.mark.root, pytest.mark.host]

APPS, SERVICES = 10, 10
IMAGE = 'image: "${REGISTRY}/sleeper:1"'


def _ports(number: int) -> list[str]:
    """Two for each container, three for every second one."""
    first = 20000 + 3 * number
    return [f"{first}:80", f"{first + 1}:81", *([f"{first + 2}:80"] if number % 2 else [])]


def _spec(app: int) -> str:
    numbers = range(app * SERVICES, (app + 1) * SERVICES)
    services = (f"  s{number}: {{{IMAGE}, ports: {json.dumps(_ports(number))}}}\n" for number in numbers)
    return f"services:\n{''.join(services)}"


def test_every_port_of_many_containers_answers_and_every_name_is_known(host: Host) -> None:
    world = World(host)
    for app in range(APPS):
        host.write(f"a{app}.yaml", _spec(app))
    runs = [f"a{number // SERVICES}-s{number}-1" for number in range(APPS * SERVICES)]
    host.start()
    host.until_converged(*runs, seconds=60.0)
    world.populate(*runs)
    try:
        ports = {int(port.split(":")[0]): f"s{number}" for number in range(len(runs)) for port in _ports(number)}
        outside = world.stations["outside"]
        asked = {port: outside.do(ask, "tcp", LAN, port, 5.0) for port in ports}
        assert {port: future.result() for port, future in asked.items()} == ports
        assert len(ports) == 250
        _are_different(world, [f"s{number}" for number in range(len(runs))])
        _are_known(world)
    finally:
        world.end()


def _are_different(world: World, names: list[str]) -> None:
    addresses: Counter[str] = Counter()
    for name in names:
        (link,) = json.loads(world.stations[name].run("ip", "-json", "address", "show", "dev", "eth0"))
        addresses.update([link["address"], *(entry["local"] for entry in link["addr_info"])])
    assert [address for address, count in addresses.items() if count > 1] == []


def _are_known(world: World) -> None:
    for app in range(APPS):
        services = [f"s{number}" for number in range(app * SERVICES, (app + 1) * SERVICES)]
        told = {name: world.lookup(services[0], name).found for name in services}
        assert told == {name: (world.address(name, 4),) for name in services}
