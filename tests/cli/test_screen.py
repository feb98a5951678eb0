"""What a person sees on a terminal while lines stay and others move, and what comes out of a pipe."""

from __future__ import annotations

import io
import logging
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.cli.screen import Screen, start_logging
from tests.cli.terminal import Terminal

WORD = st.text("abcdef", min_size=1, max_size=10)


@pytest.fixture(autouse=True)
def eighty_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("LINES", "24")
    monkeypatch.setenv("TERM", "xterm")


@given(st.lists(WORD | st.lists(WORD, max_size=6)))
def test_what_stays_is_above_what_moves(steps: list[str | list[str]]) -> None:
    terminal, stayed, moving = Terminal(), [], []
    screen = Screen(terminal)
    for step in steps:
        if isinstance(step, str):
            screen.say(step)
            stayed.append(step)
        else:
            screen.show(step)
            moving = step
        assert terminal.seen == stayed + moving
    screen.show([])
    assert terminal.seen == stayed


def test_a_line_that_is_too_long_is_cut_so_that_it_can_be_taken_away() -> None:
    terminal = Terminal()
    screen = Screen(terminal)
    screen.show(["x" * 200, "y"])
    assert terminal.seen == ["x" * 79, "y"]
    screen.show([])
    assert terminal.seen == []


def test_more_lines_than_the_terminal_has_are_cut_too() -> None:
    terminal = Terminal()
    Screen(terminal).show([str(number) for number in range(100)])
    assert terminal.seen == [str(number) for number in range(22)]


def test_nothing_orders_a_terminal_about() -> None:
    terminal = Terminal()
    Screen(terminal).show(["\x1b[2Jevil\r\n\x07"])
    assert terminal.seen == [" [2Jevil"]


@pytest.mark.parametrize("dumb", [True, False])
def test_in_a_pipe_nothing_moves(dumb: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb" if dumb else "xterm")
    stream = Terminal() if dumb else io.StringIO()
    screen = Screen(stream)
    screen.show(["moving"])
    screen.say("stays")
    assert (stream.seen if isinstance(stream, Terminal) else stream.getvalue()) in (["stays"], "stays\n")


def test_the_log_goes_above_what_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    root = logging.getLogger("reconciler")
    level = root.level
    screen = start_logging()
    try:
        screen.show(["moving"])
        logging.getLogger("reconciler.test").info("it happened")
        above, below = terminal.seen
        assert above.endswith(" it happened")
        assert below == "moving"
    finally:
        root.removeHandler(root.handlers[-1])
        root.setLevel(level)


def test_many_threads_write_whole_lines() -> None:
    terminal = Terminal()
    screen = Screen(terminal)

    def write(name: str) -> None:
        for number in range(50):
            screen.say(f"{name}{number}")
            screen.show([f"moving {name}", "two"])

    threads = [threading.Thread(target=write, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    screen.show([])
    assert sorted(terminal.seen) == sorted(f"{name}{number}" for name in "abc" for number in range(50))
