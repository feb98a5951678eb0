"""Golden plans: for each situation the exact text, which is also what a user reads. No fakes: values in, text out."""

from __future__ import annotations

from dataclasses import replace

from reconciler.core.jobs import Ended
from reconciler.core.model import (
    Created,
    Dead,
    Desired,
    Exited,
    Observed,
    Restart,
    SeenContainer,
    VolumeMount,
)
from reconciler.core.networking import Port
from reconciler.core.ruleset import Published
from reconciler.core.starting import Dependency
from reconciler.core.steps import ApplyRuleset, CreateContainer, Plan
from tests.core.hosts import (
    BRIDGE,
    NETWORK,
    NOW,
    RUNNING,
    WEB_CONTAINER,
    host,
    made,
    printed,
    ruleset,
    seen,
)
from tests.core.worlds import DB, WEB, container, desired


def test_nothing_is_wanted_and_nothing_is_there() -> None:
    found = made(Desired(), Observed())
    assert found == Plan()
    assert found.converged


def test_an_empty_host_gets_its_image_network_and_volume_first() -> None:
    wanted = desired(container(mounts=(VolumeMount(volume="shop_data", target="/data"),)))
    assert printed(wanted, Observed()) == [
        f"image:{WEB}: pull image {WEB} (wanted by shop/web)",
        f"network:shop_default: create network shop_default (10.0.155.1/24 on {BRIDGE}) (missing)",
        "guard: guard routes (10.0.155.0/24) (changed)",
        "volume:shop_data: create volume shop_data (missing)",
        f"container:shop-web-1: waits for image {WEB}",
    ]


def test_what_a_container_needs_is_there_so_it_is_made_and_started() -> None:
    found = made(desired(WEB_CONTAINER), host())
    step = found.tasks[0].steps[0]
    assert isinstance(step, CreateContainer)
    assert str(found).splitlines() == [
        f"container:shop-web-1: create container shop-web-1 {step.id[:12]} of revision {step.revision[:12]}"
        " at 10.0.7.2 (missing)",
        f"container:shop-web-1: connect container shop-web-1 {step.id[:12]} to shop_default as 10.0.7.2 (missing)",
        f"container:shop-web-1: start container shop-web-1 {step.id[:12]} (missing)",
    ]


def test_a_running_container_of_the_right_revision_needs_nothing() -> None:
    assert made(desired(WEB_CONTAINER), host(seen())).converged


def test_three_replicas_get_three_addresses() -> None:
    found = made(desired(*(container(replica=number) for number in (1, 2, 3))), host())
    steps = [task.steps[0] for task in found.tasks]
    assert [step.joint.endpoints[0].address for step in steps if isinstance(step, CreateContainer)] == [
        "10.0.7.2",
        "10.0.7.3",
        "10.0.7.4",
    ]


def test_an_address_that_is_being_handed_out_is_taken() -> None:
    doing = made(desired(WEB_CONTAINER), host()).tasks
    found = made(desired(WEB_CONTAINER, container(replica=2)), host(), doing)
    (step,) = (task.steps[0] for task in found.tasks)
    assert isinstance(step, CreateContainer)
    assert (step.container.replica, step.joint.endpoints[0].address) == (2, "10.0.7.3")


def test_a_changed_container_is_stopped_when_its_successor_could_be_made() -> None:
    changed = container(environment=(("A", "1"),))
    why = f"revision {seen().revision[:12]} is no longer wanted; stop-first, because it publishes no port"
    assert printed(desired(changed), host(seen())) == [
        f"container:shop-web-1: keep revision {seen().revision[:12]} of shop-web-1 as the last good one ({why})",
        f"container:shop-web-1: stop container shop-web-1 aaaaaaaaaaaa with SIGTERM ({why})",
    ]


def test_a_changed_container_runs_on_while_its_new_image_is_away() -> None:
    assert printed(desired(container(image=DB)), host(seen())) == [
        f"image:{DB}: pull image {DB} (wanted by shop/web)",
        f"container:shop-web-1: waits for image {DB}",
    ]


def test_the_old_one_is_removed_after_it_ended_and_before_the_new_one_is_made() -> None:
    ended = seen(Exited(code=0, at=4999.0, since=4000.0, stopped=True), leftovers=("run",))
    lines = printed(desired(container(environment=(("A", "1"),))), host(ended))
    assert [line.split(" (")[0] for line in lines] == [
        "container:shop-web-1: clean container shop-web-1 aaaaaaaaaaaa of ended runs",
        "container:shop-web-1: disconnect container shop-web-1 aaaaaaaaaaaa",
        "container:shop-web-1: remove container shop-web-1 aaaaaaaaaaaa",
    ]


