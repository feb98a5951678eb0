"""What listens on the host's loopback stays out of reach of containers, also while our table is missing."""

from __future__ import annotations

import re
import subprocess

import pytest

from reconciler.core.ruleset import MARK, Published
from reconciler.host.ingress import keep_loopback
from reconciler.host.netlink import Netlink
from tests.host.network.conftest import ip, nft, within
from tests.host.network.ground import Ground, bridged_packets_pass_the_ruleset, ground, sysctl

__all__ = ["ground"]  # a fixture

pytestmark = pytest.mark.root


@pytest.fixture
def site(ground: Ground) -> Ground:
    """A container that routes the loopback's addresses to its gateway, and somebody who listens there."""
    ground.network("shop", "web", "db")
    ground.serve("web", 80)
    ground.serve("host", 5432)
    ground.serve("host", 80)
    ground.publish(Published(port=8080, targets=(("10.192.3.2", 80),), host_ip="127.0.0.1"))
    within(ground.places["db"], lambda: sysctl("net/ipv4/conf/eth0/route_localnet", "1"))
    within(ground.places["db"], lambda: ip("link", "set", "lo", "down"))
    within(ground.places["db"], lambda: ip("addr", "del", "127.0.0.1/8", "dev", "lo"))
    within(ground.places["db"], lambda: ip("route", "add", "127.0.0.1", "via", "10.192.3.1", "src", "10.192.3.3"))
    return ground


def index(link: str) -> int:
    return int(ip("-o", "link", "show", link).partition(":")[0])


def keep(link: str) -> bool:
    with Netlink() as kernel:
        return keep_loopback(kernel, index(link), MARK)


def filters(link: str) -> str:
    shown = subprocess.run(["tc", "filter", "show", "dev", link, "ingress"], check=True, capture_output=True, text=True)
    return shown.stdout


@pytest.mark.parametrize("filtered", ["0", "1"])
def test_the_loopback_is_out_of_reach_with_and_without_the_table(site: Ground, filtered: str) -> None:
    bridged_packets_pass_the_ruleset(filtered)
    assert site.who("db", "127.0.0.1", 5432) == "dropped"
    nft("flush", "ruleset")
    assert site.who("db", "127.0.0.1", 5432) == "host", "this is what the filter is for"
    assert keep("rc-shop")
    assert site.who("db", "127.0.0.1", 5432) == "dropped"
    assert site.who("db", "10.192.3.1", 80) == "host", "the gateway answers"
    assert site.who("db", "fd00:3::1", 80) == "host"
    assert site.who("db", "10.192.3.2", 80) == "web", "so do neighbours"


@pytest.mark.parametrize("filtered", ["0", "1"])
def test_what_is_published_on_the_loopback_still_answers(site: Ground, filtered: str) -> None:
    bridged_packets_pass_the_ruleset(filtered)
    assert keep("rc-shop")
    assert site.who("host", "127.0.0.1", 8080) == "web"


def test_it_may_be_asked_for_again(site: Ground) -> None:
    assert keep("rc-shop")
    once = filters("rc-shop")
    assert "direct-action" in once
    assert keep("rc-shop")
    assert shape(filters("rc-shop")) == shape(once)
    with Netlink() as kernel:
        assert keep_loopback(kernel, index("rc-shop"), 1 << 30)
    assert filters("rc-shop").count("direct-action") == 1
    assert filters("rc-shop").count(f" {1 << 30}") == 1


def shape(shown: str) -> str:
    """Without the number that each program gets."""
    return re.sub(r" id \d+", "", shown)


def test_filters_of_others_stay(site: Ground) -> None:
    subprocess.run(["tc", "qdisc", "add", "dev", "rc-shop", "clsact"], check=True)
    words = "tc filter add dev rc-shop ingress protocol ipv6 prio 7 u32 match u32 0 0 classid 1:1"
    subprocess.run(words.split(), check=True)
    assert keep("rc-shop")
    assert "u32" in filters("rc-shop")
    assert "direct-action" in filters("rc-shop")


def test_a_link_that_is_gone_is_an_error(site: Ground) -> None:
    gone = index("rc-shop")
    ip("link", "delete", "rc-shop")
    with pytest.raises(OSError, match="No such device"), Netlink() as kernel:
        keep_loopback(kernel, gone, MARK)
