"""Tables and sizes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from reconciler.cli import render

cells = st.lists(st.tuples(st.text(max_size=9), st.text(max_size=9), st.text(max_size=9)), max_size=5)


@given(cells)
def test_a_table_has_a_line_for_each_row_and_its_columns_stand_below_each_other(
    rows: list[tuple[str, str, str]],
) -> None:
    lines = render.table(("A", "B", "C"), rows)
    assert len(lines) == len(rows) + 1
    second = lines[0].index("B")
    for line, row in zip(lines[1:], rows, strict=True):
        assert line.isprintable()
        assert line[second:].startswith(render.clean(row[1]).rstrip())


@given(st.text())
def test_clean_text_is_one_printable_line_of_the_same_length(text: str) -> None:
    assert render.clean(text).isprintable()
    assert len(render.clean(text)) == len(text)
    assert render.clean(render.clean(text)) == render.clean(text)


def test_a_colour_that_does_not_exist_is_no_colour() -> None:
    assert render.colour("x", "") == "x"
    assert render.colour("x", "red", on=False) == "x"
    assert render.colour("x", "red") == "\x1b[31mx\x1b[0m"
