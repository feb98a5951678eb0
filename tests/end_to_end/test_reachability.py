"""Who reaches whom: the whole matrix in one table, each cell tried by TCP and UDP, in IPv4 and IPv6, with traffic."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass

import pytest

from tests.end_to_end import stations
from tests.end_to_end.host import Host
from tests.end_to_end.machine import Machine
from tests.end_to_end.namespaces import Namespaces
from tests.end_to_end.registry import Registry
from tests.end_to_end.stations import Protocol
from tests.end_to_end.world import (
    ELSEWHERE,
    ELSEWHERE6,
    LAN,
    LAN6,
    NAMED,
    OUTSIDE,
    OUTSIDE6,
    UNNAMED,
    UNPUBLISHED,
    World,
    crossing,
)
from tests.host.network.questions import AAAA, A

pytestmark = [pytest.mark.root, pytest.mark.host]

# Columns: ports that `web` publishes at the host's address: open to all, limited to the outside host (x-allow), limited
# to nobody here (denied), on 127.0.0.1 only (loopback), on the LAN's address only (lan), not published at all (closed).
# direct is `web` by its own address, far is `store` in another network by its own; named and unnamed are two ports of
# the outside host, of which `guarded` may reach the first (x-egress).
# Cells: yes, no, 4 for only by IPv4, and - for what means nothing. All mean TCP and UDP alike.
EXPECTED = """
who            open  limited denied loopback lan  closed direct far  named unnamed
outside        yes   yes     no     no       yes  no     no     no   -     -
elsewhere      yes   no      no     no       yes  no     no     no   -     -
host           yes   no      no     no       yes  no     yes    yes  yes   yes
host-itself    4     no      no     4        no   no     -      -    -     -
hosted         yes   no      no     no       yes  no     yes    yes  yes   yes
web            yes   no      no     no       yes  no     yes    no   yes   yes
companion      yes   no      no     no       yes  no     yes    no   yes   yes
neighbour      yes   no      no     no       yes  no     yes    no   yes   yes
both           yes   no      no     no       yes  no     yes    yes  yes   yes
cousin         yes   no      no     no       yes  no     no     yes  yes   yes
stranger       yes   no      no     no       yes  no     no     no   yes   yes
inside         no    no      no     no       no   no     no     no   no    no
guarded        no    no      no     no       no   no     yes    no   yes   no
"""
PORTS = {"open": 8000, "limited": 8001, "denied": 8002, "loopback": 8003, "lan": 8004, "closed": UNPUBLISHED}
BY_ADDRESS = {"direct": ("web", UNPUBLISHED), "far": ("store", UNPUBLISHED)}
ABROAD = {"named": NAMED, "unnamed": UNNAMED}

# Who finds whom by which name: service, alias, container, service with network, and an outside name.
NAMED_AS = """
who            web  www  shop-web-1 web.shop_front store  shop-store-1 stranger inside outside.test
web            yes  yes  yes        yes            no     no           no       no     yes
companion      yes  yes  yes        yes            no     no           no       no     yes
neighbour      yes  yes  yes        yes            no     no           no       no     yes
both           yes  yes  yes        yes            yes    yes          no       no     yes
guarded        yes  yes  yes        yes            no     no           no       no     yes
cousin         no   no   no         no             yes    yes          no       no     yes
stranger       no   no   no         no             no     no           yes      no     yes
inside         no   no   no         no             no     no           no       yes    no
hosted         no   no   no         no             no     no           no       no     yes
host           no   no   no         no             no     no           no       no     yes
"""
OUTSIDE_NAME = "outside.test"
MEANS = {"www": "web", "shop-web-1": "web", "web.shop_front": "web", "shop-store-1": "store", OUTSIDE_NAME: "outside"}

# Where each begins, and under which addresses it speaks and finds the host, in IPv4 and IPv6.
AS = {"elsewhere": "outside", "host-itself": "host"}
SOURCES = {"elsewhere": (ELSEWHERE, ELSEWHERE6), "outside": (OUTSIDE, OUTSIDE6)}
HOST_AT = {"host-itself": ("127.0.0.1", "::1")}

SURE, SOON = 5.0, 0.8  # seconds until an answer that must come counts as missing, and until none counts as none


@dataclass(frozen=True)
class Cell:
    """One question, and whether there is to be an answer."""

    who: str
    what: str
    protocol: Protocol
    version: int
    expected: bool

    def __str__(self) -> str:
        return f"{self.who} to {self.what} by {self.protocol} in IPv{self.version}"


def entries(table: str) -> Iterator[tuple[str, str, str]]:
    """Row, column and what stands there."""
    head, *rows = (line.split() for line in table.strip().splitlines())
    for who, *row in rows:
        for what, cell in zip(head[1:], row, strict=True):
            yield who, what, cell


def cells() -> Iterator[Cell]:
    """Everything that the table of traffic says."""
    for who, what, cell in entries(EXPECTED):
        if cell != "-":
            for protocol in ("tcp", "udp"):
                yield Cell(who, what, protocol, 4, cell in ("yes", "4"))
                yield Cell(who, what, protocol, 6, cell == "yes")


@pytest.fixture(scope="module")
def world(network: Namespaces, registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The crossing, for tests that only look."""
    machine = Machine(network, registry, tmp_path_factory.mktemp("crossing") / "disk")
    try:
        made = crossing(Host(machine))
        yield made
        made.end()
    finally:
        machine.end()


