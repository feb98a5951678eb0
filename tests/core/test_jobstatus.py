"""What a user sees of a job: when it runs next, and what became of its last times."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reconciler.core.jobs import Ended, Job, Run, Schedule
from reconciler.core.jobstatus import JobStatus
from reconciler.core.model import Dead, Exited, Restart, Running
from reconciler.core.status import Snapshot, project
from tests.core.hosts import host, seen
from tests.core.worlds import container, desired

HOURLY = Schedule(cron="0 * * * *", timezone="Europe/Berlin")
SAVE = container(service="save", restart=Restart(), schedule=HOURLY)
NOW = 1_800_000_000.0  # 2027-01-15 09:00 in Berlin
DONE = Run(scheduled=NOW - 3600.0, id="a" * 64, started=NOW - 3599.0, ended=NOW - 3540.0, code=0)
NEXT = "next run at 2027-01-15 10:00 Europe/Berlin"


def shown(*runs: Run) -> JobStatus:
    job = Job(name=SAVE.name, app="shop", spec="shop.yaml", schedule=str(HOURLY), after=NOW, runs=runs)
    snapshot = Snapshot(at=NOW + 1.0, desired=desired(SAVE), observed=host(jobs={SAVE.name: job}))
    (found,) = project(snapshot).jobs
    return found


@pytest.mark.parametrize(
    ("runs", "said"),
    [
        ((), "it has not run yet"),
        ((DONE,), "last run ended with 0 at 2027-01-15 08:01 Europe/Berlin"),
        (
            (replace(DONE, code=137, said="out of memory"),),
            "last run ended with 137, out of memory at 2027-01-15 08:01",
        ),
        ((replace(DONE, code=None, said="lost with its container"),), "last run lost with its container at 2027"),
        (
            (DONE, Run(scheduled=NOW, id="b" * 64, started=NOW + 0.5)),
            "runs since 2027-01-15 09:00 Europe/Berlin; last run ended with 0 at 2027-01-15 08:01 Europe/Berlin",
        ),
        (
            (DONE, Run(scheduled=NOW, said="skipped: the run before had not ended")),
            (
                "last run ended with 0 at 2027-01-15 08:01 Europe/Berlin; "
                "that of 2027-01-15 09:00 Europe/Berlin was skipped: the run before had not ended"
            ),
        ),
    ],
)
def test_one_sentence_says_it_all(runs: tuple[Run, ...], said: str) -> None:
    assert shown(*runs).said.startswith(f"{NEXT}; {said}")


def test_the_same_for_programs() -> None:
    found = shown(replace(DONE, code=3), Run(scheduled=NOW, id="b" * 64, started=NOW + 0.5))
    assert (found.name, found.app, found.job) == ("shop-save-1", "shop", "save")
    assert (found.schedule, found.timezone, found.next_at) == ("0 * * * *", "Europe/Berlin", NOW + 3600.0)
    assert (found.exit_code, found.running, len(found.runs)) == (3, True, 2)


def test_a_job_is_no_container_but_while_it_runs() -> None:
    over = seen(Exited(code=0, at=NOW, since=NOW - 9.0), of=SAVE, scheduled=NOW - 3600.0)
    status = project(Snapshot(at=NOW, desired=desired(SAVE), observed=host(over)))
    assert (status.containers, status.apps) == ((), ("shop",))
    runs = seen(Running(pid=1, since=NOW), of=SAVE, id="b" * 64, scheduled=NOW)
    status = project(Snapshot(at=NOW, desired=desired(SAVE), observed=host(over, runs)))
    assert [(entry.id, entry.state) for entry in status.containers] == [("b" * 64, "running")]


def test_a_one_shot_service_without_its_container_has_exited() -> None:
    once = container(restart=Restart())
    end = Ended(
        name=once.name, app="shop", spec="shop.yaml", revision=seen(Dead(), of=once).revision, code=3, at=8.0, since=7.0
    )  # fmt: skip
    (found,) = project(Snapshot(at=9.0, desired=desired(once), observed=host(ended={once.name: end}))).containers
    assert (found.state, found.exit_code, found.since) == ("exited", 3, 8.0)
