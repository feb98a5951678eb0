"""Golden plans of `depends_on`: who waits for whom, at every start, and who ends before whom."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reconciler.core.health import Health, Healthcheck, State, TcpTest
from reconciler.core.model import Container, Dead, Desired, Exited, Restart, Running, SeenContainer
from reconciler.core.starting import Dependency
from tests.core.hosts import NOW, RUNNING, host, made, printed, seen
from tests.core.worlds import container, desired

CHECK = Healthcheck(test=TcpTest(port=80), interval=10.0, retries=3)
DB = container(service="db")
JOB = container(service="job", restart=Restart())
DONE = Exited(code=0, at=NOW - 10.0, since=NOW - 20.0)
OTHER = "b" * 64
HEALTHY, COMPLETED = "waits for service db to be healthy", "waits for service job to complete successfully"


def web(**changes: object) -> Container:
    values: dict[str, object] = {"service": "db", "condition": "service_healthy"}
    return container(depends_on=(Dependency(**(values | changes)),))  # type: ignore[arg-type] # of Dependency


def db(is_: State | None = "healthy", **changes: object) -> SeenContainer:
    """`None` is never asked."""
    health = Health(state=is_, since=NOW - 1.0, said="no") if is_ else None
    values: dict[str, object] = {"id": OTHER, "healthcheck": CHECK if is_ else None, "health": health}
    return seen(**{"of": DB, "address": "10.0.7.3", **values, **changes})  # type: ignore[arg-type] # of a container


def waits(wanted: Container, *others: SeenContainer, also: Container = DB) -> str:
    """Why `wanted` is not started, "" when it is."""
    found = made(desired(also, wanted), host(*others))
    (reason,) = [wait.reason for wait in found.waits if wait.key == "container:shop-web-1"] or [""]
    assert bool(reason) != any(task.key == "container:shop-web-1" for task in found.tasks)
    return reason


# --- conditions --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        (db(), ""),
        (db("starting"), HEALTHY),
        (db("unhealthy"), f"{HEALTHY}; it is unhealthy: no"),
        (db(None), f"{HEALTHY}, but neither its spec nor its image has a healthcheck; write one"),
    ],
)
def test_healthy(other: SeenContainer, reason: str) -> None:
    assert waits(web(), other) == reason


def test_who_ended_or_is_stopping_is_not_healthy() -> None:
    assert waits(web(), replace(db(), state=replace(RUNNING, stop_sent=NOW))) == HEALTHY
    assert waits(web(), replace(db(), state=Dead())) == HEALTHY
    assert waits(web()) == HEALTHY


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (DONE, ""),
        (RUNNING, COMPLETED),
        (Dead(), COMPLETED),
        (replace(DONE, code=3), f"{COMPLETED}; it exited with code 3"),
        (replace(DONE, stopped=True), COMPLETED),
    ],
)
def test_completed(state: Running | Exited | Dead, reason: str) -> None:
    wanted = web(service="job", condition="service_completed_successfully")
    assert waits(wanted, seen(state, of=JOB, id=OTHER, address="10.0.7.3"), also=JOB) == reason


def test_the_end_of_a_run_is_sat_out() -> None:
    """Else `run --once` would end while a job runs, and what depends on that would never be started."""
    wanted = web(service="job", condition="service_completed_successfully")
    running, failed = (seen(state, of=JOB, id=OTHER, address="10.0.7.3") for state in (RUNNING, replace(DONE, code=3)))
    for own_instance in ((), (seen(Dead(), of=wanted),)):
        for other, passing in ((running, True), (failed, False)):
            found = made(desired(JOB, wanted), host(*own_instance, other))
            (wait,) = [wait for wait in found.waits if wait.key == "container:shop-web-1"]
            assert wait.reason.startswith(COMPLETED)
            assert wait.passing is passing


def test_started() -> None:
    wanted = web(condition="service_started")
    assert waits(wanted, db("unhealthy")) == ""
    assert waits(wanted, replace(db(), state=DONE)) == ""
    assert waits(wanted, replace(db(), state=Dead())) == "waits for service db to be started"


def test_every_replica_counts() -> None:
    second = container(service="db", replica=2)
    found = made(desired(DB, second, web()), host(db(), db("starting", of=second, id="c" * 64, address="10.0.7.4")))
    assert f"container:shop-web-1: {HEALTHY}" in str(found)


def test_what_is_not_required_is_waited_for_only_while_it_may_come_true() -> None:
    optional = web(required=False)
    assert waits(optional, db("starting")) == HEALTHY
    assert waits(optional, db("unhealthy")) == ""
    assert waits(optional, db(None)) == ""
    job = web(service="job", condition="service_completed_successfully", required=False)
    assert waits(job, seen(of=JOB, id=OTHER, address="10.0.7.3"), also=JOB) == COMPLETED
    assert waits(job, seen(replace(DONE, code=1), of=JOB, id=OTHER, address="10.0.7.3"), also=JOB) == ""
    assert made(desired(optional), host()).tasks  # no such service


# --- for ever ----------------------------------------------------------------------------------------------------


def own(state: Running | Exited | Dead = RUNNING, **changes: object) -> SeenContainer:
    return seen(state, of=web(), **changes)  # type: ignore[arg-type] # of a container


def test_after_a_reboot_the_order_is_that_of_the_first_start() -> None:
    dark = made(desired(DB, web()), host(own(Dead()), replace(db(), state=Dead(), health=None)))
    assert [task.key for task in dark.tasks] == ["container:shop-db-1"]
    assert f"container:shop-web-1: {HEALTHY}" in str(dark)
    light = made(desired(DB, web()), host(own(Dead()), db()))
    assert [task.key for task in light.tasks] == ["container:shop-web-1"]


def test_after_a_crash_it_waits_too() -> None:
    crashed = own(Exited(code=1, at=NOW - 5.0, since=NOW - 100.0))
    assert f"container:shop-web-1: {HEALTHY}" in str(made(desired(DB, web()), host(crashed, db("starting"))))
    assert made(desired(DB, web()), host(crashed, db())).tasks[0].key == "container:shop-web-1"


def test_what_runs_is_not_stopped_because_its_dependency_fell_ill() -> None:
    found = made(desired(DB, web()), host(own(), db("unhealthy")))
    assert "container:shop-web-1" not in str(found)


def test_what_runs_is_not_replaced_while_its_dependency_is_ill() -> None:
    changed = replace(web(), environment=(("A", "1"),))
    assert waits(changed, own(), db("starting")) == HEALTHY


def test_a_new_instance_waits_for_the_new_revision_of_what_it_depends_on() -> None:
    """The end of an earlier job, or of an earlier process, is not what this revision was written for."""
    for other, condition, reason in (
        (JOB, "service_completed_successfully", COMPLETED),
        (DB, "service_started", "waits for service db to be started"),
    ):
        wanted, changed = web(service=other.service, condition=condition), replace(other, command=("anew",))
        before = seen(DONE, of=other, id=OTHER, address="10.0.7.3")
        assert waits(wanted, before, also=changed) == reason
        crashed = seen(Exited(code=1, at=NOW - 5.0, since=NOW - 100.0), of=wanted)
        assert waits(wanted, crashed, before, also=changed) == "", "what ran before comes back meanwhile"


def test_what_ended_and_rests_waits_for_nothing() -> None:
    rests = replace(web(), restart=Restart())
    found = made(desired(DB, rests), host(own(DONE), db("starting")))
    assert not [wait for wait in found.waits if wait.key == "container:shop-web-1"]


def test_what_is_held_keeps_its_order_too() -> None:
    held = Desired(held={"shop": "cannot read it"})
    record = own(Dead(), depends_on=web().depends_on)
    found = made(held, host(record, db("starting")))
    assert f"container:shop-web-1: {HEALTHY}" in str(found)
    assert made(held, host(record, db())).tasks[0].key == "container:shop-web-1"


# --- restart: true -----------------------------------------------------------------------------------------------


def test_who_says_so_is_started_again_after_its_dependency_was_replaced_and_is_well() -> None:
    wanted = web(restart=True)
    current = seen(of=wanted)
    replaced = db(created_at=RUNNING.since + 5.0)
    assert printed(desired(DB, wanted), host(current, replaced)) == [
        "container:shop-web-1: stop container shop-web-1 aaaaaaaaaaaa with SIGTERM"
        " (service db, which it depends on, was replaced)"
    ]
    assert made(desired(DB, wanted), host(current, db())).converged
    assert made(desired(DB, web()), host(own(), replaced)).converged
    ill = replace(replaced, health=Health(state="starting", since=NOW))
    assert not made(desired(DB, wanted), host(current, ill)).tasks


def test_a_new_instance_that_does_not_serve_yet_restarts_nobody() -> None:
    """Started while the old one still serves, it may never take its place."""
    wanted, changed = web(restart=True), replace(DB, command=("anew",))
    fresh = db("starting", of=changed, id="c" * 64, address="10.0.7.4", created_at=RUNNING.since + 5.0)
    found = made(desired(changed, wanted), host(seen(of=wanted), db(), fresh))
    assert "which it depends on, was replaced" not in str(found)
    well = replace(fresh, health=Health(state="healthy", since=NOW - 1.0))
    found = made(desired(changed, wanted), host(seen(of=wanted), db(), well))
    assert "stop container shop-web-1" in str(found)


def test_it_is_asked_to_stop_once_and_then_started() -> None:
    wanted = web(restart=True)
    replaced = db(created_at=RUNNING.since + 5.0)
    stopping = seen(replace(RUNNING, stop_sent=NOW - 1.0), of=wanted)
    assert not made(desired(DB, wanted), host(stopping, replaced)).tasks[1:]  # nothing but its names
    ended = seen(Exited(code=0, at=NOW, since=RUNNING.since, stopped=True), of=wanted)
    assert str(made(desired(DB, wanted), host(ended, replaced)).tasks[0]).endswith("(was stopped, and is wanted)")
    again = seen(Running(pid=8, since=NOW), of=wanted)
    assert made(desired(DB, wanted), host(again, replaced)).converged


# --- stopping ----------------------------------------------------------------------------------------------------


def test_what_leaves_ends_in_the_reverse_order() -> None:
    dependent = own(depends_on=web().depends_on)
    found = made(Desired(), host(dependent, db()))
    assert [task.key for task in found.tasks if task.key.startswith("container:")] == ["container:shop-web-1"]
    (wait,) = [wait for wait in found.waits if wait.key == "container:shop-db-1"]
    assert wait.reason == "not in any spec: waits for shop-web-1, which depends on it, to end"
    assert wait.passing
    ended = replace(dependent, state=Exited(code=0, at=NOW, since=NOW - 9.0, stopped=True))
    keys = {task.key for task in made(Desired(), host(ended, db())).tasks}
    assert "container:shop-db-1" in keys


def test_who_stays_keeps_nobody_from_leaving() -> None:
    found = made(desired(web(required=False)), host(own(depends_on=web().depends_on), db()))
    assert [task.key for task in found.tasks if task.key.startswith("container:")] == ["container:shop-db-1"]
