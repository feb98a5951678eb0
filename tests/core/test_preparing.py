"""What is run before a service: golden plans of `pre_start`, and a property over failing steps and killed daemons."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.core.document import Document
from reconciler.core.model import Container, Desired, Exited, Running, SeenContainer
from reconciler.core.plan import plan
from reconciler.core.resolve import resolve
from reconciler.core.status import Snapshot, project
from reconciler.core.steps import CreateContainer, Task
from reconciler.daemon.execute import perform
from reconciler.errors import HostError
from reconciler.spec.parse import parse
from tests.core.hosts import POLICY
from tests.fakes import FakeHost

SPEC = """
services:
  web:
    image: web:1
    restart: always
    environment: {A: "1", B: "1"}
    user: "1000"
    entrypoint: [serve]
    ports: ["8080:80"]
    volumes: ["data:/data"]
    networks: {default: {aliases: [www]}}
    depends_on: [db]
    pre_start:
      - command: [migrate]
        environment: {B: "2"}
      - image: tools:1
        command: [chown, /data]
        working_dir: /data
  db: {image: "db:1", restart: always}
volumes: {data: {}}
"""
FIRST, SECOND, WEB = "shop-web-pre-start-1-1", "shop-web-pre-start-2-1", "shop-web-1"


def specs(text: str = SPEC) -> Desired:
    document = parse("shop.yaml", text.encode(), lambda name: b"")
    assert isinstance(document, Document)
    found = resolve({"shop.yaml": document}, frozenset())
    assert not found.held, found.held
    return found


class World:
    """A host, and how long and how well its steps run."""

    def __init__(self, wanted: Desired, *codes: int) -> None:
        self.host, self.wanted, self.codes = FakeHost(), wanted, [*codes]
        self.ran: list[str] = []  # the steps that ended, in order
        self.running = False  # steps run on

    def look(self) -> str:
        """One look, and what it planned."""
        found = plan(self.wanted, self.host.observe(), self.host.now, POLICY)
        for task in found.tasks:
            self.act(task)
        self.live()
        return str(found)

    def act(self, task: Task) -> None:
        for step in task.steps:
            if isinstance(step, CreateContainer):
                self.check(step.container)
            try:
                perform(step, self.host.ports(), lambda _: None)
            except HostError:
                return

    def check(self, made: Container) -> None:
        """No instance is made before its steps have succeeded."""
        ended = {seen.name for seen in self.host.containers.values() if seen.state == ended_well(seen)}
        going_back = made != self.wanted.containers[made.name]
        assert going_back or {name for name, _ in made.steps} <= ended, made.name

    def live(self) -> None:
        self.host.obey_stops()
        self.host.now += 1.0
        for id, seen in list(self.host.containers.items()):
            if isinstance(seen.state, Running) and "pre-start" in seen.name and not self.running:
                self.ran.append(seen.name)
                self.host.end(id, self.codes.pop(0) if self.codes else 0)

    def settle(self, looks: int = 60) -> None:
        for _ in range(looks):
            self.look()

    def names(self) -> list[str]:
        return sorted(seen.name for seen in self.host.containers.values())

    def id_of(self, name: str) -> str:
        return next(seen.id for seen in self.host.containers.values() if seen.name == name)

    def converged(self) -> bool:
        return plan(self.wanted, self.host.observe(), self.host.now, POLICY).converged


def ended_well(seen: SeenContainer) -> object:
    return seen.state if isinstance(seen.state, Exited) and seen.state.code == 0 else None


@pytest.fixture
def world() -> World:
    made = World(specs())
    made.settle()
    return made


# --- what a step is ----------------------------------------------------------------------------------------------


def test_a_step_is_as_its_service_but_for_what_it_says() -> None:
    found = specs().containers
    main, first, second = found[WEB], found[FIRST], found[SECOND]
    assert (first.image, first.command, first.entrypoint) == ("docker.io/library/web:1", ("migrate",), None)
    assert (first.environment, second.environment) == ((("A", "1"), ("B", "2")), main.environment)
    assert (first.user, second.user, second.working_dir) == ("1000", "", "/data")
    assert first.mounts == second.mounts == main.mounts
    assert first.depends_on == main.depends_on
    assert [place.network for place in first.networks] == ["shop_default"]
    assert not first.networks[0].aliases
    assert not first.ports
    assert [name for name, _ in main.steps] == [FIRST, SECOND]
    assert [name for name, _ in second.steps] == [FIRST]


def test_each_replica_may_have_its_own() -> None:
    text = SPEC.replace("command: [migrate]", "command: [migrate]\n        per_replica: true")
    found = specs(text.replace("    restart: always\n    env", "    deploy: {replicas: 2}\n    env")).containers
    assert [name for name, _ in found["shop-web-2"].steps] == ["shop-web-pre-start-1-2", SECOND]
    assert [name for name, _ in found[SECOND].steps] == [FIRST]


def test_another_step_is_another_revision_of_the_service() -> None:
    assert specs().containers[WEB].steps != specs(SPEC.replace("[migrate]", "[migrate, all]")).containers[WEB].steps


# --- in order ----------------------------------------------------------------------------------------------------


def test_steps_run_one_after_the_other_and_then_the_service_and_nothing_is_left(world: World) -> None:
    assert world.ran == [FIRST, SECOND]
    assert world.names() == ["shop-db-1", WEB]
    assert world.converged()
    status = project(Snapshot(at=0.0, desired=world.wanted, observed=world.host.observe()))
    assert [entry.name for entry in status.containers] == ["shop-db-1", WEB]


def test_a_service_waits_and_says_for_what() -> None:
    world = World(specs())
    world.running = True
    world.settle(10)
    found = plan(world.wanted, world.host.observe(), world.host.now, POLICY)
    (wait,) = found.waits
    assert str(wait) == f"container:{WEB}: waits for {FIRST}, which is run before it, to succeed"
    assert wait.passing
    assert world.names() == ["shop-db-1", FIRST]


def test_a_step_that_fails_is_tried_again_and_told() -> None:
    world = World(specs(), 3, 3, 3, 0)
    while world.ran != [FIRST] * 3:
        world.look()
    id = world.id_of(FIRST)
    state = world.host.containers[id].state
    assert isinstance(state, Exited)
    world.host.put(id, state=replace(state, said="no such table"))
    found = plan(world.wanted, world.host.observe(), state.at, POLICY)
    assert [str(wait) for wait in found.waits] == [
        f"container:{WEB}: waits for {FIRST}, which is run before it, to succeed;"
        ' it exited with code 3: "no such table"',
        f"container:{FIRST}: waits: exited with code 3, 3 times in a row; restarts after 0.2 s",
    ]
    world.settle()
    assert world.ran == [FIRST] * 4 + [SECOND]
    assert world.converged()


def test_nothing_is_run_while_the_service_could_not_be_made_anyway() -> None:
    world = World(specs())
    world.settle(1)
    missing = replace(world.host.observe(), images={})
    assert "pre-start" not in str([task.key for task in plan(world.wanted, missing, 0.0, POLICY).tasks])


# --- later -------------------------------------------------------------------------------------------------------


def test_a_restart_and_a_reboot_of_the_service_run_nothing_again(world: World) -> None:
    world.host.end(world.id_of(WEB), 1)
    world.settle(5)
    world.host.reboot()
    world.settle(10)
    assert world.ran == [FIRST, SECOND]
    assert world.converged()


def test_a_reboot_in_the_middle_of_a_step_runs_it_again() -> None:
    world = World(specs())
    world.running = True
    world.settle(10)
    world.host.reboot()
    world.running = False
    world.settle()
    assert world.ran == [FIRST, SECOND]
    assert world.converged()


def test_a_new_revision_is_prepared_while_the_old_one_serves(world: World) -> None:
    world.wanted, world.running = specs(SPEC.replace("[serve]", "[serve, more]")), True
    world.host.now += 100.0
    world.settle(20)
    assert isinstance(world.host.containers[world.id_of(WEB)].state, Running)
    assert world.names() == ["shop-db-1", WEB, FIRST]
    world.running = False
    world.settle()
    assert world.ran == [FIRST, SECOND] * 2
    assert world.converged()


def test_where_only_one_may_have_a_volume_the_old_one_ends_first() -> None:
    exclusive = SPEC.replace("{data: {}}", "{data: {x-exclusive: true}}")
    world = World(specs(exclusive))
    world.host.exclusive = {"shop_data"}
    world.settle()
    world.wanted = specs(exclusive.replace("[serve]", "[serve, more]"))
    world.settle()
    assert world.ran == [FIRST, SECOND] * 2
    assert world.converged()


def test_what_goes_back_is_not_prepared_again(world: World) -> None:
    world.host.now += 100.0
    world.wanted = specs(SPEC.replace("[serve]", "[serve, badly]").replace('"8080:80"', ""))
    new = world.wanted.containers[WEB]
    for _ in range(60):
        world.look()
        for id, seen in list(world.host.containers.items()):
            if isinstance(seen.state, Running) and world.host.made_from[id][0] == new:
                world.host.end(id, 1)
    assert world.ran == [FIRST, SECOND] * 2, "once for the old one, once for the bad one"
    assert [seen.name for seen in world.host.containers.values() if isinstance(seen.state, Running)] == [
        "shop-db-1", WEB,
    ]  # fmt: skip


def test_what_is_removed_meanwhile_takes_its_steps_along() -> None:
    world = World(specs())
    world.running = True
    world.settle(10)
    world.wanted = Desired()
    world.settle(10)
    assert world.names() == []


@given(st.integers(0, 2**32), st.lists(st.sampled_from([0, 0, 1, 137]), max_size=12), st.booleans())
@settings(max_examples=100, deadline=None)
def test_whatever_fails_each_revision_runs_after_its_steps(seed: int, codes: list[int], exclusive: bool) -> None:
    chance = random.Random(seed)
    text = SPEC.replace("    restart: always\n    env", "    restart: always\n    deploy: {replicas: 2}\n    env")
    if exclusive:
        text = SPEC.replace("{data: {}}", "{data: {x-exclusive: true}}")
    world = World(specs(text), *codes)
    world.host.fault = lambda: chance.random() < 0.05
    for version in range(chance.randint(1, 3)):
        world.wanted = specs(text.replace("[serve]", f"[serve, '{version}']"))
        world.settle(chance.randint(1, 60))
        if chance.random() < 0.3:
            world.host.reboot()
    world.host.fault = lambda: False
    world.codes = []
    world.settle(300)
    assert world.converged(), world.look()
    assert not [name for name in world.names() if "pre-start" in name]
