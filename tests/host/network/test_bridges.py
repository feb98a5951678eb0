"""What a bridge takes from the host, and what it must not do to it."""

from __future__ import annotations

import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from reconciler.core.addresses import bridge_name
from reconciler.core.networking import Network
from reconciler.core.wiring import LINK_LOCAL, veth_name
from reconciler.host.aliases import departed_alias
from tests.host.network.conftest import World, ip, within
from tests.host.network.test_networks import SHOP, links, shown, sysctl, until

pytestmark = pytest.mark.root


def test_a_default_route_that_leads_by_no_single_link_gives_no_mtu(world: World) -> None:
    ip("route", "replace", "unreachable", "default")
    world.network("shop")
    assert shown("link", "show", "dev", SHOP)[0]["mtu"] == 1500


def test_a_bridge_does_not_ring_again_when_a_delay_has_passed(world: World) -> None:
    world.network("shop")
    assert "forward_delay 0 " in ip("-d", "link", "show", "dev", SHOP)


# --- as declared -------------------------------------------------------------------------------------------------


def test_a_declared_mtu_is_that_of_all_ends(world: World) -> None:
    world.network("shop", mtu=1400)
    id = world.container("shop", 2)
    inside = within(world.pin("shop", 2), lambda: shown("link", "show", "dev", "eth0"))
    assert [link[0]["mtu"] for link in (shown("link", "show", "dev", SHOP), inside)] == [1400, 1400]
    assert shown("link", "show", "dev", veth_name(id))[0]["mtu"] == 1400


def test_a_declared_name_is_the_bridges(world: World) -> None:
    network = Network(name="shop", app="shop", spec="shop.toml", bridge="br-shop")
    world.networks.create(network, "br-shop", ("10.192.3.1/24", ""))
    assert world.reader.look().networks["shop"].bridge == "br-shop"
    world.networks.remove("shop", "br-shop")
    assert "br-shop" not in links()


# --- IPv6 --------------------------------------------------------------------------------------------------------


def test_an_ipv6_address_works_at_once(world: World) -> None:
    world.network("shop", ipv6=True)
    world.container("shop", 2)
    for text in (ip("-6", "addr", "show", "dev", SHOP), within(world.pin("shop", 2), lambda: ip("-6", "addr"))):
        assert "fd00:3::" in text
        assert "tentative" not in text
        assert "fe80" not in text.replace(f"{LINK_LOCAL} scope link nodad", "")


def test_a_container_does_not_reach_the_hosts_loopback_without_the_ruleset(world: World) -> None:
    world.network("shop")
    world.container("shop", 2)
    shown = subprocess.run(["tc", "filter", "show", "dev", SHOP, "ingress"], check=True, capture_output=True, text=True)
    assert "direct-action" in shown.stdout


def test_a_network_without_ipv6_leaves_ipv6_alone(world: World) -> None:
    world.network("shop")
    world.container("shop", 2)
    assert sysctl("ipv6/conf/all/forwarding") == "0"
    assert within(world.pin("shop", 2), lambda: ip("-6", "route")) == ""


def test_the_host_keeps_listening_to_its_routers_when_it_forwards(world: World) -> None:
    world.plug_outside()
    ip("link", "add", "deaf", "type", "bridge")
    Path("/proc/sys/net/ipv6/conf/deaf/accept_ra").write_text("0")
    world.network("blog")
    assert sysctl("ipv6/conf/cable/accept_ra") == "1"
    world.network("shop", ipv6=True)
    assert sysctl("ipv6/conf/all/forwarding") == "1"
    assert [sysctl(f"ipv6/conf/{name}/accept_ra") for name in ("cable", "deaf", SHOP)] == ["2", "0", "0"]
    assert sysctl(f"ipv6/conf/{bridge_name('test', 'blog')}/accept_ra") == "1", "deaf, as it forwards"


