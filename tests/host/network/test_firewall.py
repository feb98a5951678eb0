"""The table in the kernel: applied, noticed when changed, remembered by the next daemon."""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import HealthCheck, given, settings

from reconciler.core.model import digest
from reconciler.core.reach import Reach
from reconciler.core.ruleset import Bound, Bridge, Published, Restricted, Rules, render
from reconciler.errors import HostError
from reconciler.host import firewall
from reconciler.host.doorbells import drain, open_rules_doorbell
from reconciler.host.elements import MOST, difference
from reconciler.host.firewall import Nftables
from reconciler.host.netlink import NETFILTER, Message, Netlink
from reconciler.host.nftables import contents, fingerprint, generation
from tests.core.test_ruleset import EVERYTHING, NETWORKS, PUBLISHED, RULES
from tests.host.network.conftest import World, nft

pytestmark = pytest.mark.root

TEXT = render("test", RULES)
OTHER = render("test", Rules(networks=NETWORKS))
TABLES = ["table", "inet", "reconciler-test", "table", "bridge", "reconciler-test"]


def now() -> int:
    with Netlink(NETFILTER) as kernel:
        return generation(kernel)


def test_a_look_says_which_text_is_in_force(world: World) -> None:
    assert world.firewall.look() == ""
    world.firewall.apply(TEXT)
    assert world.firewall.look() == digest(TEXT)
    other = render("test", Rules())
    world.firewall.apply(other)
    assert world.firewall.look() == digest(other)
    assert nft("list", "tables").split() == TABLES


def test_the_table_is_replaced_whole(world: World) -> None:
    world.firewall.apply(TEXT)
    nft("add", "rule", "inet", "reconciler-test", "inward", "accept")
    nft("add", "chain", "inet", "reconciler-test", "foreign")
    world.firewall.apply(OTHER)
    listing = nft("list", "table", "inet", "reconciler-test")
    assert "foreign" not in listing
    assert "10.192.3.2" not in listing


@pytest.mark.parametrize(
    "change",
    [
        "flush ruleset",
        "delete table inet reconciler-test",
        "flush table inet reconciler-test",
        "add rule inet reconciler-test inward accept",
        "insert rule inet reconciler-test spoofed accept",
        "add chain inet reconciler-test foreign",
        'delete element inet reconciler-test bridges { "rc-aaaaaaaaaaaa" }',
        "delete table bridge reconciler-test",
        "insert rule bridge reconciler-test bound accept",
        'delete element bridge reconciler-test links { "rc0123456789" }',
        "add element inet reconciler-test replicas4 { tcp . 1 . 0 : 10.0.0.1 . 1 }",
        "delete element inet reconciler-test doors4 { tcp . 8080 }",
        "delete element inet reconciler-test limited4 { tcp . 8022 }",
        "add element inet reconciler-test allowed4 { 0.0.0.0/0 . tcp . 8023 }",
        "flush chain inet reconciler-test among_3",
        "add set inet reconciler-test mine { type ipv4_addr; }",
        "add chain inet reconciler-test forward { policy drop; }",
    ],
)
def test_every_change_of_our_table_is_noticed(world: World, change: str) -> None:
    world.firewall.apply(TEXT)
    assert world.firewall.look() == digest(TEXT)
    with open_rules_doorbell() as bell:
        nft(change)
        assert drain(bell)
    assert world.firewall.look() == ""
    assert Nftables(world.settings).look() == ""
    world.firewall.apply(TEXT)
    assert world.firewall.look() == digest(TEXT)


def test_the_same_table_put_back_by_somebody_is_as_good(world: World) -> None:
    world.firewall.apply(TEXT)
    assert world.firewall.look() == digest(TEXT)
    nft("flush", "ruleset")
    assert world.firewall.look() == ""
    nft("-f", "-", input=TEXT)
    assert world.firewall.look() == digest(TEXT)


