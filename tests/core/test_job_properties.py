"""Jobs on a host where calls fail, the daemon is killed between any two steps, and the power goes: no time runs twice.

Nor do two runs of a job ever overlap, and when nothing is wrong each time has its run, or says why it has none.
"""

from __future__ import annotations

import contextlib
import random
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.core import cron
from reconciler.core.jobs import LISTED, Job, Run, Schedule
from reconciler.core.model import Container, Exited, Restart, Running
from reconciler.core.plan import plan
from reconciler.core.scene import Policy
from reconciler.core.scheduling import times
from reconciler.daemon.execute import perform
from reconciler.errors import HostError
from tests.core.worlds import container, desired
from tests.fakes import FakeHost

POLICY = Policy(address_pool="10.0.0.0/16", network_prefix=24)
START = 1_800_000_000.0

schedules = st.builds(
    Schedule,
    cron=st.sampled_from(["* * * * *", "*/2 * * * *", "0,1,5 * * * *", "30 * * * *"]),
    timezone=st.sampled_from(["UTC", "Europe/Berlin"]),
    concurrency=st.sampled_from(["forbid", "queue", "replace"]),
    missed_fires=st.sampled_from(["one", "skip"]),
    deadline=st.sampled_from([None, 10.0, 90.0]),
    history=st.integers(1, 3),
)


class JobHost(FakeHost):
    """Refuses what no host may see: a second run for a time, or beside another."""

    def __init__(self, chance: random.Random) -> None:
        super().__init__(fault=lambda: self.trouble and chance.random() < 0.05)
        self.trouble = False
        self.now = START
        self.taken_up: dict[float, float] = {}  # by the time that was due, when its run was started

    def start(self, id: str, restarts: int, failures: int) -> None:
        try:
            super().start(id, restarts, failures)
        finally:
            seen = self.get(id)
            if isinstance(seen.state, Running) and seen.scheduled is not None:
                assert seen.scheduled not in self.taken_up, "a time is run twice"
                self.taken_up[seen.scheduled] = self.now
                noted = self.runs.jobs[seen.name].runs
                assert any(run.id == id and run.started is not None for run in noted), "it was not written down before"
        running = [entry.name for entry in self.containers.values() if isinstance(entry.state, Running)]
        assert len(running) <= 1, "two runs at once"


class World:
    """A host, the daemon on it, and runs of a certain length."""

    def __init__(self, wanted: Container, length: float, chance: random.Random) -> None:
        self.wanted, self.length, self.chance = desired(wanted), length, chance
        self.host = JobHost(chance)
        self.started = self.host.now

    def look(self) -> bool:
        """One look, of whose tasks a killed daemon leaves some undone; whether there was nothing to do."""
        policy = replace(POLICY, started=self.started)
        found = plan(self.wanted, self.host.observe(), self.host.now, policy)
        for task in found.tasks:
            with contextlib.suppress(HostError):
                for step in task.steps:
                    if self.host.trouble and self.chance.random() < 0.1:
                        self.started = self.host.now  # killed here, and started again
                        break
                    perform(step, self.host.ports(), lambda _: None)
        return not found.tasks

    def settle(self) -> None:
        assert any(self.look() for _ in range(40)), "no end"

    def live(self, seconds: float) -> None:
        self.host.now += seconds
        self.host.obey_stops()
        for id, seen in list(self.host.containers.items()):
            if isinstance(seen.state, Running) and self.host.now - seen.state.since >= self.length:
                self.host.end(id, self.chance.choice([0, 1]))

    @property
    def job(self) -> Job:
        return self.host.runs.jobs["shop-save-1"]


def world(schedule: Schedule, length: float, seed: int) -> World:
    return World(container(service="save", restart=Restart(), schedule=schedule), length, random.Random(seed))


