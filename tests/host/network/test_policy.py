"""Who may connect to whom, with real packets of both IP versions: published ports, x-allow, x-egress, isolation."""

from __future__ import annotations

import socket
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.core.reach import Reach
from reconciler.core.ruleset import Bound, Published, Restricted
from tests.host.network.conftest import ip, nft, within
from tests.host.network.ground import (
    DATAGRAM,
    DROPPED,
    HOST,
    HOST6,
    OUTSIDE,
    OUTSIDE6,
    STREAM,
    Ground,
    bridged_packets_pass_the_ruleset,
    ground,
    sysctl,
    told,
)

__all__ = ["ground"]  # a fixture

pytestmark = pytest.mark.root

WEB, WEB6 = "10.192.3.2", "fd00:3::2"
DB, DB6 = "10.192.3.3", "fd00:3::3"
BLOG, BLOG6 = "10.192.4.2", "fd00:4::2"
SAFE, SAFE6 = "10.192.5.2", "fd00:5::2"
KINDS = (STREAM, DATAGRAM)


@pytest.fixture
def site(ground: Ground) -> Ground:
    """Two networks, an internal one, and everybody serves on port 80, the one outside too."""
    ground.network("shop", "web", "db")
    ground.network("blog", "blog")
    ground.network("back", "safe", "vault", internal=True)
    for name in ("web", "db", "blog", "safe", "vault", "outside"):
        for kind in KINDS:
            ground.serve(name, 80, kind)
    ground.publish()
    return ground


def port(number: int, *targets: str, host_ip: str = "", allow: tuple[str, ...] | None = None) -> tuple[Published, ...]:
    """A port of both protocols."""
    wanted = tuple((target, 80) for target in targets)
    return (
        Published(port=number, targets=wanted, host_ip=host_ip, allow=allow, protocol="tcp"),
        Published(port=number, targets=wanted, host_ip=host_ip, allow=allow, protocol="udp"),
    )


# --- a table of expectations ---------------------------------------------------------------------------------------

# who asks, whom, at which port; who answers, and under which address they see the one who asked ("" any)
REACHABLE = [
    ("outside", HOST, 8080, "web", OUTSIDE),
    ("outside", HOST6, 8080, "web", OUTSIDE6),
    ("outside", WEB, 80, "dropped", ""),
    ("outside", WEB6, 80, "dropped", ""),
    ("outside", SAFE, 80, "dropped", ""),
    ("outside", SAFE6, 80, "dropped", ""),
    ("outside", HOST, 8081, "refused", ""),
    ("outside", HOST6, 8081, "refused", ""),
    ("outside", HOST, 8082, "refused", ""),
    ("outside", HOST, 8083, "db", OUTSIDE),
    ("outside", HOST6, 8083, "refused", ""),
    ("outside", HOST6, 8084, "db", OUTSIDE6),
    ("outside", HOST, 8084, "refused", ""),
    ("host", HOST, 8080, "web", ""),
    ("host", HOST6, 8080, "web", ""),
    ("host", "127.0.0.1", 8080, "web", ""),
    ("host", "::1", 8080, "refused", ""),
    ("host", "127.0.0.1", 8081, "db", ""),
    ("host", HOST, 8081, "refused", ""),
    ("host", WEB, 80, "web", "10.192.3.1"),
    ("host", WEB6, 80, "web", "fd00:3::1"),
    ("host", SAFE, 80, "safe", ""),
    ("web", HOST, 8080, "web", ""),
    ("web", HOST6, 8080, "web", ""),
    ("db", HOST, 8080, "web", ""),
    ("db", HOST6, 8080, "web", ""),
    ("db", WEB, 80, "web", DB),
    ("db", WEB6, 80, "web", DB6),
    ("blog", HOST, 8080, "web", BLOG),
    ("blog", HOST6, 8080, "web", BLOG6),
    ("blog", "10.192.4.1", 8080, "web", BLOG),
    ("blog", WEB, 80, "dropped", ""),
    ("blog", WEB6, 80, "dropped", ""),
    ("blog", SAFE, 80, "dropped", ""),
    ("blog", OUTSIDE, 80, "outside", HOST),
    ("blog", OUTSIDE6, 80, "outside", HOST6),
    ("safe", OUTSIDE, 80, "dropped", ""),
    ("safe", OUTSIDE6, 80, "dropped", ""),
    ("safe", WEB, 80, "dropped", ""),
    ("safe", HOST, 8080, "dropped", ""),
    ("safe", HOST6, 8080, "dropped", ""),
    ("safe", "10.192.5.3", 80, "vault", SAFE),
    ("safe", "fd00:5::3", 80, "vault", SAFE6),
]


