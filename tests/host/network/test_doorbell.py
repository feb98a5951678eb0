"""The kernel's notices of links, addresses, routes and settings: every change rings, and silence does not."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from reconciler.core.addresses import bridge_name
from reconciler.host.doorbells import HERE, Writes, drain, open_doorbell, path, rung
from tests.host.network.conftest import World, ip, within

pytestmark = pytest.mark.root

SHOP = bridge_name("test", "shop")


def test_changes_ring_and_silence_does_not(world: World) -> None:
    with open_doorbell() as bell:
        assert not drain(bell)
        world.network("shop")
        assert drain(bell)
        assert not drain(bell)
        ip("addr", "add", "10.0.0.1/8", "dev", SHOP)
        assert drain(bell)
        ip("route", "add", "172.16.0.0/12", "via", "10.0.0.2")
        assert drain(bell)
        Path("/proc/sys/net/ipv4/ip_forward").write_text("0")
        assert drain(bell)
        assert world.drift("shop") == "net.ipv4.ip_forward is 0"
        assert not drain(bell)


def test_too_many_changes_ring_too(world: World) -> None:
    with open_doorbell() as bell:
        bell.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        for number in range(20):
            ip("link", "add", f"bridge{number}", "type", "bridge")
        assert drain(bell)
        assert not drain(bell)


def others(bell: socket.socket) -> frozenset[int]:
    """The other namespaces that rang; here a carrier may come late, as it pleases the kernel."""
    return (rung(bell) or frozenset()) - {HERE}


def test_a_namespace_rings_by_its_number(world: World) -> None:
    world.network("shop")
    with open_doorbell() as bell:
        id = world.container("shop", 2)
        assert HERE in (rung(bell) or ())
        within(world.pin("shop", 2), lambda: ip("addr", "add", "10.0.0.9/8", "dev", "eth0"))
        rang = others(bell)
        assert len(rang) == 1
        within(world.pin("shop", 2), lambda: ip("-6", "route", "add", "fd00:99::/64", "dev", "lo"))
        assert others(bell) == rang
        assert world.fault(id) == ""


def test_a_namespace_that_is_not_ours_is_told_apart(world: World) -> None:
    world.plug_outside()
    world.network("shop")
    world.container("shop", 2)
    world.reader.look()
    with open_doorbell() as bell:
        within(world.outside, lambda: ip("addr", "add", "192.0.2.77/24", "dev", "eth0"))
        theirs = others(bell)
        within(world.pin("shop", 2), lambda: ip("addr", "add", "192.0.2.77/24", "dev", "eth0"))
        ours = others(bell)
    assert not all(map(world.reader._inside.knows, theirs))
    assert any(map(world.reader._inside.knows, ours))


def test_nobody_is_known_to_have_rung_when_something_was_lost(world: World) -> None:
    with open_doorbell() as bell:
        bell.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        for number in range(20):
            ip("link", "add", f"bridge{number}", "type", "bridge")
        assert rung(bell) is None
        assert rung(bell) == frozenset()


def test_after_a_loss_every_namespace_is_read_again(world: World) -> None:
    world.network("shop")
    id = world.container("shop", 2)
    assert world.fault(id) == ""
    world.reader._bell.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    for number in range(20):
        ip("link", "add", f"bridge{number}", "type", "bridge")
    within(world.pin("shop", 2), lambda: ip("link", "set", "eth0", "down"))
    assert world.fault(id, full=False) == "eth0 is down"


def test_forwarding_of_ipv6_rings(world: World) -> None:
    with open_doorbell() as bell:
        path("net.ipv6.conf.all.forwarding").write_text("1")
        assert drain(bell)


# --- settings ----------------------------------------------------------------------------------------------------

LOCALNET = f"net.ipv4.conf.{SHOP}.route_localnet"


def test_a_write_to_a_watched_setting_rings(world: World) -> None:
    world.network("shop")
    writes = Writes()
    try:
        writes.watch([(LOCALNET, 1), ("net.ipv4.conf.absent.route_localnet", 2)])
        assert not writes.rang()
        path("net.ipv4.conf.lo.route_localnet").write_text("1")
        assert not writes.rang(), "nobody asked for that one"
        path(LOCALNET).write_text("0")
        assert writes.rang()
        assert not writes.rang()
        writes.watch([(LOCALNET, 1)], again=True)
        path(LOCALNET).write_text("1")
        assert writes.rang()
        writes.watch([])
        writes.rang()
        path(LOCALNET).write_text("0")
        assert not writes.rang()
    finally:
        writes.close()


def test_the_settings_of_a_bridge_that_was_made_anew_ring_too(world: World) -> None:
    world.network("shop")
    world.reader.look(False)
    world.networks.remove("shop", SHOP)
    world.network("shop")
    world.reader.look(False)
    for rang in world.reader.doorbells().values():
        rang()
    path(LOCALNET).write_text("0")
    assert "links" in {rang() for rang in world.reader.doorbells().values()}
