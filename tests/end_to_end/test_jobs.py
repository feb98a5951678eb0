"""Jobs and one-shot services with real containers: what runs survives the daemon, what ran survives a reboot."""

from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.host import Host

pytestmark = [pytest.mark.root, pytest.mark.host]

# A run writes a line and ends with the number that it is told.
YEARLY = """
jobs:
  save:
    image: ${REGISTRY}/sleeper:1
    command: ["sh", "-c", "echo begun >> /out/runs; echo told; read code < /out/go; exit $$code"]
    volumes: ["OUT:/out"]
    triggers: {schedule: [{cron: "@yearly", timezone: Europe/Berlin, concurrency: queue}]}
"""
ONCE = """
services:
  migrate:
    image: ${REGISTRY}/sleeper:1
    restart: "no"
    command: ["sh", "-c", "echo VERSION >> /out/runs; exit CODE"]
    volumes: ["OUT:/out"]
  app:
    image: ${REGISTRY}/sleeper:1
    restart: always
    command: sleep 1000
    depends_on: {migrate: {condition: service_completed_successfully}}
"""


@pytest.fixture
def out(host: Host) -> Path:
    """A folder of the machine that its containers write to."""
    folder = host.machine.disk / "out"
    folder.mkdir()
    os.mkfifo(folder / "go")
    return folder


def runs(out: Path) -> list[str]:
    return (out / "runs").read_text().split() if (out / "runs").exists() else []


def job(host: Host) -> dict[str, Any]:
    (found,) = host.ask("/v1/status")["jobs"]
    assert isinstance(found, dict)
    return found


def forget_the_year(host: Host) -> None:
    """As if the daemon had been away over the last New Year."""
    (path,) = (host.machine.state / "jobs").glob("*.json")
    path.write_text(json.dumps({**json.loads(path.read_text()), "after": 0.0}))


@pytest.fixture
def missed(host: Host, out: Path) -> Host:
    """A machine whose job missed its time, and runs now."""
    host.write("year.yaml", YEARLY.replace("OUT", str(out)))
    host.start()
    host.until(lambda: job(host)["said"].endswith("00:00 Europe/Berlin; it has not run yet"), "the job is known")
    host.until_converged()
    host.end()
    forget_the_year(host)
    host.start()
    host.until(lambda: runs(out) == ["begun"], "the missed time is made up for")
    return host


def tell(out: Path, code: int) -> None:
    """Have the run end."""
    (out / "go").write_text(f"{code}\n")


def test_a_run_survives_the_daemon_and_is_told_for_ever(missed: Host, out: Path) -> None:
    before = missed.pids()
    missed.end(signal.SIGKILL)
    missed.start()
    missed.until_converged("year-save-1")
    assert missed.pids() == before
    assert job(missed)["running"]
    tell(out, 3)
    missed.until(lambda: job(missed)["exit_code"] == 3, "its end is told")
    missed.until_converged()
    assert "last run ended with 3 at " in job(missed)["said"]
    assert "job year-save-1: next run at " in missed.reconciler("status")
    last = job(missed)["runs"][-1]
    log = missed.machine.state / "containers" / last["id"] / "log" / "container.log"
    assert log.read_text().endswith("told\n")
    missed.reboot()
    missed.until_converged()
    assert job(missed)["runs"][-1] == last
    assert runs(out) == ["begun"], "no time is run twice"


def test_a_run_that_the_power_cut_interrupted_is_told_and_not_done_again(missed: Host, out: Path) -> None:
    missed.reboot()
    missed.until(lambda: "interrupted by a restart of the host" in job(missed)["said"], "it is told")
    missed.until_converged()
    assert runs(out) == ["begun"]


def test_a_broken_spec_and_a_lost_file_leave_a_run_alone(missed: Host, out: Path) -> None:
    before = missed.pids()
    missed.write("year.yaml", YEARLY.replace("OUT", str(out)).replace("@yearly", "60 * * * *"))
    broken = (
        "year.yaml:7:34: cannot use 'triggers.schedule[0].cron' of job 'save': '60 * * * *' is no cron expression: "
    )
    missed.until(lambda: broken in missed.ask("/v1/status")["troubles"][0]["message"], "the mistake is told")
    missed.end()
    shutil.rmtree(missed.machine.state / "jobs")
    missed.start()
    missed.write("year.yaml", YEARLY.replace("OUT", str(out)))
    missed.until(lambda: job(missed)["running"], "the run is known again")
    missed.until_converged("year-save-1")
    assert missed.pids() == before
    tell(out, 0)
    missed.until(lambda: job(missed)["exit_code"] == 0, "its end is told")
    assert runs(out) == ["begun"]


def test_a_daemon_that_is_killed_while_it_starts_runs_starts_each_once(host: Host, out: Path) -> None:
    """Whenever exactly it dies: `core.test_job_properties` kills it between any two steps."""
    quick = YEARLY.replace("OUT", str(out)).replace("read code < /out/go; exit $$code", "true")
    host.write("year.yaml", quick)
    host.start()
    host.until(lambda: job(host)["said"].endswith("it has not run yet"), "the job is known")
    for month in range(1, 6):
        _killed(host, out, quick, month)


def _killed(host: Host, out: Path, spec: str, month: int) -> None:
    host.write("year.yaml", spec.replace("@yearly", f"0 0 1 {month} *"))
    host.until(lambda: job(host)["schedule"] == f"0 0 1 {month} *", "its schedule is another one")
    host.until_converged()
    host.end()
    forget_the_year(host)
    host.start()
    host.end(signal.SIGKILL)
    host.start()
    host.until(lambda: len(runs(out)) >= month, "its time is made up for")
    host.until_converged()
    assert len(runs(out)) == month


def once(out: Path, version: int, code: int = 0) -> str:
    return ONCE.replace("OUT", str(out)).replace("VERSION", str(version)).replace("CODE", str(code))


def states(host: Host) -> dict[str, str]:
    return {name: entry["state"] for name, entry in host.containers().items()}


def settled(host: Host) -> bool:
    wanted = {"once-migrate-1": "exited", "once-app-1": "running"}
    return states(host) == wanted and bool(host.ask("/v1/status")["converged"])


def test_a_one_shot_service_runs_once_for_each_revision(host: Host, out: Path) -> None:
    host.write("once.yaml", once(out, 1))
    host.start()
    host.until(lambda: settled(host), "it has run, and who depends on it runs")
    host.reboot()
    host.until(lambda: settled(host), "who depends on it goes by what is remembered")
    assert runs(out) == ["1"]
    (record,) = [Path(host.machine.state / "containers" / host.containers()["once-migrate-1"]["id"])]
    host.end()
    host.machine.inside.run("umount", str(record / "rootfs"), code=32)
    shutil.rmtree(record)
    host.reboot()
    host.until(lambda: settled(host), "also without its container")
    assert runs(out) == ["1"]
    host.write("once.yaml", once(out, 2))
    host.until(lambda: runs(out) == ["1", "2"], "it runs when it changes")
    host.until(lambda: settled(host), "and once")
    assert runs(out) == ["1", "2"]
