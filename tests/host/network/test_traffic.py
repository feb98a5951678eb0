"""Real packets: from outside, from the host and between containers, through our bridges and our ruleset."""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest

from reconciler.core.ruleset import Published
from tests.host.network.conftest import HOME, HOST, OUTSIDE, World, ip, nft, within

pytestmark = pytest.mark.root

DROPPED = 0.3  # seconds until a question counts as dropped; answers take under 0.01
MANY = 64  # connections; that one of two replicas gets an eighth of them or less happens once in 10^9 times


@pytest.fixture
def web(world: World) -> World:
    """Two networks, `shop` with two servers and `blog` with one, and a machine outside."""
    world.plug_outside()
    for network, numbers in (("shop", (2, 3)), ("blog", (2,))):
        world.network(network)
        for number in numbers:
            world.container(network, number)
            world.serve(world.pin(network, number), 80, f"{network}{number}")
    return world


def tcp(world: World, port: int, network: str, *numbers: int, host_ip: str = "") -> Published:
    targets = tuple((world.address(network, number), 80) for number in numbers)
    return Published(port=port, host_ip=host_ip, targets=targets)


def test_a_published_port_answers_outside_and_sees_who_asks(web: World) -> None:
    web.publish(tcp(web, 8080, "shop", 2))
    assert web.ask(web.outside, HOST, 8080) == ("shop2", OUTSIDE)


def test_a_published_port_answers_on_the_host_itself(web: World) -> None:
    web.publish(tcp(web, 8080, "shop", 2))
    assert web.ask(HOME, HOST, 8080)[0] == "shop2"
    assert web.ask(HOME, "127.0.0.1", 8080)[0] == "shop2"


def test_replicas_behind_one_port_share_the_connections(web: World) -> None:
    web.publish(tcp(web, 8080, "shop", 2, 3))
    answers = Counter(web.ask(web.outside, HOST, 8080)[0] for _ in range(MANY))
    assert answers.keys() == {"shop2", "shop3"}
    assert min(answers.values()) > MANY / 8


def test_a_port_published_on_loopback_answers_there_only(web: World) -> None:
    web.publish(tcp(web, 8080, "shop", 2, host_ip="127.0.0.1"))
    assert web.ask(HOME, "127.0.0.1", 8080)[0] == "shop2"
    with pytest.raises(ConnectionRefusedError):
        web.ask(web.outside, HOST, 8080)


def test_nobody_outside_reaches_the_loopback_by_routing_to_it(web: World) -> None:
    web.publish(tcp(web, 8080, "shop", 2, host_ip="127.0.0.1"))
    within(web.outside, lambda: carry_loopback("eth0"))
    within(web.outside, lambda: ip("route", "add", "127.0.0.1", "via", HOST, "src", OUTSIDE))
    carry_loopback("cable")  # as another program may have left it
    with pytest.raises(TimeoutError):
        web.ask(web.outside, "127.0.0.1", 8080, timeout=DROPPED)
    nft("flush", "chain", "inet", "reconciler-test", "spoofed")
    assert web.ask(web.outside, "127.0.0.1", 8080)[0] == "shop2", "it was the chain that stood between them"


def carry_loopback(link: str) -> None:
    with open(f"/proc/sys/net/ipv4/conf/{link}/route_localnet", "w") as file:
        file.write("1")


def test_a_port_published_on_one_address_of_the_host_answers_there_only(web: World) -> None:
    ip("addr", "add", "192.0.2.9/24", "dev", "cable")
    web.publish(tcp(web, 8080, "shop", 2, host_ip="192.0.2.9"), tcp(web, 8081, "shop", 2, 3, host_ip="192.0.2.9"))
    assert web.ask(web.outside, "192.0.2.9", 8080)[0] == "shop2"
    assert {web.ask(web.outside, "192.0.2.9", 8081)[0] for _ in range(MANY)} == {"shop2", "shop3"}
    for port in (8080, 8081):
        with pytest.raises(ConnectionRefusedError):
            web.ask(web.outside, HOST, port)


