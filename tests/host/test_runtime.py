"""Containers from start to end, with real conmon and runc: runs, ends, stops, failures, and what is left behind."""

from __future__ import annotations

import json
import stat
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.core.model import Dead, Running
from reconciler.errors import HostError, UnfitError
from reconciler.host import refused, runs
from reconciler.host.observe.containers import ContainerReader
from reconciler.host.run import run
from reconciler.host.runtime import OciRuntime, parse_report
from tests.host.containers import TRAP, Host, container, hosting


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    with hosting(tmp_path) as made:
        yield made


pytestmark = [pytest.mark.root, pytest.mark.host]


def test_a_container_is_created_started_seen_ended_and_removed(host: Host) -> None:
    id = host.create(container("echo hello; exit 3"))
    assert host.state(id) == Dead()
    host.runtime.start(id, 0, 0)
    ended = host.wait(id)
    assert (ended.code, ended.oom, ended.stopped) == (3, False, False)
    assert host.log(id) == "hello\n"
    assert host.see(id).leftovers == (f"{id}-1",)
    host.runtime.clean(id)
    assert host.see(id).leftovers == ()
    assert host.state(id) == ended
    host.bundles.remove(id)
    assert host.reader.look(None) == {}
    assert [*host.settings.containers.iterdir()] == []
    assert [*(host.settings.run / "runs").iterdir()] == []
    assert [*(host.settings.run / "runtime").iterdir()] == []


def test_removal_and_cleaning_are_repeatable(host: Host) -> None:
    id = host.start(container("true"))
    host.wait(id)
    for _ in range(2):
        host.runtime.clean(id)
    for _ in range(2):
        host.bundles.remove(id)
    host.runtime.clean(id)
    host.runtime.stop(id, "SIGTERM")
    host.runtime.kill(id)


def test_what_is_seen_is_what_was_wanted(host: Host) -> None:
    wanted = container("exec sleep 1000", stop_signal="QUIT", stop_grace_period=2.5)
    id = host.create(wanted)
    host.runtime.start(id, 4, 2)
    seen = host.see(id)
    assert (seen.id, seen.name, seen.app, seen.service, seen.replica) == (id, "app-web-1", "app", "web", 1)
    assert (seen.spec, seen.revision, seen.image, seen.image_digest) == (
        "app.yaml",
        "r" * 64,
        "busybox",
        host.image.digest,
    )
    assert (seen.stop_signal, seen.stop_grace_period, seen.restart, seen.ports) == ("SIGQUIT", 2.5, wanted.restart, ())
    assert (seen.restarts, seen.failures, seen.damaged) == (4, 2, "")
    assert seen.command == wanted.entrypoint
    assert seen.mounted
    assert seen.connected
    assert seen.leftovers == ()
    assert isinstance(seen.state, Running)
    assert abs(time.time() - seen.state.since) < 60


def test_stop_signals_the_first_process_and_says_when(host: Host) -> None:
    id = host.start(container(TRAP))
    host.wait_for_log(id, "ready")
    running = host.state(id)
    assert isinstance(running, Running)
    assert running.stop_sent is None
    before = time.time()
    host.runtime.stop(id, "SIGTERM")
    stopping = host.state(id)
    if isinstance(stopping, Running):
        assert stopping.stop_sent is not None
        assert stopping.stop_sent >= before
    ended = host.wait(id)
    assert (ended.code, ended.stopped) == (7, True)


def test_a_stop_that_is_ignored_is_remembered_and_a_kill_is_not_ignored(host: Host) -> None:
    id = host.start(container("trap '' TERM; echo ready; while :; do sleep 1; done"))
    host.wait_for_log(id, "ready")
    host.runtime.stop(id, "SIGTERM")
    first = host.state(id)
    host.runtime.stop(id, "SIGTERM")
    assert host.state(id) == first
    fresh = ContainerReader(host.settings, host.cgroups)  # a daemon that was started again
    assert fresh.look(None)[id].state == first
    fresh.close()
    host.runtime.kill(id)
    assert host.wait(id).code == 137


