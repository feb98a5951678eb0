"""Golden plans of updates: the phases of start-first, what cannot overlap, the gate, the way back, several replicas."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reconciler.core.health import Health, Healthcheck, TcpTest
from reconciler.core.model import (
    Container,
    Dead,
    Exited,
    Observed,
    Restart,
    Running,
    SeenContainer,
    VolumeMount,
    digest,
    revision,
)
from reconciler.core.networking import Attachment, Port
from reconciler.core.steps import ApplyRuleset, WriteNames
from reconciler.core.updates import Draining, Good, Quarantine, UpdateConfig, Updates
from tests.core.hosts import NOW, RUNNING, host, made, printed, seen
from tests.core.worlds import container, desired
from tests.fakes import image

PORTS = (Port(target=80, published=8080),)
OLD = container(ports=PORTS, environment=(("V", "1"),))
NEW = container(ports=PORTS, environment=(("V", "2"),))
CHECK = Healthcheck(test=TcpTest(port=80), interval=2.0, timeout=1.0, retries=3)
OLD_ID, NEW_ID = "a" * 64, "b" * 64


def digest_of(wanted: Container) -> str:
    return revision(wanted, image(wanted.image).digest)


def good_of(wanted: Container) -> Good:
    return Good(revision=digest_of(wanted), container=wanted, image=image(wanted.image))


def bad_of(wanted: Container, fault: str = "was never healthy") -> Quarantine:
    return Quarantine(
        revision=digest_of(wanted), name=wanted.name, app=wanted.app, service=wanted.service, spec=wanted.spec,
        fault=fault, ended="exit code 1", output=("first", "last line"),
    )  # fmt: skip


def old(**changes: object) -> SeenContainer:
    return seen(**({"of": OLD} | changes))  # type: ignore[arg-type]


def new(since: float = NOW - 0.5, **changes: object) -> SeenContainer:
    values = {
        "of": NEW,
        "id": NEW_ID,
        "address": "10.0.7.3",
        "created_at": 4990.0,
        "state": Running(pid=8, since=since),
    }
    return seen(**(values | changes))  # type: ignore[arg-type]


def drained(since: float, successor: str = NEW_ID) -> SeenContainer:
    return old(draining=Draining(successor=successor, since=since))


def in_force(*containers: SeenContainer, **changes: object) -> Observed:
    """A host where the ruleset and the names of the plan are in force already."""
    bare = host(*containers, **changes)
    plan = made(desired(NEW), bare)
    steps = [step for task in plan.tasks for step in task.steps]
    texts = [step.text for step in steps if isinstance(step, ApplyRuleset)]
    names = {step.network: step.hosts for step in steps if isinstance(step, WriteNames)}
    return replace(bare, ruleset=digest(texts[0]) if texts else bare.ruleset, names={**bare.names, **names})


def lines(wanted: Container, observed: Observed) -> list[str]:
    return printed(desired(wanted), observed)


def test_the_new_instance_is_made_beside_the_old_one() -> None:
    found = made(desired(NEW), host(old()))
    (task,) = found.tasks
    why = f"revision {digest_of(OLD)[:12]} is no longer wanted; start-first"
    first, second, *_ = str(found).splitlines()
    assert first == (
        f"container:shop-web-1: keep revision {digest_of(OLD)[:12]} of shop-web-1 as the last good one ({why})"
    )
    assert second.endswith(f"of revision {digest_of(NEW)[:12]} at 10.0.7.3 ({why})")
    assert [type(step).__name__ for step in task.steps] == [
        "KeepGood", "CreateContainer", "ConnectContainer", "StartContainer",
    ]  # fmt: skip


def test_until_it_is_proven_the_old_one_serves() -> None:
    both = (old(), new())
    assert "10.0.7.3 . 80" not in str(_table(*both))
    assert lines(NEW, in_force(*both)) == ["container:shop-web-1: waits until it is ready"]


def test_a_healthcheck_that_says_nothing_yet_moves_nothing() -> None:
    starting = new(since=NOW - 5, health=Health(state="starting"), healthcheck=CHECK)
    assert "10.0.7.3 . 80" not in _table(old(), starting)
    waits = made(desired(NEW), in_force(old(), starting)).waits
    wait = next(wait for wait in waits if wait.key == "container:shop-web-1")
    assert (wait.until, wait.passing) == (NOW - 5 + 9.0, True)


def _table(*containers: SeenContainer) -> str:
    plan = made(desired(NEW), host(*containers, ruleset=""))
    return next(step.text for task in plan.tasks for step in task.steps if isinstance(step, ApplyRuleset))


def test_ports_move_in_one_ruleset_when_it_is_ready() -> None:
    both = (old(), new(since=NOW - 2))
    text = _table(*both)
    assert "10.0.7.3 . 80" in text
    assert "10.0.7.2 . 80" not in text
    assert "container:shop-web-1: waits for ports to be moved to it" in lines(NEW, host(*both))


def test_then_the_old_one_drains() -> None:
    assert lines(NEW, in_force(old(), new(since=NOW - 2))) == [
        "container:shop-web-1: drain container shop-web-1 aaaaaaaaaaaa, replaced by bbbbbbbbbbbb"
        " (bbbbbbbbbbbb serves in its place)"
    ]


def test_it_is_watched_and_drains_before_it_is_stopped() -> None:
    assert lines(NEW, in_force(drained(NOW - 1), new(since=NOW - 3))) == [
        "container:shop-web-1: waits: is watched for 5 s"
    ]
    soon = replace(NEW, updates=Updates(drain=0.5))
    assert lines(soon, in_force(drained(NOW - 1), new(since=NOW - 3))) == [
        "container:shop-web-1: waits: is watched for 5 s"
    ], "also when all connections had their time"
    assert lines(NEW, in_force(drained(NOW - 9.5), new(since=NOW - 13))) == [
        "container:shop-web-1: waits: connections to the old one drain"
    ]
    assert lines(NEW, in_force(drained(NOW - 4), new(since=NOW - 6))) == [
        "container:shop-web-1: waits: connections to the old one drain"
    ]
    assert lines(NEW, in_force(drained(NOW - 11), new(since=NOW - 13))) == [
        "container:shop-web-1@aaaaaaaaaaaa: stop container shop-web-1 aaaaaaaaaaaa with SIGTERM"
        " (bbbbbbbbbbbb serves in its place)"
    ]


def test_a_mark_for_an_earlier_successor_counts_for_nothing() -> None:
    assert "drain container" in lines(NEW, in_force(drained(NOW - 99, "c" * 64), new(since=NOW - 13)))[0]


def test_nor_while_ports_cannot_be_moved_however_long_it_is_ready() -> None:
    both = (drained(NOW - 99, "c" * 64), new(since=NOW - 60))
    assert "stop container" not in str(made(desired(NEW), host(*both, ruleset="")))


def test_of_two_that_are_not_wanted_any_more_the_one_serves_that_does_not_drain() -> None:
    """A third revision comes while the second takes the place of the first, whose connections may be cut soon."""
    text = _table(drained(NOW - 3, "c" * 64), seen(of=container(ports=PORTS), id="c" * 64, address="10.0.7.9"))
    assert "10.0.7.9 . 80" in text
    assert "10.0.7.2 . 80" not in text


def test_at_the_end_the_new_one_is_the_last_good() -> None:
    after = in_force(new(since=NOW - 30), good={OLD.name: good_of(OLD)})
    assert lines(NEW, after) == [
        f"good:shop-web-1: keep revision {digest_of(NEW)[:12]} of shop-web-1 as the last good one"
        " (the update went well)"
    ]
    assert made(desired(NEW), replace(after, good={NEW.name: good_of(NEW)})).converged


# --- what cannot overlap -----------------------------------------------------------------------------------------

DATA = (VolumeMount(volume="shop_data", target="/data"),)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"updates": Updates(config=UpdateConfig(order="stop-first"))}, "its order is stop-first"),
        ({"host_network": True, "networks": ()}, "it uses the host's network"),
        ({"ports": ()}, "it publishes no port"),
        ({"mounts": DATA}, "it writes to volume shop_data, and nothing says that two may"),
        (
            {"networks": (Attachment(network="shop_default", ipv4_address="10.0.7.9"),)},
            "its address in network shop_default is fixed",
        ),
        (
            {"networks": (Attachment(network="shop_default", mac_address="02:00:00:00:00:01"),)},
            "its address in network shop_default is fixed",
        ),
    ],
)
def test_what_cannot_overlap_is_stop_first_and_says_why(changes: dict[str, object], why: str) -> None:
    wanted = replace(NEW, **changes)  # type: ignore[arg-type]
    found = made(desired(wanted), host(old(), volumes=frozenset({"shop_data"})))
    (task,) = (task for task in found.tasks if task.key == "container:shop-web-1")
    assert str(task.steps[-1]).startswith("stop container shop-web-1 aaaaaaaaaaaa")
    assert task.cause == f"revision {digest_of(OLD)[:12]} is no longer wanted; stop-first, because {why}"


def test_an_exclusive_volume_is_never_shared_whatever_the_order() -> None:
    first = replace(NEW, mounts=DATA, updates=Updates(config=UpdateConfig(order="start-first")))
    for exclusive, expected in ((True, "stop-first, because volume shop_data is exclusive"), (None, "start-first")):
        wanted = desired(first)
        wanted = replace(wanted, volumes={"shop_data": replace(wanted.volumes["shop_data"], exclusive=exclusive)})
        found = made(wanted, host(old(), volumes=frozenset({"shop_data"})))
        assert next(task.cause for task in found.tasks if task.key == "container:shop-web-1").endswith(expected)


def test_an_exclusive_volume_that_another_has_is_waited_for() -> None:
    wanted = desired(replace(NEW, mounts=DATA))
    wanted = replace(wanted, volumes={"shop_data": replace(wanted.volumes["shop_data"], exclusive=True)})
    other = seen(of=container(app="shop", service="db"), volumes=("shop_data",), id="c" * 64)
    found = made(wanted, host(other, volumes=frozenset({"shop_data"})))
    assert "waits for volume shop_data, which is exclusive and in use by shop-db-1" in str(found)


@pytest.mark.parametrize("there", [False, True], ids=["new", "after a reboot"])
@pytest.mark.parametrize(("exclusive", "starts"), [(True, 1), (False, 2), (None, 2)])
def test_of_two_that_would_start_at_once_one_gets_an_exclusive_volume(
    exclusive: bool | None, starts: int, there: bool
) -> None:
    both = [container(service=service, mounts=DATA) for service in ("web", "db")]
    wanted = desired(*both)
    wanted = replace(wanted, volumes={"shop_data": replace(wanted.volumes["shop_data"], exclusive=exclusive)})
    dead = [
        seen(Dead(), of=each, id=f"{number}" * 64, address=f"10.0.7.{number}", mounted=True, volumes=("shop_data",))
        for number, each in enumerate(both, 2)
    ]
    found = str(made(wanted, host(*dead[: 2 * there], volumes=frozenset({"shop_data"}))))
    assert found.count("start container") == starts, found
    assert found.count("waits for volume shop_data, which is exclusive and in use") == 2 - starts


# --- the gate ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"state": Exited(code=1, at=NOW - 0.1, since=NOW - 0.2)}, "it was never healthy: exit code 1"),
        ({"state": Exited(code=0, at=NOW - 0.1, since=NOW - 0.2)}, "it was never healthy: exit code 0"),
        ({"state": Exited(code=137, at=NOW, since=NOW, oom=True)}, "it was never healthy: out of memory"),
        (
            {"health": Health(state="unhealthy", said="connection refused"), "healthcheck": CHECK},
            "it was never healthy: connection refused",
        ),
        (
            {"state": Running(pid=8, since=NOW - 10), "health": Health(), "healthcheck": CHECK},
            "it was never healthy: not healthy within 9 s",
        ),
    ],
)
def test_what_does_not_pass_is_put_in_quarantine(changes: dict[str, object], cause: str) -> None:
    found = made(desired(NEW), host(old(), new(**changes)))  # type: ignore[arg-type]
    assert f"container:shop-web-1: quarantine revision {digest_of(NEW)[:12]} of shop-web-1 ({cause})" in str(found)


def test_one_that_fell_ill_while_watched_loses_the_traffic_at_once() -> None:
    ill = new(since=NOW - 4, health=Health(state="unhealthy", said="503"), healthcheck=CHECK)
    both = (drained(NOW - 1), ill)
    assert "(it fell ill: 503)" in str(made(desired(NEW), host(*both)))
    assert "10.0.7.2 . 80" in _table(*both)


@pytest.mark.parametrize(
    ("changes", "asked", "goes_back"),
    [({}, None, True), ({"ports": ()}, CHECK, True), ({"ports": ()}, None, False)],
    ids=["a server", "one that is asked for its health", "a job"],
)
def test_without_a_restart_policy_whoever_serves_goes_back_and_a_job_does_not(
    changes: dict[str, object], asked: Healthcheck | None, goes_back: bool
) -> None:
    """Compose's default is `no`; a job's earlier revision must not do its work again."""
    before, after = (replace(each, restart=Restart(), **changes) for each in (OLD, NEW))  # type: ignore[arg-type]
    failed = new(of=after, state=Exited(code=1, at=NOW - 0.1, since=NOW - 0.2), healthcheck=asked)
    found = made(desired(after), host(old(of=before, healthcheck=asked), failed))
    assert ("quarantine revision" in str(found)) == goes_back


def test_without_anything_to_go_back_to_it_is_restarted_as_always() -> None:
    crashed = new(state=Exited(code=1, at=NOW - 0.1, since=NOW - 0.2))
    assert "start container" in str(made(desired(NEW), host(crashed)))


def quarantined(*containers: SeenContainer, **changes: object) -> Observed:
    return in_force(*containers, quarantined={digest_of(NEW): bad_of(NEW)}, **changes)


TOLD = (
    f'quarantined: revision {digest_of(NEW)[:12]} of shop/web was never healthy (exit code 1: "last line");'
    " change the spec or the image to try again"
)


def test_the_bad_one_goes_and_the_old_one_stays() -> None:
    assert lines(NEW, quarantined(old(), new())) == [
        "container:shop-web-1@bbbbbbbbbbbb: stop container shop-web-1 bbbbbbbbbbbb with SIGTERM"
        " (its revision is in quarantine)",
        f"container:shop-web-1: waits: {TOLD}",
    ]


@pytest.mark.parametrize("kept", [True, False])
def test_it_is_not_tried_again_at_the_next_look(kept: bool) -> None:
    good = {OLD.name: good_of(OLD)} if kept else {}
    assert lines(NEW, quarantined(old(), good=good)) == [f"container:shop-web-1: waits: {TOLD}"]


def test_after_a_reboot_the_good_one_is_started_and_the_bad_one_is_not() -> None:
    dead = {"state": Dead(), "mounted": True}
    found = lines(NEW, quarantined(old(**dead), new(**dead), good={OLD.name: good_of(OLD)}))  # type: ignore[arg-type]
    assert found[0] == "container:shop-web-1: start container shop-web-1 aaaaaaaaaaaa (not running)"
    assert all("remove container" in line or "disconnect" in line for line in found[1:] if "bbbb" in line)


def test_the_good_one_is_made_again_when_it_is_gone() -> None:
    found = made(desired(NEW), quarantined(good={OLD.name: good_of(OLD)}))
    assert f"of revision {digest_of(OLD)[:12]} at 10.0.7.2 (missing)" in str(found)


def test_with_nothing_good_the_bad_one_is_not_started_either() -> None:
    assert lines(NEW, quarantined(new(state=Exited(code=1, at=NOW - 9, since=NOW - 10)))) == [
        f"container:shop-web-1: waits: {TOLD}"
    ]


def test_what_is_in_quarantine_is_not_gone_back_to_though_it_was_good_once() -> None:
    assert lines(NEW, quarantined(good={OLD.name: good_of(NEW)})) == [f"container:shop-web-1: waits: {TOLD}"]


def test_another_revision_is_tried_and_the_quarantine_forgotten() -> None:
    third = container(ports=PORTS, environment=(("V", "3"),))
    found = str(made(desired(third), host(old(), quarantined={digest_of(NEW): bad_of(NEW)})))
    assert f"revisions: forget {digest_of(NEW)[:12]} (nothing wants them)" in found
    assert f"of revision {digest_of(third)[:12]}" in found


def test_while_the_image_is_away_or_the_app_held_nothing_is_forgotten() -> None:
    observed = quarantined(old(), images={}, good={OLD.name: good_of(OLD)})
    assert "forget" not in str(made(desired(NEW), observed))
    assert "forget" not in str(made(desired(held={"shop": "cannot"}), observed))
    assert "forget the last good shop-web-1" in str(made(desired(), quarantined(good={OLD.name: good_of(OLD)})))


def test_a_state_that_nobody_started_is_not_judged() -> None:
    assert "quarantine" not in str(made(desired(NEW), host(old(), new(state=Dead()))))
    assert "quarantine" not in str(made(desired(NEW), host(new(state=RUNNING), good={OLD.name: good_of(OLD)})))


def test_an_instance_that_started_after_the_look_began_is_not_proven_by_that() -> None:
    both = (old(), new(since=NOW + 0.01))
    assert "10.0.7.3 . 80" not in _table(*both)
    starting = new(since=NOW + 0.01, health=Health(), healthcheck=CHECK)
    assert "quarantine" not in str(made(desired(NEW), host(old(), starting)))


def test_a_clock_that_was_set_back_holds_no_update_up() -> None:
    later = NOW + 1e6
    assert "drain container" in str(made(desired(NEW), in_force(old(), new(since=later))))
    assert "stop container" in str(made(desired(NEW), in_force(drained(later), new(since=later))))


def test_an_old_one_that_is_young_itself_serves_until_the_new_one_is_proven() -> None:
    both = (old(state=Running(pid=7, since=NOW - 0.8)), new(since=NOW - 0.2))
    assert "10.0.7.3 . 80" not in _table(*both)
    assert "10.0.7.2 . 80" in _table(*both)
