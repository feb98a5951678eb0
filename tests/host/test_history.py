"""The flight recorder's files: what is written is read, torn ones count for nothing, a full disk is told."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.core.history import AppRevision, History, name_of
from reconciler.errors import HostError
from reconciler.host import files as small_files
from reconciler.host.history import HistoryFiles
from reconciler.settings import Settings
from tests.core.test_history import LIFE

REVISION = AppRevision(app="shop", revision="d" * 64, at=2.0)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(state=tmp_path / "state")


@pytest.fixture
def files(settings: Settings) -> HistoryFiles:
    return HistoryFiles(settings)


def test_what_is_written_outlives_the_daemon_and_is_for_root_only(settings: Settings, files: HistoryFiles) -> None:
    older = replace(LIFE, id="f" * 64, at=0.5)
    assert files.write(LIFE) == [(settings.state / "history" / f"{LIFE.id}.json").stat().st_size]
    files.write(REVISION)
    files.write(older)
    assert HistoryFiles(settings).read() == History((older, LIFE), (REVISION,))
    for path in (settings.state / "history").iterdir():
        assert path.stat().st_mode & 0o777 == 0o600
    assert (settings.state / "history").stat().st_mode & 0o777 == 0o700
    files.remove(name_of(LIFE))
    files.remove(name_of(LIFE))
    assert files.read() == History((older,), (REVISION,))


def test_nothing_is_recorded_on_a_new_host(files: HistoryFiles) -> None:
    assert files.read() == History()
    files.sweep()


def test_torn_files_count_for_nothing_and_are_swept(settings: Settings, files: HistoryFiles) -> None:
    files.write(LIFE)
    folder = settings.state / "history"
    broken = {"torn.json": '{"kind": "Li', "strange.json": '{"kind": "x"}', ".a.json.new": "", "b.json": ""}
    for name, text in broken.items():
        (folder / name).write_text(text)
    (folder / "binary.json").write_bytes(b"\xff\xfe")
    assert files.read() == History((LIFE,))
    files.sweep()
    assert [path.name for path in folder.iterdir()] == [f"{LIFE.id}.json"]


def test_a_write_that_fails_leaves_what_was_there(
    settings: Settings, files: HistoryFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    files.write(LIFE)

    def full(_path: Path, _text: str, _mode: int = 0) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(small_files, "replace", full)
    with pytest.raises(HostError, match=r"^cannot keep history: .*No space left on device$"):
        files.write(replace(LIFE, fault="x"))
    with pytest.raises(HostError, match=r"^cannot keep history: "):
        files.key()
    assert files.read() == History((LIFE,))


@pytest.mark.parametrize("broken", [None, "", "xyz", "00"])
def test_the_key_is_made_once_and_kept_beside_the_records(
    settings: Settings, files: HistoryFiles, broken: str | None
) -> None:
    path = settings.state / "history.key"
    if broken is not None:
        settings.state.mkdir()
        path.write_text(broken)
    key = files.key()
    assert len(key) == 64
    assert files.key() == HistoryFiles(settings).key() == key
    assert path.stat().st_mode & 0o777 == 0o600


def test_of_a_container_that_is_gone_nothing_is_known(files: HistoryFiles) -> None:
    assert files.output("a" * 64) == []
    assert files.made_from("a" * 64) is None