def test_who_serves_in_its_place_is_noted_with_the_run(host: Host) -> None:
    id = host.start(container(TRAP))
    host.wait_for_log(id, "ready")
    for successor in ("b" * 64, "c" * 64):
        host.runtime.drain(id, successor)
        noted = host.reader.look(frozenset({id}))[id].draining
        assert noted is not None
        assert (noted.successor, noted.since <= time.time()) == (successor, True)
    host.runtime.kill(id)
    host.wait(id)
    host.runtime.start(id, 1, 0)
    assert host.reader.look(frozenset({id}))[id].draining is None


def test_a_new_run_starts_before_the_ended_one_is_cleaned(host: Host) -> None:
    id = host.create(container("echo run; [ -e /again ] && exec sleep 1000; touch /again; exit 1"))
    host.runtime.start(id, 0, 0)
    host.wait(id)
    host.runtime.start(id, 1, 1)
    seen = host.see(id)
    assert isinstance(seen.state, Running)
    assert (seen.restarts, seen.failures, seen.leftovers) == (1, 1, (f"{id}-1",))
    host.runtime.clean(id)
    seen = host.see(id)
    assert isinstance(seen.state, Running)
    assert seen.leftovers == ()
    host.wait_for_log(id, "run\nrun\n")
    assert not host.cgroups.folder(f"{id}-1", "pids").exists()
    assert host.cgroups.folder(f"{id}-2", "pids").exists()


def test_counts_outlive_the_run_folder(host: Host) -> None:
    id = host.create(container("true"))
    host.runtime.start(id, 5, 3)
    host.wait(id)
    host.runtime.clean(id)
    run(["rm", "-r", str(host.settings.run / "runs")])
    seen = host.see(id)
    assert (seen.state, seen.restarts, seen.failures) == (Dead(), 5, 3)
    host.runtime.start(id, 6, 4)
    assert [path.name for path in (host.settings.run / "runs").iterdir()] == [f"{id}-2"]


def test_a_second_start_is_refused(host: Host) -> None:
    id = host.start(container())
    with pytest.raises(HostError, match="it runs as process"):
        host.runtime.start(id, 0, 0)
    assert isinstance(host.state(id), Running)


def test_starts_at_the_same_time_make_one_run(host: Host) -> None:
    id = host.create(container())
    failed: list[HostError] = []

    def start() -> None:
        try:
            host.runtime.start(id, 0, 0)
        except HostError as error:
            failed.append(error)

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(failed) == 3
    assert [path.name for path in (host.settings.run / "runs").iterdir()] == [f"{id}-1"]


# --- failures ----------------------------------------------------------------------------------------------------


def test_a_program_that_is_not_there_is_said_and_leaves_nothing(host: Host) -> None:
    id = host.create(container(entrypoint=("/bin/nothing",)))
    with pytest.raises(HostError, match=r"cannot start container .*/bin/nothing.*no such file"):
        host.runtime.start(id, 0, 0)
    assert host.state(id) == Dead()
    assert host.see(id).leftovers == ()
    assert [*(host.settings.run / "runs").iterdir()] == []
    assert [*(host.settings.run / "runtime").iterdir()] == []
    ((revision, why),) = refused.read(host.settings).items()
    assert revision == host.see(id).revision
    assert "/bin/nothing" in why


def test_a_start_that_goes_well_takes_a_refusal_back(host: Host) -> None:
    id = host.create(container())
    refused.note(host.settings, host.see(id).revision, "no such program")
    host.runtime.start(id, 0, 0)
    assert not refused.read(host.settings)


def _fake(tmp_path: Path, name: str, script: str) -> str:
    path = tmp_path / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("exit 127", "cannot start container"),
        ("kill -SEGV $$", "cannot start container"),
        ("echo garbage; echo no such luck >&2; exit 1", "no such luck"),
        ("exit 0", "cannot start container"),
    ],
)
def test_a_runtime_that_fails_is_one_sentence(host: Host, tmp_path: Path, script: str, why: str) -> None:
    fake = replace(host.settings, runtime=_fake(tmp_path, "fake", script))
    id = host.create(container())
    with pytest.raises(HostError, match=why):
        OciRuntime(fake, host.cgroups).start(id, 0, 0)
    assert host.state(id) == Dead()
    assert [*(host.settings.run / "runs").iterdir()] == []
    host.runtime.start(id, 0, 0)
    assert isinstance(host.state(id), Running)


