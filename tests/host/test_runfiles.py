"""What is remembered of jobs and one-shot services: it comes back whole, and damage or a full disk stops nothing."""

from __future__ import annotations

import errno
import json
import os
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.jobs import Ended, Job, Run
from reconciler.core.model import Container, Dead, Exited, Restart, SeenContainer
from reconciler.core.oneshots import recalled
from reconciler.errors import HostError
from reconciler.host.runfiles import RunFiles, parse
from reconciler.settings import Settings
from tests.core.hosts import host, made, seen
from tests.core.worlds import container, desired

moments = st.floats(0, 4e9)
runs = st.builds(
    Run,
    scheduled=moments,
    id=st.sampled_from(["", "a" * 64]),
    started=st.none() | moments,
    ended=st.none() | moments,
    code=st.none() | st.integers(0, 255),
    said=st.text(max_size=30),
)
JOB = Job(
    name="shop-save-1", app="shop", spec="shop.yaml", schedule="* * * * * UTC", after=60.0,
    runs=(Run(scheduled=60.0, id="a" * 64, started=61.0, ended=62.5, code=3, said="out of memory"),),
)  # fmt: skip
ONCE: Container = container(service="migrate", restart=Restart())
OVER: SeenContainer = seen(Dead(), of=ONCE)
END = Ended(
    name=ONCE.name, app="shop", spec="shop.yaml", revision=OVER.revision, code=3, at=4990.0, since=4980.0
)  # fmt: skip


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(state=tmp_path)


@pytest.fixture
def kept(settings: Settings) -> RunFiles:
    return RunFiles(settings)


def test_what_is_kept_outlives_the_daemon(settings: Settings, kept: RunFiles) -> None:
    assert kept.look() == ({}, {})
    kept.keep_job(JOB)
    kept.keep_end(END)
    assert RunFiles(settings).look() == ({JOB.name: JOB}, {END.name: END})
    kept.keep_job(replace(JOB, after=120.0, runs=()))
    assert kept.look()[0][JOB.name].after == 120.0
    assert (settings.state / "jobs").stat().st_mode & 0o777 == 0o700
    assert (settings.state / "ended" / f"{END.name}.json").stat().st_mode & 0o777 == 0o600


def test_what_is_forgotten_is_gone_and_may_be_forgotten_twice(kept: RunFiles) -> None:
    kept.keep_job(JOB)
    kept.keep_end(END)
    for _ in range(2):
        kept.forget((JOB.name,), (END.name,))
        assert kept.look() == ({}, {})


@given(st.lists(runs, max_size=5), moments)
def test_every_job_comes_back_as_it_was(given_runs: list[Run], after: float) -> None:
    job = replace(JOB, runs=tuple(given_runs), after=after)
    assert parse(Job, json.dumps(asdict(job))) == job


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"name": 5}', '{"name": "shop-save-1"}', "\0" * 100])
def test_a_torn_file_counts_for_nothing_and_the_others_are_read(settings: Settings, kept: RunFiles, text: str) -> None:
    kept.keep_job(JOB)
    kept.keep_end(END)
    (settings.state / "jobs" / "other-1.json").write_text(text)
    (settings.state / "ended" / "other-1.json").write_text(text)
    assert kept.look() == ({JOB.name: JOB}, {END.name: END})


def test_a_file_under_another_name_is_not_believed(settings: Settings, kept: RunFiles) -> None:
    kept.keep_job(JOB)
    folder = settings.state / "jobs"
    (folder / f"{JOB.name}.json").rename(folder / "shop-other-1.json")
    (folder / ".half.json.new").write_text("{}")
    assert kept.look() == ({}, {})


def test_not_utf_8_is_no_file_either(settings: Settings, kept: RunFiles) -> None:
    (settings.state / "jobs").mkdir()
    (settings.state / "jobs" / "a.json").write_bytes(b"\xff\xfe")
    assert kept.look() == ({}, {})


def full(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_on_a_full_disk_what_was_kept_stays_and_a_sentence_says_so(
    settings: Settings, kept: RunFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept.keep_job(JOB)
    monkeypatch.setattr(os, "fsync", full)
    path = settings.state / "jobs" / f"{JOB.name}.json"
    with pytest.raises(HostError, match=f"^cannot remember the runs of {JOB.name}: {path}: No space left on device$"):
        kept.keep_job(replace(JOB, after=120.0))
    assert kept.look()[0] == {JOB.name: JOB}


def test_it_is_on_the_disk_before_the_writer_returns(kept: RunFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    really = os.fsync

    def note(descriptor: int) -> None:
        synced.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")).name)
        really(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    kept.keep_job(JOB)
    assert synced == [f".{JOB.name}.json.new", "jobs"]


def test_a_container_of_which_the_boot_knows_nothing_has_ended_as_was_noted() -> None:
    ended = {END.name: END}
    (found,) = recalled({OVER.id: OVER}, ended).values()
    assert found.state == Exited(code=3, at=4990.0, since=4980.0)
    assert made(desired(ONCE), host(found, ended=ended)).converged
    running = seen(of=ONCE)
    assert recalled({running.id: running}, ended) == {running.id: running}
    other = replace(OVER, revision="0" * 64)
    assert recalled({other.id: other}, ended) == {other.id: other}
