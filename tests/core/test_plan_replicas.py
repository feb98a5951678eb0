"""Golden plans of updates of several replicas: in turns, and what the failure of one means for the others."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reconciler.core.model import Container
from reconciler.core.updates import UpdateConfig, Updates
from tests.core.hosts import NOW, host, made, seen
from tests.core.test_plan_rollout import NEW, OLD, bad_of, digest_of, good_of, in_force, new, old
from tests.core.worlds import desired


def pair(**updates: object) -> tuple[Container, Container]:
    config = UpdateConfig(**updates)  # type: ignore[arg-type]
    first = replace(NEW, updates=Updates(config=config))
    return first, replace(first, name="shop-web-2", replica=2)


SECOND = seen(of=replace(OLD, name="shop-web-2", replica=2), id="d" * 64, address="10.0.7.4")


def test_one_replica_after_the_other() -> None:
    found = made(desired(*pair()), host(old(), SECOND))
    assert [task.key for task in found.tasks] == ["container:shop-web-1"]
    assert [str(wait) for wait in found.waits] == [
        "container:shop-web-2: waits for its turn: shop-web-1 is replaced first"
    ]


def test_or_as_many_as_parallelism_says() -> None:
    for parallelism in (0, 2):
        found = made(desired(*pair(parallelism=parallelism)), host(old(), SECOND))
        assert [task.key for task in found.tasks] == ["container:shop-web-1", "container:shop-web-2"]


def test_one_that_is_watched_is_still_being_replaced_though_the_old_one_is_gone() -> None:
    wanted = desired(*pair(order="stop-first"))
    found = made(wanted, in_force(new(since=NOW - 3), SECOND, good={OLD.name: good_of(OLD)}))
    assert "container:shop-web-2: waits for its turn: shop-web-1 is replaced first" in str(found)


def test_stop_first_takes_nobody_away_before_ports_lead_to_the_others() -> None:
    wanted = desired(*pair(order="stop-first"))
    found = str(made(wanted, host(new(since=NOW - 20), SECOND, ruleset="")))
    assert "container:shop-web-2: waits for ports to be moved to the other replicas" in found
    assert "stop container" not in found


def test_delay_between_two_replicas() -> None:
    found = made(desired(*pair(delay=60.0)), in_force(new(since=NOW - 20), SECOND))
    (wait,) = (wait for wait in found.waits if wait.key == "container:shop-web-2")
    assert (str(wait), wait.until) == ("container:shop-web-2: waits for its turn: 60 s between two replicas", NOW + 45)


@pytest.mark.parametrize(
    ("updates", "expected"),
    [
        ({}, "waits: quarantined"),
        ({"failure_action": "pause"}, "waits: quarantined"),
        ({"failure_action": "continue"}, "start-first"),
        ({"max_failure_ratio": 0.5}, "start-first"),
    ],
)
def test_what_the_failure_of_one_means_for_the_others(updates: dict[str, object], expected: str) -> None:
    bad = {digest_of(NEW): bad_of(NEW)}
    found = str(made(desired(*pair(**updates)), host(old(), SECOND, quarantined=bad)))
    assert expected in next(line for line in found.splitlines() if line.startswith("container:shop-web-2:"))


@pytest.mark.parametrize(("action", "goes_back"), [("rollback", True), ("pause", False), ("continue", False)])
def test_whether_those_that_were_replaced_go_back(action: str, goes_back: bool) -> None:
    first, second = pair(failure_action=action)
    done = new(since=NOW - 20, of=second, id="e" * 64)
    observed = host(old(), done, quarantined={digest_of(NEW): bad_of(NEW)}, good={OLD.name: good_of(OLD)})
    created = [line for line in str(made(desired(first, second), observed)).splitlines() if "create container" in line]
    assert bool(created) == goes_back, created