@pytest.fixture
def matrix(site: Ground) -> Ground:
    site.publish(
        *port(8080, WEB, WEB6),
        *port(8081, DB, DB6, host_ip="127.0.0.1"),
        *port(8082, SAFE, SAFE6),
        *port(8083, DB, DB6, host_ip="0.0.0.0"),
        *port(8084, DB, DB6, host_ip="::"),
    )
    return site


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("filtered", ["0", "1"])
def test_who_reaches_whom(matrix: Ground, kind: socket.SocketKind, filtered: str) -> None:
    bridged_packets_pass_the_ruleset(filtered)
    found = matrix.answers((name, host, number, kind) for name, host, number, _, _ in REACHABLE)
    for name, host, number, who, seen in REACHABLE:
        answer = found[name, host, number, kind]
        assert answer == (who, seen or answer[1]), (name, host, number)


@pytest.mark.parametrize("strict", ["0", "1"])
def test_a_strict_reverse_path_filter_is_no_obstacle(matrix: Ground, strict: str) -> None:
    for link in ("all", "default", "cable", "rc-shop", "rc-blog"):
        sysctl(f"net/ipv4/conf/{link}/rp_filter", strict)
        sysctl(f"net/ipv4/conf/{link}/src_valid_mark", strict)
    matrix.firewall.guard(tuple(subnet for bridge in matrix.rules.networks for subnet in bridge.subnets))
    assert matrix.who("outside", HOST, 8080) == "web"
    assert matrix.who("blog", HOST, 8080) == "web"
    assert matrix.who("web", HOST, 8080) == "web"
    assert matrix.who("blog", OUTSIDE, 80) == "outside"
    assert matrix.who("host", "127.0.0.1", 8080) == "web"


# --- x-allow -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_only_those_that_are_listed_reach_the_port(site: Ground, kind: socket.SocketKind) -> None:
    site.publish(
        *port(8080, WEB, WEB6, allow=(f"{OUTSIDE}/32", "2001:db8::/64")),
        *port(8081, WEB, WEB6, allow=("10.192.4.0/24", "127.0.0.0/8")),
        *port(8082, WEB, WEB6, allow=()),
        *port(8083, WEB, DB, allow=("10.192.4.0/24",)),
        *port(8083, DB, host_ip=HOST, allow=(f"{OUTSIDE}",)),
    )
    expected = {
        ("outside", HOST, 8080): "web",
        ("outside", HOST6, 8080): "web",
        ("host", HOST6, 8080): "web",  # under its own address, which is in the listed network
        ("host", HOST, 8080): "dropped",
        ("host", "127.0.0.1", 8080): "dropped",
        ("blog", HOST, 8080): "dropped",
        ("blog", HOST6, 8080): "dropped",
        ("web", HOST, 8080): "dropped",
        ("outside", HOST, 8081): "dropped",
        ("outside", HOST6, 8081): "dropped",
        ("blog", HOST, 8081): "web",
        ("blog", "10.192.4.1", 8081): "web",
        ("host", "127.0.0.1", 8081): "web",
        ("outside", HOST, 8082): "dropped",
        ("outside", HOST6, 8082): "dropped",
        ("host", "127.0.0.1", 8082): "dropped",
        ("outside", HOST, 8083): "db",
        ("blog", HOST, 8083): "dropped",
    }
    found = site.answers((*question, kind) for question in expected)
    assert {question[:3]: who for question, (who, _) in found.items()} == expected
    assert site.who("blog", "10.192.4.1", 8083, kind) in {"web", "db"}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("host", [HOST, HOST6])