def test_everybody_reaches_exactly_whom_the_table_says(world: World) -> None:
    where = {
        (what, version): world.address(name, version) for what, (name, _) in BY_ADDRESS.items() for version in (4, 6)
    }
    asked = [(cell, _ask(world, cell, where)) for cell in cells()]
    wrong = [
        f"{cell}: {answer!r} where {_answerer(cell)!r} was expected"
        for cell, future in asked
        if (answer := future.result()) != _answerer(cell)
    ]
    assert not wrong, f"{len(wrong)} of {len(asked)} cells:\n" + "\n".join(wrong)


def test_everybody_finds_exactly_whom_the_table_says_by_name(world: World) -> None:
    world.upstream.known[OUTSIDE_NAME] = [OUTSIDE, OUTSIDE6]
    addresses = {"outside": {4: OUTSIDE, 6: OUTSIDE6}}
    for name in ("web", "store", "stranger", "inside"):
        addresses[name] = {version: world.address(name, version) for version in (4, 6)}
    wrong = []
    for who, name, cell in entries(NAMED_AS):
        for kind, version in ((A, 4), (AAAA, 6)):
            expected = (addresses[MEANS.get(name, name)][version],) if cell == "yes" else ()
            answer = world.lookup(who, name, kind)
            if answer.found != expected:
                wrong.append(f"{who} asks for {name} in IPv{version}: {answer} where {expected} was expected")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("version", [4, 6])
def test_address_has_a_name_for_who_is_in_its_network(world: World, version: int) -> None:
    address = world.address("web", version)
    for neighbour in ("neighbour", "both", "guarded", "companion"):
        assert world.reverse(neighbour, address) == ("shop-web-1",)
    for other in ("cousin", "stranger", "inside"):
        assert world.reverse(other, address) == ()


def test_internal_network_tells_nobody_outside_what_it_is_asked(world: World) -> None:
    for name in ("secret.test", "other", "1.0.0.127.in-addr.arpa"):
        world.lookup("inside", name)
    world.reverse("inside", OUTSIDE)
    world.lookup("web", "innocent.test")
    assert "innocent.test" in world.upstream.asked
    reversed_outside = ".".join(reversed(OUTSIDE.split(".")))
    for leaked in ("secret.test", "other", "1.0.0.127.in-addr.arpa", f"{reversed_outside}.in-addr.arpa"):
        assert leaked not in world.upstream.asked


def _ask(world: World, cell: Cell, where: dict[tuple[str, int], str]) -> Future[str]:
    place = 0 if cell.version == 4 else 1
    if cell.what in PORTS:
        address, port = HOST_AT.get(cell.who, (LAN, LAN6))[place], PORTS[cell.what]
    elif cell.what in ABROAD:
        address, port = (OUTSIDE, OUTSIDE6)[place], ABROAD[cell.what]
    else:
        address, port = where[cell.what, cell.version], BY_ADDRESS[cell.what][1]
    source = SOURCES[cell.who][place] if cell.who in SOURCES else ""
    station = world.stations[AS.get(cell.who, cell.who)]
    return station.do(stations.ask, cell.protocol, address, port, SURE if cell.expected else SOON, source)


def _answerer(cell: Cell) -> str:
    """Who is to answer, "" for nobody."""
    if not cell.expected:
        return ""
    return "outside" if cell.what in ABROAD else BY_ADDRESS.get(cell.what, ("web", 0))[0]
