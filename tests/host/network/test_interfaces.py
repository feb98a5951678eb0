"""A container's interfaces: several networks, names, hardware addresses, routes."""

from __future__ import annotations

import os
import resource
import socket
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.wiring import veth_name
from reconciler.errors import HostError
from reconciler.host.namespaces import visit
from reconciler.host.netlink import Netlink
from tests.host.network.conftest import World, ip, within
from tests.host.network.test_networks import links, shown, until


@given(st.sets(st.tuples(st.from_regex("[0-9a-f]{9}", fullmatch=True), st.integers(0, 40)), max_size=20))
def test_names_of_links_are_distinct_and_fit(places: set[tuple[str, int]]) -> None:
    names = {veth_name(id + "0" * 55, place) for id, place in places}
    assert len(names) == len(places)
    assert all(len(name) <= 15 for name in names)


@pytest.mark.root
def test_a_container_is_in_several_networks(world: World) -> None:
    for name in ("shop", "blog", "mail"):
        world.network(name, ipv6=name != "mail")
    id = world.container("shop", 2, "blog", "mail")
    pin = world.pin("shop", 2)
    assert within(pin, links) == {"lo", "eth0", "eth1", "eth2"}
    assert world.fault(id) == ""
    assert world.reader.look().ends[id].keys() == {end.bridge for end in world.joined[id]}
    routes = [route["gateway"] for route in within(pin, lambda: shown("route", "show", "default"))]
    routes6 = [route["gateway"] for route in within(pin, lambda: shown("-6", "route", "show", "default"))]
    assert (routes, routes6) == (["10.192.3.1"], ["fd00:3::1"])
    world.serve(pin, 80, "two")
    for name, address in (("shop", "10.192.3.2"), ("blog", "10.192.4.2"), ("mail", "10.192.5.2")):
        world.container(name, 3)
        assert world.ask(world.pin(name, 3), address, 80)[0] == "two"


@pytest.mark.root
def test_the_default_route_is_where_the_endpoint_says(world: World) -> None:
    for name in ("shop", "blog"):
        world.network(name)
    first, second = world.endpoint("shop", 2, 1), world.endpoint("blog", 2)
    world.join(world.id("shop", 2), first, second)
    (route,) = within(world.pin("shop", 2), lambda: shown("route", "show", "default"))
    assert (route["gateway"], route["dev"]) == ("10.192.4.1", "eth0")


@pytest.mark.root
def test_name_and_hardware_address_are_as_declared(world: World) -> None:
    world.network("shop")
    endpoint = replace(world.endpoint("shop", 2), interface="lan0", mac="02-00-5E-00-53-01")
    id = world.id("shop", 2)
    world.join(id, endpoint)
    (link,) = within(world.pin("shop", 2), lambda: shown("link", "show", "dev", "lan0"))
    assert link["address"] == "02:00:5e:00:53:01"
    assert world.fault(id) == ""


@pytest.mark.root
def test_a_network_of_ipv6_alone(world: World) -> None:
    world.network("shop", ipv6=True)
    ids = [world.id("shop", number) for number in (2, 3)]
    for number, id in zip((2, 3), ids, strict=True):
        world.join(id, replace(world.endpoint("shop", number), ipv4="", gateway4=""))
    assert [world.fault(id) for id in ids] == ["", ""]
    macs = {within(world.pin("shop", n), lambda: shown("link", "show", "dev", "eth0"))[0]["address"] for n in (2, 3)}
    assert len(macs) == 2
    world.serve(world.pin("shop", 2), 80, "two", family=socket.AF_INET6)
    assert world.ask(world.pin("shop", 3), "fd00:3::2", 80) == ("two", "fd00:3::3")


@pytest.mark.root
def test_all_links_of_a_container_go(world: World) -> None:
    networks = [f"net{number}" for number in range(6)]
    for name in networks:
        world.network(name)
    id = world.container(networks[0], 2, *networks[1:])
    ip("link", "delete", veth_name(id, 1))
    world.networks.disconnect(id)
    assert not any(end.up for end in world.reader.look().ends.get(id, {}).values())
    until(lambda: not any(veth_name(id, place) in links() for place in range(6)))


@pytest.mark.root
def test_a_link_that_is_still_going_is_no_obstacle(world: World) -> None:
    """The kernel deletes the links of a namespace some time after it went."""
    world.network("shop")
    id = world.id("shop", 2)
    for _ in range(10):
        world.container("shop", 2)
        assert world.fault(id) == ""
        world.networks.disconnect(id)
    until(lambda: not any(name.startswith(("rc~", "rc" + id[:9])) for name in links()))


@pytest.mark.root
def test_a_name_that_is_taken_on_the_host_is_taken_back(world: World) -> None:
    world.network("shop")
    id = world.id("shop", 2)
    ip("link", "add", veth_name(id), "type", "bridge")
    world.container("shop", 2)
    assert world.fault(id) == ""


@pytest.mark.root
def test_a_visit_passes_over_what_is_gone(world: World) -> None:
    world.network("shop")
    world.container("shop", 2)
    pins = {"two": world.pin("shop", 2), "gone": world.pin("shop", 3)}

    def work(inside: Netlink) -> str:
        return "seen"

    (world.settings.run / "empty").touch()
    pins["unmounted"] = world.settings.run / "empty"
    assert visit(pins, work) == {"two": "seen"}
    with pytest.raises(IsADirectoryError):
        visit({"strange": world.settings.run}, work)


@pytest.mark.root
def test_a_look_without_descriptors_proves_nothing(world: World) -> None:
    world.network("shop")
    id = world.container("shop", 2)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(fd.name) for fd in Path("/proc/self/fd").iterdir())
    spare = [os.open("/dev/null", os.O_RDONLY) for _ in range(highest)]  # no gap is left below the highest one
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(spare) + 1, limits[1]))
    try:
        with pytest.raises(HostError, match="cannot look at the links of the host: Too many open files"):
            world.reader.look()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        for descriptor in spare:
            os.close(descriptor)
    assert world.fault(id) == ""
