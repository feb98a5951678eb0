"""What `run` shows of pulls, on a terminal and elsewhere."""

from __future__ import annotations

import io

import pytest

from reconciler.cli.progress import LINE_EVERY, Progressing, describe
from reconciler.ports import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def half(done: int = 50, reference: str = "web:1") -> Progress:
    return Progress(reference=reference, done=done, total=100, note="layer 1/2")


@pytest.fixture
def now() -> list[float]:
    return [1000.0]


def shown(monkeypatch: pytest.MonkeyPatch, stream: io.StringIO, now: list[float]) -> Progressing:
    monkeypatch.setattr("sys.stderr", stream)
    return Progressing(lambda: now[0])


def test_a_short_pull_says_nothing_where_there_is_no_terminal(
    monkeypatch: pytest.MonkeyPatch, now: list[float]
) -> None:
    """The step that ends is logged anyway."""
    stream = io.StringIO()
    progressing = shown(monkeypatch, stream, now)
    for done in (0, 50, 100):
        progressing.show(half(done))
    assert stream.getvalue() == ""


def test_a_long_pull_says_how_far_it_is_now_and_then(monkeypatch: pytest.MonkeyPatch, now: list[float]) -> None:
    stream = io.StringIO()
    progressing = shown(monkeypatch, stream, now)
    for done in range(0, 101, 10):
        progressing.show(half(done))
        progressing.show(half(done, "db:1"))
        now[0] += LINE_EVERY / 2 + 0.1
    assert stream.getvalue().count("pulling web:1") == 4
    assert stream.getvalue().count("pulling db:1") == 4
    assert stream.getvalue().startswith(describe(half(20)) + "\n")
    assert "100 %" not in stream.getvalue()


def test_a_terminal_shows_one_moving_line_and_takes_it_away(monkeypatch: pytest.MonkeyPatch, now: list[float]) -> None:
    stream = Terminal()
    progressing = shown(monkeypatch, stream, now)
    progressing.show(half(10))
    progressing.show(half(11))
    now[0] += 1
    progressing.show(half(60))
    progressing.show(half(100))
    assert stream.getvalue() == f"\r\x1b[K{describe(half(10))}\r\x1b[K{describe(half(60))}\r\x1b[K"


def test_what_a_pull_is_described_by() -> None:
    progress = Progress(reference="web:1", done=1_500_000, total=3_000_000, note="layer 1/2")
    assert describe(progress) == "pulling web:1: 50 % 1.5 of 3.0 MB layer 1/2"
    assert describe(Progress(reference="web:1", done=0, total=0, note="")) == "pulling web:1: …"
