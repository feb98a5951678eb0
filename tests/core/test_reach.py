"""Boxes of destinations: the same places as were asked for, none twice."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.reach import Box, Reach, boxes
from tests.core.test_ruleset import REACHES, SOURCES

NETWORKS = [ip_network(network) for network in [*SOURCES, "192.0.2.8/29", "fd00:3::/64"]]
EDGES = sorted({str(edge) for network in NETWORKS for edge in (network[0], network[-1])})


def inside(box: Box, address: int, protocol: str, port: int) -> bool:
    first, last = box.ports
    return box.first <= address <= box.last and box.protocol in {protocol, ""} and first <= port <= last


def wanted(reach: Reach, address: str, protocol: str, port: int) -> bool:
    if ip_address(address) not in ip_network(reach.network):
        return False
    if protocol == "icmp":
        return not reach.protocol and reach.ports == (0, 65535)
    return reach.protocol in {protocol, ""} and reach.ports[0] <= port <= reach.ports[1]


@given(
    st.lists(REACHES, max_size=6),
    st.sampled_from(EDGES),
    st.sampled_from(["tcp", "udp", "icmp"]),
    st.one_of(st.sampled_from([0, 79, 80, 443, 444, 65535]), st.integers(0, 65535)),
)
def test_whatever_was_asked_for_is_in_exactly_one_box(
    reaches: list[Reach], address: str, protocol: str, port: int
) -> None:
    found = boxes(reaches, ip_address(address).version)
    hits = [box for box in found if inside(box, int(ip_address(address)), protocol, port)]
    assert len(hits) == any(wanted(reach, address, protocol, port) for reach in reaches)


@given(st.lists(REACHES, max_size=6))
def test_the_order_and_repetition_of_destinations_is_no_matter(reaches: list[Reach]) -> None:
    assert boxes([*reversed(reaches), *reaches], 4) == boxes(reaches, 4)


def test_neighbouring_ports_and_networks_are_one_box() -> None:
    halves = ("192.0.2.0/25", "192.0.2.128/25")
    reaches = [Reach(network=network, ports=ports, protocol="tcp") for network in halves for ports in ((1, 2), (3, 4))]
    first = int(ip_address("192.0.2.0"))
    assert boxes(reaches, 4) == [Box(first, first + 255, "tcp", (1, 4))]


def test_a_destination_without_ports_takes_in_all_that_are_there() -> None:
    reaches = [Reach(network="192.0.2.7", ports=(1, 2), protocol="udp"), Reach(network="192.0.2.7")]
    address = int(ip_address("192.0.2.7"))
    assert boxes(reaches, 4) == [Box(address, address, "", (0, 65535))]
    assert boxes(reaches, 6) == []