def test_what_others_do_in_their_tables_is_no_matter(world: World) -> None:
    world.firewall.apply(TEXT)
    assert world.firewall.look() == digest(TEXT)
    before = now()
    nft("add", "table", "ip", "other")
    assert now() == before + 1
    assert world.firewall.look() == digest(TEXT)


def test_a_look_at_an_unchanged_generation_asks_for_nothing_else(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.firewall.apply(TEXT)
    assert world.firewall.look() == digest(TEXT)
    nft("add", "table", "ip", "other")
    assert world.firewall.look() == digest(TEXT)
    monkeypatch.delattr(firewall, "run")
    monkeypatch.delattr(firewall, "contents")
    assert world.firewall.look() == digest(TEXT)


def test_the_next_daemon_finds_the_table_as_it_was_left(world: World) -> None:
    world.firewall.apply(TEXT)
    assert world.firewall.look() == digest(TEXT)
    before = now()
    later = Nftables(world.settings)
    assert later.look() == digest(TEXT)
    assert now() == before, "and did not touch it"


def test_a_record_of_before_the_reboot_is_not_believed(world: World) -> None:
    world.firewall.apply(TEXT)
    assert world.firewall.look() == digest(TEXT)
    nft("flush", "ruleset")
    assert Nftables(world.settings).look() == ""


def test_looks_beside_an_apply_see_one_text_or_none(world: World) -> None:
    texts = [TEXT, OTHER]

    def apply_in_turns() -> None:
        for turn in range(12):
            world.firewall.apply(texts[turn % 2])

    with ThreadPoolExecutor(max_workers=1) as threads:
        applying = threads.submit(apply_in_turns)
        seen = set()
        while not applying.done():
            seen.add(world.firewall.look())
        applying.result()
    assert seen <= {"", *map(digest, texts)}
    assert world.firewall.look() == digest(texts[1])


@pytest.mark.parametrize("content", ["", "{", "[]", "7", '{"text": 1}', "\0"])
def test_a_damaged_record_means_looking_anew(world: World, content: str) -> None:
    world.firewall.apply(TEXT)
    assert world.firewall.look() == digest(TEXT)
    (world.settings.run / "firewall.json").write_text(content)
    later = Nftables(world.settings)
    assert later.look() == ""
    later.apply(TEXT)
    assert later.look() == digest(TEXT)


def test_a_change_in_the_same_moment_leads_to_another_try(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(argv: list[str], *, input: str) -> str:
        nft("-f", "-", input=input)
        return nft("add", "rule", "inet", "reconciler-test", "inward", "accept")

    with monkeypatch.context() as patch:
        patch.setattr(firewall, "run", interrupted)
        world.firewall.apply(TEXT)
    assert world.firewall.look() == ""
    world.firewall.apply(TEXT)
    assert world.firewall.look() == digest(TEXT)


def test_a_refused_text_changes_nothing_and_is_a_sentence(world: World) -> None:
    world.firewall.apply(TEXT)
    before = nft("list", "ruleset")
    with pytest.raises(HostError, match=r"^cannot run nft"):
        world.firewall.apply(TEXT.replace("drop", "dorp"))
    assert nft("list", "ruleset") == before


def test_a_record_that_cannot_be_written_is_a_sentence(world: World) -> None:
    (world.settings.run / "firewall.part").mkdir()
    world.firewall.apply(TEXT)
    with pytest.raises(HostError, match=r"^cannot remember the ruleset in .*firewall.json: Is a directory"):
        world.firewall.look()
    (world.settings.run / "firewall.part").rmdir()
    assert world.firewall.look() == digest(TEXT)
    (world.settings.run / "firewall.part").mkdir()
    before = nft("list", "ruleset")
    with pytest.raises(HostError, match=r"^cannot remember the ruleset"):
        world.firewall.apply(OTHER)
    assert nft("list", "ruleset") == before, "an old record of other tables is worse than none"


def test_a_table_that_no_look_has_seen_since_is_replaced_by_the_next_daemon(world: World) -> None:
    world.firewall.apply(TEXT)
    assert Nftables(world.settings).look() == ""
    nft("add", "table", "ip", "other")
    assert world.firewall.look() == "", "nobody can say any more whose table it is"


def test_removing_takes_the_table_only_and_may_be_repeated(world: World) -> None:
    nft("add", "table", "ip", "other")
    world.firewall.apply(TEXT)
    world.firewall.remove()
    world.firewall.remove()
    assert nft("list", "tables").split() == ["table", "ip", "other"]
    assert world.firewall.look() == ""


def test_the_fingerprint_of_a_large_table_does_not_depend_on_hashes(world: World) -> None:
    many = tuple(Published(port=port, targets=(("10.192.3.2", 80),)) for port in range(1000, 1400))
    world.firewall.apply(render("test", Rules(networks=NETWORKS, published=many)))
    with Netlink(NETFILTER) as kernel:
        first = fingerprint(contents(kernel, "reconciler-test"))
        assert first
        assert {fingerprint(contents(kernel, "reconciler-test")) for _ in range(3)} == {first}
        nft("delete", "element", "inet", "reconciler-test", "doors4", "{ tcp . 1200 }")
        assert fingerprint(contents(kernel, "reconciler-test")) != first
        assert fingerprint(contents(kernel, "absent")) == ""


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(EVERYTHING)
def test_the_kernel_takes_every_ruleset(namespace: None, rules: Rules) -> None:
    nft("-c", "-f", "-", input=render("test", rules))


@pytest.mark.parametrize("instance", ["rt2", "ip", "tcp", "counter", "reconciler", "a-b"])
def test_an_instance_may_be_called_like_a_word_of_nft(namespace: None, instance: str) -> None:
    nft("-c", "-f", "-", input=render(instance, RULES))


# --- by single elements --------------------------------------------------------------------------------------------


def listed() -> list[str]:
    """The tables as nft tells them, whatever the order of elements."""
    listing = "".join(nft("list", "table", family, "reconciler-test") for family in ("inet", "bridge"))
    return sorted(part.strip() for part in re.split(r"[,{}\n]", listing))


MORE = (
    *PUBLISHED,
    Published(port=7, host_ip="127.0.0.1", protocol="udp", targets=(("10.192.6.2", 80),), allow=("127.0.0.1",)),
    Published(port=8, targets=(("10.192.6.2", 80), ("10.192.6.3", 80), ("fd00:6::2", 80)), allow=("fd00::/8",)),
    Published(port=8080, targets=(("10.192.3.9", 80), ("fd00:3::9", 80))),
)
WIDER = Rules(
    networks=(*NETWORKS, Bridge(bridge="rc-dddddddddddd", subnet="10.192.6.1/24", subnet6="fd00:6::1/64")),
    published=MORE,
    restricted=(
        *RULES.restricted,
        Restricted(
            addresses=("10.192.6.2", "fd00:6::2"),
            destinations=(Reach(network="2001:db8::/32"), Reach(network="192.0.2.0/31", ports=(1, 9), protocol="udp")),
        ),
    ),
    bound=(*RULES.bound, Bound(link="rc-/x y", addresses=("10.192.6.2", "fd00:6::2"))),
)


def test_what_comes_or_goes_needs_no_program(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network, ports, one more replica of a port, limits, destinations, links."""
    wider = render("test", WIDER)
    world.firewall.apply(wider)
    expected = listed()
    world.firewall.apply(TEXT)
    monkeypatch.delattr(firewall, "run")
    world.firewall.apply(wider)
    assert world.firewall.look() == Nftables(world.settings).look() == digest(wider)
    assert listed() == expected
    world.firewall.apply(TEXT)
    world.firewall.apply(wider)
    assert listed() == expected


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(EVERYTHING, EVERYTHING)
def test_however_the_tables_came_about_they_are_the_same(world: World, one: Rules, other: Rules) -> None:
    before, after = render("test", one), render("test", other)
    nft("-f", "-", input=after)
    expected = listed()
    world.firewall.apply(before)
    world.firewall.apply(after)
    assert world.firewall.look() == digest(after)
    assert listed() == expected


def test_a_rule_that_somebody_adds_just_before_is_not_kept(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the look and the batch: the kernel refuses the batch, since its generation has passed."""
    world.firewall.apply(TEXT)

    def late(before: str, after: str) -> tuple[Message, ...] | None:
        changes = difference(before, after)
        nft("add", "rule", "inet", "reconciler-test", "inward", "accept")
        return changes

    monkeypatch.setattr(firewall, "difference", late)
    other = render("test", Rules(networks=NETWORKS, published=PUBLISHED[:1]))
    world.firewall.apply(other)
    assert world.firewall.look() == digest(other)
    nft("-f", "-", input=other)
    assert world.firewall.look() == digest(other)


def many(count: int) -> str:
    ports = (Published(port=1000 + number, targets=(("10.192.3.2", 80),)) for number in range(count))
    return render("test", Rules(networks=NETWORKS, published=tuple(ports)))


def test_what_differs_in_more_than_some_elements_is_left_to_nft() -> None:
    crowd = Published(port=81, targets=tuple((f"10.192.3.{number}", 80) for number in range(2, 20)))
    assert difference(TEXT, TEXT) is None
    assert difference(TEXT, TEXT.replace("accept;", "drop;")) is None
    assert difference(TEXT, render("test", Rules(networks=NETWORKS, published=(*PUBLISHED, crowd)))) is None
    assert difference(OTHER, many(MOST // 2 + 1)) is None
    assert len(difference(OTHER, many(MOST // 2)) or ()) == MOST


def test_as_many_elements_as_may_be_changed_at_once_are(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.firewall.apply(OTHER)
    monkeypatch.delattr(firewall, "run")
    world.firewall.apply(many(MOST // 2))
    world.firewall.apply(OTHER)
    assert world.firewall.look() == Nftables(world.settings).look() == digest(OTHER)


def test_a_table_that_is_replaced_while_it_is_read_has_no_fingerprint(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.firewall.apply(TEXT)
    dump = Netlink.dump
    asked: list[int] = []

    def interrupted(kernel: Netlink, kind: int, body: bytes) -> list[bytes]:
        asked.append(kind)
        if len(asked) == 5:
            nft("delete", "table", "inet", "reconciler-test")
        return dump(kernel, kind, body)

    monkeypatch.setattr(Netlink, "dump", interrupted)
    with Netlink(NETFILTER) as kernel:
        assert fingerprint(contents(kernel, "reconciler-test")) == ""
    assert len(asked) >= 5


def test_a_fingerprint_of_what_changed_is_that_of_everything(world: World) -> None:
    def in_force(*ports: Published) -> str:
        return render("test", Rules(networks=NETWORKS, published=ports))

    one, two = (Published(port=port, targets=(("10.192.3.2", 80),)) for port in (8001, 8002))
    moved = Published(port=8001, targets=(("10.192.3.3", 80), ("10.192.3.2", 81)))
    limited = Published(port=8002, targets=(("10.192.3.2", 80),), allow=("192.0.2.0/24",))
    for texts in [(in_force(one),), (in_force(moved, two),), (in_force(one, limited), in_force(limited)), (TEXT,)]:
        for text in texts:
            world.firewall.apply(text)
        assert world.firewall.look() == digest(texts[-1])
        with Netlink(NETFILTER) as kernel:
            everything = fingerprint(contents(kernel, "reconciler-test"))
        assert json.loads((world.settings.run / "firewall.json").read_text())["table"] == everything
        assert Nftables(world.settings).look() == digest(texts[-1])
