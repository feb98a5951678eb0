"""One daemon per state directory, and a sentence when the directory cannot be used."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from reconciler.daemon.wire import only_one
from reconciler.errors import HostError
from reconciler.settings import Settings


def test_a_second_one_is_told_who_was_first(tmp_path: Path) -> None:
    settings = Settings(state=tmp_path / "state")
    with only_one(settings):
        assert stat.S_IMODE(settings.state.stat().st_mode) == 0o700
        with pytest.raises(HostError, match=r"another reconciler \(process \d+\) works on it"), only_one(settings):
            pass
    with only_one(settings):
        pass


@pytest.mark.parametrize("below", ["", "deeper"])
def test_a_state_directory_that_cannot_be_is_a_sentence(below: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    place = tmp_path / "file" / below
    expected = pytest.raises(HostError, match=f"^cannot use {place}: (file exists|not a directory)$")
    with expected, only_one(Settings(state=place)):
        pass