@given(schedules, st.sampled_from([0.5, 50.0, 400.0]), st.integers(0, 2**32))
@settings(max_examples=150, deadline=None)
def test_no_time_runs_twice_and_no_two_runs_overlap(schedule: Schedule, length: float, seed: int) -> None:
    here = world(schedule, length, seed)
    here.host.trouble = True
    for _ in range(60):
        here.look()
        match here.chance.randrange(12):
            case 0:
                here.host.reboot()
                here.started = here.host.now
            case 1:
                here.live(here.chance.choice([600.0, 7200.0, 90_000.0]))
                here.started = here.host.now
            case 2:
                here.host.runs.jobs.clear()  # its file was torn
            case _:
                here.live(here.chance.choice([0.1, 1.0, 20.0, 61.0]))
    here.host.trouble = False
    here.settle()
    there = [seen for seen in here.host.containers.values() if seen.scheduled is not None]
    assert len(there) <= schedule.history + 2, "ended runs go"
    assert len(here.job.runs) <= LISTED + len(there)
    assert all(due <= at for due, at in here.host.taken_up.items()), "nothing runs before its time"


@given(schedules, st.sampled_from([0.5, 50.0, 150.0]), st.integers(0, 2**32))
@settings(max_examples=100, deadline=None)
def test_each_time_has_its_run_or_says_why_not(schedule: Schedule, length: float, seed: int) -> None:
    here = world(schedule, length, seed)
    told: dict[float, Run] = {}
    for _ in range(600):
        here.live(1.0)
        here.settle()
        told |= {run.scheduled: run for run in here.job.runs}
    due, every = here.job.after, list[float]()
    moment = cron.following(times(schedule), START + 1.0)
    while moment is not None and moment <= due:
        every.append(moment)
        moment = cron.following(times(schedule), moment)
    assert all(moment in told or schedule.concurrency == "queue" for moment in every)
    for moment, run in told.items():
        if run.started is not None:
            assert run.started == here.host.taken_up[moment]
            waited = schedule.concurrency == "forbid"
            assert run.started <= moment + (2.0 if waited else 2.0 + length)
        else:
            assert any(start < moment + 1.0 <= start + length + 60.0 for start in here.host.taken_up.values()), run
    if length < 1.0:
        assert all(told[moment].started is not None for moment in every)


@given(schedules, st.integers(1, 3000), st.integers(0, 2**32))
@settings(max_examples=100, deadline=None)
def test_what_passed_without_a_daemon_is_made_up_for_or_missed(schedule: Schedule, minutes: int, seed: int) -> None:
    here = world(schedule, 0.5, seed)
    here.settle()
    before = dict(here.host.taken_up)
    here.host.now += minutes * 60.0 + 30.0
    here.started = here.host.now
    here.settle()
    last = cron.latest(times(schedule), START, here.host.now)
    made_up_for = here.host.taken_up.keys() - before.keys()
    in_time = schedule.deadline is None or (last is not None and here.host.now <= last + schedule.deadline)
    assert made_up_for == ({last} if last and in_time and schedule.missed_fires == "one" else set())
    if last is not None:
        assert here.job.after == last
        assert here.job.runs[-1].scheduled == last
        assert bool(made_up_for) != here.job.runs[-1].said.startswith("missed")


def test_on_a_full_disk_what_runs_goes_on_and_a_time_is_late_but_not_lost() -> None:
    here = world(Schedule(cron="*/5 * * * *", concurrency="queue"), 400.0, 0)
    here.settle()
    here.host.now = (cron.following(("*/5 * * * *", "UTC"), START) or 0.0) + 1.0
    here.settle()
    (running,) = here.host.containers.values()
    here.host.runs.full = True
    for _ in range(30):
        here.live(20.0)
        here.look()
    assert isinstance(here.host.get(running.id).state, Exited), "it ran to its end"
    assert len(here.host.taken_up) == 1, "what cannot be written down is not started"
    here.host.runs.full = False
    here.settle()
    assert sorted(here.host.taken_up) == [here.job.runs[0].scheduled, here.job.after]
    assert here.job.runs[0].ended is not None
