"""Answers become a state as in Docker, and questions come when they should; with every time that there may be."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.health import (
    INHERITED,
    CommandTest,
    Health,
    Healthcheck,
    HttpTest,
    TcpTest,
    answered,
    clean,
    effective,
    in_grace,
    next_due,
)
from reconciler.core.networking import Attachment
from reconciler.core.probing import Target, Where, targets
from tests.core.hosts import seen
from tests.core.worlds import container

TCP = TcpTest(port=80)
CHECK = Healthcheck(test=TCP, interval=10.0, timeout=5.0, retries=3, start_period=0.0, start_interval=2.0)
START = 1000.0
Driver = Literal["macvlan", "ipvlan", "cni"]
GOOD, BAD = (True, "fine"), (False, "no answer")

times = st.floats(0.01, 3600.0)
checks = st.builds(
    Healthcheck,
    test=st.sampled_from([TCP, HttpTest(port=80, path="/"), CommandTest(argv=("true",))]),
    interval=times,
    timeout=times,
    retries=st.integers(1, 5),
    start_period=st.just(0.0) | times,
    start_interval=times,
)


def history(check: Healthcheck, answers: list[tuple[bool, str]], every: float = 10.0, first: float = 10.0) -> Health:
    health = Health(since=START)
    for index, answer in enumerate(answers):
        health = answered(health, check, answer, START + first + index * every, START)
    return health


# --- what is asked -----------------------------------------------------------------------------------------------


def test_nothing_declared_is_never_asked() -> None:
    assert effective(None, None) is None
    assert effective(Healthcheck(test=INHERITED, interval=5.0), None) is None


def test_defaults_are_dockers() -> None:
    found = effective(Healthcheck(test=TCP), None)
    assert found == Healthcheck(test=TCP, interval=30.0, timeout=30.0, retries=3, start_interval=5.0)


def test_the_spec_wins_value_by_value_over_the_image() -> None:
    image = Healthcheck(test=CommandTest(argv=("a",)), interval=7.0, timeout=8.0, retries=9, start_period=1.0)
    assert effective(None, image) == effective(Healthcheck(test=INHERITED), image)
    found = effective(Healthcheck(test=INHERITED, interval=5.0), image)
    assert found is not None
    assert (found.test, found.interval, found.timeout, found.retries) == (CommandTest(argv=("a",)), 5.0, 8.0, 9)
    assert effective(Healthcheck(test=None), image) is None
    other = effective(Healthcheck(test=TCP), image)
    assert other is not None
    assert (other.test, other.retries, other.start_period) == (TCP, 9, 1.0)


def test_an_image_that_says_none_is_asked_only_when_the_spec_says_how() -> None:
    assert effective(None, Healthcheck(test=None)) is None
    assert effective(Healthcheck(test=TCP), Healthcheck(test=None)) is not None


# --- what answers mean -------------------------------------------------------------------------------------------


def test_one_good_answer_makes_healthy() -> None:
    found = history(CHECK, [BAD, BAD, GOOD])
    assert (found.state, found.failures, found.first, found.said) == ("healthy", 0, START + 30.0, "fine")


def test_only_failures_in_a_row_make_unhealthy() -> None:
    assert history(CHECK, [BAD, BAD]).state == "starting"
    assert history(CHECK, [GOOD, BAD, BAD, GOOD, BAD, BAD]).state == "healthy"
    found = history(CHECK, [GOOD, BAD, BAD, BAD, BAD])
    assert (found.state, found.since, found.failures, found.first) == ("unhealthy", START + 40.0, 4, START + 10.0)
    assert found.said == "no answer"


def test_failures_in_the_start_period_do_not_count_but_good_answers_do() -> None:
    slow = Healthcheck(test=TCP, interval=10.0, retries=1, start_period=60.0, start_interval=1.0)
    assert history(slow, [BAD] * 5) == Health(since=START, said="no answer")
    assert history(slow, [BAD, GOOD]).state == "healthy"
    assert history(slow, [GOOD, BAD]).state == "unhealthy"  # it was healthy once, so the start is over
    assert history(slow, [BAD] * 6).state == "unhealthy"


def test_before_docker_would_ask_nothing_counts() -> None:
    hasty = Healthcheck(test=TCP, interval=10.0, retries=1, start_interval=1.0)
    assert history(hasty, [BAD] * 9, every=1.0, first=0.5).state == "starting"
    assert history(hasty, [BAD] * 11, every=1.0, first=0.5).state == "unhealthy"


@given(checks, st.lists(st.tuples(st.booleans(), st.text(max_size=20)), max_size=30), times)
def test_the_state_follows_from_the_last_answers_alone(
    check: Healthcheck, answers: list[tuple[bool, str]], every: float
) -> None:
    health, row = Health(since=START), 0
    for index, answer in enumerate(answers):
        now = START + index * every
        before = health
        counts = before.state != "starting" or not in_grace(check, now, START)
        health = answered(before, check, answer, now, START)
        row = 0 if answer[0] else row + counts
        assert health.failures == row
        assert health.state == ("healthy" if answer[0] else "unhealthy" if row >= check.retries else before.state)
        assert (health.since == now) or health.state == before.state
        assert (health.first is not None) == any(ok for ok, _ in answers[: index + 1])


# --- when it is asked --------------------------------------------------------------------------------------------


@given(checks, st.floats(0.0, 1e6), st.floats(0.0, 1.0, exclude_max=True), st.sampled_from(["healthy", "unhealthy"]))
def test_steady_questions_come_at_every_interval(check: Healthcheck, asked: float, phase: float, state: str) -> None:
    health = Health(state=state)  # type: ignore[arg-type] # one of the two
    first = next_due(check, health, asked, 0.0, phase)
    assert check.interval * 0.499 <= first - asked <= check.interval * 1.501
    second = next_due(check, health, first, 0.0, phase)
    assert math.isclose(second - first, check.interval, rel_tol=1e-3, abs_tol=1e-6)


@given(checks, st.floats(0.0, 1.0, exclude_max=True))
def test_who_starts_is_asked_soon_and_then_less_and_less_often(check: Healthcheck, phase: float) -> None:
    asked, pauses = 0.0, []
    for _ in range(50):
        due = next_due(check, Health(), asked, 0.0, phase)
        if not in_grace(check, due, 0.0):
            break
        pauses.append(due - asked)
        asked = due
    assert all(pause <= min(check.interval, check.start_interval) * 1.001 for pause in pauses)
    assert all(later >= earlier * 0.999 for earlier, later in pairwise(pauses))
    assert not pauses or pauses[0] <= 1.0


@given(st.floats(0.001, 300.0))
def test_a_server_is_found_to_be_ready_soon_after_it_is(ready: float) -> None:
    """Traffic waits for it: a tenth of its own time at most, for not more questions than that takes."""
    check = replace(CHECK, interval=600.0, start_interval=600.0)
    asked, questions = 0.0, 0
    while asked < ready:
        asked, questions = next_due(check, Health(), asked, 0.0, 0.5), questions + 1
    assert asked - ready <= max(0.01, 0.1 * ready) * 1.001
    assert questions <= 100


def test_a_hundred_that_were_started_together_are_not_asked_together() -> None:
    due = {round(next_due(CHECK, Health(state="healthy"), 5.0, 0.0, index / 100), 6) for index in range(100)}
    assert len(due) == 100


# --- what is kept of an answer -----------------------------------------------------------------------------------


@given(st.text())
def test_what_was_said_is_one_printable_line(said: str) -> None:
    line = clean(said)
    assert len(line) <= 500
    assert line.isprintable()


# --- where it is asked -------------------------------------------------------------------------------------------


def test_who_runs_is_asked_at_its_address() -> None:
    found = seen(healthcheck=CHECK)
    assert targets({found.id: found}) == {
        found.id: Target(id=found.id, since=4000.0, check=CHECK, health=Health(since=4000.0), where=Where("10.0.7.2"))
    }
    assert targets({found.id: seen()}) == {}


def test_who_has_no_address_is_asked_inside() -> None:
    alone = seen(of=container(networks=()), healthcheck=CHECK)
    assert targets({alone.id: alone})[alone.id].where == Where("127.0.0.1", 7)
    host = seen(of=container(networks=(), host_network=True), healthcheck=CHECK, host_network=True)
    assert targets({host.id: host})[host.id].where == Where("127.0.0.1")


def test_who_shares_a_network_is_asked_where_its_owner_is() -> None:
    owner = seen(of=container(service="vpn"), id="b" * 64, address="10.0.7.9")
    sharing = seen(of=container(networks=()), shares=owner.id, healthcheck=CHECK)
    assert targets({owner.id: owner, sharing.id: sharing})[sharing.id].where == Where("10.0.7.9")


@pytest.mark.parametrize("driver", ["macvlan", "ipvlan", "cni"])
def test_who_cannot_be_reached_from_the_host_is_asked_inside(driver: Driver) -> None:
    found = seen(of=container(networks=(Attachment(network="lan"),)), healthcheck=CHECK)
    (end,) = found.endpoints
    elsewhere = replace(found, endpoints=(replace(end, network=replace(end.network, driver=driver)),))
    assert targets({found.id: elsewhere})[found.id].where == Where("127.0.0.1", 7)