def test_without_its_image_in_the_store_a_running_container_stays() -> None:
    found = made(desired(WEB_CONTAINER), host(seen(), images={}))
    assert [str(task.key) for task in found.tasks] == [f"image:{WEB}"]
    assert not found.waits


def test_what_is_in_no_spec_is_stopped() -> None:
    assert printed(Desired(), host(seen())) == [
        "container:shop-web-1: stop container shop-web-1 aaaaaaaaaaaa with SIGTERM (not in any spec)"
    ]


def test_an_app_whose_spec_is_gone_for_a_moment_stays_for_that_moment() -> None:
    found = made(replace(Desired(), vanished={"shop": NOW + 0.2}), host(seen()))
    assert str(found) == "removal:shop: waits: its spec is gone; it goes too unless that comes back at once"
    assert (found.waits[0].until, found.waits[0].passing) == (NOW + 0.2, True)
    (task,) = made(replace(Desired(), vanished={"shop": NOW}), host(seen())).tasks
    assert task.cause == "not in any spec"


def test_it_has_its_grace_period() -> None:
    stopping = replace(RUNNING, stop_sent=4995.0)
    found = made(Desired(), host(seen(stopping)))
    assert str(found) == "container:shop-web-1: waits: not in any spec: has 10 s to end"
    assert (found.waits[0].until, found.waits[0].passing) == (5005.0, True)


def test_and_not_longer() -> None:
    assert printed(Desired(), host(seen(replace(RUNNING, stop_sent=4990.0)))) == [
        "container:shop-web-1: kill container shop-web-1 aaaaaaaaaaaa (not in any spec: did not end within 10 s)"
    ]


def test_the_network_goes_when_nothing_uses_it_and_the_table_when_no_network_is_left() -> None:
    assert printed(Desired(), host()) == [
        f"network:shop_default: remove network shop_default ({BRIDGE}) (not in any spec)",
        "resolver:shop_default: stop serving names of shop_default (nothing asks it)",
    ]
    assert printed(Desired(), host(networks={}, guarded=(), resolvers={}, names={})) == [
        "firewall: remove ruleset (no networks)"
    ]


def test_a_killed_container_restarts_at_once() -> None:
    killed = seen(Exited(code=137, at=4999.9, since=4000.0))
    assert printed(desired(WEB_CONTAINER), host(killed)) == [
        "container:shop-web-1: start container shop-web-1 aaaaaaaaaaaa (exited with code 137)"
    ]


def test_a_crash_loop_waits_longer_each_time() -> None:
    crashed = seen(Exited(code=1, at=4999.9, since=4999.0), failures=4, restarts=4)
    found = made(desired(WEB_CONTAINER), host(crashed))
    assert str(found) == ("container:shop-web-1: waits: exited with code 1, 5 times in a row; restarts after 0.8 s")
    assert found.waits[0].until == 4999.9 + 0.8


def test_a_clock_that_was_set_back_holds_nothing_up() -> None:
    crashed = seen(Exited(code=1, at=NOW + 1e8, since=NOW + 1e8 - 1), failures=20)
    assert [task.key for task in made(desired(WEB_CONTAINER), host(crashed)).tasks] == ["container:shop-web-1"]
    stopping = seen(replace(RUNNING, stop_sent=NOW + 1e8))
    assert "kill container" in str(made(Desired(), host(stopping)))


def test_out_of_memory_is_told() -> None:
    killed = seen(Exited(code=137, at=4999.0, since=4000.0, oom=True))
    assert printed(desired(WEB_CONTAINER), host(killed))[0].endswith("(was out of memory)")


def test_a_job_that_ended_rests() -> None:
    job = container(restart=Restart())
    ended = seen(Exited(code=3, at=4999.0, since=4000.0), of=job)
    noted = Ended(
        name=job.name, app=job.app, spec=job.spec, revision=ended.revision, code=3, at=4999.0, since=4000.0
    )  # fmt: skip
    assert made(desired(job), host(ended, ended={job.name: noted})).converged


def test_on_failure_gives_up_after_its_retries_and_says_so() -> None:
    job = container(restart=Restart(policy="on-failure", max_retries=2))
    ended = seen(Exited(code=3, at=4000.0, since=3999.0), of=job, restarts=2)
    assert printed(desired(job), host(ended)) == [
        "container:shop-web-1: waits: exited with code 3; its restart policy allows 2 tries and no more"
    ]


