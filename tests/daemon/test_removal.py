"""What the loop makes of a directory that is gone, empty, or has lost many of its specs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from reconciler.core.tombstones import Tombstones
from tests.daemon.test_loop import BLOG, SHOP, Machine


@pytest.fixture
def machine() -> Iterator[Machine]:
    machine = Machine()
    yield machine
    machine.queue.close()


def test_a_directory_that_is_gone_removes_nothing(machine: Machine) -> None:
    machine.texts = {"shop.yaml": SHOP}
    machine.settle()
    before = machine.running
    machine.loop = machine.start()
    machine.texts, machine.unavailable = {}, "cannot read the specs: no such directory"
    assert not machine.settle().plan.converged
    assert machine.running == before


def test_an_empty_directory_that_nobody_may_have_meant_removes_nothing(machine: Machine) -> None:
    machine.texts = {"shop.yaml": SHOP}
    machine.settle()
    before = machine.running
    machine.loop = machine.start()
    machine.texts, machine.doubtful = {}, "it holds no specs"
    assert [wait.reason for wait in machine.settle().plan.waits] == ["it holds no specs"]
    assert machine.running == before


def test_apps_that_are_named_go_from_there_too(machine: Machine) -> None:
    machine.texts = {"shop.yaml": SHOP, "blog.yaml": BLOG}
    machine.settle()
    machine.loop = machine.start()
    machine.texts, machine.doubtful = {}, "it holds no specs"
    machine.tombstones = Tombstones(frozenset({"shop"}))
    machine.settle()
    assert "blog-blog-1" in machine.running, "one that is not named may not be meant"
    assert "shop-db-1" in machine.running
    machine.tombstones = Tombstones(frozenset({"shop", "blog"}))
    assert machine.settle().plan.converged
    assert not machine.running


def test_many_apps_go_only_at_a_word_whatever_daemon_asks(machine: Machine) -> None:
    specs = {f"{name}.yaml": BLOG.replace("blog", name) for name in ("one", "two", "three", "four")}
    machine.texts = dict(specs)
    machine.settle()
    before = machine.running
    machine.texts = {}
    (wait,) = machine.settle().plan.waits
    assert wait.reason.startswith("4 of 4 apps have left the specs")
    machine.loop = machine.start()
    assert machine.settle().plan.waits == (wait,)
    assert machine.running == before
    machine.tombstones = Tombstones(frozenset({"one", "two", "three", "four"}))
    assert machine.settle().plan.converged
    assert not machine.running


def test_an_empty_directory_on_an_empty_host_is_converged(machine: Machine) -> None:
    machine.doubtful = "it holds no specs"
    assert machine.settle().plan.converged


def test_a_directory_that_is_empty_for_a_moment_removes_nothing(machine: Machine) -> None:
    machine.texts = {"shop.yaml": SHOP}
    machine.settle()
    before, texts = machine.running, machine.texts
    machine.texts = {}
    machine.host.now -= 0.5  # the next question for the time is answered as the last one
    machine.loop.look(frozenset({"specs"}))
    machine.texts = texts
    assert machine.settle().plan.converged
    assert machine.running == before