def test_a_connection_that_is_no_longer_allowed_is_cut(site: Ground, kind: socket.SocketKind, host: str) -> None:
    site.publish(*port(8080, WEB, WEB6))
    with site.client("outside", host, kind) as client, site.client("host", host, kind) as other:
        for connected in (client, other):
            connected.connect((host, 8080))
            assert told(connected)[0] == "web"
        site.publish(*port(8080, WEB, WEB6, allow=(f"{host}",)))
        with pytest.raises(TimeoutError):
            told(client)
        assert told(other)[0] == "web"


def test_a_stream_of_datagrams_to_somebody_who_is_no_longer_allowed_ends(site: Ground) -> None:
    """Whoever answers without being asked again would go on for ever: only the flow says that it may."""
    site.publish(*port(8080, WEB, WEB6))
    for client_of in (HOST, HOST6):
        with site.client("outside", client_of, DATAGRAM) as client:
            client.connect((client_of, 8080))
            assert told(client)[0] == "web"
            assert flows(site)
            site.publish(*port(8080, WEB, WEB6, allow=("198.51.100.0/24",)))
            assert not flows(site)
            site.publish(*port(8080, WEB, WEB6))
            assert told(client)[0] == "web"


def flows(site: Ground) -> list[str]:
    """The flows to the published port, in the kernel's words."""
    lines = within(site.places["host"], Path("/proc/thread-self/net/nf_conntrack").read_text).splitlines()
    return [line for line in lines if "udp" in line and "dport=8080" in line]


# --- x-egress ------------------------------------------------------------------------------------------------------


def restrict(site: Ground, *destinations: Reach) -> None:
    entry = Restricted(addresses=(WEB, WEB6), destinations=destinations)
    site.apply(replace(site.rules, restricted=(entry,)))


@pytest.mark.parametrize("filtered", ["0", "1"])
def test_a_container_connects_to_listed_destinations_only(site: Ground, filtered: str) -> None:
    bridged_packets_pass_the_ruleset(filtered)
    site.publish(*port(8080, BLOG, BLOG6), *port(8090, WEB, WEB6))
    site.serve("host", 9000)
    for kind in KINDS:
        site.serve("host", 53, kind)
        site.serve("outside", 81, kind)
    restrict(
        site,
        Reach(network=OUTSIDE, ports=(80, 80), protocol="tcp"),
        Reach(network="2001:db8::/64", ports=(80, 81)),
        Reach(network=HOST, ports=(8080, 8080), protocol="tcp"),
    )
    expected = {
        (OUTSIDE, 80, STREAM): "outside",
        (OUTSIDE, 80, DATAGRAM): "dropped",
        (OUTSIDE, 81, STREAM): "dropped",
        (OUTSIDE6, 80, DATAGRAM): "outside",
        (OUTSIDE6, 81, STREAM): "outside",
        (OUTSIDE6, 82, STREAM): "dropped",
        (HOST, 8080, STREAM): "blog",
        (HOST, 8080, DATAGRAM): "dropped",
        (HOST, 9000, STREAM): "dropped",
        ("10.192.3.1", 9000, STREAM): "dropped",
        ("10.192.3.1", 53, DATAGRAM): "host",
        ("10.192.3.1", 53, STREAM): "host",
        ("fd00:3::1", 53, DATAGRAM): "host",
        (DB, 80, STREAM): "db",
        (DB6, 80, DATAGRAM): "db",
        (BLOG, 80, STREAM): "dropped",
    }
    found = site.answers(("web", *question) for question in expected)
    assert {question[1:]: who for question, (who, _) in found.items()} == expected
    for host in (HOST, HOST6):
        assert site.who("outside", host, 8090) == "web", "it answers who connects to it"
    assert site.who("db", OUTSIDE, 81) == "outside", "the neighbour may"


def test_everything_of_a_network_is_reachable_without_ports_too(site: Ground) -> None:
    restrict(site, Reach(network=f"{OUTSIDE}"))
    within(site.places["web"], lambda: ip("route", "get", OUTSIDE))
    assert pinged(site, "web", OUTSIDE)
    assert not pinged(site, "web", OUTSIDE6)
    restrict(site, Reach(network=f"{OUTSIDE}", protocol="tcp"))
    assert not pinged(site, "web", OUTSIDE)


