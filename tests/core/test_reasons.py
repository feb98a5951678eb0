"""Every code of the closed list happens, through the planner or through what it made; README has them all."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest

from reconciler.core.health import Health
from reconciler.core.model import (
    Container,
    Dead,
    Desired,
    Exited,
    Observed,
    PullPolicy,
    Restart,
    Running,
    SeenContainer,
    State,
    VolumeMount,
    revision,
)
from reconciler.core.networking import Attachment, Destination, Listener, Port
from reconciler.core.reasons import EXPLAINED, Code
from reconciler.core.removal import noted
from reconciler.core.starting import Condition, Dependency, Hook, Hooks
from reconciler.core.steps import CollectImages, Plan, Step, Task
from reconciler.core.tombstones import Tombstones
from reconciler.core.updates import UpdateConfig, Updates
from reconciler.core.work import FAULTS, WORK, doing
from reconciler.errors import Fault
from tests.core.hosts import NOW, WEB_CONTAINER, host, made, seen
from tests.core.test_plan_jobs import BEFORE, MINUTELY, RUNS, SAVE, begun, known, there
from tests.core.test_plan_rollout import CHECK, NEW, bad_of, drained, in_force, new, old
from tests.core.worlds import WEB, container, desired
from tests.fakes import image

README = Path(__file__).resolve().parents[2] / "README.md"
VOLUME = (VolumeMount(volume="shop_data", target="/data"),)
OTHER = seen(of=container("other"), id="f" * 64, address="10.0.7.9")
ONE, TWO = (replace(NEW, name=f"shop-web-{n}", replica=n) for n in (1, 2))
Made = tuple[Desired, Observed]


def without(**changes: Any) -> Made:
    """A container that is wanted, on a host that lacks something."""
    return desired(WEB_CONTAINER), host(**changes)


def asking(**changes: Any) -> Made:
    return desired(container(**changes)), host()


def depending(condition: Condition, *others: Container, **of_db: Any) -> Made:
    web = container(depends_on=(Dependency(service="db", condition=condition),))
    db = container(service="db", restart=Restart(policy="no" if "completed" in condition else "always"))
    there = [seen(of=db, id="d" * 64, address="10.0.7.8", **of_db)] if of_db else []
    return desired(web, db, *others), host(*there)


def volume(**changes: Any) -> Made:
    wanted = desired(container(mounts=VOLUME))
    named = {name: replace(entry, **changes) for name, entry in wanted.volumes.items()}
    return replace(wanted, volumes=named), host()


def volume_in_use() -> Made:
    wanted, _ = volume(exclusive=True)
    other = replace(OTHER, volumes=("shop_data",))
    wanted = replace(wanted, containers={**wanted.containers, "other-web-1": container("other", mounts=VOLUME)})
    return wanted, host(other, volumes=frozenset({"shop_data"}))


def ill(state: str = "unhealthy", **changes: Any) -> Made:
    health = Health(state=state, since=NOW - 0.05, said="refused")  # type: ignore[arg-type]
    return desired(WEB_CONTAINER), host(seen(healthcheck=CHECK, health=health, **changes))


def updating(*containers: SeenContainer, wanted: Container = NEW) -> Made:
    return desired(wanted), in_force(*containers)


def second_replica(delay: float = 0.0) -> Made:
    limits = Updates(config=UpdateConfig(delay=delay, monitor=1.0))
    one, two = (replace(entry, updates=limits) for entry in (ONE, TWO))
    old_two = old(name="shop-web-2", id="c" * 64, address="10.0.7.4", replica=2)
    first = new(NOW - 5, of=one) if delay else old()
    return desired(one, two), host(first, old_two)


def leaving() -> Made:
    wanted = container(service="db")
    web = seen(depends_on=(Dependency(service="db"),))
    return Desired(), host(web, seen(of=wanted, id="d" * 64, address="10.0.7.8"))


def crashed(failures: int, restart: Restart | None = None) -> Made:
    policy = restart or Restart(policy="always")
    state = Exited(code=1, at=NOW - 0.01, since=NOW - 1)
    return desired(container(restart=policy)), host(seen(state, failures=failures, restarts=failures, restart=policy))


def taken() -> Made:
    wanted = container(ports=(Port(target=80, published=80),))
    return desired(wanted), host(listeners=(Listener(protocol="tcp", address="0.0.0.0", port=80, owner="nginx"),))


def crowd() -> Observed:
    return host(*(seen(of=container(name), id=name * 64, endpoints=()) for name in "abcdef"))


def preparing(state: State | None = None) -> Made:
    """A service before which a step is run."""
    step = container(service="web-pre-start-1", prepares="web", restart=Restart(policy="no"))
    main = container(steps=((step.name, revision(step, image(WEB).digest)),))
    return desired(step, main), host(*([seen(state, of=step)] if state else []))


def address_taken() -> Made:
    other = replace(OTHER, endpoints=seen().endpoints)
    return asking(networks=(Attachment(network="shop_default", ipv4_address="10.0.7.2"),))[0], host(other)


def hooked() -> Made:
    hooks = Hooks(post_start=(Hook(command=("warm",)),))
    return desired(container(hooks=hooks)), host(seen(of=container(hooks=hooks), hooks=hooks))


HAPPEN: dict[Code, Callable[[], Made]] = {
    "specs-unreadable": lambda: (desired(unavailable="cannot read /specs: it is away"), host()),
    "spec-invalid": lambda: (desired(held={"shop": "shop.yaml:1:1: cannot"}), host()),
    "spec-gone": lambda: (replace(Desired(), vanished={"shop": NOW + 1}), host(seen())),
    "removal-held": lambda: (Desired(), noted(Desired(), crowd(), 3, NOW)),
    "tombstones-unreadable": lambda: (replace(Desired(), tombstones=Tombstones(problem="cannot read it")), host()),
    "tombstone-void": lambda: (replace(desired(WEB_CONTAINER), tombstones=Tombstones(frozenset({"shop"}))), host()),
    "lock-incomplete": lambda: (replace(desired(WEB_CONTAINER), unlocked=("cannot read it",)), host(seen())),
    "image-missing": lambda: without(images={}),
    "image-not-pulled": lambda: (desired(container(pull_policy=PullPolicy(when="never"))), host(images={})),
    "image-asked": lambda: asking(pull_policy=PullPolicy(when="always")),
    "image-uncertain": without,
    "network-missing": lambda: without(networks={}),
    "network-undeclared": lambda: (replace(desired(WEB_CONTAINER), networks={}), host()),
    "namespace-missing": lambda: asking(networks=(), shares="shop-db-1"),
    "no-address": address_taken,
    "resolver-missing": lambda: without(resolvers={}),
    "ruleset-missing": lambda: (
        desired(container(egress=(Destination(host="10.9.0.0/16"),))),
        host(seen(Dead(), of=container(egress=(Destination(host="10.9.0.0/16"),))), ruleset=""),
    ),
    "port-taken": taken,
    "volume-missing": volume,
    "volume-external": lambda: volume(external=True),
    "volume-in-use": volume_in_use,
    "dependency-not-started": lambda: depending("service_started"),
    "dependency-not-healthy": lambda: depending("service_healthy"),
    "dependency-unhealthy": lambda: depending(
        "service_healthy", healthcheck=CHECK, health=Health(state="unhealthy", since=NOW)
    ),
    "dependency-unchecked": lambda: depending("service_healthy", healthcheck=None),
    "dependency-not-completed": lambda: depending("service_completed_successfully"),
    "dependency-failed": lambda: depending(
        "service_completed_successfully", state=Exited(code=3, at=NOW, since=NOW - 9), restart=Restart(policy="no")
    ),
    "dependents-running": leaving,
    "pre-start-running": preparing,
    "pre-start-failed": lambda: preparing(Exited(code=1, at=NOW, since=NOW - 1)),
    "run-before": lambda: (
        desired(replace(SAVE, schedule=replace(MINUTELY, concurrency="queue"))),
        there(known(BEFORE, begun(BEFORE)), RUNS),
    ),
    "update-turn": second_replica,
    "update-delay": lambda: second_replica(delay=60.0),
    "update-not-ready": lambda: updating(old(), new()),
    "update-moving": lambda: (desired(NEW), host(old(), new(NOW - 2), ruleset="")),
    "update-watched": lambda: updating(drained(NOW - 1), new(NOW - 2)),
    "update-draining": lambda: updating(drained(NOW - 1), new(NOW - 7)),
    "quarantined": lambda: (desired(NEW), in_force(old(), quarantined={bad_of(NEW).revision: bad_of(NEW)})),
    "stopping": lambda: (desired(WEB_CONTAINER), host(seen(Running(pid=7, since=4000.0, stop_sent=NOW - 1)))),
    "crash-loop": lambda: crashed(2),
    "tries-exhausted": lambda: crashed(3, Restart(policy="on-failure", max_retries=3)),
    "health-starting": lambda: ill("starting"),
    "unhealthy": lambda: ill(failures=3),
    # being done
    "pulling": lambda: without(images={}),
    "preparing": lambda: without(networks={}),
    "starting": without,
    "running-hooks": hooked,
    "ending": lambda: (Desired(), host(seen())),
    "removing": lambda: (Desired(), host(seen(Dead()))),
    "repairing": lambda: (desired(WEB_CONTAINER), host(seen(disconnected="its link is gone"))),
    "noting": lambda: (desired(NEW), in_force(old(), new(NOW - 2))),
    "tidying": lambda: (desired(WEB_CONTAINER), host(seen(log_bytes=1 << 30))),
}
# these are said of tasks that were tried, and of others: see test_why
ELSEWHERE: frozenset[Code] = frozenset(
    {"pull-failed", "hook-failed", "step-failed", "undone", "firewall-foreign", "mirror-failed", *FAULTS.values()}
)


# what is planned while these tasks run already
DOING: dict[Code, tuple[Task, ...]] = {
    "image-uncertain": (Task("collect", "the disk is full", (CollectImages((), (), 0.0),)),),
}


def codes(found: Plan) -> set[Code]:
    return {wait.code for wait in found.waits} | {doing(task) for task in found.tasks}


@pytest.mark.parametrize("code", HAPPEN)
def test_each_reason_happens(code: Code) -> None:
    wanted, observed = HAPPEN[code]()
    found = made(wanted, observed, DOING.get(code, ()))
    assert code in codes(found), str(found)


def test_the_list_is_complete() -> None:
    assert HAPPEN.keys() | ELSEWHERE == set(get_args(Code)) == EXPLAINED.keys()
    assert not HAPPEN.keys() & ELSEWHERE


def test_every_step_and_every_fault_has_a_code() -> None:
    def flat(union: object) -> set[object]:
        return set().union(*map(flat, get_args(union))) if get_args(union) else {union}

    assert set(WORK) == flat(Step)
    assert {*FAULTS, "other"} == set(get_args(Fault))


def test_what_can_be_done_is_one_sentence() -> None:
    for code, told in EXPLAINED.items():
        assert re.fullmatch(r"[A-Z][^.]*\.", re.sub(r"`[^`]*`", "it", told.advice)), code
        assert re.fullmatch(r"[a-z].*[^.]", told.meaning), code


def table() -> str:
    """The table of README, as it must be."""
    rows = (f"| `{code}` | {told.meaning} | {told.advice} |" for code, told in EXPLAINED.items())
    return "\n".join(("| code | what it means | what you can do |", "| --- | --- | --- |", *rows))


def test_readme_has_all_of_them() -> None:
    assert table() in README.read_text()
