"""Variables in values, by the examples of the Compose Specification and by properties."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.spec.interpolate import MAX_LENGTH, Filled, interpolate
from tests.spec.parsing import refusal

VARIABLES = {"SET": "value", "EMPTY": "", "N": "1"}


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("plain", "plain"), ("$SET", "value"), ("${SET}", "value"), ("a${SET}b", "avalueb"), ("$SET-$N", "value-1"),
        ("$$SET", "$SET"), ("$${SET}", "${SET}"), ("$$$$", "$$"), ("$$$SET", "$value"), ("a}b{c", "a}b{c"),
        ("${SET:-d}", "value"), ("${EMPTY:-d}", "d"), ("${NOT:-d}", "d"), ("${NOT:-}", ""), ("${NOT:-a b}", "a b"),
        ("${SET-d}", "value"), ("${EMPTY-d}", ""), ("${NOT-d}", "d"), ("${NOT--d}", "-d"),
        ("${SET:+d}", "d"), ("${EMPTY:+d}", ""), ("${NOT:+d}", ""), ("${SET+d}", "d"), ("${EMPTY+d}", "d"),
        ("${NOT+d}", ""),
        ("${SET:?no}", "value"), ("${EMPTY?no}", ""), ("${NOT:-${SET}}", "value"), ("${NOT:-${NOR:-x$N}y}", "x1y"),
        ("${NOT:-$$x}", "$x"), ("${SET:-${NOT:?no}}", "value"), ("${NOT:+${NOR?no}}", ""), ("${NOT:-a:b?c}", "a:b?c"),
    ],
)  # fmt: skip
def test_filled(text: str, filled: str) -> None:
    assert interpolate(text, VARIABLES) == Filled(filled)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("$", "a '$' must start $NAME or ${NAME}; write $$ for a dollar sign"),
        ("$1", "a '$' must start $NAME or ${NAME}; write $$ for a dollar sign"),
        ("${}", "a '$' must start $NAME or ${NAME}; write $$ for a dollar sign"),
        ("${SET", "'${SET' lacks its closing brace"),
        ("${SET!}", "'${SET' lacks its closing brace"),
        ("${NOT:-${SET}", "'${NOT' lacks its closing brace"),
        ("${NOT:?}", "variable 'NOT' is not set"),
        ("${NOT:?set $SET}", "variable 'NOT' is not set: set value"),
        ("${EMPTY:?no}", "variable 'EMPTY' is not set: no"),
        ("${NOT?no}", "variable 'NOT' is not set: no"),
        ("${A:-" * 30 + "}" * 30, "variables are nested deeper than 16 levels"),
        ("$BIG$BIG", f"its value would be longer than {MAX_LENGTH} characters"),
    ],
)
def test_refused(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        interpolate(text, {**VARIABLES, "BIG": "x" * (MAX_LENGTH - 1)})
    assert str(caught.value) == why


@pytest.mark.parametrize(
    ("text", "unset"),
    [("$A$B$A", ("A", "B")), ("${SET:-$A}", ()), ("${A:-$B}", ("B",)), ("${A:+$B}", ()), ("${EMPTY+$B}", ("B",))],
)
def test_what_is_not_set_is_told(text: str, unset: tuple[str, ...]) -> None:
    assert interpolate(text, VARIABLES).unset == unset


@given(st.text())
def test_escaped_text_comes_back(text: str) -> None:
    assert interpolate(text.replace("$", "$$"), {}) == Filled(text)


@given(st.text("${}:-+?ab"), st.dictionaries(st.sampled_from("ab"), st.text("x$", max_size=3)))
def test_ends_or_says_why(text: str, variables: dict[str, str]) -> None:
    if refusal(lambda: interpolate(text, variables)) is None:
        assert set(interpolate(text, variables).unset).isdisjoint(variables)


@given(st.text(), st.text())
def test_a_value_is_not_interpolated_again(before: str, value: str) -> None:
    assert interpolate(before.replace("$", "$$") + "${A}", {"A": value}).text == before + value