def test_after_a_reboot_it_is_mounted_connected_and_started_again() -> None:
    dead = seen(Dead(), mounted=False, disconnected="its link is gone")
    assert printed(desired(WEB_CONTAINER), host(dead)) == [
        "container:shop-web-1: mount container shop-web-1 aaaaaaaaaaaa (not running)",
        "container:shop-web-1: connect container shop-web-1 aaaaaaaaaaaa to shop_default as 10.0.7.2 (not running)",
        "container:shop-web-1: start container shop-web-1 aaaaaaaaaaaa (not running)",
    ]


def test_after_a_reboot_the_network_comes_back_where_its_containers_are() -> None:
    dead = seen(Dead(), mounted=False, disconnected="its link is gone")
    assert printed(desired(WEB_CONTAINER), host(dead, networks={}, ruleset="")) == [
        f"network:shop_default: create network shop_default (10.0.7.1/24 on {BRIDGE}) (missing)",
        "container:shop-web-1: waits for network shop_default",
    ]


def test_a_bridge_without_its_address_is_completed_before_anything_joins_it() -> None:
    bare = {"shop_default": replace(NETWORK, subnet="")}
    found = made(desired(WEB_CONTAINER), host(networks=bare))
    assert next(task.key for task in found.tasks) == "network:shop_default"
    assert str(found.waits[0]) == "container:shop-web-1: waits for network shop_default"
    dead = seen(Dead(), mounted=False, disconnected="its link is gone")
    assert "waits for network shop_default" in str(made(desired(WEB_CONTAINER), host(dead, networks=bare)))


def test_a_lost_link_is_repaired_without_a_restart() -> None:
    assert printed(desired(WEB_CONTAINER), host(seen(disconnected="its link is gone"))) == [
        "container:shop-web-1: connect container shop-web-1 aaaaaaaaaaaa to shop_default as 10.0.7.2"
        " (drifted: its link is gone)"
    ]


def test_a_container_without_its_monitor_is_replaced_by_a_restart() -> None:
    alone = seen(replace(RUNNING, monitored=False))
    assert printed(desired(WEB_CONTAINER), host(alone)) == [
        "container:shop-web-1: stop container shop-web-1 aaaaaaaaaaaa with SIGTERM"
        " (its monitor is gone, output and exit code would be lost)"
    ]
    ended = seen(Exited(code=255, at=4999.0, since=4990.0, stopped=True))
    assert "was stopped, and is wanted" in str(made(desired(WEB_CONTAINER), host(ended)))


def test_an_interrupted_start_begins_again() -> None:
    assert printed(desired(WEB_CONTAINER), host(seen(Created(pid=9)))) == [
        "container:shop-web-1: kill container shop-web-1 aaaaaaaaaaaa (its start was interrupted)",
        "container:shop-web-1: start container shop-web-1 aaaaaaaaaaaa (its start was interrupted)",
    ]


def test_a_damaged_record_means_a_new_container() -> None:
    broken = seen(Dead(), damaged="cannot read its record: empty file")
    assert printed(desired(WEB_CONTAINER), host(broken))[0].endswith("(cannot read its record: empty file)")


def test_a_held_app_stays_as_it_is_by_app_and_by_file() -> None:
    for name in ("shop", "shop.yaml"):
        found = made(desired(held={name: "shop.yaml:3:1: cannot read this"}), host(seen()))
        assert str(found) == f"held:{name}: waits: shop.yaml:3:1: cannot read this"


def test_a_held_app_is_still_supervised_and_published() -> None:
    wanted = container(ports=(Port(target=80, published=8080),))
    killed = seen(Exited(code=137, at=4999.0, since=4000.0), of=wanted)
    found = made(desired(held={"shop": "cannot"}), host(killed))
    assert "start container shop-web-1" in str(found)
    running = seen(of=wanted)
    assert not made(desired(held={"shop": "cannot"}), host(running)).tasks


def test_an_unreadable_directory_removes_nothing() -> None:
    found = made(desired(unavailable="cannot read the specs: no such directory"), host(seen()))
    assert str(found) == "specs: waits: cannot read the specs: no such directory"


def test_a_lost_table_is_put_back() -> None:
    assert printed(desired(WEB_CONTAINER), host(seen(), ruleset="")) == [
        "firewall: apply ruleset (networks: 1, published ports: 0) (drifted: missing, or changed by somebody else)"
    ]


def test_replicas_share_a_published_port() -> None:
    ports = (Port(target=80, published=8080),)
    pair = [container(replica=number, ports=ports) for number in (1, 2)]
    containers = [
        seen(of=pair[0]),
        seen(of=pair[1], id="b" * 64, address="10.0.7.3"),
    ]
    (task,) = made(desired(*pair), host(*containers, ruleset="")).tasks
    published = Published(protocol="tcp", host_ip="", port=8080, targets=(("10.0.7.2", 80), ("10.0.7.3", 80)))
    (step,) = task.steps
    assert isinstance(step, ApplyRuleset)
    assert step.text == ruleset(*containers, published=(published,))


