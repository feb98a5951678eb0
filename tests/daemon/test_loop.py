"""The whole pipeline on a host in memory: specs in, containers out, and nothing lost on the way."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from threading import Event, current_thread, main_thread

import pytest

from reconciler.core.document import Document
from reconciler.core.model import Exited, Observed, Running
from reconciler.core.names import EVERYTHING, LINKS
from reconciler.core.progress import Progress
from reconciler.core.scene import Policy
from reconciler.core.status import Host, Snapshot
from reconciler.core.steps import Plan, Task, Wait
from reconciler.core.tombstones import Tombstones
from reconciler.daemon.events import Events
from reconciler.daemon.loop import LOOK_AGAIN, Loop, Pool, Specs, Surroundings
from reconciler.daemon.queue import Queue, Retries
from reconciler.daemon.workers import Workers
from reconciler.errors import SpecError
from reconciler.spec.parse import parse
from tests.fake_history import recording
from tests.fakes import FakeHost

SHOP = """
services:
  web:
    image: web:1
    ports: ["8080:80"]
    restart: always
    deploy: {replicas: 2}
  db:
    image: db:1
    restart: always
    volumes: ["data:/data"]
volumes: {data: {}}
"""
BLOG = "services: {blog: {image: 'web:1', restart: always}}\n"


class Inline:
    """Does the work in the caller's thread, so that a test knows when it is done."""

    def submit(self, work: Callable[[Task], None], task: Task) -> None:
        work(task)

    def wait_for_room(self, seconds: float) -> None:
        return


class Machine:
    """A loop over a fake host; `texts` is its spec directory."""

    def __init__(self, fault: Callable[[], bool] = lambda: False, workers: Pool | None = None) -> None:
        self.host = FakeHost(fault)
        self.workers = workers or Inline()
        self.texts: dict[str, str] = {}
        self.unavailable = self.doubtful = ""
        self.tombstones = Tombstones()
        self.shown: list[Progress] = []
        self.parsed: list[str] = []
        self.blind = 0  # so many looks fail
        self.stop_after_blindness = False
        self.queue = Queue()
        self.events = Events(Snapshot(at=0.0))
        self.loop = self.start()

    def start(self) -> Loop:
        """A daemon that knows nothing yet."""
        return Loop(
            Surroundings(
                load=self.load,
                observe=self.observe,
                ports=self.host.ports(),
                queue=self.queue,
                retries=Retries(lambda: 0.0),
                events=self.events,
                recorder=recording(self.host),
                workers=self.workers,
                pulls=Inline(),
                policy=Policy(),
                host=Host(),
                resync=3600.0,
                doorbells={},
                monitors=dict,
                probe=lambda _: None,
                anticipate=lambda: None,
                show=self.shown.append,
                clock=self.clock,
            )
        )

    def clock(self) -> float:
        """Time passes as it is asked for, so that every wait ends."""
        self.host.now += 0.5
        return self.host.now

    def observe(self, names: frozenset[str]) -> Observed:
        if self.blind:
            self.blind -= 1
            self.loop.stopping = not self.blind and self.stop_after_blindness
            raise OSError(24, "Too many open files")
        self.host.obey_stops()
        return self.host.observe()

    def load(self) -> Specs:
        self.parsed.append("once")
        documents = {name: self.read(name) for name in self.texts}
        return Specs(documents, self.unavailable, doubtful=self.doubtful, tombstones=self.tombstones)

    def read(self, name: str) -> Document | SpecError:
        try:
            return parse(name, self.texts[name].encode(), _no_files)
        except SpecError as error:
            return error

    def settle(self) -> Loop:
        self.loop.run_until_settled()
        return self.loop

    @property
    def running(self) -> dict[str, str]:
        """Name -> id of what runs."""
        return {seen.name: id for id, seen in self.host.containers.items() if isinstance(seen.state, Running)}


def _no_files(name: str) -> bytes:
    raise FileNotFoundError(name)


@pytest.fixture
def machine() -> Iterator[Machine]:
    machine = Machine()
    yield machine
    machine.queue.close()


def test_specs_become_running_containers(machine: Machine) -> None:
    machine.texts = {"shop.yaml": SHOP}
    assert machine.settle().plan.converged
    assert set(machine.running) == {"shop-web-1", "shop-web-2", "shop-db-1"}
    assert machine.host.folders == {"shop_data"}
    assert "8080" in machine.host.table


