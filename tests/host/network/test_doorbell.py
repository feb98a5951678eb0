"""The kernel's notices of links, addresses, routes and settings: every change rings, and silence does not."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from reconciler.core.addresses import bridge_name
from reconciler.host.doorbells import drain, open_doorbell
from tests.host.network.conftest import World, ip

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
