"""Times of cron expressions: the rules of summer time, and that going forward, back and counting say the same."""

from __future__ import annotations

from datetime import datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from reconciler.core import cron

BERLIN = "Europe/Berlin"
DAY = 86400.0
# Berlin, Lord Howe (half an hour of summer time), New York, a zone without any, and one that left out a whole day.
ZONES = ("UTC", BERLIN, "Australia/Lord_Howe", "America/New_York", "Asia/Kolkata", "Pacific/Apia")


def field(low: int, high: int) -> st.SearchStrategy[str]:
    number = st.integers(low, high)
    step = st.integers(1, 12)
    return st.one_of(
        st.just("*"),
        number.map(str),
        step.map("*/{}".format),
        st.tuples(number, number).map(lambda pair: f"{min(pair)}-{max(pair)}"),
        st.lists(number, min_size=1, max_size=3).map(lambda several: ",".join(map(str, several))),
    )


expressions = st.tuples(field(0, 59), field(0, 23), field(1, 28) | st.just("*"), field(1, 12), field(0, 7)).map(
    " ".join
)
times = st.tuples(expressions, st.sampled_from(ZONES))
moments = st.floats(1_300_000_000, 1_900_000_000)  # years of changes to and from summer time


def at(text: str, zone: str = BERLIN, fold: int = 0) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).timestamp()


def days(expression: str, first: str, last: str) -> list[str]:
    """All times from one moment to another in Berlin, as its clocks show them, with the offset to UTC."""
    moment, found = cron.following((expression, BERLIN), at(first)), list[str]()
    while moment is not None and moment <= at(last, fold=1):
        found.append(datetime.fromtimestamp(moment, ZoneInfo(BERLIN)).strftime("%d %H:%M %z"))
        moment = cron.following((expression, BERLIN), moment)
    return found


def test_a_fixed_time_that_the_clock_jumps_over_comes_right_after() -> None:
    assert days("30 2 * * *", "2026-03-28T12:00", "2026-03-30T12:00") == ["29 03:00 +0200", "30 02:30 +0200"]


def test_a_fixed_time_that_the_clock_shows_twice_counts_once() -> None:
    assert days("30 2 * * *", "2026-10-24T12:00", "2026-10-26T12:00") == ["25 02:30 +0200", "26 02:30 +0100"]


def test_several_times_that_the_clock_jumps_over_are_one() -> None:
    assert days("0,30 2,3 * * *", "2026-03-28T12:00", "2026-03-29T12:00") == ["29 03:00 +0200", "29 03:30 +0200"]


def test_a_star_goes_by_real_time() -> None:
    assert days("*/30 * * * *", "2026-10-25T01:45", "2026-10-25T03:00") == [
        "25 02:00 +0200", "25 02:30 +0200", "25 02:00 +0100", "25 02:30 +0100", "25 03:00 +0100",
    ]  # fmt: skip
    assert days("*/30 * * * *", "2026-03-29T01:15", "2026-03-29T03:30") == [
        "29 01:30 +0100", "29 03:00 +0200", "29 03:30 +0200",
    ]  # fmt: skip


def test_in_the_second_of_two_hours_a_fixed_time_is_over() -> None:
    second = at("2026-10-25T02:10", fold=1)
    assert cron.latest(("30 2 * * *", BERLIN), second - DAY, second) == at("2026-10-25T02:30")
    assert cron.following(("30 2 * * *", BERLIN), second) == at("2026-10-26T02:30")


@given(times, moments)
@example(("30 2 * * *", BERLIN), at("2026-10-25T02:10", fold=1))
@example(("0,30 2,3 * * *", BERLIN), at("2026-03-29T01:59"))
@settings(max_examples=400, deadline=None)
def test_the_next_time_is_later_and_nothing_is_between(of: cron.Times, moment: float) -> None:
    found = cron.following(of, moment)
    assert found is not None
    assert moment < found
    assert found % 60 == 0
    assert cron.following(of, (moment + found) / 2) == found, "whoever asks again on the way hears the same"
    assert cron.latest(of, moment, found) == found
    assert cron.latest(of, moment, found - 1.0) is None


