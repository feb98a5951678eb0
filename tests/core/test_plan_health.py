"""Golden plans of health and hooks: who serves, who is started again and when, and what is run beside."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reconciler.core.frontends import serving
from reconciler.core.health import Health, Healthcheck, State, TcpTest
from reconciler.core.model import Dead, Desired, Exited, Restart, Running, SeenContainer
from reconciler.core.networking import Port
from reconciler.core.plan import plan
from reconciler.core.starting import Hook, Hooks
from tests.core.hosts import NOW, POLICY, RUNNING, WEB_CONTAINER, host, made, printed, seen
from tests.core.worlds import container, desired

CHECK = Healthcheck(test=TcpTest(port=80), interval=10.0, retries=3)
SINCE = RUNNING.since


def asked(
    is_: State, since: float = NOW, first: float | None = None, said: str = "", **changes: object
) -> SeenContainer:
    health = Health(state=is_, since=since, said=said, first=first)
    return seen(healthcheck=CHECK, health=health, **changes)  # type: ignore[arg-type] # fields of a container


# --- who serves --------------------------------------------------------------------------------------------------

ONE, TWO, THREE = (chr(ord("a") + number) * 64 for number in range(3))
READY = asked("healthy")


@pytest.mark.parametrize(
    ("states", "serve"),
    [
        (("healthy", "starting", "unhealthy"), {ONE}),
        (("healthy", "healthy", "unhealthy"), {ONE, TWO}),
        (("starting", "unhealthy", "unhealthy"), {ONE}),
        (("starting", "starting", "unhealthy"), {ONE, TWO}),
        (("unhealthy", "unhealthy", "unhealthy"), set()),
    ],
)
def test_a_replica_that_is_not_ready_serves_only_while_it_starts_and_nobody_is(
    states: tuple[State, ...], serve: set[str]
) -> None:
    replicas = [asked(state, id=id) for state, id in zip(states, (ONE, TWO, THREE), strict=True)]
    assert serving(replicas, frozenset()) == serve


def test_who_is_not_asked_is_ready() -> None:
    assert serving([seen(id=ONE), asked("starting", id=TWO)], frozenset()) == {ONE}


def test_who_is_about_to_run_serves_before_the_ill() -> None:
    dead = replace(asked("starting", id=TWO), state=Dead(), health=None)
    assert serving([asked("unhealthy", id=ONE), dead], frozenset()) == {TWO}
    assert serving([asked("starting", id=ONE), dead], frozenset()) == {ONE}


def test_who_is_stopping_does_not_serve_however_well_it_is() -> None:
    stopping = replace(READY, state=replace(RUNNING, stop_sent=NOW))
    assert not stopping.ready
    assert serving([stopping], frozenset()) == frozenset()


def test_the_ill_one_leaves_table_and_names() -> None:
    wanted = [container(replica=number, ports=(Port(target=80, published=8080),)) for number in (1, 2)]
    one, two = (
        asked("healthy", of=each, id=id, address=address)
        for each, id, address in zip(wanted, (ONE, TWO), ("10.0.7.2", "10.0.7.3"), strict=True)
    )
    before = made(desired(*wanted), host(one, two, ruleset=""))
    assert "10.0.7.2" in str(before.tasks[0].steps[0].text)  # type: ignore[union-attr] # ApplyRuleset
    ill = replace(one, health=Health(state="unhealthy", since=NOW - 1.0), restart=Restart())
    wanted[0] = replace(wanted[0], restart=Restart())
    found = made(desired(*wanted), host(ill, two, ruleset="", names={}))
    assert [task.key for task in found.tasks] == ["firewall", "names:shop_default"]
    ruleset, names = (task.steps[0] for task in found.tasks)
    assert "10.0.7.2 . 80" not in ruleset.text  # type: ignore[union-attr]
    records = dict(names.hosts)  # type: ignore[union-attr]
    assert " web" not in records[ONE]
    assert " web" in records[TWO]


# --- what becomes of the ill -------------------------------------------------------------------------------------


def test_the_healthy_need_nothing() -> None:
    assert made(desired(WEB_CONTAINER), host(READY)).converged


def test_who_starts_is_waited_for() -> None:
    assert printed(desired(WEB_CONTAINER), host(asked("starting"))) == ["health:shop-web-1: waits: starting"]
    found = made(desired(WEB_CONTAINER), host(asked("starting", said="connection refused")))
    assert [(str(wait), wait.passing) for wait in found.waits] == [
        ("health:shop-web-1: waits: starting: connection refused", True)
    ]


def test_who_falls_ill_after_a_long_time_is_started_again_at_once() -> None:
    ill = asked("unhealthy", first=SINCE, said="status 500", failures=4)
    assert printed(desired(WEB_CONTAINER), host(ill)) == [
        "container:shop-web-1: stop container shop-web-1 aaaaaaaaaaaa with SIGTERM (unhealthy: status 500)"
    ]


def test_who_falls_ill_again_and_again_is_started_less_and_less_often() -> None:
    ill = asked("unhealthy", failures=5)
    assert printed(desired(WEB_CONTAINER), host(ill)) == [
        "container:shop-web-1: waits: unhealthy: it does not answer, 6 times in a row; restarts after 1.6 s"
    ]
    later = replace(ill, health=Health(state="unhealthy", since=NOW - 1.6))
    assert len(made(desired(WEB_CONTAINER), host(later)).tasks) == 1


def test_the_start_after_an_illness_counts_as_a_failure() -> None:
    ended = Exited(code=143, at=NOW, since=NOW - 100.0, stopped=True)
    ill = asked("unhealthy", since=NOW - 1.0, state=ended, failures=2, restarts=7)
    (task,) = made(desired(WEB_CONTAINER), host(ill)).tasks
    assert task.cause == "was unhealthy"
    assert (task.steps[-1].restarts, task.steps[-1].failures) == (8, 3)  # type: ignore[union-attr] # StartContainer
    steady = replace(ill, health=Health(state="unhealthy", since=NOW - 1.0, first=NOW - 50.0))
    (task,) = made(desired(WEB_CONTAINER), host(steady)).tasks
    assert task.steps[-1].failures == 0  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("restart", "why"),
    [
        (Restart(), "its restart policy is no"),
        (Restart(policy="on-failure", max_retries=3), "its restart policy allows 3 tries and no more"),
    ],
)
def test_who_must_not_be_started_again_stays_ill_and_says_so(restart: Restart, why: str) -> None:
    ill = asked("unhealthy", said="status 500", restarts=3)
    assert printed(desired(replace(WEB_CONTAINER, restart=restart)), host(ill)) == [
        f"container:shop-web-1: waits: unhealthy: status 500; {why}"
    ]


def test_by_setting_nobody_is_started_again_for_being_ill() -> None:
    ill = asked("unhealthy", said="status 500")
    found = plan(desired(WEB_CONTAINER), host(ill), NOW, replace(POLICY, restart_unhealthy=False))
    assert [(str(wait), wait.passing) for wait in found.waits] == [
        ("health:shop-web-1: waits: unhealthy: status 500", False)
    ]


def test_an_illness_of_the_future_ends_at_once() -> None:
    """Somebody set the clock, so nobody can tell how long it has been."""
    assert len(made(desired(WEB_CONTAINER), host(asked("unhealthy", since=NOW + 999.0, failures=9))).tasks) == 1


# --- hooks -------------------------------------------------------------------------------------------------------

HOOKS = Hooks(post_start=(Hook(command=("a",)), Hook(command=("b",))), pre_stop=(Hook(command=("c",)),))


def test_after_each_start_its_hooks_are_run() -> None:
    fresh = seen(hooks=HOOKS)
    assert printed(desired(WEB_CONTAINER), host(fresh)) == [
        "container:shop-web-1: run post_start of container shop-web-1 aaaaaaaaaaaa (started)"
    ]
    assert made(desired(WEB_CONTAINER), host(replace(fresh, hooked=frozenset({"post_start"})))).converged


def test_before_a_stop_its_hooks_are_run_once() -> None:
    leaving = seen(hooks=HOOKS, hooked=frozenset({"post_start"}))
    found = made(Desired(), host(leaving))
    assert [str(step) for step in found.tasks[0].steps] == [
        "run pre_stop of container shop-web-1 aaaaaaaaaaaa",
        "stop container shop-web-1 aaaaaaaaaaaa with SIGTERM",
    ]
    again = made(Desired(), host(replace(leaving, hooked=frozenset({"post_start", "pre_stop"}))))
    assert [str(step) for step in again.tasks[0].steps] == ["stop container shop-web-1 aaaaaaaaaaaa with SIGTERM"]


def test_what_is_stopping_runs_no_hooks() -> None:
    stopping = seen(Running(pid=7, since=SINCE, stop_sent=NOW - 1.0), hooks=HOOKS)
    assert not [task for task in made(Desired(), host(stopping)).tasks if task.key.startswith("container:")]
