"""`.env` files, by Compose's rules."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.errors import SpecError
from reconciler.spec.dotenv import variables
from tests.spec.parsing import refusal


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", {}),
        ("# only a comment\n\n  \n", {}),
        ("A=1", {"A": "1"}),
        ("A=1\nB=2\nA=3\n", {"A": "3", "B": "2"}),
        ("export A=1", {"A": "1"}),
        ("export=1", {"export": "1"}),
        ("  A = 1  ", {"A": "1"}),
        ("A: 1", {"A": "1"}),
        ("A=", {"A": ""}),
        ("A=\nB=1", {"A": "", "B": "1"}),
        ("A=a b # c", {"A": "a b"}),
        ("A=a#b", {"A": "a#b"}),
        ("A= # c", {"A": ""}),
        ("A=#c", {"A": ""}),
        ("A=a=b", {"A": "a=b"}),
        ("A='a $B \"x\" # y' # c", {"A": 'a $B "x" # y'}),
        (r"A='let\'s go'", {"A": "let's go"}),
        (r"A='a\nb'", {"A": r"a\nb"}),
        ('A="a\\nb\\tc\\"d\\\\"', {"A": 'a\nb\tc"d\\'}),
        ('A="two\nlines"\nB=1', {"A": "two\nlines", "B": "1"}),
        ("A='two\nlines'", {"A": "two\nlines"}),
        ('A="$AROUND \\$AROUND"', {"A": "around $AROUND"}),
        ("A=1\nB=${A}2\nC=$B-$AROUND", {"A": "1", "B": "12", "C": "12-around"}),
        ("A=${NOT:-d}", {"A": "d"}),
        ("AROUND\nNOT\nA=1", {"AROUND": "around", "A": "1"}),
        ("a.b-c=1", {"a.b-c": "1"}),
        ("A=ü", {"A": "ü"}),
    ],
)
def test_read(text: str, found: dict[str, str]) -> None:
    assert variables(".env", text, {"AROUND": "around"}) == found


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("=1", ".env:1:1: cannot read the variable: a line must be NAME=value"),
        ("A=1\n 1A=2", ".env:2:2: cannot read the variable: a line must be NAME=value"),
        ("A B=1", ".env:1:1: cannot read the variable: a line must be NAME=value"),
        ("A='x", ".env:1:1: cannot read the variable: the value lacks its closing '"),
        ('A="x\\"', '.env:1:1: cannot read the variable: the value lacks its closing "'),
        ("A='x'y", ".env:1:1: cannot read the variable: something stands behind the closing '"),
        ("A=${B", ".env:1:1: cannot read the variable: '${B' lacks its closing brace"),
        ("B=1\nA=x\0", ".env:2:1: cannot read the variable: its value must not hold a NUL character"),
        ("A=${B:?no}", ".env:1:1: cannot read the variable: variable 'B' is not set: no"),
    ],
)
def test_refused(text: str, error: str) -> None:
    with pytest.raises(SpecError) as caught:
        variables(".env", text, {})
    assert str(caught.value) == error


def test_growth_is_bounded() -> None:
    text = "A0=xxxxxxxxxx\n" + "".join(f"A{n}={f'$A{n - 1}' * 10}\n" for n in range(1, 12))
    with pytest.raises(SpecError, match="all values together are longer than 1048576 characters"):
        variables(".env", text, {})


def test_many_variables_take_no_square_time() -> None:
    text = "".join(f"A{n}=$A{n - 1}x\n" if n % 100 else f"A{n}=\n" for n in range(1, 20_000))
    assert len(variables(".env", text, {"A0": ""})) == 19_999


@given(st.dictionaries(st.text("ABC_", min_size=1), st.text(st.characters(exclude_characters="\r\0"))))
def test_quoted_values_come_back(given_: dict[str, str]) -> None:
    def quoted(value: str) -> str:
        return value.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$")

    text = "".join(f'{name}="{quoted(value)}"\n' for name, value in given_.items())
    assert variables(".env", text, {}) == given_


@given(st.text("AB=:'\"\\$#{} \n\t", max_size=80))
def test_never_anything_but_a_spec_error(text: str) -> None:
    error = refusal(lambda: variables(".env", text, {"A": "1"}))
    assert error is None or isinstance(error, SpecError)