@given(times, moments, st.floats(0, 40 * DAY))
@settings(max_examples=200, deadline=None)
def test_looking_back_finds_what_going_forward_passes(of: cron.Times, moment: float, span: float) -> None:
    passed, each = list[float](), cron.following(of, moment)
    while each is not None and each <= moment + span and len(passed) < 500:
        passed.append(each)
        each = cron.following(of, each)
    until = moment + span if len(passed) < 500 else passed[-1]
    assert cron.latest(of, moment, until) == (passed[-1] if passed else None)
    assert cron.count(of, moment, until, 500) == len(passed)
    assert cron.count(of, moment, until, 3) == min(3, len(passed))


@given(st.sampled_from(ZONES[1:5]), st.integers(0, 23), st.integers(0, 59), st.integers(15_100, 21_900))
@settings(max_examples=300, deadline=None)
def test_a_fixed_time_comes_once_a_day_also_where_the_clock_is_changed(
    zone: str, hour: int, minute: int, day: int
) -> None:
    noon = datetime.fromtimestamp(day * DAY, ZoneInfo(zone)).replace(hour=12, minute=0, second=0)
    dates = [
        datetime.fromtimestamp(found, ZoneInfo(zone)).date()
        for found in walk((f"{minute} {hour} * * *", zone), noon.timestamp(), 30)
    ]
    assert all((later - earlier).days == 1 for earlier, later in pairwise(dates))


def walk(of: cron.Times, moment: float, steps: int) -> list[float]:
    found = list[float]()
    for _ in range(steps):
        following = cron.following(of, found[-1] if found else moment)
        assert following is not None
        found.append(following)
    return found


@pytest.mark.parametrize(
    ("alias", "fields"),
    [("@hourly", "0 * * * *"), ("@Daily", "0 0 * * *"), (" @weekly ", "0 0 * * 0"), ("0  4 * * mon", "0 4 * * mon")],
)
def test_shortcuts_and_blanks(alias: str, fields: str) -> None:
    assert cron.fields(alias) == fields


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        ("", "it needs five fields: minute, hour, day of the month, month, day of the week"),
        ("* * * * * *", "it needs five fields: minute, hour, day of the month, month, day of the week"),
        ("@reboot", "it needs five fields: minute, hour, day of the month, month, day of the week"),
        ("60 * * * *", "its minute cannot be used"),
        ("* 24 * * *", "its hour cannot be used"),
        ("* * 0 * *", "its day of month cannot be used"),
        ("0 0 30 2 *", "its day of month cannot be used"),
        ("* * * 13 *", "its month cannot be used"),
        ("* * * * 8", "its day of week cannot be used"),
        ("*/0 * * * *", "its minute cannot be used"),
        ("5-1 * * * *", "its minute cannot be used"),
        ("\u0661 * * * *", "its minute cannot be used"),
    ],
)
def test_what_is_no_expression(expression: str, why: str) -> None:
    with pytest.raises(ValueError, match=f"^{why}$"):
        cron.fields(expression)


@given(st.text(alphabet="0123456789*/,-LW#@ amonJ\u0661\n", max_size=30))
@settings(max_examples=500, deadline=None)
def test_whatever_is_written_is_usable_or_refused(text: str) -> None:
    try:
        found = cron.fields(text)
    except ValueError:
        return
    assert cron.following((found, BERLIN), 1_800_000_000.0) is not None


@pytest.mark.parametrize("name", ["", "Mars/Phobos", "../../etc/passwd", "/etc/passwd", "Europe", "a\0b"])
def test_what_is_no_time_zone(name: str) -> None:
    with pytest.raises(ValueError, match="the host knows no such time zone"):
        cron.zone(name)


def test_a_moment_as_people_write_it() -> None:
    assert cron.shown(0.0, BERLIN) == "1970-01-01 01:00 Europe/Berlin"
    assert cron.shown(0.0, "UTC") == "1970-01-01 00:00 UTC"