def test_a_second_run_does_nothing(machine: Machine) -> None:
    machine.texts = {"shop.yaml": SHOP}
    machine.settle()
    calls = list(machine.host.calls)
    assert machine.settle().plan.converged
    assert machine.host.calls == calls


def test_a_new_daemon_touches_nothing_that_is_as_it_should_be(machine: Machine) -> None:
    machine.texts = {"shop.yaml": SHOP}
    machine.settle()
    before, calls = machine.running, list(machine.host.calls)
    machine.loop = machine.start()
    assert machine.settle().plan.converged
    assert (machine.running, machine.host.calls) == (before, calls)


def test_only_what_changed_is_replaced(machine: Machine) -> None:
    machine.texts = {"shop.yaml": SHOP}
    machine.settle()
    before = machine.running
    machine.texts = {"shop.yaml": SHOP.replace("image: db:1", "image: db:2")}
    assert machine.settle().plan.converged
    assert {name for name, id in machine.running.items() if before[name] != id} == {"shop-db-1"}


def test_a_removed_spec_leaves_nothing_but_its_volume(machine: Machine) -> None:
    machine.texts = {"shop.yaml": SHOP}
    machine.settle()
    machine.texts = {}
    assert machine.settle().plan.converged
    assert not machine.host.containers
    assert not machine.host.bridges
    assert not machine.host.table
    assert machine.host.folders == {"shop_data"}


def test_a_broken_spec_holds_its_app_and_no_other(machine: Machine) -> None:
    machine.texts = {"shop.yaml": SHOP}
    machine.settle()
    before = machine.running
    machine.texts = {"shop.yaml": "services: [", "blog.yaml": BLOG}
    loop = machine.settle()
    assert not loop.plan.converged
    assert "shop.yaml:" in str(loop.plan.waits[0])
    assert machine.running.items() > before.items()
    assert "blog-blog-1" in machine.running
    assert "8080" in machine.host.table


def test_a_held_container_that_dies_is_restarted(machine: Machine) -> None:
    machine.texts = {"shop.yaml": SHOP}
    machine.settle()
    machine.texts = {"shop.yaml": "services: ["}
    machine.host.end(machine.running["shop-db-1"], 137)
    machine.settle()
    assert "shop-db-1" in machine.running


def test_a_crash_is_restarted_and_told(machine: Machine) -> None:
    machine.texts = {"shop.yaml": SHOP}
    machine.settle()
    machine.host.end(machine.running["shop-db-1"], 137)
    assert machine.settle().plan.converged
    (died,) = [event for event in machine.events.events(0) if event.action == "died"]
    assert (died.name, died.message) == ("shop-db-1", "exit code 137")


def test_a_reboot_brings_everything_back(machine: Machine) -> None:
    machine.texts = {"shop.yaml": SHOP}
    machine.settle()
    before = {seen.name: (id, seen.address) for id, seen in machine.host.containers.items()}
    machine.host.reboot()
    machine.loop = machine.start()
    assert machine.settle().plan.converged
    assert {seen.name: (id, seen.address) for id, seen in machine.host.containers.items()} == before


def test_a_failing_step_is_told_retried_and_forgotten() -> None:
    failures = iter([True] * 3)
    machine = Machine(fault=lambda: next(failures, False))
    machine.texts = {"blog.yaml": BLOG}
    machine.settle()
    machine.host.now += 600
    assert machine.settle().plan.converged
    assert any(event.action == "failed" for event in machine.events.events(0))
    assert not machine.events.current().outcomes
    machine.queue.close()


def test_specs_are_read_only_when_something_rang_for_them(machine: Machine) -> None:
    machine.texts = {"blog.yaml": BLOG}
    machine.settle()
    count = len(machine.parsed)
    machine.loop.look(frozenset({"container:x"}))
    assert len(machine.parsed) == count
    machine.loop.look(frozenset({"specs"}))
    assert len(machine.parsed) == count + 1


def test_a_look_that_fails_is_tried_again_and_stops_nothing(machine: Machine, caplog: pytest.LogCaptureFixture) -> None:
    machine.texts = {"blog.yaml": BLOG}
    machine.settle()
    before, snapshot = machine.running, machine.events.current()
    machine.blind, machine.stop_after_blindness = 3, True
    machine.loop.run()
    assert caplog.text.count("cannot look at the host: [Errno 24] Too many open files; trying again") == 3
    assert (machine.running, machine.events.current()) == (before, snapshot)


