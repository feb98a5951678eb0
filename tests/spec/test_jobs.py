"""Jobs as they may be written: short and long forms, what they have of a service, and who depends on whom."""

from __future__ import annotations

import pytest

from reconciler.core.document import Service
from reconciler.core.expand import expand
from reconciler.core.jobs import Schedule
from reconciler.core.model import Restart, VolumeMount
from reconciler.core.resolve import resolve
from tests.spec.parsing import document

HEAD = "services:\n  db: {image: db}\njobs:\n  save:\n    image: saver\n    "
DAILY = "triggers: {schedule: ['@daily']}"


def job(fragment: str) -> Service:
    return document(HEAD + fragment + "\n").services[1]


@pytest.mark.parametrize(
    ("entry", "schedule"),
    [
        ("'*/10 * * * *'", Schedule(cron="*/10 * * * *")),
        ("{cron: '*/10 * * * *'}", Schedule(cron="*/10 * * * *")),
        ("{cron: '@daily', timezone: Europe/Berlin}", Schedule(cron="0 0 * * *", timezone="Europe/Berlin")),
        ("{cron: '0 3 * * MON-FRI', concurrency: queue}", Schedule(cron="0 3 * * MON-FRI", concurrency="queue")),
        ("{cron: '@hourly', missed_fires: skip}", Schedule(cron="0 * * * *", missed_fires="skip")),
        ("{cron: '@hourly', concurrency: queue, x-replace: true}", Schedule(cron="0 * * * *", concurrency="replace")),
        ("{cron: '@hourly', x-deadline: 90s}", Schedule(cron="0 * * * *", deadline=90.0)),
    ],
)
def test_a_schedule_in_every_form(entry: str, schedule: Schedule) -> None:
    assert job(f"triggers: {{schedule: [{entry}]}}").schedule == schedule


def test_how_many_ended_runs_stay() -> None:
    assert job(f"x-history: 7\n    {DAILY}").schedule == Schedule(cron="0 0 * * *", history=7)


def test_that_nobody_starts_it_by_hand_may_be_said() -> None:
    assert job("triggers: {manual: false, schedule: ['@daily']}").schedule


def test_it_has_what_a_service_has_but_a_life_of_its_own() -> None:
    found = job(
        f"command: [a, b]\n    environment: {{A: 1}}\n    volumes: ['/srv:/srv']\n    mem_limit: 8m\n    {DAILY}\n"
        "    depends_on: {db: {condition: service_healthy}}"
    )
    assert (found.command, found.environment) == (("a", "b"), (("A", "1"),))
    assert found.resources.memory == 8 * 1024 * 1024
    assert [(entry.service, entry.condition) for entry in found.depends_on] == [("db", "service_healthy")]
    assert (found.restart, found.replicas) == (Restart(), 1)
    assert str(found) == "job 'save'"


def test_a_spec_may_have_nothing_but_jobs() -> None:
    (found,) = document(f"jobs: {{save: {{image: saver, {DAILY}}}}}\n").services
    assert found.name == "save"


def test_it_has_one_container_in_the_apps_network_and_with_its_volumes() -> None:
    text = f"{HEAD}volumes: [data:/data]\n    {DAILY}\nvolumes: {{data: }}\n"
    found = resolve({"shop.yaml": document(text)}, frozenset())
    container = found.containers["shop-save-1"]
    assert container.schedule == Schedule(cron="0 0 * * *")
    assert [entry.network for entry in container.networks] == ["shop_default"]
    assert container.mounts == (VolumeMount(volume="shop_data", target="/data"),)
    assert found.containers["shop-db-1"].schedule is None


def problems(text: str) -> list[str]:
    return [str(problem) for problem in expand("shop.yaml", document(text)).problems]


def test_nothing_can_depend_on_a_job() -> None:
    why = "'save' is a job, which runs at its own times"
    assert problems(
        f"services: {{db: {{image: db, depends_on: [save]}}}}\njobs: {{save: {{image: a, {DAILY}}}}}\n"
    ) == [f"app.yaml:1:41: cannot use 'depends_on' of service 'db': {why}"]
    text = f"jobs:\n  save: {{image: a, {DAILY}}}\n  tidy: {{image: a, depends_on: [save], {DAILY}}}\n"
    assert problems(text) == [f"app.yaml:3:33: cannot use 'depends_on' of job 'tidy': {why}"]
    shared = f"jobs:\n  save: {{image: a, {DAILY}}}\n  tidy: {{image: a, network_mode: 'service:save', {DAILY}}}\n"
    assert problems(shared) == [f"app.yaml:3:34: cannot use 'network_mode' of job 'tidy': {why}"]


def test_what_it_depends_on_must_be_there() -> None:
    assert problems(f"jobs: {{save: {{image: a, depends_on: [web], {DAILY}}}}}\n") == [
        "app.yaml:1:38: cannot use 'depends_on' of job 'save': there is no service 'web' in this app"
    ]