def test_what_somebody_set_on_a_forwarding_host_stays(world: World) -> None:
    world.plug_outside()
    Path("/proc/sys/net/ipv6/conf/all/forwarding").write_text("1")
    world.network("shop", ipv6=True)
    assert sysctl("ipv6/conf/cable/accept_ra") == "1"


def test_ipv6_goes_through_the_host(world: World) -> None:
    world.plug_outside()
    ip("addr", "add", "2001:db8::1/64", "dev", "cable", "nodad")
    within(world.outside, lambda: ip("addr", "add", "2001:db8::2/64", "dev", "eth0", "nodad"))
    within(world.outside, lambda: ip("route", "add", "default", "via", "2001:db8::1"))
    world.network("shop", ipv6=True)
    world.container("shop", 2)
    world.serve(world.outside, 80, "outside", family=socket.AF_INET6)
    world.serve(world.pin("shop", 2), 80, "shop2", family=socket.AF_INET6)
    assert world.ask(world.outside, "fd00:3::2", 80) == ("shop2", "2001:db8::2"), "the bridge has to find it first"
    assert world.ask(world.pin("shop", 2), "2001:db8::2", 80) == ("outside", "fd00:3::2")


def test_a_host_without_ipv6_has_networks_all_the_same(world: World) -> None:
    for name in ("all", "default"):
        Path(f"/proc/sys/net/ipv6/conf/{name}/disable_ipv6").write_text("1")
    world.network("shop")
    world.container("shop", 2)
    world.container("shop", 3)
    world.serve(world.pin("shop", 2), 80, "two")
    assert world.ask(world.pin("shop", 3), "10.192.3.2", 80)[0] == "two"
    assert (world.drift("shop"), world.fault(world.id("shop", 2))) == ("", "")


def test_a_network_with_ipv6_has_it_also_where_new_links_have_none(world: World) -> None:
    Path("/proc/sys/net/ipv6/conf/default/disable_ipv6").write_text("1")
    world.network("shop", ipv6=True)
    world.container("shop", 2)
    world.container("shop", 3)
    world.serve(world.pin("shop", 2), 80, "two", family=socket.AF_INET6)
    assert world.ask(world.pin("shop", 3), "fd00:3::2", 80)[0] == "two"
    assert (world.drift("shop"), world.fault(world.id("shop", 2))) == ("", "")


# --- going -------------------------------------------------------------------------------------------------------


def test_a_bridge_that_was_removed_can_be_made_again_at_once(world: World) -> None:
    for _ in range(3):
        world.network("shop", ipv6=True)
        world.container("shop", 2)
        world.container("shop", 3)
        world.serve(world.pin("shop", 2), 80, "shop2", family=socket.AF_INET6)
        assert world.ask(world.pin("shop", 3), "fd00:3::2", 80)[0] == "shop2"
        assert world.drift("shop") == ""
        for number in (2, 3):
            world.networks.disconnect(world.id("shop", number))
        world.networks.remove("shop", SHOP)
        assert SHOP not in links()
        assert world.reader.look().networks == {}
    until(lambda: not any(name.startswith("rc~") for name in links()))


def test_what_a_killed_daemon_left_is_deleted_by_the_next(world: World) -> None:
    world.network("shop")
    ip("link", "add", "rc~9", "type", "bridge")
    ip("link", "set", "rc~9", "alias", departed_alias("test"))
    ip("link", "add", "rc~8", "type", "bridge")
    ip("link", "set", "rc~8", "alias", departed_alias("other"))
    world.networks.sweep()
    until(lambda: "rc~9" not in links())
    assert SHOP in links()
    assert "rc~8" in links(), "another instance looks after its own"


def test_many_bridges_go_beside_each_other(world: World) -> None:
    names = [f"net{number}" for number in range(20)]
    for name in names:
        world.network(name)
    with ThreadPoolExecutor(max_workers=4) as threads:
        list(threads.map(lambda name: world.networks.remove(name, bridge_name("test", name)), names))
    assert world.reader.look().networks == {}
    until(lambda: links() == {"lo"})
