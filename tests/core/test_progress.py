"""How far and how fast: arithmetic on what came and when."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.progress import TICK, LayerProgress, Pace, Progress, describe, remaining
from reconciler.core.sizes import size


def test_an_even_stream_has_its_own_pace() -> None:
    pace = Pace(100.0)
    for number in range(1, 50):
        pace = pace.after(100.0 + number * 0.25, number * 1000)
    assert pace.rate == pytest.approx(4000.0)


def test_what_comes_within_a_tick_is_counted_together() -> None:
    pace = Pace(0.0).after(TICK / 2, 1000)
    assert pace == Pace(0.0)
    assert pace.after(TICK * 2, 1000).rate == pytest.approx(1000 / (TICK * 2))


def test_a_change_of_pace_is_followed_within_seconds_and_without_a_leap() -> None:
    pace = Pace(0.0).after(1.0, 1000)
    once = pace.after(2.0, 1100)
    assert 100 < once.rate < 1000
    for second in range(3, 30):
        once = once.after(float(second), 1000 + second * 100)
    assert once.rate == pytest.approx(100, rel=0.01)


@given(st.lists(st.tuples(st.floats(0, 10), st.integers(0, 10**9)), max_size=30))
def test_a_pace_is_never_negative_and_never_above_the_fastest_moment(steps: list[tuple[float, int]]) -> None:
    now, done, pace, fastest = 0.0, 0, Pace(0.0), 0.0
    for took, count in steps:
        now, done = now + took, done + count
        newer = pace.after(now, done)
        if newer is not pace:
            fastest = max(fastest, (newer.done - pace.done) / (newer.at - pace.at))
        pace = newer
        assert 0.0 <= pace.rate <= fastest * 1.001


@pytest.mark.parametrize(
    ("done", "total", "rate", "expected"),
    [(0, 100, 10.0, 10.0), (90, 100, 10.0, 1.0), (100, 100, 10.0, None), (0, 100, 0.0, None), (0, 0, 1.0, None)],
)
def test_what_remains(done: int, total: int, rate: float, expected: float | None) -> None:
    assert remaining(done, total, rate) == expected


def test_how_a_pull_is_described() -> None:
    layers = (LayerProgress("a", 1_000_000, 1_000_000), LayerProgress("b", 500_000, 2_000_000, 3e5))
    pull = Progress("web:1", 1_500_000, 3_000_000, 3e5, layers)
    assert describe(pull) == "50 % of 3.0 MB, 300 kB/s, 5s left, 1 of 2 layers"
    assert describe(Progress("web:1", 10, 10, 1.0, (LayerProgress("a", 10, 10),))) == (
        "100 % of 10 B, being written, 1 of 1 layers"
    )
    assert describe(Progress("web:1", 0, 0)) == "begins"
    assert (pull.finished, pull.flying, pull.tenths) == (1, layers[1:], 5)


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (35_200_000, "35.2 MB"), (250_000_000, "250 MB"), (3e12, "3.0 TB")],
)
def test_sizes(count: float, text: str) -> None:
    assert size(count) == text