def test_a_port_leads_to_the_replica_that_is_about_to_run_while_none_does() -> None:
    ports = (Port(target=80, published=8080),)
    pair = [container(replica=number, ports=ports) for number in (1, 2)]
    first = seen(Dead(), of=pair[0])
    second = seen(Exited(code=1, at=4999.9, since=4000.0), of=pair[1], id="b" * 64, address="10.0.7.3")

    def targets(*containers: SeenContainer) -> list[str]:
        found = made(desired(*pair), host(*containers, ruleset=""))
        (text,) = [step.text for task in found.tasks for step in task.steps if isinstance(step, ApplyRuleset)]
        return [address for address in ("10.0.7.2", "10.0.7.3") if f"{address} . 80" in text]

    assert targets(first, second) == ["10.0.7.2", "10.0.7.3"]
    assert targets(replace(first, state=RUNNING), second) == ["10.0.7.2"]
    assert targets(replace(first, disconnected="its link is gone"), second) == ["10.0.7.3"]
    assert targets(replace(first, state=Exited(code=0, at=1.0, since=0.5, stopped=True))) == []


def test_a_stopping_container_gets_no_new_connections() -> None:
    wanted = container(ports=(Port(target=80, published=8080),))
    stopping = seen(replace(RUNNING, stop_sent=4999.0), of=wanted)
    assert not made(Desired(), host(stopping)).tasks
    assert made(Desired(), host(stopping, ruleset=host(seen(of=wanted)).ruleset)).tasks[0].key == "firewall"


def test_a_dependency_is_started_first() -> None:
    db = container(service="db")
    web = container(depends_on=(Dependency(service="db"),))
    found = made(desired(db, web), host())
    assert [task.key for task in found.tasks] == ["container:shop-db-1"]
    assert str(found.waits[0]) == "container:shop-web-1: waits for service db to be started"
    running = seen(of=db)
    assert made(desired(db, web), host(running)).tasks[0].key == "container:shop-web-1"


def test_a_full_network_is_a_sentence() -> None:
    small = replace(NETWORK, subnet="10.0.7.1/30")
    found = made(desired(WEB_CONTAINER, container(replica=2)), host(networks={"shop_default": small}, ruleset=""))
    assert "cannot choose an address: all of 10.0.7.0/30 are in use" in str(found)


def test_leftovers_of_ended_runs_are_cleaned_while_the_new_one_runs() -> None:
    assert printed(desired(WEB_CONTAINER), host(seen(leftovers=("a-1",)))) == [
        "clean:shop-web-1: clean container shop-web-1 aaaaaaaaaaaa of ended runs (ended runs)"
    ]


def test_a_long_log_is_rotated() -> None:
    assert printed(desired(WEB_CONTAINER), host(seen(log_bytes=11 * 1024 * 1024))) == [
        "log:shop-web-1: rotate log of container shop-web-1 aaaaaaaaaaaa (grew to 11534336 bytes)"
    ]


def test_what_is_being_done_is_not_planned_again() -> None:
    found = made(desired(WEB_CONTAINER), host())
    assert made(desired(WEB_CONTAINER), host(), found.tasks) == Plan()


def test_a_container_that_is_being_made_is_not_taken_for_a_stray() -> None:
    found = made(desired(WEB_CONTAINER), host())
    step = found.tasks[0].steps[0]
    assert isinstance(step, CreateContainer)
    half_made = seen(Dead(), id=step.id, name=step.id[:12], damaged="cannot read its record: no such file")
    assert not made(desired(WEB_CONTAINER), host(half_made), found.tasks).tasks
    assert made(desired(WEB_CONTAINER), host(half_made)).tasks[-1].cause == "not in any spec"


def test_a_bridge_that_is_gone_opens_nothing() -> None:
    assert [task.key for task in made(desired(WEB_CONTAINER), host(seen(), networks={})).tasks] == [
        "network:shop_default"
    ]


def test_a_missing_external_volume_is_waited_for() -> None:
    wanted = desired(container(mounts=(VolumeMount(volume="nas", target="/data"),)))
    external = replace(wanted, volumes={"nas": replace(wanted.volumes["nas"], external=True)})
    assert [str(wait) for wait in made(external, host()).waits] == [
        "volume:nas: waits: cannot use volume nas: it is external and does not exist",
        "container:shop-web-1: waits for volume nas",
    ]
