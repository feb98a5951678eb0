"""TOML: tomllib's data, and a place for every value."""

from __future__ import annotations

import tomllib

import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st

from reconciler.errors import SpecError
from reconciler.spec import toml
from tests.spec.parsing import refusal
from tests.spec.test_yaml import paths

KEYS = st.text("abcxyz_-", min_size=1, max_size=6) | st.text(st.characters(codec="utf-8"), min_size=1, max_size=4)
LEAVES = (
    st.booleans()
    | st.integers(-(2**62), 2**62)
    | st.dates()
    | st.datetimes()
    | st.text(st.characters(codec="utf-8"), max_size=12)
)
INNER = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4))
DATA = st.dictionaries(KEYS, INNER, max_size=5)

EVERYTHING = '''
title = "a" # comment
"quoted key" . 'x' = 1
nested.deep.key = [1, [2, """a
"b\\" c"""], { k = 'x', m.n = 2 }, # comment
  3,
]
when = 1979-05-27 07:32:00
strings = ["""quote""" , \'\'\'it''s\'\'\', """ends""""", "\\"", '']

[a.b]
c = 1.10
[[list.of]]
x = 0x1F
[[list.of]]
[list.of.inner]
y = true
'''


def test_places() -> None:
    tree = toml.load("a", EVERYTHING)
    assert tree.data["list"]["of"][1] == {"inner": {"y": True}}  # type: ignore[index]
    assert tree.values["quoted key", "x"] == (3, 22)
    assert tree.keys["quoted key", "x"] == (3, 16)
    assert tree.values["nested", "deep", "key", 1, 0] == (4, 24)
    assert tree.values["nested", "deep", "key", 2, "m", "n"] == (5, 30)
    assert tree.values["nested", "deep", "key", 3] == (6, 3)
    assert tree.values["list", "of", 1, "inner", "y"] == (17, 5)
    assert tree.keys["a", "b"] == (11, 4)
    assert set(tree.values) == set(paths(tree.data))


@pytest.mark.parametrize(
    ("text", "value"), [("1.10", "1.10"), ("0.5", 0.5), ("nan", "nan"), ("-inf", "-inf"), ("1e3", "1e3"), ("5", 5)]
)
def test_a_float_stays_as_it_was_written(text: str, value: object) -> None:
    assert toml.load("a", f"k = {text}").data == {"k": value}


def test_error_of_tomllib_in_our_voice() -> None:
    with pytest.raises(SpecError, match=r"^a:3:5: cannot read TOML: invalid value$"):
        toml.load("a", "b = 1\n\nc = \n")


@given(DATA, st.booleans())
def test_every_value_has_a_place(data: dict[str, object], multiline: bool) -> None:
    text = tomli_w.dumps(data, multiline_strings=multiline)
    error = refusal(lambda: toml.load("a", text))
    if error:
        assert "nested deeper" in str(error)
        return
    tree = toml.load("a", text)
    assert tree.data == tomllib.loads(text)
    assert set(tree.values) == set(paths(tree.data))
    assert set(tree.keys) == {path for path in tree.values if path and isinstance(path[-1], str)}


@given(st.text("[]{}=.,'\"#ab1\n \\", max_size=60))
def test_never_anything_but_a_spec_error(text: str) -> None:
    try:
        tree = toml.load("a", text)
    except SpecError:
        return
    assert set(tree.values) == set(paths(tree.data))