def test_a_runtime_without_the_start_fifo_is_asked_to_start(host: Host, tmp_path: Path) -> None:
    script = 'case "$*" in *--version*) echo "other version 9";; *) exec runc "$@";; esac'
    other = replace(host.settings, runtime=_fake(tmp_path, "other", script))
    id = host.create(container())
    OciRuntime(other, host.cgroups).start(id, 0, 0)
    assert isinstance(host.state(id), Running)


def test_missing_programs_are_said(host: Host) -> None:
    id = host.create(container())
    for settings in (replace(host.settings, runtime="no-runtime"), replace(host.settings, monitor="no-monitor")):
        with pytest.raises(HostError, match="cannot run no-"):
            OciRuntime(settings, host.cgroups).start(id, 0, 0)
    assert host.state(id) == Dead()


@pytest.mark.parametrize(
    ("report", "why"),
    [
        (b'{"data": -1, "message": "first\\nlast words\\n"}\n', "last words$"),
        (b'{"data": -1}\n', "status -1$"),
        (b'{"data": -1, "message": " \\n"}\n', "status -1$"),
        (rb'{"data": -1, "message": "time=\"now\" level=error msg=\"no \\\"x\\\"\"\n"}', ': no "x"$'),
        (b"", "gave up without a word"),
        (b"[]", "gave up without a word"),
        (b'{"data": "x"}', "gave up without a word"),
    ],
)
def test_what_the_monitor_reports(report: bytes, why: str) -> None:
    with pytest.raises(HostError, match=why):
        parse_report(report, "0" * 64)
    assert parse_report(b'{"data": 7}\n', "") == 7


@pytest.mark.parametrize(
    ("why", "unfit"),
    [
        ('runc create failed: unable to start container process: exec: "x": executable file not found in $PATH', True),
        ('runc create failed: unable to start container process: exec: "/x": permission denied', True),
        ("executable file `x` not found in $PATH: No such file or directory", True),
        ('error mounting "/a" to rootfs at "/b": not a directory', True),
        ("mount `/a` to `/b`: Not a directory", True),
        ("chdir to cwd failed: no such file or directory", True),
        ('error mounting "/a" to rootfs at "/b": no space left on device', False),
        ('exec: "x": fork/exec: cannot allocate memory', False),
        ("unable to apply cgroup configuration: mkdir /sys/fs/cgroup/x: device or resource busy", False),
        ("status -1", False),
    ],
)
def test_whose_fault_a_failed_start_is(why: str, unfit: bool) -> None:
    with pytest.raises(HostError) as raised:
        parse_report(json.dumps({"data": -1, "message": why}).encode(), "0" * 64)
    assert isinstance(raised.value, UnfitError) == unfit


# --- who else can see what ---------------------------------------------------------------------------------------


def test_files_are_root_s_alone(host: Host) -> None:
    id = host.start(container())
    for path in (
        *(host.settings.containers, host.settings.containers / id),
        *(host.settings.run / "runs", host.settings.run / "runs" / f"{id}-1", host.settings.run / "runtime"),
    ):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700, path
    for path in (host.settings.containers / id / "config.json", host.settings.run / "runs" / f"{id}-1" / "config.json"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


def test_a_monitor_is_not_in_the_container_s_cgroup(host: Host) -> None:
    id = host.start(container())
    seen = runs.read(host.settings.run / "runs" / f"{id}-1")
    assert seen is not None
    groups = Path(f"/proc/{seen.monitor.pid}/cgroup").read_text()
    assert id not in groups
    assert f"/{host.settings.instance}/monitors" in groups
    assert f"/{host.settings.instance}/{id}-1" in Path(f"/proc/{seen.init.pid}/cgroup").read_text()


def test_the_runtime_s_bundle_is_valid_json_of_this_run(host: Host) -> None:
    id = host.start(container())
    document = json.loads((host.settings.run / "runs" / f"{id}-1" / "config.json").read_text())
    assert document["linux"]["cgroupsPath"] == host.cgroups.path(f"{id}-1")
    assert document["annotations"]["io.reconciler.id"] == id