def test_a_bell_that_goes_on_does_not_make_a_failing_look_spin(machine: Machine) -> None:
    """As the descriptor of a monitor that has ended does, until a look has seen its end."""
    reader, writer = os.pipe()
    os.close(writer)
    machine.loop = Loop(replace(machine.loop.around, doorbells={reader: lambda: LINKS}))
    wait = Wait("container:a-b-1", "restarts soon", until=machine.host.now, code="crash-loop")
    machine.loop.plan = Plan(waits=(wait,))
    machine.blind, machine.stop_after_blindness = 2, True
    begun = time.monotonic()
    machine.loop.run()
    os.close(reader)
    assert time.monotonic() - begun >= LOOK_AGAIN


def test_a_look_that_fails_ends_a_run_that_is_to_end(machine: Machine) -> None:
    machine.blind = 1
    with pytest.raises(OSError, match="Too many open files"):
        machine.loop.run_until_settled()


def test_the_snapshot_is_what_was_decided(machine: Machine) -> None:
    machine.texts = {"blog.yaml": BLOG}
    machine.settle()
    snapshot = machine.events.current()
    assert snapshot.plan is machine.loop.plan
    assert set(snapshot.desired.containers) == {"blog-blog-1"}
    assert not snapshot.busy


def test_a_job_that_ended_is_left_to_rest(machine: Machine) -> None:
    machine.texts = {"job.yaml": "services: {job: {image: 'web:1'}}\n"}
    machine.settle()
    machine.host.end(machine.running["job-job-1"], 0)
    assert machine.settle().plan.converged
    (seen,) = machine.host.containers.values()
    assert isinstance(seen.state, Exited)


def test_one_look_serves_many_tasks_while_no_worker_is_free() -> None:
    def slow() -> bool:
        return Event().wait(0.005)  # longer than a look takes here

    machine = Machine(fault=slow, workers=Workers(1, "test"))
    machine.texts = {"many.yaml": BLOG.replace("restart: always", "deploy: {replicas: 60}")}
    machine.settle()
    assert len(machine.running) == 60
    assert machine.events.current().generation < 40
    machine.queue.close()


def test_a_worker_that_hangs_does_not_stop_the_looks() -> None:
    done = Event()

    def hang() -> bool:
        return current_thread() is not main_thread() and not done.wait(10)

    machine = Machine(fault=hang, workers=Workers(1, "test"))
    machine.texts = {"blog.yaml": BLOG}
    machine.loop.look(frozenset({"*"}))
    machine.texts["shop.yaml"] = SHOP
    machine.loop.look(frozenset({"specs"}))
    assert "shop-web-1" in machine.loop.desired.containers
    assert machine.loop.busy
    done.set()
    assert machine.settle().plan.converged
    machine.queue.close()


def test_the_loop_wakes_up_for_a_tag_that_is_due(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.texts = {"blog.yaml": BLOG.replace("restart: always", "restart: always, pull_policy: every_1h")}
    first = machine.settle()
    assert first.plan.converged
    ((reference, image),) = machine.host.seen_images.items()
    assert first.plan.look_again_at == image.checked_at + 3600.0
    machine.host.moved[reference] = 1
    machine.host.now = image.checked_at + 3598.0
    looks: list[Observed] = []

    def observe(names: frozenset[str]) -> Observed:
        looks.append(Machine.observe(machine, names))
        machine.loop.stopping = looks[-1].images[reference].digest != image.digest
        return looks[-1]

    monkeypatch.setattr(machine, "observe", observe)
    machine.loop = machine.start()
    machine.loop.run()
    assert len(looks) > 1
    (replaced,) = machine.loop.plan.tasks
    moved = f"image {reference} moved from {image.digest} to {looks[-1].images[reference].digest}"
    assert replaced.cause == f"{moved}; stop-first, because it publishes no port"


def test_how_far_a_pull_is_stands_in_the_snapshot_and_among_the_events_until_it_is_over(machine: Machine) -> None:
    half = Progress("web:1", 50, 100)
    machine.host.reports = [Progress("web:1", 10, 100), half]
    machine.texts = {"shop.yaml": SHOP}
    machine.loop.look(frozenset({EVERYTHING}))
    assert machine.events.current().progress == {"web:1": half}
    assert machine.shown[-1] == half
    told = [event for event in machine.events.events(0) if event.action == "pulling"]
    assert [(event.kind, event.name, event.message) for event in told] == [("image", "web:1", "50 % of 100 B")]
    machine.host.reports = [half, replace(half, over=True)]
    machine.texts = {"shop.yaml": SHOP.replace("db:1", "db:2")}
    machine.settle()
    assert machine.events.current().progress == {}
