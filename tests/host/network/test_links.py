"""What a look makes of recorded dumps, and that it sees a host of our own making.

Recorded on a host with an uplink `cable` and a default route, one network of instance `reconciler`, a bridge of
somebody else, and three containers: one as it should be, one put on the other bridge, one whose own end is down.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.model import digest
from reconciler.core.networking import Network, SeenNetwork
from reconciler.core.wiring import HostEnd, Made
from reconciler.errors import HostError
from reconciler.host import inet, rtnetlink
from reconciler.host.aliases import (
    LIMIT,
    Marked,
    container_alias,
    departed_alias,
    network_alias,
    parent_alias,
    parse_container,
    parse_network,
)
from reconciler.host.inet import Address, Route
from reconciler.host.netlink import decode
from reconciler.host.observe.links import Dump, Links, read
from reconciler.host.rtnetlink import UP, Link
from tests.host.network.conftest import World, ip

RECORDED = Path(__file__).parent / "recorded"
DONE = 3
BRIDGE = "rc-7ebaa1a72a02"


def bodies(name: str) -> list[bytes]:
    return [message.body for _, message in decode((RECORDED / name).read_bytes()) if message.kind != DONE]


def recorded() -> Dump:
    routes = map(inet.parse_route, bodies("routes.bin"))
    return Dump(
        links=[rtnetlink.parse_link(body) for body in bodies("links.bin")],
        addresses=[inet.parse_address(body) for body in bodies("addresses.bin")],
        routes=[route for route in routes if route],
        settings={"ipv4.ip_forward": 1},
    )


def veth(number: str) -> str:
    return "rc" + digest(number)[:10]


def test_the_recorded_host() -> None:
    assert read("reconciler", recorded()) == Links(
        networks={
            "a_default": SeenNetwork(name="a_default", app="a", spec="a.toml", bridge=BRIDGE, subnet="10.192.3.1/24")
        },
        ends={
            digest("0"): {BRIDGE: HostEnd(name=veth("0"), bridge=BRIDGE)},
            digest("1"): {BRIDGE: HostEnd(name=veth("1"), bridge="", hairpin=False)},
            digest("2"): {BRIDGE: HostEnd(name=veth("2"), bridge=BRIDGE)},
        },
        routes=("10.200.0.0/16", "172.30.0.0/16", "192.0.2.0/24"),
    )


def test_another_instance_sees_nothing_of_it_but_its_subnet() -> None:
    seen = read("demo", recorded())
    assert seen.networks == {}
    assert seen.ends == {}
    assert "10.192.3.0/24" in seen.routes


def test_links_are_read_whole() -> None:
    dump = recorded()
    by_name = {link.name: link for link in dump.links}
    assert set(by_name) >= {"lo", "cable", "far", "br0", BRIDGE, veth("0")}
    end = by_name[veth("0")]
    assert (end.kind, end.mtu, end.master) == ("veth", 1500, by_name[BRIDGE].index)
    assert end.netnsid is not None
    assert end.hairpin
    assert (by_name["cable"].peer, by_name["cable"].netnsid) == (by_name["far"].index, None)
    assert by_name["cable"].alias == "an uplink: of somebody"
    assert Address(by_name["cable"].index, "192.0.2.1/24") in dump.addresses
    assert rtnetlink.settings(by_name[BRIDGE])[f"ipv4.conf.{BRIDGE}.route_localnet"] == 1


def test_a_bridge_that_was_marked_by_an_older_release_is_known_by_what_it_has() -> None:
    dump = recorded()
    down = [replace(link, flags=link.flags & ~UP) if link.name == BRIDGE else link for link in dump.links]
    seen = read("reconciler", replace(dump, links=down, addresses=[])).networks["a_default"]
    assert (seen.subnet, seen.drift) == ("", f"bridge {BRIDGE} is down")


def test_a_bridge_keeps_the_subnet_that_it_was_made_with() -> None:
    made = Made(subnet="10.0.0.1/24", subnet6="fd00::1/64", mtu=1400)
    alias = network_alias("i", Network(name="n", app="a", spec="s"), made)
    link = Link(index=1, name="b", kind="bridge", flags=UP, mtu=1400, alias=alias)
    seen = read("i", Dump(links=[link])).networks["n"]
    assert (seen.subnet, seen.subnet6, seen.mtu) == ("10.0.0.1/24", "fd00::1/64", 1400)
    assert seen.drift == "its address 10.0.0.1/24 is gone"


def test_routes_that_are_nobodys_subnet_are_none() -> None:
    routes = [Route(1, "0.0.0.0/0", "192.0.2.1"), Route(1, "::/0", "fd00::1"), Route(1, "fe80::/64"),
              Route(1, "2001:db8::/64"), Route(1, "192.0.2.0/24")]  # fmt: skip
    assert read("i", Dump(links=[], routes=routes)).routes == ("192.0.2.0/24", "2001:db8::/64")


# --- aliases -----------------------------------------------------------------------------------------------------

WORDS = st.text("abcdefghijklmnopqrstuvwxyz0123456789_-", min_size=1, max_size=30)


MADE = st.builds(
    Made,
    mtu=st.integers(68, 65535),
    subnet=st.sampled_from(["", "10.192.3.1/24"]),
    subnet6=st.sampled_from(["", "fd00::1/64", "2001:db8:1:2:3:4:5:6/128"]),
)


@given(WORDS, WORDS, st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=30), MADE)
def test_a_network_is_read_back_from_its_alias(instance: str, name: str, spec: str, made: Made) -> None:
    network = Network(name=name, app=name, spec=spec)
    alias = network_alias(instance, network, made)
    assert parse_network(instance, alias) == Marked(name=name, app=name, spec=spec, made=made)
    assert parse_network(instance + "x", alias) is None
    assert parse_container(instance, alias) is None


def test_the_mark_of_an_older_release_is_understood() -> None:
    seen = parse_network("i", "i:network:n_default:n:folder/a:b.toml")
    assert seen == Marked(name="n_default", app="n", spec="folder/a:b.toml", made=None)


@pytest.mark.parametrize("alias", [departed_alias("i"), parent_alias("i"), "i:bridge:n:a:x,y:s", "i:bridge:n:a:s"])
def test_other_marks_are_no_networks(alias: str) -> None:
    assert parse_network("i", alias) is None
    assert parse_container("i", alias) is None


@given(WORDS, st.from_regex("[0-9a-f]{64}", fullmatch=True), WORDS)
def test_a_container_is_read_back_from_its_alias(instance: str, id: str, bridge: str) -> None:
    alias = container_alias(instance, id, bridge)
    assert parse_container(instance, alias) == (id, bridge)
    assert parse_container("x" + instance, alias) is None
    assert parse_network(instance, alias) is None


@given(st.text(max_size=40))
def test_any_alias_may_be_on_a_link(alias: str) -> None:
    assert parse_network("reconciler", alias) is None
    assert parse_container("reconciler", alias) is None


@pytest.mark.parametrize("more", [0, 1])
def test_an_alias_fits_or_is_refused(more: int) -> None:
    made = Made(mtu=1500, subnet="10.192.3.1/24")
    length = LIMIT - len(network_alias("i", Network(name="n", app="a", spec=""), made)) + more
    network = Network(name="n", app="a", spec="s" * length)
    if not more:
        assert parse_network("i", network_alias("i", network, made)) is not None
    else:
        with pytest.raises(HostError, match="255 bytes at most"):
            network_alias("i", network, made)


# --- the reader --------------------------------------------------------------------------------------------------


@pytest.mark.root
def test_a_look_sees_what_was_made(world: World) -> None:
    world.plug_outside()
    ip("route", "add", "default", "via", "192.0.2.2")
    bridge = world.network("shop")
    world.network("blog")
    ids = {world.container("shop", 2), world.container("shop", 3), world.container("blog", 2)}
    alone = "f" * 64
    world.join(alone)
    seen = world.reader.look()
    assert seen.networks["shop"] == SeenNetwork(
        name="shop", app="shop", spec="shop.toml", bridge=bridge, subnet="10.192.3.1/24", mtu=1500
    )
    assert set(seen.networks) == {"shop", "blog"}
    assert seen.ends.keys() == ids
    assert seen.insides.keys() == ids | {alone}
    assert not any(world.fault(id) for id in {*ids, alone})
    assert seen.routes == ("192.0.2.0/24",)


@pytest.mark.root
def test_without_a_folder_of_namespaces_there_are_no_containers(world: World) -> None:
    assert world.reader.look() == Links()
