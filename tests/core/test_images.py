"""When a registry is asked again: every pull_policy, with and without a registry that answers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reconciler.core import images
from reconciler.core.model import Container, Desired, Observed, PullPolicy, SeenContainer, SeenImage
from reconciler.core.plan import plan
from reconciler.core.scene import Policy
from reconciler.core.starting import Dependency
from reconciler.core.steps import CollectImages, Plan
from tests.core.hosts import NOW, POLICY, host, seen
from tests.core.worlds import DB, WEB, container, desired
from tests.fakes import image

DAY = 86400.0
ALWAYS = container(pull_policy=PullPolicy(when="always"))
DAILY = container(pull_policy=PullPolicy(when="every", interval=DAY))
NEVER = container(pull_policy=PullPolicy(when="never"))
LOCK = f"sha256:{'c' * 64}"


def here(checked_at: float, tried_at: float = 0.0, version: int = 1) -> dict[str, SeenImage]:
    return {WEB: replace(image(WEB, version), checked_at=checked_at, tried_at=tried_at)}


def made(wanted: Container, *running: SeenContainer, now: float = NOW, started: float = 0.0, **seen_: object) -> Plan:
    return plan(desired(wanted), host(*running, **seen_), now, replace(POLICY, started=started))


def lines(found: Plan) -> list[str]:
    return str(found).splitlines()


def test_a_daily_tag_is_asked_for_when_the_day_is_over() -> None:
    running = seen(of=DAILY)
    early = made(DAILY, running, images=here(NOW - DAY + 10))
    assert early == Plan(look_again_at=NOW + 10)
    assert early.converged
    late = made(DAILY, running, images=here(NOW - DAY))
    assert lines(late) == [f"image:{WEB}: check image {WEB} (its tag is asked for every 24 hours)"]


def test_a_clock_that_was_set_back_asks() -> None:
    assert len(made(DAILY, seen(of=DAILY), images=here(NOW + 5)).tasks) == 1


def test_the_shortest_interval_of_those_who_share_an_image_counts() -> None:
    weekly = container("blog", pull_policy=PullPolicy(when="every", interval=7 * DAY), networks=())
    found = plan(desired(DAILY, weekly), Observed(images=here(NOW - 10)), NOW, POLICY)
    assert found.look_again_at == NOW - 10 + DAY


def test_always_asks_before_an_instance_is_made_and_makes_it_then() -> None:
    asks = f"image:{WEB}: check image {WEB} (the pull_policy of shop/web is always)"
    waits = f"container:shop-web-1: waits for an answer what image {WEB} is now"
    assert lines(made(ALWAYS, images=here(NOW - 60))) == [asks, waits]
    answered = made(ALWAYS, images=here(NOW - 1))
    assert [task.key for task in answered.tasks] == ["container:shop-web-1"]
    assert not answered.waits


def test_a_dead_registry_does_not_keep_an_instance_from_being_made() -> None:
    found = made(ALWAYS, images=here(checked_at=5.0, tried_at=NOW - 1))
    assert [task.key for task in found.tasks] == [f"image:{WEB}", "container:shop-web-1"]
    assert not found.waits


def test_always_asks_again_once_when_the_daemon_starts() -> None:
    running = seen(of=ALWAYS, created_at=1000.0)
    assert made(ALWAYS, running, images=here(1000.0), started=900.0).converged
    assert len(made(ALWAYS, running, images=here(1000.0), started=1001.0).tasks) == 1
    assert made(ALWAYS, running, images=here(1002.0), started=1001.0).converged


def test_an_instance_that_was_made_in_vain_of_an_answer_still_wants_one() -> None:
    assert len(made(ALWAYS, seen(of=ALWAYS, created_at=1000.0), images=here(500.0)).tasks) == 1


def test_an_instance_that_cannot_be_made_asks_nothing() -> None:
    waiting = replace(ALWAYS, depends_on=(Dependency(service="db"),))
    found = plan(desired(waiting, container(service="db", image=DB)), host(images=here(5.0)), NOW, POLICY)
    assert [task.key for task in found.tasks] == [f"image:{DB}"]


def test_never_says_what_is_missing() -> None:
    found = made(NEVER, images={})
    why = f"cannot use image {WEB}: it is not on this host, and its pull_policy is never"
    assert lines(found) == [f"container:shop-web-1: waits: {why}"]
    assert made(NEVER, seen(of=NEVER), images=here(0.0)).converged


def test_never_is_about_registries_only() -> None:
    found = made(replace(NEVER, image="oci:/srv/app:1"), images={})
    assert [task.key for task in found.tasks] == ["image:oci:/srv/app:1"]


@pytest.mark.parametrize("name", [f"{WEB}@{LOCK}", "oci:/srv/app:1"])
@pytest.mark.parametrize("policy", [ALWAYS.pull_policy, DAILY.pull_policy])
def test_what_cannot_move_is_never_asked_for(name: str, policy: PullPolicy) -> None:
    wanted = container(image=name, pull_policy=policy)
    found = made(wanted, seen(of=wanted), images={name: image(name)}, started=1.0)
    assert found == Plan()


def test_a_moved_tag_is_the_cause() -> None:
    old, new = image(WEB).digest, image(WEB, 2).digest
    found = made(DAILY, seen(of=DAILY), images=here(NOW, version=2))
    assert lines(found)[-1] == (
        "container:shop-web-1: stop container shop-web-1 aaaaaaaaaaaa with SIGTERM "
        f"(image {WEB} moved from {old} to {new}; stop-first, because it publishes no port)"
    )


def test_a_changed_spec_is_not_called_a_moved_tag() -> None:
    changed = replace(DAILY, environment=(("A", "1"),))
    assert "moved" not in str(made(changed, seen(of=DAILY), images=here(NOW, version=2)))


def test_a_platform_is_an_image_of_its_own() -> None:
    wanted = container(platform="linux/arm64")
    found = made(wanted, images=here(NOW))
    key = f"image:{WEB} (linux/arm64)"
    assert lines(found)[0] == f"{key}: pull image {WEB} (linux/arm64) (wanted by shop/web)"


def test_locking_what_runs_changes_nothing() -> None:
    named = replace(image(WEB), named=LOCK)
    assert made(replace(container(), locked=LOCK), seen(), images={WEB: named}).converged


def test_a_lock_that_names_another_image_is_the_cause() -> None:
    wanted = replace(container(), locked=LOCK)
    pull = made(wanted, seen(), images=here(NOW))
    assert lines(pull) == [f"image:{WEB}@{LOCK}: pull image {WEB}@{LOCK} (wanted by shop/web)"]
    new = image(f"{WEB}@{LOCK}")
    found = made(wanted, seen(), images=here(NOW) | {f"{WEB}@{LOCK}": new})
    why = f"(image {WEB} moved from {image(WEB).digest} to {new.digest}, as the lock says; stop-first,"
    assert why in lines(found)[-1]


def test_what_is_wrong_with_the_lock_is_told_and_holds_nothing() -> None:
    wanted = replace(desired(container()), unlocked=("reconciler.lock:1:1: cannot read TOML",))
    found = plan(wanted, host(seen()), NOW, POLICY)
    assert lines(found) == ["lock: waits: reconciler.lock:1:1: cannot read TOML"]


def test_no_images_no_next_check() -> None:
    assert images.next_check({}, {}, NOW) is None
    assert plan(Desired(), Observed(), NOW, Policy()).look_again_at is None


# --- what nothing uses -------------------------------------------------------------------------------------------


def collected(now: float = NOW, **seen_: object) -> list[str]:
    found = plan(desired(container()), host(seen(), **seen_), now, POLICY)
    assert all(
        str(entry).startswith(("collect", "image", "container", "held")) for entry in (*found.tasks, *found.waits)
    )
    return [str(task) for task in found.tasks if task.key == "collect"]


def test_every_day_what_is_a_week_old_and_unused_goes() -> None:
    assert collected(collected_at=NOW - DAY + 1) == []
    assert collected(collected_at=NOW - DAY) == [
        "collect: collect images that nothing uses, older than 604800 s (24 hours since the last time)"
    ]


def test_a_full_disk_is_not_waited_for() -> None:
    assert collected(collected_at=NOW - 599, disk_used=0.9) == []
    assert collected(collected_at=NOW - 600, disk_used=0.84) == []
    assert collected(collected_at=NOW - 600, disk_used=0.9) == [
        "collect: collect images that nothing uses, older than 120 s (the disk is 90% full)"
    ]


@pytest.mark.parametrize(
    ("age", "disk", "since", "line"),
    [
        (3600.0, 0.1, 3600.0, "older than 3600 s (About an hour since the last time)"),
        (0.0, 0.1, 600.0, "older than 0 s (10 minutes since the last time)"),
        (60.0, 0.5, 600.0, "older than 60 s (the disk is 50% full)"),
        (30 * DAY, 0.1, DAY, "older than 2592000 s (24 hours since the last time)"),
    ],
)
def test_how_long_and_how_full_can_be_set(age: float, disk: float, since: float, line: str) -> None:
    policy = replace(POLICY, image_age=age, disk_limit=0.5)
    for early, expected in ((1.0, []), (0.0, [f"collect: collect images that nothing uses, {line}"])):
        found = plan(desired(container()), host(seen(), collected_at=NOW - since + early, disk_used=disk), NOW, policy)
        assert [str(task) for task in found.tasks if task.key == "collect"] == expected


def test_what_specs_want_and_what_containers_were_made_from_is_needed() -> None:
    old = seen(image_digest="sha256:of-the-running-revision")
    found = plan(desired(container()), host(old, collected_at=NOW - DAY), NOW, POLICY)
    (step,) = [task.steps[0] for task in found.tasks if task.key == "collect"]
    assert isinstance(step, CollectImages)
    assert step.references == (WEB,)
    assert step.digests == tuple(sorted({image(WEB).digest, "sha256:of-the-running-revision"}))


def test_nothing_goes_while_nobody_knows_what_a_spec_needs() -> None:
    for wanted in (Desired(held={"shop": "cannot"}), Desired(unavailable="cannot")):
        found = plan(wanted, host(seen(), collected_at=NOW - DAY), NOW, POLICY)
        assert not [task for task in found.tasks if task.key == "collect"]
