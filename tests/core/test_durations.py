"""Docker's words for lengths of time, at every edge (docker/go-units duration_test.go has the same list)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.durations import DAY, HOUR, MINUTE, MONTH, WEEK, YEAR, compact, human


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-5, "Less than a second"),
        (0.45, "Less than a second"),
        (1, "1 second"),
        (45, "45 seconds"),
        (60, "About a minute"),
        (119, "About a minute"),
        (2 * MINUTE, "2 minutes"),
        (3 * MINUTE + 40, "3 minutes"),
        (HOUR, "About an hour"),
        (HOUR + 29 * MINUTE, "About an hour"),
        (HOUR + 31 * MINUTE, "2 hours"),
        (2 * HOUR, "2 hours"),
        (47 * HOUR, "47 hours"),
        (2 * DAY, "2 days"),
        (13 * DAY, "13 days"),
        (2 * WEEK, "2 weeks"),
        (59 * DAY, "8 weeks"),
        (2 * MONTH, "2 months"),
        (23 * MONTH, "23 months"),
        (2 * YEAR, "2 years"),
    ],
)
def test_the_words_are_those_of_docker(seconds: float, words: str) -> None:
    assert human(seconds) == words


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-3, "0s"), (5.9, "5s"), (119, "119s"), (120, "2m"), (2 * HOUR, "2h"), (49 * HOUR, "2d"), (400 * DAY, "400d")],
)
def test_a_column_has_a_short_form(seconds: float, text: str) -> None:
    assert compact(seconds) == text


@given(st.floats(-1e9, 1e10))
def test_every_length_has_words(seconds: float) -> None:
    assert human(seconds)[0].isupper() or human(seconds)[0].isdigit()
    assert len(human(seconds)) <= 20
