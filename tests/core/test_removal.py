"""Few apps go at once without a word: plans of what waits, and a property over many looks and daemons."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.core.model import Container, Desired, Observed, Running
from reconciler.core.names import REVISIONS, touched
from reconciler.core.plan import plan
from reconciler.core.removal import WINDOW, decide, noted
from reconciler.core.steps import Plan
from reconciler.core.tombstones import NAME, Removals, Tombstones, parse
from tests.core.hosts import NOW, POLICY, seen
from tests.core.test_plan_properties import act
from tests.core.worlds import container, desired
from tests.fakes import FakeHost

APPS = "abcdefgh"


def app(name: str) -> Container:
    return container(name, networks=())


def there(names: str, removals: Removals | None = None) -> Observed:
    """A host on which these apps run."""
    ids = {name: name * 64 for name in names}
    found = {id: seen(of=app(name), id=id) for name, id in ids.items()}
    return Observed(containers=found, removals=removals)


def wanted(names: str, dead: str = "") -> Desired:
    return replace(desired(*(app(name) for name in names)), tombstones=Tombstones(frozenset(dead)))


def stopped(found: Plan) -> str:
    """The apps of whose containers something is done."""
    tasks = (task.key for task in found.tasks)
    return "".join(sorted(key.removeprefix("container:")[0] for key in tasks if key.startswith("container:")))


def look(names: str, host: Observed, dead: str = "", now: float = NOW) -> Plan:
    return plan(wanted(names, dead), host, now, POLICY)


# --- what goes and what waits ------------------------------------------------------------------------------------


def test_nothing_goes_before_it_is_noted_who_was_there() -> None:
    found = look("bcdefgh", there(APPS))
    (task,) = (task for task in found.tasks if task.key == "removals")
    assert str(task) == "removals: note that there are 8 apps, and that a may go (no spec declares them)"
    assert touched(task) == {REVISIONS}
    assert stopped(found) == ""
    after = noted(wanted("bcdefgh"), there(APPS), 3, NOW)
    assert after.removals == Removals(at=NOW, apps=tuple(APPS), gone=("a",))
    assert stopped(look("bcdefgh", after)) == "a"


@pytest.mark.parametrize(
    ("before", "after", "gone"),
    [
        ("abc", "", "abc"),  # no more than three
        ("abcd", "", ""),
        ("abcde", "e", ""),
        (APPS, "efgh", "abcd"),  # no more than half
        (APPS, "fgh", ""),
        (APPS, "", ""),
    ],
)
def test_more_than_three_apps_and_more_than_half_wait(before: str, after: str, gone: str) -> None:
    host = noted(wanted(after), there(before), 3, NOW)
    found = look(after, host)
    assert stopped(found) == gone
    assert any(wait.key == "removals" for wait in found.waits) is not bool(gone)


def test_the_sentence_says_what_to_write_where() -> None:
    found = look("gh", there(APPS))
    (wait,) = found.waits
    assert str(wait) == (
        "removals: waits: 6 of 8 apps have left the specs, more than 3 and more than half of them: a, b, c, d, e, f"
        " stay until their specs are back, or until reconciler.removed in the specs directory names them, one a line"
    )
    assert not wait.passing


def test_an_app_that_a_tombstone_names_goes_and_no_other() -> None:
    host = noted(wanted("gh", "ab"), there(APPS), 3, NOW)
    found = look("gh", host, "ab")
    assert stopped(found) == "ab"
    assert ": c, d, e, f stay" in str(found)
    rest = replace(host, containers=there("cdefgh").containers)
    assert stopped(look("gh", rest, "ab")) == ""
    assert stopped(look("gh", rest, "cdef")) == "cdef", "a name may be taken out once its app is gone"


def test_a_tombstone_counts_for_nothing_while_a_spec_declares_the_app() -> None:
    found = look("ab", there("ab"), "az")
    assert [str(wait) for wait in found.waits] == [
        "tombstone:a: waits: a spec declares app a, so it stays; take its line out of reconciler.removed"
    ]
    assert stopped(found) == ""


def test_what_cannot_be_read_allows_nothing_and_is_told() -> None:
    broken = replace(wanted("gh"), tombstones=Tombstones(problem="cannot read it"))
    host = noted(broken, there(APPS), 3, NOW)
    found = plan(broken, host, NOW, POLICY)
    assert stopped(found) == ""
    assert "tombstones: waits: cannot read it" in str(found)


def test_few_by_few_counts_together() -> None:
    host = noted(wanted("cdefgh"), there(APPS), 3, NOW)
    for names, now in (("efgh", NOW + 60.0), ("gh", NOW + 120.0)):
        host = replace(there(names + "gh"[: 2 * (names == "gh")], host.removals), removals=host.removals)
        host = noted(wanted(names), replace(host, containers=there("efgh").containers), 3, now)
    found = look("gh", host, now=NOW + 120.0)
    assert stopped(found) == ""
    assert "6 of 8 apps have left the specs" in str(found)
    assert ": e, f stay" in str(found)


def test_an_hour_later_they_do_not() -> None:
    memory = Removals(at=NOW - WINDOW, apps=tuple(APPS), gone=tuple("abcd"))
    assert noted(wanted("efgh"), there("efgh", memory), 3, NOW).removals is None
    late = noted(wanted("efgh"), there("efgh", replace(memory, at=NOW - WINDOW + 1.0)), 3, NOW)
    assert late.removals is not None
    found = look("efgh", there("efgh", memory))
    assert [str(task) for task in found.tasks if task.key == "removals"] == [
        "removals: forget which apps left (an hour without another, or all are back)"
    ]


def test_a_clock_that_was_set_back_holds_nothing_up() -> None:
    memory = Removals(at=NOW + 1e8, apps=tuple(APPS), gone=tuple("abcd"))
    assert noted(wanted("efgh"), there("efgh", memory), 3, NOW).removals is None


def test_what_has_begun_to_go_goes_on() -> None:
    host = noted(wanted("bcdefgh"), there(APPS), 3, NOW)
    assert stopped(look("gh", host)) == "a"


def test_what_came_back_is_not_remembered_as_gone() -> None:
    memory = Removals(at=NOW, apps=tuple(APPS), gone=tuple("ab"))
    back = noted(wanted("acdefgh"), there("acdefgh", memory), 3, NOW)
    assert back.removals == replace(memory, gone=("b",))
    assert noted(wanted(APPS), there(APPS, memory), 3, NOW).removals is None


def test_new_apps_do_not_make_room_for_more() -> None:
    """Another directory, full of other specs, must not remove the old ones as soon as enough of the new ones run."""
    host = noted(wanted("stuvwxyz"), there(APPS), 3, NOW)
    later = replace(there(APPS + "stuvwxyz"), removals=host.removals)
    assert stopped(look("stuvwxyz", later)) == ""


def test_what_waits_keeps_running_as_it_is() -> None:
    host = noted(wanted(""), there("abcd"), 3, NOW)
    dead = replace(host, containers={id: replace(each, state=Running(pid=1, since=1.0, monitored=False)) for id, each in
                                     host.containers.items()})  # fmt: skip
    assert "its monitor is gone" in str(look("", dead))


def test_a_moment_is_no_reason_to_say_anything() -> None:
    vanishing = replace(wanted(""), vanished=dict.fromkeys("abcd", NOW + 0.2))
    found = plan(vanishing, noted(vanishing, there("abcd"), 3, NOW), NOW, POLICY)
    assert {wait.key for wait in found.waits} == {f"removal:{name}" for name in "abcd"}


def test_a_source_that_cannot_be_read_proves_nothing() -> None:
    memory = Removals(at=NOW, apps=tuple("ab"), gone=("a",))
    away = Desired(unavailable="cannot read")
    assert decide(away, there("ab", memory), 3, NOW).memory == memory
    assert stopped(plan(away, there("ab", memory), NOW, POLICY)) == ""


def test_an_app_whose_spec_cannot_be_read_has_not_left() -> None:
    """Also when nobody knows what its name would be."""
    broken = Desired(held={"a.yaml": "cannot read it"})
    assert decide(broken, there("a"), 0, NOW) == decide(Desired(), there(""), 0, NOW)


def test_without_a_limit_all_go() -> None:
    found = plan(Desired(), there(APPS), NOW, replace(POLICY, max_removal=None))
    assert stopped(found) == APPS


# --- tombstones as a file ----------------------------------------------------------------------------------------


def test_a_file_of_tombstones() -> None:
    assert parse(b"# gone for good\nshop\n\n  blog # since May\r\nshop\n") == Tombstones(frozenset({"shop", "blog"}))
    assert parse(b"") == Tombstones()
    assert parse(b"shop\na b\n") == Tombstones(
        frozenset({"shop"}), "cannot use reconciler.removed:2: write one name of an app a line"
    )
    assert not parse(b"shop\n\xff").apps
    assert NAME in parse(b"\xff").problem


@given(st.binary(max_size=200))
def test_any_file_is_read(text: bytes) -> None:
    found = parse(text)
    assert all(name and not set(name) & set(" \n#") for name in found.apps)


# --- over many looks ---------------------------------------------------------------------------------------------


@given(st.integers(0, 2**32), st.integers(0, 4), st.integers(2, 8))
@settings(max_examples=150, deadline=None)
def test_no_more_go_in_an_hour_than_may(seed: int, limit: int, count: int) -> None:
    """However the specs come and go, calls fail and daemons start anew (nothing is kept between looks)."""
    chance = random.Random(seed)
    host = FakeHost(fault=lambda: chance.random() < 0.05)
    policy = replace(POLICY, max_removal=limit)
    names = APPS[:count]
    for _ in range(40):
        settle(host, wanted(names), policy)
    assert {each.app for each in host.containers.values()} == set(names)
    may = max(limit, count // 2)
    for _ in range(chance.randint(1, 6)):
        kept = "".join(name for name in names if chance.random() < 0.6)
        for _ in range(chance.randint(1, 25)):
            settle(host, wanted(kept), policy)
            went = set(names) - set(kept) - {each.app for each in host.containers.values()}
            assert len(went) <= may, f"{sorted(went)} of {count} went"


def settle(host: FakeHost, specs: Desired, policy: object) -> None:
    assert isinstance(policy, type(POLICY))
    for task in plan(specs, host.observe(), host.now, policy).tasks:
        act(task, host)
    host.obey_stops()
    host.now += 1.0
