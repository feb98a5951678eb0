"""The flight recorder over the loop and a host in memory: what was done is told, what goes wrong stops nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from reconciler.core.history import AppRevision, History, Life
from reconciler.core.names import EVERYTHING
from reconciler.core.retrospect import listing, show
from reconciler.daemon.loop import Loop
from tests.daemon.test_loop import Machine
from tests.fake_history import FakeHistory, recording

SECRET = "hunter2-and-more"
SHOP = """
services:
  web:
    image: web:1
    ports: ["8080:80"]
    restart: always
    environment: {{V: "{version}", TOKEN: "{secret}"}}
    deploy: {{update_config: {{order: {order}, monitor: 1s}}}}
"""


class Recorded(Machine):
    """A machine whose history can be read; `files` outlive its daemons, as a disk does."""

    files: FakeHistory | None = None

    def start(self) -> Loop:
        self.files = self.files or FakeHistory(self.host)
        self.recorder = recording(self.host, self.files)
        return Loop(replace(super().start().around, recorder=self.recorder))

    def settle(self) -> Loop:
        """Looks follow each other at once, and a second passes between two."""
        for _ in range(100):
            self.loop.look(frozenset({EVERYTHING}))
            if self.loop.settled:
                return self.loop
            self.host.now += 1
        raise AssertionError(str(self.loop.plan))

    def restart(self) -> None:
        self.recorder.stop()
        self.loop = self.start()

    def write(self, version: int, order: str = "start-first") -> None:
        self.texts = {"shop.yaml": SHOP.format(version=version, order=order, secret=SECRET)}
        self.settle()

    @property
    def kept(self) -> History:
        """All that is recorded so far."""
        self.restart()
        assert self.files
        return self.files.read()

    def told(self) -> list[str]:
        return [f"{row.name} {row.what}: {row.detail}" for row in listing(self.kept)]


@pytest.fixture
def machine() -> Iterator[Recorded]:
    machine = Recorded()
    yield machine
    machine.recorder.stop()
    machine.queue.close()


@pytest.mark.parametrize("order", ["start-first", "stop-first"])
def test_a_replacement_has_both_specs_the_cause_and_the_plan_that_was_executed(machine: Recorded, order: str) -> None:
    machine.write(1, order)
    machine.write(2, order)
    old, new = machine.kept.lives
    assert (new.before, new.before_revision, new.before_facts) == (old.id, old.revision, old.facts)
    assert old.gone is not None
    assert old.ends[-1].asked
    assert new.gone is None
    assert [fact.name for fact in new.facts if fact.mark not in {known.mark for known in old.facts}] == [
        "environment.V"
    ]
    assert new.digest.startswith("sha256:")
    told = [step for act in old.acts for step in act.plan]
    assert any(step.startswith("stop container shop-web-1") for step in told)
    assert any(step.startswith("remove container shop-web-1") for step in told)
    assert any(step.startswith("create container shop-web-1") for act in new.acts for step in act.plan)


def test_what_is_recorded_is_the_task_that_was_executed(machine: Recorded) -> None:
    machine.write(1)
    (life,) = machine.kept.lives
    assert life.acts[0].cause == "missing"
    calls = [call for call in machine.host.calls if "shop-web-1" in call]
    assert calls == ["create shop-web-1", "start shop-web-1"]
    assert [step.split(" ")[0] for step in life.acts[0].plan] == ["create", "connect", "start"]


def test_what_happens_at_once_is_written_at_once(machine: Recorded) -> None:
    """Each write waits for the disk: a start that has something to tell four times is written once."""
    machine.files = files = FakeHistory(machine.host)
    machine.restart()
    machine.write(1)
    machine.recorder.stop()
    assert len(files.read().lives[0].acts) == 1
    assert max(files.writes.values()) == 1


def test_an_end_that_nobody_asked_for_is_told_with_its_last_lines_and_once(machine: Recorded) -> None:
    machine.write(1)
    (id,) = machine.running.values()
    assert machine.files
    machine.files.said[id] = ["all is well", f"my token is {SECRET}!", "no luck"]
    machine.host.end(id, 3)
    machine.settle()
    machine.restart()
    machine.settle()
    (life,) = machine.kept.lives
    assert [(end.code, end.asked) for end in life.ends] == [(3, False)]
    assert (life.count, life.output) == (1, ("all is well", "my token is ***!", "no luck"))
    assert life.acts[-1].cause == "exited with code 3"
    assert "shop-web-1 ended: exit code 3" in machine.told()


def test_a_secret_is_in_no_record(machine: Recorded) -> None:
    for version in range(3):
        machine.write(version)
        for id in machine.running.values():
            assert machine.files
            machine.files.said[id] = [f"{SECRET}", f"a{SECRET}b"]
            machine.host.end(id, 1)
        machine.settle()
    assert machine.kept.lives
    assert machine.files
    assert SECRET not in "".join(machine.files.texts.values())


def test_a_bad_revision_is_told_with_its_quarantine(machine: Recorded) -> None:
    machine.write(1)
    machine.host.now += 60
    machine.texts = {"shop.yaml": SHOP.format(version=2, order="start-first", secret=SECRET)}
    before = set(machine.running.values())
    for _ in range(40):
        machine.loop.look(frozenset({EVERYTHING}))
        for id in set(machine.running.values()) - before:
            assert machine.files
            machine.files.said[id] = ["no luck"]
            machine.host.end(id, 3)
        if machine.host.quarantined:
            break
    machine.settle()
    good, bad = machine.kept.lives
    assert (bad.fault, bad.ends[-1].code, bad.output) == ("was never healthy: exit code 3", 3, ("no luck",))
    assert any(step.startswith("quarantine revision") for act in bad.acts for step in act.plan)
    assert bad.gone is not None
    assert good.gone is None
    assert any(row.startswith("shop-web-1 quarantined: was never healthy") for row in machine.told())


def test_each_revision_of_an_app_is_kept_and_shown(machine: Recorded) -> None:
    machine.write(1)
    machine.write(2)
    machine.texts = {}
    machine.settle()
    machine.host.now += 10
    machine.settle()
    first, second, gone = machine.kept.revisions
    assert [len(one.services) for one in (first, second, gone)] == [1, 1, 0]
    shown = show(machine.kept, "shop", second.revision[:8])
    assert [str(one) for one in shown.services[0].changed] == ["~ environment.V: another value"]
    assert (shown.before, shown.successor, shown.until) == (first.revision, gone.revision, gone.at)
    assert [one.name for one in shown.instances] == ["shop-web-1"]
    assert shown.instances[0].before_revision == dict(first.services[0].revisions)["shop-web-1"]


def test_a_spec_that_cannot_be_read_is_no_revision(machine: Recorded) -> None:
    machine.write(1)
    machine.texts = {"shop.yaml": "services: [1]"}
    machine.settle()
    assert len(machine.kept.revisions) == 1


def test_a_daemon_that_comes_back_goes_on(machine: Recorded) -> None:
    machine.write(1)
    before = machine.kept
    machine.settle()
    assert machine.kept == before
    machine.write(2)
    assert [life.before for life in machine.kept.lives] == ["", before.lives[0].id]


def test_what_was_there_before_the_recorder_is_found(machine: Recorded) -> None:
    machine.write(1)
    machine.recorder.stop()
    assert machine.files
    machine.files.texts.clear()
    machine.loop = machine.start()
    machine.settle()
    (life,) = machine.kept.lives
    assert life.facts
    assert not life.acts
    machine.write(2)
    assert machine.kept.lives[1].before == life.id


def test_a_full_disk_stops_nothing(machine: Recorded, caplog: pytest.LogCaptureFixture) -> None:
    assert machine.files
    machine.files.full = True
    machine.write(1)
    machine.write(2)
    assert list(machine.running) == ["shop-web-1"]
    assert machine.loop.plan.converged
    assert not machine.kept.lives
    assert "cannot keep history: No space left on device" in caplog.text
    machine.files.full = False
    machine.write(3)
    assert machine.kept.lives


def test_output_that_cannot_be_read_stops_nothing(machine: Recorded, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_id: str) -> list[str]:
        raise RuntimeError("the disk hums")

    machine.write(1)
    monkeypatch.setattr(machine.files, "output", broken)
    machine.write(2)
    assert machine.loop.plan.converged
    assert len(machine.running) == 1


def test_the_oldest_go_first(machine: Recorded) -> None:
    for version in range(8):
        machine.write(version)
    machine.recorder.stop()
    assert machine.files
    recorder = recording(machine.host, machine.files, entries=3)
    machine.loop = Loop(replace(machine.loop.around, recorder=recorder))
    machine.write(9)
    recorder.stop()
    lives: list[Life] = list(machine.files.read().lives)
    revisions: list[AppRevision] = list(machine.files.read().revisions)
    assert (len(lives), len(revisions)) == (3, 3)
    assert list(machine.running.values()) == [lives[-1].id]