def pinged(site: Ground, name: str, host: str) -> bool:
    """An ICMP echo by a raw socket, whose checksum the kernel adds for IPv6 alone."""
    six = ":" in host
    family, protocol = (socket.AF_INET6, socket.IPPROTO_ICMPV6) if six else (socket.AF_INET, socket.IPPROTO_ICMP)
    with within(site.places[name], lambda: socket.socket(family, socket.SOCK_RAW, protocol)) as client:
        client.settimeout(DROPPED)
        client.connect((host, 0))
        client.send(bytes([128, 0, 0, 0, 0, 1, 0, 1]) if six else bytes([8, 0, 0xF7, 0xFD, 0, 1, 0, 1]))
        try:
            return bool(client.recv(100))
        except TimeoutError:
            return False


def test_a_connection_to_what_is_no_longer_listed_is_cut(site: Ground) -> None:
    restrict(site, Reach(network="0.0.0.0/0"))
    with site.client("web", OUTSIDE) as client:
        client.connect((OUTSIDE, 80))
        assert told(client)[0] == "outside"
        restrict(site, Reach(network="192.0.2.128/25"))
        with pytest.raises(TimeoutError):
            told(client)


def test_a_listed_packet_that_belongs_to_no_connection_does_not_pass(site: Ground) -> None:
    """A checksum that is wrong makes conntrack see no connection, whose direction nobody could ask for."""
    restrict(site)
    with within(site.places["web"], lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP)) as raw:
        before = received(site)
        raw.sendto(bytes(12) + b"\x50\x02\x00\x00" + b"\xde\xad\x00\x00", (OUTSIDE, 0))
    assert site.who("db", OUTSIDE, 80) == "outside"
    assert wrong(site) == 0
    assert received(site) > before


def received(site: Ground) -> int:
    return snmp(site, "InSegs")


def wrong(site: Ground) -> int:
    return snmp(site, "InErrs")


def snmp(site: Ground, name: str) -> int:
    lines = within(site.places["outside"], Path("/proc/thread-self/net/snmp").read_text).splitlines()
    names, values = (line.split() for line in lines if line.startswith("Tcp:"))
    return int(values[names.index(name)])


# --- addresses that are not theirs ---------------------------------------------------------------------------------


@pytest.fixture
def bound(site: Ground) -> Ground:
    links = (Bound(link="rcweb", addresses=(WEB, WEB6)), Bound(link="rcdb", addresses=(DB, DB6)))
    site.apply(replace(site.rules, bound=links))
    return site


def test_who_keeps_to_its_addresses_notices_nothing(bound: Ground) -> None:
    for kind in KINDS:
        assert bound.who("web", DB, 80, kind) == "db"
        assert bound.who("web", DB6, 80, kind) == "db"
        assert bound.who("web", OUTSIDE, 80, kind) == "outside"
        assert bound.who("web", OUTSIDE6, 80, kind) == "outside"
        assert bound.who("host", WEB6, 80, kind) == "web"


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize(
    ("own", "forged", "victim"),
    [(WEB, "10.192.3.1", DB), (WEB, DB, "10.192.3.1"), (WEB6, "fd00:3::1", DB6), (WEB6, DB6, "fd00:3::1")],
)
def test_nobody_answers_for_the_gateway_or_a_neighbour(
    bound: Ground, own: str, forged: str, victim: str, kept: bool
) -> None:
    if not kept:
        bound.apply(replace(bound.rules, bound=()))
    prefix = 64 if ":" in forged else 24
    asks = "db" if victim in {DB, DB6} else "host"
    holder = "host" if asks == "db" else "db"
    link = "rc-shop" if holder == "host" else "eth0"
    within(bound.places[holder], lambda: ip("addr", "del", f"{forged}/{prefix}", "dev", link))  # it is silent now
    bound.address("web", f"{forged}/{prefix}")
    tries = 1 if kept else 5  # a neighbour that does not answer at once is asked again after a second
    assert any(bound.who(asks, forged, 80) == "web" for _ in range(tries)) != kept


def test_nobody_sends_under_the_address_of_a_neighbour(bound: Ground) -> None:
    bound.address("web", f"{DB}/32")
    with bound.client("web", OUTSIDE, DATAGRAM) as client:
        client.bind((DB, 0))
        client.connect((OUTSIDE, 80))
        with pytest.raises(TimeoutError):
            told(client)
    assert nft("list", "table", "bridge", "reconciler-test").count("rcweb")
