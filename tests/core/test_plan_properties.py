"""From any host, any specs, and with a fifth of all port calls failing, repeated looks reach a fixed point."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.core.model import Container, Dead, Desired, Exited, Running, SeenContainer, revision
from reconciler.core.plan import plan
from reconciler.core.scene import Policy
from reconciler.core.starting import Condition, Dependency
from reconciler.core.steps import CreateContainer, Plan, StartContainer, Task
from reconciler.daemon.execute import perform
from reconciler.errors import HostError
from tests.core.worlds import disturbances, worlds
from tests.fakes import FakeHost

POLICY = Policy(address_pool="10.0.0.0/16", network_prefix=24)
ENOUGH = 120  # looks; with faults each step may need several


def converge(host: FakeHost, desired: Desired) -> Plan:
    """Look and act until nothing is left to do; time passes between looks."""
    latest = Plan()
    for _ in range(ENOUGH):
        latest = plan(desired, host.observe(), host.now, POLICY)
        assert latest == plan(desired, host.observe(), host.now, POLICY), "the same values gave another plan"
        assert len({task.key for task in latest.tasks}) == len(latest.tasks), "two tasks for one key"
        if not latest.tasks and not any(wait.until for wait in latest.waits):
            return latest
        check_order(host, desired, latest)
        for task in latest.tasks:
            act(task, host)
        host.obey_stops()
        host.answer_probes()
        complete(host, desired)
        host.now += 1.0 if latest.tasks else 61.0
    raise AssertionError(f"no fixed point after {ENOUGH} looks:\n{latest}")


def act(task: Task, host: FakeHost) -> None:
    """What the executor does; but what a host cannot do fails the test."""
    with contextlib.suppress(HostError):
        for step in task.steps:
            perform(step, host.ports(), lambda _: None)


def complete(host: FakeHost, desired: Desired) -> None:
    """What others wait for to complete does so."""
    completing = {
        (wanted.app, entry.service)
        for wanted in desired.containers.values()
        for entry in wanted.depends_on
        if entry.condition == "service_completed_successfully"
    }
    for id, seen in list(host.containers.items()):
        if (seen.app, seen.service) in completing and isinstance(seen.state, Running):
            host.end(id, 0)


def check_order(host: FakeHost, desired: Desired, found: Plan) -> None:
    """Nothing starts before what it depends on is as it says, and what is new not for what that was before."""
    for task in found.tasks:
        names = {step.name for step in task.steps if isinstance(step, StartContainer)}
        made = any(isinstance(step, CreateContainer) for step in task.steps)
        for wanted in (desired.containers[name] for name in names & desired.containers.keys()):
            for entry in (entry for entry in wanted.depends_on if entry.required):
                check_dependency(host, desired, wanted, entry, made)


def check_dependency(host: FakeHost, desired: Desired, wanted: Container, entry: Dependency, made: bool) -> None:
    for other in desired.containers.values():
        if (other.app, other.service) == (wanted.app, entry.service):
            instances = [seen for seen in host.containers.values() if seen.name == other.name]
            current = [seen for seen in instances if seen.revision == revision(other, seen.image_digest)]
            counting = [seen for seen in instances if not made or seen in current or isinstance(seen.state, Running)]
            gone = not instances and other.name in host.runs.ended and entry.condition != "service_healthy"
            assert gone or any(map(HOLDS[entry.condition], counting)), f"{wanted.name} before {other.name}"


HOLDS: dict[Condition, Callable[[SeenContainer], bool]] = {
    "service_started": lambda seen: not isinstance(seen.state, Dead),
    "service_healthy": lambda seen: seen.health is not None and seen.health.state == "healthy",
    "service_completed_successfully": lambda seen: isinstance(seen.state, Exited) and seen.state.code == 0,
}


def check(host: FakeHost, desired: Desired, end: Plan) -> None:
    """What must hold at every fixed point."""
    assert not end.tasks
    held = set(desired.held)
    running = {seen.name: seen for seen in host.containers.values() if seen.app not in held}
    assert set(running) == set(desired.containers)
    for name, wanted in desired.containers.items():
        state = running[name].state
        finished = isinstance(state, Exited) and wanted.restart.policy in ("no", "on-failure")
        assert isinstance(state, Running) or finished, f"{name} is {state}"
    for name, wanted in desired.containers.items():
        if wanted.pull_policy.when == "every":
            newest = host.answer(wanted.image, "").digest
            asked = host.seen_images[wanted.image].checked_at
            assert running[name].image_digest == newest or asked > host.now - wanted.pull_policy.interval
    assert all(not seen.leftovers for seen in host.containers.values())
    addresses = [(end.network.name, end.ipv4) for seen in host.containers.values() for end in seen.endpoints]
    assert len(addresses) == len(set(addresses))


def check_networks(host: FakeHost, desired: Desired) -> None:
    """Who shares a namespace is where its owner is, and everybody can ask for names and has one."""
    running = {seen.name: seen for seen in host.containers.values()}
    for name, wanted in desired.containers.items():
        lender = running[wanted.shares].id if wanted.shares else ""
        assert running[name].shares == lender, f"{name} is not where {wanted.shares} is"
    for seen in running.values():
        if isinstance(seen.state, Running):
            for address in seen.nameservers:
                assert any(address in resolver.addresses for resolver in host.resolvers.values())
            for place in seen.endpoints:
                assert dict(host.names[place.network.name])[seen.id].startswith(place.address)


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_repeated_looks_reach_a_fixed_point(data: st.DataObject) -> None:
    chance = random.Random(data.draw(st.integers(0, 2**32)))
    host = FakeHost(fault=lambda: chance.random() < 0.1)  # before and after: a fifth of all calls
    host.collected_at = host.now
    for _ in range(data.draw(st.integers(1, 4))):
        wanted = data.draw(worlds())
        end = converge(host, wanted)
        if not wanted.held:
            check(host, wanted, end)
            check_networks(host, wanted)
            assert end.converged, str(end)
        data.draw(disturbances)(host)


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_what_is_held_or_unavailable_is_left_alone(data: st.DataObject) -> None:
    host = FakeHost()
    first = data.draw(worlds())
    converge(host, first)
    before = {id for id, seen in host.containers.items() if isinstance(seen.state, Running)}
    holds = data.draw(st.booleans())
    apps = {wanted.app for wanted in first.containers.values()}
    after = Desired(held=dict.fromkeys(apps, "cannot")) if holds else Desired(unavailable="cannot read the directory")
    table = host.table
    converge(host, after)
    assert before <= {id for id, seen in host.containers.items() if isinstance(seen.state, Running)}
    assert host.table == table
