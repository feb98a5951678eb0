"""What a bridge takes from the host, and what it must not do to it."""

from __future__ import annotations

import pytest

from tests.host.network.conftest import World, ip
from tests.host.network.test_networks import SHOP, shown

pytestmark = pytest.mark.root


def test_a_default_route_that_leads_by_no_single_link_gives_no_mtu(world: World) -> None:
    ip("route", "replace", "unreachable", "default")
    world.network("shop")
    assert shown("link", "show", "dev", SHOP)[0]["mtu"] == 1500


def test_a_bridge_does_not_ring_again_when_a_delay_has_passed(world: World) -> None:
    world.network("shop")
    assert "forward_delay 0 " in ip("-d", "link", "show", "dev", SHOP)
