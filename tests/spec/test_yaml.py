"""YAML 1.2, anchors within a budget, and a place for every value."""

from __future__ import annotations

import pytest
import yaml as pyyaml
from hypothesis import given
from hypothesis import strategies as st

from reconciler.errors import SpecError
from reconciler.spec import yaml
from reconciler.spec.tree import MAX_NODES, Path
from tests.spec.parsing import refusal

KEYS = st.text("abcxyz_-", min_size=1, max_size=6)
# PyYAML writes these three without quotes and reads them as line breaks, as YAML 1.1 has it.
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\x85\u2028\u2029"), max_size=12)
LEAVES = st.none() | st.booleans() | st.integers(-(10**6), 10**6) | TEXTS
DATA = st.dictionaries(
    KEYS,
    st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4)),
    max_size=5,
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"), ("Yes", "Yes"), ("on", "on"), ("22:22", "22:22"), ("0755", "0755"), ("1.10", "1.10"),
        ("1e3", "1e3"), ("0x1F", "0x1F"), ("+5", "+5"),
        ("-0", "-0"), (".5", ".5"), (".inf", ".inf"), ("1_000", "1_000"),
        ("2001-01-01", "2001-01-01"), ("5", 5), ("-5", -5), ("0", 0), ("0.5", 0.5), ("-1.25", -1.25), ("true", True),
        ("False", False), ("~", None), ("null", None), ("", None), ("'5'", "5"), ('"true"', "true"), ("=", "="),
        ("9" * 19, "9" * 19), ("1.0", 1.0), ("1.", "1."),
    ],
)  # fmt: skip
def test_scalars_by_yaml_1_2_and_nothing_converted_silently(text: str, value: object) -> None:
    assert yaml.load("a", f"k: {text}\n").data == {"k": value}


def test_anchor_alias_and_merge() -> None:
    text = "x-base: &base {a: 1, b: [2]}\nx-more: &more {b: 3, c: 4}\none:\n  <<: [*base, *more]\n  a: 9\ntwo: *base\n"
    tree = yaml.load("a", text)
    assert tree.data == {
        "x-base": {"a": 1, "b": [2]},
        "x-more": {"b": 3, "c": 4},
        "one": {"a": 9, "b": [2], "c": 4},
        "two": {"a": 1, "b": [2]},
    }
    assert tree.values["one", "b", 0] == (1, 26)
    assert tree.values["one", "a"] == (5, 6)
    assert tree.keys["one", "c"] == (2, 22)


def test_quoted_merge_key_is_a_plain_key() -> None:
    assert yaml.load("a", "'<<': {a: 1}\n").data == {"<<": {"a": 1}}


def test_alias_bomb_ends_at_the_budget() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    with pytest.raises(SpecError, match=rf"cannot expand the aliases: they come to more than {MAX_NODES} values$"):
        yaml.load("a", "\n".join(lines))


def test_merge_bomb_ends_at_the_budget() -> None:
    base = ", ".join(f"k{n}: 1" for n in range(2000))
    text = f"x: &x {{{base}}}\n" + "".join(f"y{n}: {{<<: *x}}\n" for n in range(100))
    with pytest.raises(SpecError, match=rf"more than {MAX_NODES} entries are merged"):
        yaml.load("a", text)


def test_aliases_cannot_nest_without_limit() -> None:
    text = "a0: &a0 x\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 60))
    with pytest.raises(SpecError, match="they nest deeper than 32 levels"):
        yaml.load("a", text)


def test_byte_order_of_places_is_by_characters() -> None:
    assert yaml.load("a", "ä: [ö, ü]\n").values["ä", 1] == (1, 8)


@given(DATA, st.booleans(), st.integers(1, 6))
def test_every_value_has_a_place_and_the_value_that_was_written(data: object, flow: bool, indent: int) -> None:
    text = pyyaml.safe_dump(
        data, default_flow_style=flow, indent=indent, allow_unicode=True, width=10_000
    )  # PyYAML folds escapes wrongly
    error = refusal(lambda: yaml.load("a", text))
    if error:
        assert "nested deeper" in str(error)
        return
    tree = yaml.load("a", text)
    lines = text.split("\n")
    assert set(tree.values) == set(paths(tree.data))
    assert set(tree.keys) == {path for path in tree.values if path and isinstance(path[-1], str)}
    for path, place in tree.keys.items():
        assert lines[place.line - 1][place.column - 1 :].lstrip("?'\" ").startswith(str(path[-1]))
    assert shape(tree.data) == shape(data)


@given(st.text(st.characters(codec="utf-8"), max_size=200) | st.text("{}[]:,-&*!|>'\"\n \t#ab", max_size=60))
def test_never_anything_but_a_spec_error(text: str) -> None:
    error = refusal(lambda: yaml.load("a", text))
    if error:
        assert isinstance(error, SpecError)
        assert all(problem.line >= 1 and problem.column >= 1 for problem in error.problems)


def paths(value: object, path: Path = ()) -> list[Path]:
    """The path of every value in `value`."""
    items: list[tuple[str | int, object]] = []
    if isinstance(value, dict):
        items = list(value.items())
    elif isinstance(value, list):
        items = list(enumerate(value))
    return [path, *(found for key, item in items for found in paths(item, (*path, key)))]


def shape(value: object) -> object:
    """`value` with every scalar as a text: YAML 1.1 writers quote what YAML 1.2 need not, never the other way round."""
    if isinstance(value, dict):
        return {key: shape(item) for key, item in value.items()}
    return [shape(item) for item in value] if isinstance(value, list) else str(value)


@pytest.mark.parametrize("loader", [pyyaml.BaseLoader, pyyaml.CBaseLoader])
def test_with_and_without_libyaml(monkeypatch: pytest.MonkeyPatch, loader: type) -> None:
    """A host may have PyYAML without libyaml; a spec means the same there."""
    monkeypatch.setattr(yaml, "_LOADER", loader)
    tree = yaml.load("a", "# c\na: &x\n  - 'no'\n  - 5\n  - |\n    text\nb: {c: *x, <<: {d: ~}}\n")
    assert tree.data == {"a": ["no", 5, "text\n"], "b": {"c": ["no", 5, "text\n"], "d": None}}
    assert (tree.values["a", 1], tree.values["b", "c", 0], tree.keys["b", "d"]) == ((4, 5), (3, 5), (7, 17))
    for text in ("a: b: c", "a: !x 1", "a: 1\na: 2", "[" * 2000, "a: \x07", "a: *b", "? [a]"):
        with pytest.raises(SpecError, match=r"^a:\d+:\d+: cannot "):
            yaml.load("a", text)
