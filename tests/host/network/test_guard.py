"""What routing refuses while the tables are missing: its rules, and that no packet passes in the gap."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from ipaddress import ip_interface

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reconciler.core.ruleset import Published, Restricted, Rules, render
from reconciler.host.doorbells import drain, open_doorbell
from reconciler.host.firewall import Nftables
from reconciler.host.guard import PROTOCOL, Guard, priority
from tests.host.network.conftest import ip, nft
from tests.host.network.ground import DATAGRAM, HOST, HOST6, OUTSIDE, OUTSIDE6, STREAM, Ground, ground, told

__all__ = ["ground"]  # a fixture

pytestmark = pytest.mark.root

MARK = 0x1000
FOUR, SIX = ("10.192.3.0/24", "10.192.4.0/24"), ("fd00:3::/64",)
WEB, WEB6, BLOG, BLOG6, SAFE = "10.192.3.2", "fd00:3::2", "10.192.4.2", "fd00:4::2", "10.192.5.2"


@pytest.fixture
def guard(namespace: None) -> Guard:
    return Guard("test", MARK)


def rules() -> str:
    return ip("-4", "rule") + ip("-6", "rule")


# --- the rules -----------------------------------------------------------------------------------------------------


def test_rules_are_put_and_taken_away(guard: Guard) -> None:
    before = rules()
    guard.put(("10.192.3.1/24", *FOUR, *SIX))
    assert guard.look() == (*FOUR, *SIX)
    first = priority("test")
    assert f"{first}:\tfrom all iif lo goto {first + 4} proto {PROTOCOL}\n" in rules()
    assert f"{first + 1}:\tfrom all fwmark 0x1000/0x1000 goto {first + 4} proto {PROTOCOL}\n" in rules()
    assert f"{first + 3}:\tfrom all to fd00:3::/64 blackhole proto {PROTOCOL}\n" in rules()
    guard.put(SIX)
    assert guard.look() == SIX
    assert "10.192" not in rules()
    guard.put(())
    assert guard.look() == ()
    assert rules() == before


def test_putting_them_again_changes_nothing(guard: Guard) -> None:
    guard.put(FOUR)
    with open_doorbell() as bell:
        guard.put(FOUR)
        assert not drain(bell)
        guard.put((*FOUR, *SIX))
        assert drain(bell)


@pytest.mark.parametrize(
    "change",
    [
        "-4 rule flush",
        "-4 rule del iif lo",
        "-4 rule del fwmark 0x1000/0x1000",
        "-4 rule del from 10.192.3.0/24",
        "-4 rule del to 10.192.4.0/24",
        f"-4 rule add from 10.192.3.0/24 fwmark 1/1 blackhole proto {PROTOCOL} pref {priority('test') + 2}",
        f"-4 rule add from all lookup main proto {PROTOCOL} pref {priority('test') + 1}",
        f"-4 rule add iif eth9 goto {priority('test') + 4} proto {PROTOCOL} pref {priority('test')}",
    ],
)
def test_every_change_is_noticed_and_mended(guard: Guard, change: str) -> None:
    guard.put((*FOUR, *SIX))
    expected = rules()
    with open_doorbell() as bell:
        ip(*change.split())
        assert drain(bell)
    assert set(guard.look()) < {*FOUR, *SIX}
    guard.put((*FOUR, *SIX))
    assert guard.look() == (*FOUR, *SIX)
    assert own(rules()) == own(expected)


def own(listing: str) -> list[str]:
    return sorted(line for line in listing.splitlines() if f"proto {PROTOCOL}" in line)


def test_rules_of_others_are_no_matter(guard: Guard) -> None:
    ip("rule", "add", "pref", str(priority("test") + 2), "from", "10.0.0.0/8", "lookup", "100", "proto", "static")
    ip("rule", "add", "pref", "5000", "from", "10.192.3.0/24", "blackhole")
    before = rules()
    guard.put(FOUR)
    assert guard.look() == FOUR
    guard.put(())
    assert rules() == before


def test_two_instances_have_rules_of_their_own(guard: Guard) -> None:
    other = Guard("other", 0x2000)
    guard.put(FOUR[:1])
    other.put(FOUR[1:])
    assert (guard.look(), other.look()) == (FOUR[:1], FOUR[1:])
    guard.put(())
    assert (guard.look(), other.look()) == ((), FOUR[1:])


def test_there_may_be_many(guard: Guard) -> None:
    many = tuple(sorted(f"10.{192 + number // 256}.{number % 256}.0/24" for number in range(600)))
    guard.put(many)
    assert guard.look() == many
    guard.put(())
    assert guard.look() == ()


SUBNETS = st.lists(st.sampled_from([*FOUR, *SIX, "10.0.0.0/8", "172.16.0.1/12", "fd00::1/8"]), max_size=5).map(tuple)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(SUBNETS, SUBNETS)
def test_whatever_was_there_before_only_what_is_wanted_is_there_after(
    guard: Guard, before: tuple[str, ...], after: tuple[str, ...]
) -> None:
    guard.put(after)
    expected = rules()
    seen = guard.look()
    guard.put(before)
    guard.put(after)
    assert (guard.look(), sorted(rules().split("\n"))) == (seen, sorted(expected.split("\n")))


# --- the gap -------------------------------------------------------------------------------------------------------


@pytest.fixture
def site(ground: Ground) -> Ground:
    """Two networks and an internal one, a published port, somebody restricted; everybody serves."""
    ground.network("shop", "web", "db")
    ground.network("blog", "blog")
    ground.network("back", "safe", internal=True)
    for name in ("web", "db", "blog", "safe", "outside", "host"):
        ground.serve(name, 80)
        ground.serve(name, 80, DATAGRAM)
    restricted = (Restricted(addresses=("10.192.3.3", "fd00:3::3"), destinations=()),)
    published = (Published(port=8080, targets=((WEB, 80), (WEB6, 80))),)
    ground.apply(replace(ground.rules, restricted=restricted, published=published))
    ground.firewall.guard(subnets(ground))
    return ground


def subnets(site: Ground) -> tuple[str, ...]:
    return tuple(subnet for bridge in site.rules.networks for subnet in bridge.subnets)


CLOSED = [
    ("outside", WEB),
    ("outside", WEB6),
    ("outside", SAFE),
    ("web", BLOG),
    ("web", BLOG6),
    ("blog", WEB),
    ("safe", OUTSIDE),
    ("safe", WEB),
    ("db", OUTSIDE),
    ("db", OUTSIDE6),
    ("db", BLOG),
]


def test_without_tables_nothing_is_forwarded_and_the_host_goes_on(site: Ground) -> None:
    nft("flush", "ruleset")
    found = site.answers((name, host, 80, kind) for name, host in CLOSED for kind in (STREAM, DATAGRAM))
    assert {who for who, _ in found.values()} == {"dropped"}
    for host in (WEB, WEB6, SAFE):
        assert site.who("host", host, 80) == host_of(host), "the host reaches its containers"
    assert site.who("db", WEB, 80) == "web", "neighbours"
    assert site.who("db", WEB6, 80) == "web"
    assert site.who("web", "10.192.3.1", 80) == "host"
    assert site.who("web", "fd00:3::1", 80) == "host"
    assert site.who("outside", HOST, 80) == "host"
    assert site.who("host", OUTSIDE6, 80) == "outside"
    site.firewall.guard(())
    assert site.who("outside", WEB, 80) == "web", "it was the guard that stood between them"
    assert site.who("web", BLOG6, 80) == "blog"


def host_of(address: str) -> str:
    return "safe" if address == SAFE else "web"


def test_with_tables_the_guard_is_no_obstacle(site: Ground) -> None:
    for host in (HOST, HOST6):
        for name in ("outside", "blog", "host", "web"):
            assert site.who(name, host, 8080) == "web"
    for host in (OUTSIDE, OUTSIDE6):
        assert site.who("web", host, 80) == "outside"


@contextmanager
def probing(site: Ground) -> Iterator[list[int]]:
    """Datagrams without a pause, from everybody to whom they may not reach; how often one was answered."""
    with ExitStack() as closing:
        done, answered, clients = threading.Event(), [0, 0], []
        for name, host in CLOSED:
            client = closing.enter_context(site.client(name, host, DATAGRAM))
            client.setblocking(False)
            clients.append((client, (host, 80)))

        def probe() -> None:
            while not done.wait(0.0005):
                for client, place in clients:
                    answered[1] += attempt(client.sendto, b"?", place)
                    answered[0] += attempt(client.recv, 100)

        thread = threading.Thread(target=probe)
        thread.start()
        try:
            yield answered
        finally:
            done.set()
            thread.join()


def attempt(call: object, *arguments: object) -> bool:
    assert callable(call)
    try:
        return bool(call(*arguments))
    except OSError:
        return False


def test_nothing_passes_while_the_ruleset_is_flushed_and_repaired(site: Ground) -> None:
    with probing(site) as answered:
        for _ in range(15):
            subprocess.run(["nft", "flush", "ruleset"], check=True)
            site.apply(site.rules)
        sent = answered[1]
    assert answered[0] == 0
    assert sent > 100
    site.firewall.guard(())
    with probing(site) as answered:
        subprocess.run(["nft", "flush", "ruleset"], check=True)
        assert site.who("outside", WEB, 80) == "web"
        threading.Event().wait(0.1)
    assert answered[0] > 0, "the probes find what is open"


def test_connections_survive_a_flush(site: Ground) -> None:
    with site.client("web", OUTSIDE) as client:
        client.settimeout(5)
        client.connect((OUTSIDE, 80))
        assert told(client)[0] == "outside"
        nft("flush", "ruleset")
        with ThreadPoolExecutor(max_workers=1) as threads:
            answer = threads.submit(told, client)
            site.apply(site.rules)
            assert answer.result()[0] == "outside"


def test_two_instances_on_one_host_each_keep_their_own(ground: Ground) -> None:
    ground.network("shop", "web")
    ground.network("blog", "blog")
    for name in ("web", "blog", "outside"):
        ground.serve(name, 80)
    shop, blog = ground.rules.networks
    other = Nftables(replace(ground.settings, instance="other", run=ground.settings.run / "other", packet_mark=0x2000))
    ground.apply(Rules(networks=(shop,), published=(Published(port=8080, targets=((WEB, 80), (WEB6, 80))),)))
    theirs = Rules(networks=(blog,), published=(Published(port=8081, targets=((BLOG, 80),)),), mark=0x2000)
    other.apply(render("other", theirs))
    ground.firewall.guard(shop.subnets)
    other.guard(blog.subnets)
    assert (ground.who("outside", HOST, 8080), ground.who("outside", HOST, 8081)) == ("web", "blog")
    assert (ground.who("blog", HOST, 8080), ground.who("web", HOST, 8081)) == ("web", "blog")
    assert (ground.who("blog", WEB, 80), ground.who("web", BLOG, 80)) == ("dropped", "dropped")
    other.remove()
    assert ground.who("outside", HOST, 8080) == "web"
    assert ground.who("web", OUTSIDE, 80) == "outside"
    for name, host in (("web", BLOG), ("outside", BLOG), ("blog", OUTSIDE), ("blog", WEB)):
        assert ground.who(name, host, 80) == "dropped", (name, host)
    other.guard(())
    assert ground.firewall.guarded() == tuple(sorted(str(ip_interface(subnet).network) for subnet in shop.subnets))
    other.close()
