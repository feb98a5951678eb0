"""What a user sees of each state, and why something is not as it should be."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reconciler.core.model import Created, Dead, Exited, Running, State
from reconciler.core.networking import Port
from reconciler.core.progress import LayerProgress, Progress
from reconciler.core.status import Outcome, Pull, Snapshot, Status, project
from reconciler.core.steps import Plan, PullImage, Task, Wait
from tests.core.hosts import WEB_CONTAINER, host, seen
from tests.core.worlds import WEB, container, desired


def shown(state: State) -> Status:
    return project(Snapshot(at=9.0, desired=desired(WEB_CONTAINER), observed=host(seen(state))))


@pytest.mark.parametrize(
    ("state", "word"),
    [
        (Running(pid=1, since=4.0), "running"),
        (Running(pid=1, since=4.0, stop_sent=8.0), "stopping"),
        (Created(pid=1), "starting"),
        (Exited(code=3, at=8.0, since=4.0), "exited"),
        (Dead(), "created"),
    ],
)
def test_each_state_has_its_word(state: State, word: str) -> None:
    (line,) = shown(state).containers
    assert (line.name, line.app, line.service, line.state) == ("shop-web-1", "shop", "web", word)


def test_an_end_is_told_with_its_code_and_cause() -> None:
    (line,) = shown(Exited(code=137, at=8.0, since=4.0, oom=True)).containers
    assert (line.exit_code, line.oom, line.since) == (137, True, 8.0)


def test_what_is_not_there_yet_is_missing_and_says_why() -> None:
    wait = Wait("container:shop-web-1", "waits for image web", code="image-missing")
    found = project(Snapshot(at=9.0, desired=desired(WEB_CONTAINER), plan=Plan(waits=(wait,))))
    (line,) = found.containers
    assert (line.state, line.why, line.image) == ("missing", "waits for image web", WEB)
    assert not found.converged


def test_a_failure_is_a_trouble_with_its_next_try() -> None:
    key = "container:shop-web-1"
    outcome = Outcome(key=key, at=8.0, error="cannot start it", failures=2, retry_at=12.0)
    found = project(
        Snapshot(at=9.0, desired=desired(WEB_CONTAINER), observed=host(seen(Dead())), outcomes={key: outcome})
    )
    assert found.containers[0].why == "cannot start it"
    assert [(trouble.key, trouble.message, trouble.retry_at) for trouble in found.troubles] == [
        (key, "cannot start it", 12.0)
    ]


def test_a_firewall_of_somebody_else_is_a_trouble_where_there_are_networks() -> None:
    observed = replace(host(seen()), obstacles=("ufw drops; allow it",))
    found = project(Snapshot(at=9.0, desired=desired(WEB_CONTAINER), observed=observed, plan=Plan()))
    assert [(trouble.key, trouble.message) for trouble in found.troubles] == [("firewall", "ufw drops; allow it")]
    assert found.converged, "nothing is left to do for us"
    assert project(Snapshot(at=9.0, observed=replace(observed, networks={}))).troubles == ()


def test_ports_are_those_in_force_not_those_that_are_wanted() -> None:
    old = container(ports=(Port(target=80, published=8080),))
    new = container(ports=(Port(target=80, published=9090, host_ip="127.0.0.1", protocol="udp"),))
    (line,) = project(Snapshot(at=9.0, desired=desired(new), observed=host(seen(of=old)))).containers
    assert line.ports == ("*:8080->80/tcp",)
    (line,) = project(Snapshot(at=9.0, desired=desired(new))).containers
    assert line.ports == ("127.0.0.1:9090->80/udp",)


def test_the_newest_instance_stands_for_a_replaced_one() -> None:
    older, newer = seen(Exited(code=0, at=5.0, since=4.0)), seen(id="b" * 64, created_at=2000.0)
    (line,) = project(Snapshot(at=9.0, observed=host(older, newer))).containers
    assert (line.id, line.state) == ("b" * 64, "running")


def test_converged_means_nothing_to_do_nothing_to_wait_for_and_nothing_being_done() -> None:
    fine = Snapshot(at=9.0, desired=desired(WEB_CONTAINER), observed=host(seen()))
    assert project(fine).converged
    assert not project(replace(fine, busy=frozenset({"image:a"}))).converged
    assert not project(replace(fine, plan=Plan(tasks=(Task("image:a", "wanted", (PullImage("a"),)),)))).converged


def test_pulls_show_how_far_they_are() -> None:
    layers = (LayerProgress("sha256:c", 5, 20, 2.5),)
    found = project(Snapshot(at=9.0, progress={"b": Progress("b", 5, 20, 2.5, layers), "a": Progress("a", 0, 0)}))
    assert found.pulls == (
        Pull(reference="a", done=0, total=0, rate=0.0, remaining=None, layers=()),
        Pull(reference="b", done=5, total=20, rate=2.5, remaining=6.0, layers=layers),
    )


def test_a_file_that_cannot_be_read_is_no_app() -> None:
    wanted = replace(desired(), held={"shop": "shop.toml:1:1: cannot", "shop.toml": "shop.toml:1:1: cannot"})
    assert project(Snapshot(at=9.0, desired=wanted)).apps == ("shop",)
