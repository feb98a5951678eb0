"""Golden plans of jobs and one-shot services: each time is written down before its run, what has run does not again."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reconciler.core.jobs import Ended, Job, Run, Schedule
from reconciler.core.model import (
    Container,
    Created,
    Dead,
    Exited,
    Observed,
    PullPolicy,
    Restart,
    Running,
    SeenContainer,
    State,
    container_id,
)
from reconciler.core.networking import Port
from reconciler.core.plan import plan
from reconciler.core.remembering import KeepJob
from reconciler.core.starting import Dependency
from reconciler.core.steps import Plan, PullImage
from tests.core.hosts import NOW, POLICY, host, made, printed, seen
from tests.core.worlds import WEB, container, desired
from tests.fakes import image

MINUTELY = Schedule(cron="* * * * *")
DUE, BEFORE, NEXT = 4980.0, 4920.0, 5040.0  # the times around NOW
SAVE = container(service="save", restart=Restart(), schedule=MINUTELY)
NAME = SAVE.name
NOTE = f"job:{NAME}: note the runs of {NAME}"


def at(due: float, of: Container = SAVE) -> str:
    return container_id(of, image(WEB).digest, due)


def known(after: float, *runs: Run, of: Schedule = MINUTELY) -> Job:
    return Job(name=NAME, app="shop", spec="shop.yaml", schedule=str(of), after=after, runs=runs)


def begun(due: float, **changes: object) -> Run:
    return replace(Run(scheduled=due, id=at(due), started=due + 1.0), **changes)  # type: ignore[arg-type]


def run(state: State, due: float = BEFORE, **changes: object) -> SeenContainer:
    values: dict[str, object] = {"id": at(due), "scheduled": due, "created_at": due}
    return seen(state, of=SAVE, **(values | changes))  # type: ignore[arg-type]


def there(job: Job | None, *containers: SeenContainer) -> Observed:
    """A host that is as it should be but for the job."""
    return host(*containers, jobs={job.name: job} if job else {})


def lines(observed: Observed, of: Container = SAVE) -> list[str]:
    """What is planned for the job and its containers, without the ruleset and the names that follow."""
    return [line for line in printed(desired(of), observed) if line.split(":")[0] in ("job", "container", "clean")]


def kept(found: Plan) -> Job:
    (job,) = [step.job for task in found.tasks for step in task.steps if isinstance(step, KeepJob)]
    return job


# --- times -------------------------------------------------------------------------------------------------------


def test_a_new_job_waits_for_its_next_time() -> None:
    found = made(desired(SAVE), there(None))
    assert str(found) == f"{NOTE} (its times count from now on)"
    assert kept(found) == known(NOW)
    assert found.look_again_at == NEXT


def test_between_two_times_all_is_as_it_should_be() -> None:
    found = made(desired(SAVE), there(known(DUE)))
    assert found.converged
    assert found.look_again_at == NEXT


def test_a_time_that_is_due_has_a_container_made_that_is_called_by_it() -> None:
    found = made(desired(SAVE), there(known(BEFORE)))
    why = "(due at 1970-01-01 01:23 UTC)"
    assert str(found).splitlines() == [
        f"container:{NAME}: create container {NAME} {at(DUE)[:12]} of revision {run(Dead()).revision[:12]}"
        f" at 10.0.7.2 {why}",
        f"container:{NAME}: connect container {NAME} {at(DUE)[:12]} to shop_default as 10.0.7.2 {why}",
    ]


def test_it_is_written_down_and_then_started_in_one_go() -> None:
    found = made(desired(SAVE), there(known(BEFORE), run(Dead(), DUE)))
    why = "(due at 1970-01-01 01:23 UTC)"
    assert [str(task) for task in found.tasks if task.key.startswith("container")] == [
        f"container:{NAME}: note the runs of {NAME} {why}\n"
        f"container:{NAME}: start container {NAME} {at(DUE)[:12]} {why}"
    ]
    assert kept(found) == known(DUE, Run(scheduled=DUE, id=at(DUE), started=NOW))


def test_killed_between_the_two_it_is_started_and_not_written_down_again() -> None:
    assert lines(there(known(DUE, begun(DUE)), run(Dead(), DUE))) == [
        f"container:{NAME}: start container {NAME} {at(DUE)[:12]} (not running)"
    ]


def test_killed_in_the_middle_of_its_start_it_is_begun_anew() -> None:
    assert lines(there(known(DUE, begun(DUE)), run(Created(pid=1), DUE))) == [
        f"container:{NAME}: kill container {NAME} {at(DUE)[:12]} (its start was interrupted)",
        f"container:{NAME}: start container {NAME} {at(DUE)[:12]} (its start was interrupted)",
    ]


def test_made_before_a_reboot_and_not_written_down_it_never_ran() -> None:
    found = lines(there(known(BEFORE), run(Dead(), DUE, mounted=False)))
    assert [line.split()[1] for line in found] == ["mount", "note", "start"]


def test_written_down_before_a_reboot_it_is_told_and_not_started_again() -> None:
    observed = there(known(DUE, begun(DUE)), run(Dead(), DUE, mounted=False))
    assert lines(observed) == [f"{NOTE} (a run interrupted by a restart of the host)"]
    told = kept(made(desired(SAVE), observed))
    assert told.runs == (begun(DUE, ended=NOW, said="interrupted by a restart of the host"),)
    assert lines(there(told, run(Dead(), DUE, mounted=False))) == []


def test_a_run_is_left_alone_while_it_runs() -> None:
    assert lines(there(known(DUE, begun(DUE)), run(Running(pid=1, since=4981.0), DUE))) == []


@pytest.mark.parametrize(
    ("state", "said", "code"),
    [
        (Exited(code=0, at=4990.0, since=4981.0), "ended with 0", 0),
        (Exited(code=3, at=4990.0, since=4981.0), "ended with 3", 3),
        (Exited(code=137, at=4990.0, since=4981.0, oom=True), "ended with 137, out of memory", 137),
        (Exited(code=143, at=4990.0, since=4981.0, stopped=True), "ended with 143, stopped", 143),
    ],
)
def test_how_it_ended_is_written_down_and_nothing_is_started_again(state: Exited, said: str, code: int) -> None:
    observed = there(known(DUE, begun(DUE)), run(state, DUE))
    assert lines(observed) == [f"{NOTE} (a run {said})"]
    told = kept(made(desired(SAVE), observed))
    assert (told.runs[-1].code, told.runs[-1].ended, told.after) == (code, 4990.0, DUE)
    assert lines(there(told, run(state, DUE))) == []


def test_one_that_could_not_be_started_makes_way_for_the_next_time() -> None:
    failing, fresh = run(Dead()), run(Dead(), DUE, created_at=DUE + 1.0)
    before = known(BEFORE, begun(BEFORE))
    assert lines(there(before, failing))[0].endswith("at 10.0.7.3 (due at 1970-01-01 01:23 UTC)")
    assert kept(made(desired(SAVE), there(before, failing, fresh))).runs == (
        begun(BEFORE, ended=NOW, said="never started, as it could not be"),
        Run(scheduled=DUE, id=at(DUE), started=NOW),
    )


# --- overlap -----------------------------------------------------------------------------------------------------

RUNS = run(Running(pid=1, since=4921.0))


def test_forbid_skips_the_time_and_says_so() -> None:
    observed = there(known(BEFORE, begun(BEFORE)), RUNS)
    assert lines(observed) == [f"{NOTE} (skipped: the run before had not ended)"]
    assert kept(made(desired(SAVE), observed)).after == DUE


def test_queue_waits_for_the_end() -> None:
    queue = replace(SAVE, schedule=replace(MINUTELY, concurrency="queue"))
    found = lines(there(known(BEFORE, begun(BEFORE)), RUNS), queue)
    assert found == [f"container:{NAME}: waits for the run before to end"]


def test_replace_stops_it() -> None:
    other = replace(SAVE, schedule=replace(MINUTELY, concurrency="replace"))
    found = lines(there(known(BEFORE, begun(BEFORE)), RUNS), other)
    assert found == [f"container:{NAME}: stop container {NAME} {at(BEFORE)[:12]} with SIGTERM (the next run is due)"]
    stopping = run(Running(pid=1, since=4921.0, stop_sent=NOW - 1.0))
    found = lines(there(known(BEFORE, begun(BEFORE)), stopping), other)
    assert found == [f"container:{NAME}: waits: stopping: has 10 s to end"]


# --- missed times ------------------------------------------------------------------------------------------------


def test_of_several_missed_times_the_last_is_made_up_for() -> None:
    observed = there(known(DUE - 600.0), run(Dead(), DUE))
    assert kept(made(desired(SAVE), observed)).runs == (
        Run(scheduled=BEFORE, said="missed, and 8 before: a later time was taken up"),
        Run(scheduled=DUE, id=at(DUE), started=NOW),
    )


def test_skip_makes_up_for_nothing_that_passed_without_a_daemon() -> None:
    skip = replace(SAVE, schedule=replace(MINUTELY, missed_fires="skip"))
    late = replace(POLICY, started=NOW - 10.0)
    found = plan(desired(skip), there(known(BEFORE)), NOW, late)
    assert str(found) == f"{NOTE} (missed: no daemon ran)"
    early = replace(POLICY, started=NOW - 30.0)
    assert "create container" in str(plan(desired(skip), there(known(BEFORE)), NOW, early))


def test_past_its_deadline_a_time_is_missed() -> None:
    hurried = replace(SAVE, schedule=replace(MINUTELY, deadline=15.0))
    assert lines(there(known(BEFORE)), hurried) == [f"{NOTE} (missed: it could not be started within 15 s)"]
    patient = replace(SAVE, schedule=replace(MINUTELY, deadline=25.0))
    assert "create container" in lines(there(known(BEFORE)), patient)[0]


def test_another_schedule_begins_anew() -> None:
    observed = there(known(0.0, of=Schedule(cron="0 0 * * *")))
    assert lines(observed) == [f"{NOTE} (its schedule is another one now)"]
    assert kept(made(desired(SAVE), observed)).after == NOW


def test_a_clock_that_was_a_year_ahead_counts_for_nothing() -> None:
    found = made(desired(SAVE), there(known(NOW + 365 * 86400.0)))
    assert str(found) == f"{NOTE} (the clock was set)"
    assert made(desired(SAVE), there(known(NOW + 3600.0))).converged, "what was done an hour ahead is done"


def test_a_time_that_had_its_run_has_it_once_also_when_the_clock_is_set_back() -> None:
    over = begun(DUE, ended=4990.0, code=0)
    observed = there(known(BEFORE, over), run(Exited(code=0, at=4990.0, since=4981.0), DUE))
    assert lines(observed) == [f"{NOTE} (the clock was set)"]
    assert kept(made(desired(SAVE), observed)) == known(DUE, over)


# --- what a run needs --------------------------------------------------------------------------------------------


def test_a_time_waits_for_image_dependencies_and_ports_like_a_service() -> None:
    bare = replace(there(known(BEFORE)), images={})
    found = made(desired(SAVE), bare)
    assert [str(wait) for wait in found.waits] == [f"container:{NAME}: waits for image {WEB}"]
    assert isinstance(found.tasks[0].steps[0], PullImage), "its image is pulled ahead"
    needy = replace(SAVE, depends_on=(Dependency(service="web"),))
    found = made(desired(needy, container()), there(known(BEFORE)))
    assert f"container:{NAME}: waits for service web to be started" in str(found)


def test_its_image_is_pulled_before_any_time_is_due() -> None:
    found = made(desired(SAVE), replace(there(known(DUE)), images={}))
    assert str(found) == f"image:{WEB}: pull image {WEB} (wanted by shop/save)"


def test_always_asks_for_the_tag_once_for_each_time() -> None:
    always = replace(SAVE, pull_policy=PullPolicy(when="always"))
    old = replace(image(WEB), checked_at=BEFORE - 60.0, tried_at=BEFORE - 60.0)
    idle, due = there(known(DUE)), there(known(BEFORE))
    assert made(desired(always), replace(idle, images={WEB: old})).converged
    found = made(desired(always), replace(due, images={WEB: old}))
    assert [line.split(" (")[0] for line in str(found).splitlines()] == [
        f"image:{WEB}: check image {WEB}",
        f"container:{NAME}: waits for an answer what image {WEB} is now",
    ]
    in_vain = replace(old, tried_at=DUE + 1.0)
    assert "create container" in str(made(desired(always), replace(due, images={WEB: in_vain})))


def test_a_run_publishes_its_ports_only_while_it_runs() -> None:
    serving = replace(SAVE, ports=(Port(target=80, published=8080),))
    runs = replace(run(Running(pid=1, since=4981.0), DUE), ports=serving.ports)
    over = replace(run(Exited(code=0, at=4930.0, since=4921.0)), ports=serving.ports)
    idle = made(desired(serving), replace(there(known(DUE, begun(BEFORE, ended=4930.0, code=0)), over), ruleset=""))
    assert "published ports: 0" in str(idle)
    busy = made(desired(serving), replace(there(known(DUE, begun(DUE)), runs), ruleset=""))
    assert "published ports: 1" in str(busy)


# --- what stays --------------------------------------------------------------------------------------------------


def ended(count: int) -> tuple[tuple[Run, ...], tuple[SeenContainer, ...]]:
    dues = [DUE - 60.0 * place for place in range(count, 0, -1)]
    runs = tuple(begun(due, ended=due + 9.0, code=0) for due in dues)
    return runs, tuple(run(Exited(code=0, at=due + 9.0, since=due + 1.0), due, endpoints=()) for due in dues)


def test_the_newest_ended_runs_stay_with_their_logs() -> None:
    runs, containers = ended(5)
    found = lines(there(known(DUE, *runs), *containers))
    first, second = at(DUE - 300.0)[:12], at(DUE - 240.0)[:12]
    assert [line for line in found if "remove" in line] == [
        f"container:{NAME}@{second}: remove container {NAME} {second} (newer runs have ended)",
        f"container:{NAME}@{first}: remove container {NAME} {first} (newer runs have ended)",
    ]


def test_what_was_made_for_a_time_and_never_started_goes_when_that_has_passed() -> None:
    stale = run(Dead(), BEFORE - 60.0)
    assert [line.split(" (")[1] for line in lines(there(known(DUE), stale))] == ["out of date)"] * 2


def test_a_changed_job_is_for_the_next_run() -> None:
    changed = replace(SAVE, environment=(("V", "2"),))
    assert lines(there(known(DUE, begun(DUE)), run(Running(pid=1, since=4981.0), DUE)), changed) == []
    found = lines(there(known(BEFORE), run(Dead(), DUE)), changed)
    assert f"create container {NAME} {at(DUE, changed)[:12]}" in found[0], "made for the time, but of the old revision"


def test_a_lost_file_is_made_again_from_the_runs_that_are_there() -> None:
    running = run(Running(pid=1, since=4981.0), DUE)
    over = run(Exited(code=0, at=4930.0, since=4921.0))
    told = kept(made(desired(SAVE), there(None, over, running)))
    assert told.after == NOW, "no time is taken up twice, for none is before"
    assert sorted((entry.scheduled, entry.code) for entry in told.runs if entry.ended) == [(BEFORE, 0)]
    assert [entry.scheduled for entry in told.runs if entry.open] == [DUE]


def test_a_job_of_a_held_app_runs_to_its_end_and_nothing_else_happens() -> None:
    states: tuple[SeenContainer, ...] = (run(Dead(), BEFORE, mounted=False), run(Running(pid=1, since=4981.0), DUE))
    observed = there(known(DUE, begun(DUE)), *states)
    found = made(replace(desired(held={"shop": "cannot read it"})), observed)
    assert not [task for task in found.tasks if task.key.startswith(("container", "runs"))]


def test_a_job_that_left_the_specs_is_stopped_and_then_forgotten() -> None:
    found = made(desired(), there(known(DUE, begun(DUE)), run(Running(pid=1, since=4981.0), DUE)))
    assert f"container:{NAME}: stop container {NAME} {at(DUE)[:12]} with SIGTERM (not in any spec)" in str(found)
    assert f"runs: forget the runs of {NAME} (nothing wants them)" in str(made(desired(), there(known(DUE))))


def test_a_service_that_became_a_job_is_stopped_and_takes_its_place() -> None:
    found = lines(there(known(DUE), seen(of=SAVE)))
    assert found == [f"container:{NAME}@aaaaaaaaaaaa: stop container {NAME} aaaaaaaaaaaa with SIGTERM (out of date)"]


def test_a_job_that_became_a_service_gets_a_container_of_its_own() -> None:
    service = replace(SAVE, schedule=None)
    over = run(Exited(code=0, at=4990.0, since=4981.0), DUE)
    found = printed(desired(service), there(known(DUE, begun(DUE, ended=4990.0, code=0)), over))
    assert f"runs: forget the runs of {NAME} (nothing wants them)" in found
    assert any(f"remove container {NAME} {at(DUE)[:12]}" in line for line in found)


# --- one-shot services -------------------------------------------------------------------------------------------

ONCE = container(service="migrate", restart=Restart())
OVER = Exited(code=0, at=4990.0, since=4981.0)


def had_its_run(of: Container = ONCE, code: int = 0) -> Ended:
    return Ended(
        name=of.name, app=of.app, spec=of.spec, revision=seen(of=of).revision, code=code, at=4990.0, since=4981.0
    )  # fmt: skip


@pytest.mark.parametrize("code", [0, 3])
def test_that_a_one_shot_service_ended_is_remembered(code: int) -> None:
    found = made(desired(ONCE), host(seen(replace(OVER, code=code), of=ONCE)))
    name = ONCE.name
    assert str(found) == f"ended:{name}: remember that {name} has had its run (it exited with code {code})"
    assert made(desired(ONCE), host(seen(OVER, of=ONCE), ended={name: had_its_run()})).converged


@pytest.mark.parametrize("state", [replace(OVER, code=143), replace(OVER, code=137, oom=True)])
def test_an_end_by_a_signal_is_not(state: Exited) -> None:
    assert made(desired(ONCE), host(seen(state, of=ONCE))).converged


def test_neither_is_that_of_a_server_nor_a_failure_that_is_tried_again() -> None:
    server = replace(ONCE, ports=(Port(target=80, published=8080),))
    assert "remember" not in str(made(desired(server), host(seen(OVER, of=server))))
    failing = replace(ONCE, restart=Restart(policy="on-failure"))
    assert "remember" not in str(made(desired(failing), host(seen(replace(OVER, code=1), of=failing))))
    assert "remember" in str(made(desired(failing), host(seen(OVER, of=failing))))


def test_without_its_container_it_does_not_run_again_until_it_changes() -> None:
    observed = host(ended={ONCE.name: had_its_run()})
    assert made(desired(ONCE), observed).converged
    changed = replace(ONCE, environment=(("V", "2"),))
    assert "create container" in str(made(desired(changed), observed))
    assert "waits for image" in str(made(desired(ONCE), replace(observed, images={}))), "nobody knows what it would be"


def test_who_depends_on_it_goes_by_what_is_remembered() -> None:
    app = container(depends_on=(Dependency(service="migrate", condition="service_completed_successfully"),))
    fine, failed = had_its_run(), had_its_run(code=3)
    assert "create container shop-web-1" in str(made(desired(ONCE, app), host(ended={ONCE.name: fine})))
    waits = made(desired(ONCE, app), host(ended={ONCE.name: failed})).waits
    assert [str(wait) for wait in waits] == ["container:shop-web-1: waits for service migrate to complete successfully"]
    content = replace(app, depends_on=(replace(app.depends_on[0], required=False),))
    assert "create container shop-web-1" in str(made(desired(ONCE, content), host(ended={ONCE.name: failed})))


def test_what_is_remembered_of_nobody_is_forgotten_and_of_what_is_held_is_not() -> None:
    observed = host(ended={ONCE.name: had_its_run()})
    assert f"runs: forget the runs of {ONCE.name} (nothing wants them)" in str(made(desired(), observed))
    assert "forget" not in str(made(desired(held={"shop": "cannot read it"}), observed))
