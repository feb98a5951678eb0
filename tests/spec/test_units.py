"""Sizes and durations as Docker reads them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.spec.units import duration, size
from tests.spec.parsing import refusal


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0), ("32", 32), ("32b", 32), ("32B", 32), ("32k", 32 << 10), ("32K", 32 << 10), ("32kb", 32 << 10),
        ("32Kb", 32 << 10), ("32KiB", 32 << 10), ("32Mb", 32 << 20), ("512m", 512 << 20),
        ("1g", 1 << 30), ("1 GB", 1 << 30),
        ("2t", 2 << 40), ("1p", 1 << 50), ("1.5g", 3 << 29), ("0.3m", 314572), ("32.5kB", 33280),
    ],
)  # fmt: skip
def test_size(text: str, value: int) -> None:
    assert size(text) == value


@pytest.mark.parametrize(
    "text", ["", "m", "-1", "1x", "1mm", "1 m b", "0x10", "1e3", "1,5g", "٣m", "1.m", "9999999p", "512\n512"]
)
def test_no_size(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a size|is too large"):
        size(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("10s", 10),
        ("500ms", 0.5),
        ("1h30m", 5400),
        ("1m30s", 90),
        ("0s", 0),
        ("1.5s", 1.5),
        ("250us", 0.00025),
        ("1d", 86400),
    ],
)
def test_duration(text: str, seconds: float) -> None:
    assert duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "10", "s", "10 s", "-1s", "1h 30m", "1hour", "٣s", "10s\n", "1m1"])
def test_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        duration(text)


@given(st.integers(0, 2**40), st.sampled_from("kmKM"))
def test_a_unit_only_multiplies(number: int, unit: str) -> None:
    assert size(f"{number}{unit}") == number * 1024 ** {"k": 1, "m": 2}[unit.lower()]


@given(st.text())
def test_never_anything_but_a_value_error(text: str) -> None:
    for read in (size, duration):
        assert refusal(lambda: read(text)) is not None or read(text) >= 0  # noqa: B023, called at once