def test_udp_is_published_and_balanced(web: World) -> None:
    for number in (2, 3):
        web.serve(web.pin("shop", number), 53, f"dns{number}", socket.SOCK_DGRAM)
    targets = tuple((web.address("shop", number), 53) for number in (2, 3))
    web.publish(Published(port=5300, protocol="udp", targets=targets))
    answers = {web.ask(web.outside, HOST, 5300, socket.SOCK_DGRAM)[0] for _ in range(MANY)}
    assert answers == {"dns2", "dns3"}
    with pytest.raises(ConnectionRefusedError):
        web.ask(web.outside, HOST, 5300)


def dns(world: World, *numbers: int) -> Published:
    targets = tuple((world.address("shop", number), 53) for number in numbers)
    return Published(port=5300, protocol="udp", targets=targets)


@pytest.fixture
def client(web: World) -> Iterator[socket.socket]:
    """A UDP client outside that keeps its port, as one flow."""
    for number in (2, 3):
        web.serve(web.pin("shop", number), 53, f"dns{number}", socket.SOCK_DGRAM)
    with within(web.outside, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as client:
        client.settimeout(5)
        client.connect((HOST, 5300))
        yield client


def answer(client: socket.socket) -> str:
    client.send(b"?")
    return client.recv(100).decode().split()[0]


def test_a_udp_flow_follows_when_its_replica_goes(web: World, client: socket.socket) -> None:
    web.publish(dns(web, 2))
    assert [answer(client) for _ in range(3)] == ["dns2"] * 3
    web.publish(dns(web, 3))
    assert answer(client) == "dns3"


def test_a_udp_flow_stays_when_other_replicas_come_and_go(web: World, client: socket.socket) -> None:
    web.publish(dns(web, 2, 3))
    first = answer(client)
    number = int(first.removeprefix("dns"))
    web.publish(dns(web, number))
    assert answer(client) == first
    web.publish(dns(web, 2, 3))
    assert [answer(client) for _ in range(4)] == [first] * 4


def test_a_udp_flow_of_before_the_port_was_published_is_taken_up(web: World, client: socket.socket) -> None:
    web.publish()
    client.send(b"?")
    with pytest.raises(ConnectionRefusedError):
        client.recv(1)
    web.publish(dns(web, 2))
    assert answer(client) == "dns2"


@pytest.mark.parametrize("filtered", ["0", "1"])
def test_a_container_reaches_itself_and_its_neighbour_by_the_published_port(web: World, filtered: str) -> None:
    bridged_packets_pass_the_ruleset(filtered)
    web.publish(tcp(web, 8082, "shop", 2), tcp(web, 8083, "shop", 3))
    assert web.ask(web.pin("shop", 2), HOST, 8082)[0] == "shop2"
    assert web.ask(web.pin("shop", 2), HOST, 8083)[0] == "shop3"


def bridged_packets_pass_the_ruleset(value: str) -> None:
    """The switch of br_netfilter, a module that other programs load; without the module it is as if it were 0."""
    switch = Path("/proc/sys/net/bridge/bridge-nf-call-iptables")
    if switch.exists():
        switch.write_text(value)


@pytest.mark.parametrize("filtered", ["0", "1"])
def test_neighbours_see_each_other_directly(web: World, filtered: str) -> None:
    bridged_packets_pass_the_ruleset(filtered)
    web.publish()
    answer = web.ask(web.pin("shop", 3), web.address("shop", 2), 80)
    assert answer == ("shop2", web.address("shop", 3))


def test_another_network_is_out_of_reach_but_for_what_it_publishes(web: World) -> None:
    web.publish(tcp(web, 8080, "shop", 2))
    blog = web.pin("blog", 2)
    with pytest.raises(TimeoutError):
        web.ask(blog, web.address("shop", 2), 80, timeout=DROPPED)
    assert web.ask(blog, HOST, 8080) == ("shop2", web.address("blog", 2))
    web.firewall.remove()
    assert web.ask(blog, web.address("shop", 2), 80)[0] == "shop2", "it was the ruleset that stood between them"


def test_nobody_outside_routes_into_a_network(web: World) -> None:
    web.publish(tcp(web, 8080, "shop", 2))
    with pytest.raises(TimeoutError):
        web.ask(web.outside, web.address("shop", 2), 80, timeout=DROPPED)
    web.firewall.remove()
    assert web.ask(web.outside, web.address("shop", 2), 80)[0] == "shop2"


def test_containers_reach_the_world_under_the_hosts_address(web: World) -> None:
    web.publish()
    web.serve(web.outside, 80, "world")
    assert web.ask(web.pin("shop", 2), OUTSIDE, 80) == ("world", HOST)


def test_a_container_cannot_speak_under_an_address_that_is_not_on_its_bridge(web: World) -> None:
    web.publish()
    web.serve(web.outside, 53, "world", socket.SOCK_DGRAM)
    forged = web.address("blog", 2)
    within(web.pin("shop", 2), lambda: ip("addr", "add", f"{forged}/32", "dev", "eth0"))
    before = datagrams(web)
    with within(web.pin("shop", 2), lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as client:
        client.bind((forged, 0))
        client.sendto(b"?", (OUTSIDE, 53))
    assert web.ask(web.pin("shop", 2), OUTSIDE, 53, socket.SOCK_DGRAM) == ("world", HOST)
    assert datagrams(web) == before + 1, "the honest one only"


def datagrams(world: World) -> int:
    """How many UDP datagrams came to a socket outside."""
    lines = within(world.outside, Path("/proc/thread-self/net/snmp").read_text).splitlines()
    names, values = (line.split() for line in lines if line.startswith("Udp:"))
    return int(values[names.index("InDatagrams")])


def test_a_replaced_table_fails_no_connection(web: World) -> None:
    ports = [tcp(web, 8080, "shop", 2, 3)]
    web.publish(*ports)
    done = Event()

    def replace() -> int:
        count = 0
        while not done.is_set():
            web.publish(*ports, *(tcp(web, 9000 + count % 7, "shop", 2) for _ in range(count % 3)))
            count += 1
        return count

    with ThreadPoolExecutor(max_workers=1) as threads:
        replacing = threads.submit(replace)
        answers = Counter(web.ask(web.outside, HOST, 8080)[0] for _ in range(200))
        done.set()
        assert replacing.result() > 3
    assert sum(answers.values()) == 200


def test_a_port_that_lost_its_replicas_refuses(web: World) -> None:
    web.publish(tcp(web, 8080, "shop", 2))
    web.publish(tcp(web, 8080, "shop"))
    with pytest.raises(ConnectionRefusedError):
        web.ask(web.outside, HOST, 8080)


def test_it_works_beside_a_table_of_somebody_else(web: World) -> None:
    foreign = """table ip nat {
        chain PREROUTING {
            type nat hook prerouting priority -100; policy accept;
            tcp dport 8080 dnat to 192.0.2.77:1
        }
    }"""
    nft("-f", "-", input=foreign)
    before = nft("list", "table", "ip", "nat")
    web.publish(tcp(web, 8080, "shop", 2))
    assert web.ask(web.outside, HOST, 8080)[0] == "shop2"
    web.firewall.remove()
    assert nft("list", "tables").split() == ["table", "ip", "nat"]  # ours are gone, this one is not
    assert nft("list", "table", "ip", "nat") == before


def test_a_bridge_deleted_by_hand_comes_back_with_its_containers(web: World) -> None:
    web.publish(tcp(web, 8080, "shop", 2))
    bridge = web.reader.look().networks["shop"].bridge
    ip("link", "delete", bridge)
    assert "shop" not in web.reader.look().networks
    web.network("shop")
    for number in (2, 3):
        web.container("shop", number)
    assert web.ask(web.outside, HOST, 8080)[0] == "shop2"
    assert web.ask(web.pin("shop", 3), web.address("shop", 2), 80)[0] == "shop2"
