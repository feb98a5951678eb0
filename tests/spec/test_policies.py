"""Ports in both syntaxes, and the policies: who may connect, and where to."""

from __future__ import annotations

import json
from ipaddress import IPv4Network, collapse_addresses, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.document import AUTOMATIC, Networking
from reconciler.core.networking import Destination
from tests.spec.parsing import HEAD, document, errors, service


def networking(fragment: str) -> Networking:
    """That of the one service with `fragment` as further keys."""
    return service(fragment).networking


@pytest.mark.parametrize(
    ("text", "ports"),
    [
        ('"8000-9000:80"', [(80, (8000, 9000), "")]),
        ('"127.0.0.1:8000-8001:80"', [(80, (8000, 8001), "127.0.0.1")]),
        ('"[2001:DB8::1]:80:80"', [(80, (80, 80), "2001:db8::1")]),
        ('"[::]:80:80"', [(80, (80, 80), "::")]),
        ('"[::]::80"', [(80, AUTOMATIC, "::")]),
        ('{target: 80, published: "8000-8010", host_ip: "::"}', [(80, (8000, 8010), "::")]),
        ("{target: 80, host_ip: 0.0.0.0}", [(80, AUTOMATIC, "0.0.0.0")]),
    ],
)
def test_ranges_and_addresses_of_ports(text: str, ports: list[tuple[int, tuple[int, int], str]]) -> None:
    tail = "\nnetworks: {default: {enable_ipv6: true}}\n"
    found = document(f"{HEAD}ports: [{text}]{tail}").services[0].ports
    assert [(port.target, port.published, port.host_ip) for port in found] == ports


@pytest.mark.parametrize(
    ("text", "allow"),
    [
        ("ports: [80]", None),
        ("ports: [{target: 80, x-allow: []}]", ()),
        ("ports: [{target: 80, x-allow: [10.0.0.0/8, 192.168.1.5]}]", ("10.0.0.0/8", "192.168.1.5/32")),
        ("ports: [{target: 80, x-allow: ['2001:DB8::/32', 10.0.0.0/8]}]", ("10.0.0.0/8", "2001:db8::/32")),
        ("ports: [{target: 80, x-allow: [10.1.0.0/16, 10.0.0.0/8, 10.0.0.0/8]}]", ("10.0.0.0/8",)),
        ("ports: [{target: 80, x-allow: [10.0.0.0/9, 10.128.0.0/9]}]", ("10.0.0.0/8",)),
        ("x-allow: [10.0.0.0/8]\n    ports: [80]", ("10.0.0.0/8",)),
        ("x-allow: [10.0.0.0/8]\n    ports: [{target: 80, x-allow: [1.1.1.1]}]", ("1.1.1.1/32",)),
        ("x-allow: [10.0.0.0/8]\n    ports: [{target: 80, x-allow: []}]", ()),
        ("x-allow: []\n    ports: [80]", ()),
    ],
)
def test_who_may_connect(text: str, allow: tuple[str, ...] | None) -> None:
    assert service(text).ports[0].allow == allow


@pytest.mark.parametrize(
    ("text", "destination"),
    [
        ("10.0.0.0/8", Destination(host="10.0.0.0/8")),
        ("10.1.2.3", Destination(host="10.1.2.3/32")),
        ("10.1.2.3:443", Destination(host="10.1.2.3/32", ports=(443, 443))),
        ("10.0.0.0/8:80-90/tcp", Destination(host="10.0.0.0/8", ports=(80, 90), protocol="tcp")),
        ("10.0.0.0/8/udp", Destination(host="10.0.0.0/8", protocol="udp")),
        ("0.0.0.0/0:1-65535", Destination(host="0.0.0.0/0", ports=(1, 65535))),
        ("API.Example.org.:443/tcp", Destination(host="api.example.org", ports=(443, 443), protocol="tcp")),
        ("_srv.example.org/udp", Destination(host="_srv.example.org", protocol="udp")),
        ("nas", Destination(host="nas")),
        ("[2001:DB8::/32]", Destination(host="2001:db8::/32")),
        ("[2001:db8::]/32:53/udp", Destination(host="2001:db8::/32", ports=(53, 53), protocol="udp")),
        ("[2001:db8::1]:443", Destination(host="2001:db8::1/128", ports=(443, 443))),
    ],
)
def test_where_to(text: str, destination: Destination) -> None:
    assert networking(f'x-egress: ["{text}"]').egress == (destination,)


def test_nowhere_is_not_everywhere_and_order_means_nothing() -> None:
    assert networking("init: true").egress is None
    assert networking("x-egress: []").egress == ()
    one = networking("x-egress: [b.example, 10.0.0.0/8, 'b.example:1', b.example]").egress
    assert one == networking("x-egress: ['b.example:1', b.example, 10.0.0.0/8]").egress
    assert one
    assert len(one) == 3


def test_a_short_text_does_not_become_a_long_list() -> None:
    ranges = ", ".join(f"{first}-{first + 999}" for first in range(1, 11_000, 1000))
    (line,) = errors(f"{HEAD}ports: [{ranges}]\n")
    assert line == (
        "app.yaml:2:3: cannot use 'services': all 'ports' and 'expose' together are 11000 ports, and 10000 are the most"
    )
    assert errors(f"{HEAD}expose: [{ranges}]\n") == [line]
    assert len(service("expose: [1-1000]").networking.expose) == 1000


NETWORKS = st.builds(
    lambda base, prefix: str(ip_network((base, prefix), strict=False)), st.integers(0, 2**32 - 1), st.integers(0, 32)
)


@given(st.lists(NETWORKS, max_size=6), st.integers(0, 2**32 - 1))
def test_fewer_networks_allow_the_same_addresses(networks: list[str], number: int) -> None:
    address = ip_network(number).network_address
    allow = service(f"ports: [{{target: 80, x-allow: {json.dumps(networks)}}}]").ports[0].allow
    assert allow is not None
    assert any(address in ip_network(entry) for entry in allow) == any(
        address in ip_network(entry) for entry in networks
    )
    assert list(allow) == [str(entry) for entry in collapse_addresses(map(IPv4Network, networks))]


@given(
    NETWORKS | st.sampled_from(["[2001:db8::/32]", "[fd00::1]", "api.example", "nas"]),
    st.none() | st.tuples(st.integers(1, 65535), st.integers(1, 65535)).map(sorted),
    st.sampled_from(["", "tcp", "udp"]),
)
def test_a_destination_says_what_was_written(host: str, ports: list[int] | None, protocol: str) -> None:
    text = host + (f":{ports[0]}-{ports[1]}" if ports else "") + (f"/{protocol}" if protocol else "")
    (found,) = networking(f'x-egress: ["{text}"]').egress or ()
    assert found.ports == (tuple(ports) if ports else (0, 65535))
    assert found.protocol == protocol
    plain = host.strip("[]")
    assert found.host == (str(ip_network(plain)) if "/" in plain or ":" in plain else plain)
