"""Whom a reason touches, since when it is one, what failures are called, and who is asked for by the wrong name."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import pytest
from hypothesis import given

from reconciler.core.model import Desired, Observed
from reconciler.core.plan import plan
from reconciler.core.reasons import EXPLAINED, Code
from reconciler.core.starting import Hook
from reconciler.core.status import Outcome, Snapshot
from reconciler.core.steps import Plan, PullImage, RunHooks, StartContainer, Task, Wait
from reconciler.core.why import Cause, UnknownNameError, apps, causes, since, why
from reconciler.core.work import FAULTS, failed
from tests.core.hosts import POLICY, WEB_CONTAINER, host, seen
from tests.core.worlds import DB, WEB, container, desired, worlds
from tests.fakes import FakeHost

BLOG = container("blog")
DATABASE = container(service="db", image=DB)
SPECS = desired(WEB_CONTAINER, DATABASE, BLOG)
BASE = Snapshot(at=100.0, desired=SPECS)


def waiting(key: str, code: Code = "image-missing", reason: str = "waits") -> Snapshot:
    return replace(BASE, plan=Plan(waits=(Wait(key, reason, code=code),)))


def told(snapshot: Snapshot, app: str = "shop", service: str = "") -> tuple[Cause, ...]:
    return why(snapshot, app, service).causes


@pytest.mark.parametrize(
    ("key", "touched"),
    [
        ("container:shop-web-1", {"shop", "shop/web"}),
        ("container:shop-web-1@0123456789ab", {"shop", "shop/web"}),
        ("health:shop-db-1", {"shop", "shop/db"}),
        (f"image:{WEB}", {"shop", "shop/web", "blog", "blog/web"}),
        (f"image:{DB}", {"shop", "shop/db"}),
        ("network:shop_default", {"shop", "shop/web", "shop/db"}),
        ("resolver:shop_default+dns", {"shop", "shop/web", "shop/db"}),
        ("held:shop", {"shop", "shop/web", "shop/db"}),
        ("held:blog.yaml", {"blog", "blog/web"}),
        ("removal:blog", {"blog", "blog/web"}),
        ("specs", {"shop", "shop/web", "shop/db", "blog", "blog/web"}),
        ("firewall", {"shop", "shop/web", "shop/db", "blog", "blog/web"}),
        ("container:gone-web-1", set()),
    ],
)
def test_a_reason_is_told_to_whom_it_touches(key: str, touched: set[str]) -> None:
    names = {"shop", "shop/web", "shop/db", "blog", "blog/web"}
    found = waiting(key)
    assert {name for name in names if told(found, *name.split("/"))} == touched


def test_what_stays_for_want_of_a_word_is_told_to_those_that_left_only() -> None:
    there = host(seen(), seen(of=container("gone"), id="f" * 64))
    held = replace(waiting("removals", "removal-held"), observed=there)
    assert [cause.code for cause in told(held, "gone")] == ["removal-held"]
    assert not told(held, "shop")


def test_what_is_well_says_since_when() -> None:
    one = replace(BASE, since=since(Snapshot(at=0.0), BASE))
    two = replace(one, at=130.0, since=since(one, replace(one, at=130.0)))
    found = why(two, "shop")
    assert (found.converged, found.since, found.causes) == (True, 100.0, ())


def test_what_is_not_well_says_since_when_it_is_so_for_that_reason() -> None:
    first = waiting("container:shop-web-1")
    first = replace(first, since=since(BASE, first))
    later = replace(first, at=150.0)
    later = replace(later, since=since(first, later))
    assert [cause.since for cause in told(later)] == [100.0]
    other = replace(waiting("container:shop-web-1", "port-taken"), at=160.0)
    other = replace(other, since=since(later, other))
    assert [cause.since for cause in told(other)] == [160.0]
    assert why(other, "shop").since == 160.0
    assert why(other, "blog").since == 100.0
    well = replace(BASE, at=170.0)
    assert since(other, well).well == {"shop": 170.0, "blog": 100.0}


def test_a_failure_comes_first_with_its_count_and_next_try() -> None:
    key = f"image:{WEB}"
    outcome = Outcome(key=key, at=90.0, error="cannot pull", failures=3, retry_at=110.0, code="pull-denied")
    pull = Task(key, "wanted by shop/web", (PullImage(WEB),))
    found = replace(waiting("container:shop-web-1"), outcomes={key: outcome})
    found = replace(found, plan=replace(found.plan, tasks=(pull,)))
    first, second = told(found, "shop", "web")
    assert (first.code, first.message, first.failures, first.retry_at) == ("pull-denied", "cannot pull", 3, 110.0)
    assert second.code == "image-missing"
    trying = replace(found, busy=frozenset({key}), doing=(pull,))
    assert [cause.retry_at for cause in told(trying, "shop", "web")] == [None, None]


def test_what_is_being_done_is_a_reason_too() -> None:
    start = Task("container:shop-web-1", "missing", (StartContainer("a" * 64, "shop-web-1", 0, 0),))
    busy = replace(BASE, busy=frozenset({start.key}), doing=(start,))
    (cause,) = told(busy)
    assert (cause.code, cause.message, cause.advice) == ("starting", "missing", EXPLAINED["starting"].advice)
    assert not why(busy, "shop").converged


def test_what_others_do_is_told_and_is_not_ours_to_do() -> None:
    observed = replace(host(), obstacles=("ufw drops it",), mirrors={"mirror.example": "it is away"})
    found = why(replace(BASE, observed=observed), "shop")
    assert {cause.code for cause in found.causes} == {"firewall-foreign", "mirror-failed"}
    assert found.converged


PULL = Task(f"image:{WEB}", "", (PullImage(WEB),))
START = Task("container:x", "", (StartContainer("a", "x", 0, 0),))
HOOK = Task("container:x", "", (RunHooks("a", "x", "post_start", (Hook(command=("a",)),), 1.0),))


def test_failures_are_called_by_what_went_wrong() -> None:
    assert {fault: failed(PULL, fault) for fault in FAULTS} == dict(FAULTS)
    assert (failed(PULL, "other"), failed(START, "other"), failed(HOOK, "other")) == (
        "pull-failed",
        "step-failed",
        "hook-failed",
    )
    assert failed(START, "full") == "disk-full"


@pytest.mark.parametrize(
    ("app", "service", "sentence"),
    [
        ("shpo", "", "cannot find app 'shpo': no spec declares it; did you mean 'shop'?"),
        ("zzz", "", "cannot find app 'zzz': no spec declares it; there are blog, shop"),
        ("shop", "wbe", "cannot find service 'wbe' of app 'shop': there is none; did you mean 'web'?"),
    ],
)
def test_who_is_unknown_is_told_whom_we_know(app: str, service: str, sentence: str) -> None:
    with pytest.raises(UnknownNameError) as caught:
        why(BASE, app, service)
    assert str(caught.value) == sentence


def test_nobody_is_known_to_an_empty_host() -> None:
    with pytest.raises(UnknownNameError, match=r"^cannot find app 'shop': no spec declares it$"):
        why(Snapshot(at=0.0), "shop")


@pytest.mark.parametrize("held", ["wiki", "wiki.yaml", "sub/wiki.toml", "wiki/compose.yaml"])
def test_an_app_whose_spec_was_never_good_is_known(held: str) -> None:
    snapshot = Snapshot(
        at=1.0,
        desired=Desired(held={held: "cannot"}),
        plan=Plan(waits=(Wait(f"held:{held}", "cannot", code="spec-invalid"),)),
    )
    assert apps(snapshot) == {"wiki"}
    assert [cause.code for cause in told(snapshot, "wiki")] == ["spec-invalid"]


def test_an_app_on_the_host_that_no_spec_declares_is_known() -> None:
    assert apps(Snapshot(at=1.0, observed=Observed(containers={"a": seen()}))) == {"shop"}


@given(worlds())
def test_whatever_is_planned_is_explained_to_somebody(wanted: Desired) -> None:
    fake = FakeHost()
    found = plan(wanted, fake.observe(), fake.now, POLICY)
    snapshot = Snapshot(at=fake.now, desired=wanted, plan=found)
    snapshot = replace(snapshot, since=since(Snapshot(at=0.0), snapshot))
    all_causes = causes(snapshot)
    assert len(all_causes) == len({*found.tasks, *found.waits} if found.tasks or found.waits else ())
    assert all(cause.code in get_args(Code) and cause.since == fake.now for cause in all_causes)
    explained = {cause.key for app in apps(snapshot) for cause in why(snapshot, app).causes}
    everyones = {cause.key for cause in all_causes}
    assert explained == everyones or not apps(snapshot)
    for app in snapshot.since.well:
        assert why(snapshot, app).converged
