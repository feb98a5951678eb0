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
from reconciler.errors import HostError
from reconciler.host import rtnetlink
from reconciler.host.aliases import LIMIT, container_alias, network_alias, parse_container, parse_network
from reconciler.host.netlink import decode
from reconciler.host.observe.links import Links, read
from reconciler.host.rtnetlink import LOWER_UP, UP, Address, Link, Route
from tests.host.network.conftest import World, ip

RECORDED = Path(__file__).parent / "recorded"
DONE = 3
BRIDGE = "rc-7ebaa1a72a02"


def bodies(name: str) -> list[bytes]:
    return [message.body for _, message in decode((RECORDED / name).read_bytes()) if message.kind != DONE]


def recorded() -> tuple[list[Link], list[Address], list[Route]]:
    routes = map(rtnetlink.parse_route, bodies("routes.bin"))
    return (
        [rtnetlink.parse_link(body) for body in bodies("links.bin")],
        [rtnetlink.parse_address(body) for body in bodies("addresses.bin")],
        [route for route in routes if route],
    )


def test_the_recorded_host() -> None:
    assert read("reconciler", *recorded(), forwarding=True) == Links(
        networks={
            "a_default": SeenNetwork(
                name="a_default", app="a", spec="a.toml", bridge=BRIDGE, subnet="10.192.3.1/24", up=True
            )
        },
        attached=frozenset({digest("0")}),
        routes=("10.200.0.0/16", "172.30.0.0/16", "192.0.2.0/24"),
    )


def test_another_instance_sees_nothing_of_it_but_its_subnet() -> None:
    seen = read("demo", *recorded(), forwarding=True)
    assert seen.networks == {}
    assert seen.attached == frozenset()
    assert "10.192.3.0/24" in seen.routes


def test_links_are_read_whole() -> None:
    links, addresses, _ = recorded()
    by_name = {link.name: link for link in links}
    assert set(by_name) >= {"lo", "cable", "far", "br0", BRIDGE, "rc" + digest("0")[:10]}
    veth = by_name["rc" + digest("0")[:10]]
    assert (veth.kind, veth.mtu, veth.master) == ("veth", 1500, by_name[BRIDGE].index)
    assert veth.netnsid is not None
    assert (by_name["cable"].peer, by_name["cable"].netnsid) == (by_name["far"].index, None)
    assert by_name["cable"].alias == "an uplink: of somebody"
    assert Address(by_name["cable"].index, "192.0.2.1", 24) in addresses


def test_a_look_says_when_a_network_lost_its_address_or_is_down() -> None:
    links, _, routes = recorded()
    down = [replace(link, flags=link.flags & ~UP) if link.name == BRIDGE else link for link in links]
    seen = read("reconciler", down, [], routes, forwarding=True).networks["a_default"]
    assert (seen.subnet, seen.up) == ("", False)


def test_a_network_of_a_host_that_does_not_forward_is_not_up() -> None:
    assert not read("reconciler", *recorded(), forwarding=False).networks["a_default"].up


@given(st.data())
def test_a_container_is_attached_only_when_all_is_right(data: st.DataObject) -> None:
    alias = network_alias("i", Network(name="n", app="a", spec="s"))
    bridges = [
        Link(index=1, name="b1", kind="bridge", alias=alias),
        Link(index=2, name="b2", kind="bridge", alias=alias),
    ]
    master = data.draw(st.sampled_from([0, 1, 2, 9]))
    flags = data.draw(st.sampled_from([0, UP, LOWER_UP, UP | LOWER_UP]))
    instance = data.draw(st.sampled_from(["i", "j"]))
    veth = Link(index=5, name="v", flags=flags, alias=container_alias(instance, "c", "b1"), master=master)
    right = master == 1 and flags == UP | LOWER_UP and instance == "i"
    assert read("i", [veth, *bridges], [], [], forwarding=True).attached == (frozenset({"c"}) if right else frozenset())


# --- aliases -----------------------------------------------------------------------------------------------------

WORDS = st.text("abcdefghijklmnopqrstuvwxyz0123456789_-", min_size=1, max_size=30)


@given(WORDS, WORDS, WORDS, st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=30))
def test_a_network_is_read_back_from_its_alias(instance: str, name: str, app: str, spec: str) -> None:
    network = Network(name=name, app=app, spec=spec)
    alias = network_alias(instance, network)
    assert parse_network(instance, alias) == network
    assert parse_network(instance + "x", alias) is None
    assert parse_container(instance, alias) is None


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


@pytest.mark.parametrize("length", [LIMIT - len("i:network:n:a:"), LIMIT - len("i:network:n:a:") + 1])
def test_an_alias_fits_or_is_refused(length: int) -> None:
    network = Network(name="n", app="a", spec="s" * length)
    if length + len("i:network:n:a:") <= LIMIT:
        assert parse_network("i", network_alias("i", network)) == network
    else:
        with pytest.raises(HostError, match="255 bytes at most"):
            network_alias("i", network)


# --- the reader --------------------------------------------------------------------------------------------------


@pytest.mark.root
def test_a_look_sees_what_was_made(world: World) -> None:
    world.plug_outside()
    ip("route", "add", "default", "via", "192.0.2.2")
    bridge = world.network("shop")
    world.network("blog")
    ids = {world.container("shop", 2), world.container("shop", 3), world.container("blog", 2)}
    alone = "f" * 64
    world.networks.connect(alone, "", "", "")
    seen = world.reader.look()
    assert seen.networks["shop"] == SeenNetwork(
        name="shop", app="shop", spec="shop.toml", bridge=bridge, subnet="10.192.3.1/24", up=True
    )
    assert set(seen.networks) == {"shop", "blog"}
    assert seen.attached == ids
    assert seen.pinned == ids | {alone}
    assert seen.routes == ("192.0.2.0/24",)


@pytest.mark.root
def test_without_a_folder_of_namespaces_nothing_is_pinned(world: World) -> None:
    assert world.reader.look() == Links()
