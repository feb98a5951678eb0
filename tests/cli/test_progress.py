"""What `run` shows of pulls, on a terminal and elsewhere."""

from __future__ import annotations

import io

import pytest

from reconciler.cli import progress as cli
from reconciler.cli.progress import LINE_EVERY, Progressing, moving
from reconciler.cli.screen import Screen
from reconciler.core.progress import LayerProgress, Progress
from tests.cli.terminal import Terminal

MB = 1_000_000


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "reconciler")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("LINES", "24")
    monkeypatch.setenv("TERM", "xterm")


def pull(done: int = 50, reference: str = "web:1", *, over: bool = False, at: float = 1000.0) -> Progress:
    """Of 100 MB in layers of 40 and 60."""
    first, second = min(done, 40), max(0, done - 40)
    layers = (
        LayerProgress(f"sha256:{'a' * 64}", first * MB, 40 * MB, 2e6),
        LayerProgress(f"sha256:{'b' * 64}", second * MB, 60 * MB, 3e6),
    )
    return Progress(reference, done * MB, 100 * MB, 5e6, layers, over, at)


class Shown:
    """A `Progressing` whose clock stands still unless it is told."""

    def __init__(self, stream: io.StringIO) -> None:
        self.now = 1000.0
        self.stream = stream
        self.progressing = Progressing(Screen(stream), lambda: self.now)

    def show(self, progress: Progress) -> None:
        self.progressing.show(progress)
        self.progressing.draw()


def test_a_short_pull_says_nothing_where_there_is_no_terminal(caplog: pytest.LogCaptureFixture) -> None:
    """The step that ends is logged anyway."""
    shown = Shown(io.StringIO())
    for done in (0, 50, 100):
        shown.show(pull(done))
    shown.show(pull(100, over=True))
    assert shown.stream.getvalue() == ""
    assert caplog.messages == []


def test_a_long_pull_says_how_far_it_is_now_and_then(caplog: pytest.LogCaptureFixture) -> None:
    shown = Shown(io.StringIO())
    for done in range(0, 101, 10):
        shown.show(pull(done, at=shown.now))
        shown.show(pull(done, "db:1", at=shown.now))
        shown.now += LINE_EVERY / 2 + 0.1
    shown.show(pull(100, over=True))
    lines = caplog.messages
    assert lines[0] == "image:web:1: pulling, 20 % of 100 MB, 5.0 MB/s, 16s left, 0 of 2 layers"
    assert sum("image:web:1: pulling" in line for line in lines) == 5
    assert sum("image:db:1: pulling" in line for line in lines) == 5
    assert lines[-1] == "image:web:1: pulled 100 MB in 2 layers, in 28.6 s"
    assert shown.stream.getvalue() == ""


def test_a_pull_for_which_nothing_comes_is_told_also_without_a_report(caplog: pytest.LogCaptureFixture) -> None:
    shown = Shown(io.StringIO())
    shown.show(pull(50))
    shown.now += LINE_EVERY
    shown.progressing.draw()
    assert caplog.messages == [
        "image:web:1: pulling, 50 % of 100 MB, 5.0 MB/s, 10s left, 1 of 2 layers, nothing for 5s"
    ]


def test_a_terminal_has_a_line_for_the_pull_and_one_for_each_layer_on_its_way(
    caplog: pytest.LogCaptureFixture,
) -> None:
    terminal = Terminal()
    shown = Shown(terminal)
    shown.show(pull(20))
    assert terminal.seen == [
        "web:1           [====>               ]  20.0 MB of  100 MB    5.0 MB/s  16s left  0 of 2 layers",
        "  aaaaaaaaaaaa  [==========>         ]  20.0 MB of 40.0 MB    2.0 MB/s  10s left",
    ]
    shown.show(pull(70))
    assert terminal.seen == [
        "web:1           [==============>     ]  70.0 MB of  100 MB    5.0 MB/s   6s left  1 of 2 layers",
        "  bbbbbbbbbbbb  [==========>         ]  30.0 MB of 60.0 MB    3.0 MB/s  10s left",
    ]
    shown.now += 7
    shown.show(pull(100, over=True))
    assert terminal.seen == []
    assert caplog.messages == ["image:web:1: pulled 100 MB in 2 layers, in 7.0 s"]


def test_several_pulls_are_summed_up() -> None:
    long = "registry.example/a/very/long/name/of/a/very/long/thing:1"
    rows = moving([pull(20), pull(70, long)], 1000.0)
    assert [row.split("[")[0].strip() for row in rows] == [
        "web:1",
        "aaaaaaaaaaaa",
        f"…{long[-43:]}",
        "bbbbbbbbbbbb",
        "all 2 pulls",
    ]
    assert "90.0 MB of  200 MB   10.0 MB/s  11s left" in rows[-1]
    assert len({row.index("[") for row in rows}) == 1


def test_a_pull_that_failed_leaves_nothing_on_the_terminal() -> None:
    terminal = Terminal()
    shown = Shown(terminal)
    shown.show(pull(20))
    shown.show(pull(20, over=True))
    assert terminal.seen == []


def test_the_thread_draws_and_takes_all_away_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "DRAW_EVERY", 0.001)
    terminal = Terminal()
    progressing = Progressing(Screen(terminal), lambda: 1000.0)
    with progressing.drawing():
        progressing.show(pull(20))
        assert terminal.written.wait(20)
        assert terminal.seen[0].startswith("web:1 ")
    assert terminal.seen == []


def test_the_thread_ends_though_nothing_was_ever_pulled() -> None:
    with Progressing(Screen(Terminal())).drawing():
        pass
