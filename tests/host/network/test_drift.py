"""Every kind of damage to links, addresses, routes and settings: a look says what it is, and a repair mends it."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from pathlib import Path

import pytest

from reconciler.core.addresses import bridge_name
from reconciler.core.wiring import veth_name
from tests.host.network.conftest import World, ip, within
from tests.host.network.test_networks import until

pytestmark = pytest.mark.root

SHOP, BLOG = bridge_name("test", "shop"), bridge_name("test", "blog")


@dataclass(frozen=True)
class Damage:
    """What is done to container 2, in its namespace when `inside`, and what a look says of it."""

    words: str
    said: str
    inside: bool = False

    def do(self, world: World) -> None:
        names = {"veth": veth_name(world.id("shop", 2)), "shop": SHOP, "blog": BLOG}
        for line in self.words.format(**names).split("; "):
            if self.inside:
                within(world.pin("shop", 2), lambda line=line: ip(*line.split()))  # type: ignore[misc]
            else:
                ip(*line.split())

    def __str__(self) -> str:
        return self.words


DISCONNECTED = [
    Damage("link delete {veth}", "eth0 is gone"),
    Damage("link set {veth} down; link set {veth} name renamed", "the host's end of eth0 is down"),
    Damage("link delete {veth}; link add {veth} type bridge", "eth0 is gone"),
    Damage("link set {veth} nomaster", f"eth0 is not on bridge {SHOP}"),
    Damage("link set {veth} master {blog}", f"eth0 is not on bridge {SHOP}"),
    Damage("link set {veth} down", "the host's end of eth0 is down"),
    Damage("link set {veth} alias mine", "the host's end of eth0 is gone"),
    Damage("link set {veth} type bridge_slave hairpin off", "hairpin of eth0 is off"),
    Damage("link set lo down", "its loopback is down", inside=True),
    Damage("link set eth0 down", "eth0 is down", inside=True),
    Damage("link delete eth0", "eth0 is gone", inside=True),
    Damage("link set eth0 address 02:00:00:00:00:09", "the MAC address of eth0 is 02:00:00:00:00:09, not "
           "02:42:0a:c0:03:02", inside=True),
    Damage("addr del 10.192.3.2/24 dev eth0", "its address 10.192.3.2/24 is gone", inside=True),
    Damage("addr flush dev eth0; addr add 10.192.3.77/24 dev eth0", "its address 10.192.3.2/24 is gone", inside=True),
    Damage("-4 addr flush dev eth0; addr add 10.192.3.77/24 dev eth0; addr add 10.192.3.2/24 dev eth0",
           "its address 10.192.3.2/24 is gone", inside=True),
    Damage("addr del fd00:3::2/64 dev eth0", "its address fd00:3::2/64 is gone", inside=True),
    Damage("route del default", "its default route by 10.192.3.1 is gone", inside=True),
    Damage("-6 route del default", "its default route by fd00:3::1 is gone", inside=True),
    Damage("route del 10.192.3.0/24", "its route to 10.192.3.0/24 is gone", inside=True),
    Damage("-6 route del fd00:3::/64", "its route to fd00:3::/64 is gone", inside=True),
]  # fmt: skip


@pytest.fixture
def shop(world: World) -> World:
    """Containers 2, also on a second network, and 3, which asks it."""
    for name in ("shop", "blog"):
        world.network(name, ipv6=True)
    world.container("shop", 2, "blog")
    world.container("shop", 3)
    for family in (socket.AF_INET, socket.AF_INET6):
        world.serve(world.pin("shop", 2), 80, "shop2", family=family)
    return world


def works(world: World) -> bool:
    pin = world.pin("shop", 3)
    return {world.ask(pin, host, 80)[0] for host in ("10.192.3.2", "fd00:3::2")} == {"shop2"}


@pytest.mark.parametrize("damage", DISCONNECTED, ids=str)
def test_damage_to_a_container_rings_is_named_and_repaired(shop: World, damage: Damage) -> None:
    id = shop.id("shop", 2)
    assert shop.fault(id) == ""
    damage.do(shop)
    assert shop.fault(id, full=False) == damage.said, "also when only what rang is read again"
    shop.join(id, *shop.joined[id])
    assert shop.fault(id, full=False) == ""
    assert works(shop)


NETWORK = [
    Damage("link set {shop} down", f"bridge {SHOP} is down"),
    Damage("addr del 10.192.3.1/24 dev {shop}", "its address 10.192.3.1/24 is gone"),
    Damage("addr del fd00:3::1/64 dev {shop}", "its address fd00:3::1/64 is gone"),
    Damage("addr flush dev {shop}; addr add 172.16.0.1/16 dev {shop}", "its address 10.192.3.1/24 is gone"),
    Damage("route del 10.192.3.0/24", "the route to 10.192.3.0/24 is gone"),
    Damage("-6 route del fd00:3::/64", "the route to fd00:3::/64 is gone"),
    Damage("link set {shop} mtu 1400", f"the MTU of {SHOP} is 1400, not 1500"),
]


def rings(world: World) -> set[str]:
    """What the doorbells say now."""
    return {rang() for rang in world.reader.doorbells().values()}


@pytest.mark.parametrize("damage", NETWORK, ids=str)
def test_damage_to_a_bridge_rings_is_named_and_repaired(shop: World, damage: Damage) -> None:
    assert shop.drift("shop") == ""
    rings(shop)
    damage.do(shop)
    assert "links" in rings(shop)
    assert shop.drift("shop") == damage.said
    assert shop.reader.look().networks["shop"].subnet == "10.192.3.1/24", "it keeps its subnet"
    shop.network("shop")
    assert shop.drift("shop") == ""
    assert works(shop)
    assert not shop.fault(shop.id("shop", 2))


SETTINGS = [
    ("ipv4/ip_forward", "0", "net.ipv4.ip_forward is 0"),
    (f"ipv4/conf/{SHOP}/forwarding", "0", f"net.ipv4.conf.{SHOP}.forwarding is 0"),
    (f"ipv4/conf/{SHOP}/route_localnet", "0", f"net.ipv4.conf.{SHOP}.route_localnet is 0"),
    ("ipv6/conf/all/forwarding", "0", "net.ipv6.conf.all.forwarding is 0"),
    (f"ipv6/conf/{SHOP}/forwarding", "0", f"net.ipv6.conf.{SHOP}.forwarding is 0"),
    (f"ipv6/conf/{SHOP}/accept_ra", "2", f"net.ipv6.conf.{SHOP}.accept_ra is 2"),
    (f"ipv6/conf/{SHOP}/disable_ipv6", "1", "its address fd00:3::1/64 is gone"),
]


@pytest.mark.parametrize(("name", "value", "said"), SETTINGS)
def test_a_setting_that_was_changed_rings_is_named_and_repaired(shop: World, name: str, value: str, said: str) -> None:
    assert shop.drift("shop") == ""
    rings(shop)
    Path("/proc/sys/net", name).write_text(value)
    assert "links" in rings(shop)
    assert shop.drift("shop") == said
    shop.network("shop")
    assert shop.drift("shop") == ""
    assert works(shop)


def test_a_repair_disturbs_no_connection_of_the_other_network(shop: World) -> None:
    id = shop.id("shop", 2)
    shop.container("blog", 4)
    shop.serve(shop.pin("blog", 4), 80, "blog4")
    with within(shop.pin("shop", 2), lambda: socket.create_connection(("10.192.4.4", 80), timeout=5)) as client:
        ip("link", "delete", veth_name(id))
        assert shop.fault(id) == "eth0 is gone"
        shop.join(id, *shop.joined[id])
        assert shop.fault(id) == ""
        client.send(b"?")
        assert client.recv(100) == b"blog4 10.192.4.2"


def test_what_somebody_added_beside_is_left_alone(shop: World) -> None:
    id, pin = shop.id("shop", 2), shop.pin("shop", 2)
    within(pin, lambda: ip("addr", "add", "172.20.0.9/24", "dev", "eth0"))
    within(pin, lambda: ip("addr", "add", "10.192.3.200/32", "dev", "eth0"))
    assert shop.fault(id) == ""
    within(pin, lambda: ip("link", "set", "eth0", "down"))
    shop.join(id, *shop.joined[id])
    shown = within(pin, lambda: ip("-4", "addr", "show", "dev", "eth0"))
    assert "172.20.0.9/24" in shown
    assert "10.192.3.200/32" in shown


def test_silence_is_silent(shop: World) -> None:
    shop.reader.look()
    until(lambda: rings(shop) == {""})
