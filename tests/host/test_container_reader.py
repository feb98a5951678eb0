"""What the reader of containers must not mistake: ends that nobody saw, other processes, reboots, damaged records."""

from __future__ import annotations

import errno
import os
import shutil
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.core.model import Created, Dead, Exited, Running, SeenContainer
from reconciler.errors import HostError
from reconciler.host import runs
from reconciler.host.observe.containers import UNKNOWN_EXIT, ContainerReader
from reconciler.host.run import run
from reconciler.host.runtime import OciRuntime
from tests.host.containers import TRAP, Host, container, hosting, until

pytestmark = [pytest.mark.root, pytest.mark.host]


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    with hosting(tmp_path) as made:
        yield made


def test_a_container_that_was_created_and_not_started_is_seen_as_such(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    id = host.create(container())
    with monkeypatch.context() as patch:
        patch.setattr(OciRuntime, "_release", lambda *_: None)
        host.runtime.start(id, 0, 0)
    assert isinstance(host.state(id), Created)
    host.runtime.kill(id)
    host.wait(id)


def test_a_monitor_that_is_gone_is_noticed(host: Host) -> None:
    id = host.start(container("while :; do sleep 0.1; done"))
    assert host.state(id) == replace_monitored(host.state(id), True)
    (monitor,) = [runs.read(path).monitor.pid for path in (host.settings.run / "runs").iterdir()]  # type: ignore[union-attr]
    os.kill(monitor, signal.SIGKILL)
    until(lambda: host.state(id) == replace_monitored(host.state(id), False))
    assert id not in host.reader.monitors().values()
    host.runtime.kill(id)
    until(lambda: isinstance(host.state(id), Exited))
    assert host.wait(id).code == UNKNOWN_EXIT


def test_a_kill_without_a_monitor_is_over_when_it_returns(host: Host) -> None:
    id = host.start(container())
    seen = runs.read(host.settings.run / "runs" / f"{id}-1")
    assert seen is not None
    os.kill(seen.monitor.pid, signal.SIGKILL)
    until(lambda: not runs.lives(seen.monitor))
    host.runtime.kill(id)
    assert not runs.lives(seen.init)


def replace_monitored(state: object, monitored: bool) -> object:
    assert isinstance(state, Running)
    return replace(state, monitored=monitored)


def test_monitors_can_be_waited_for_and_are_given_back(host: Host) -> None:
    before = len(os.listdir("/proc/self/fd"))
    ids = [host.start(container()) for _ in range(3)]
    host.reader.look(None)
    assert sorted(host.reader.monitors().values()) == sorted(ids)
    for id in ids:
        host.runtime.kill(id)
        host.wait(id)
    assert host.reader.monitors() == {}
    assert len(os.listdir("/proc/self/fd")) == before


def test_another_process_with_the_same_number_is_not_signalled(host: Host) -> None:
    id = host.start(container())
    folder = host.settings.run / "runs" / f"{id}-1"
    seen = runs.read(folder)
    assert seen is not None
    own = runs.identify(os.getpid())
    assert own is not None
    runs.write(folder, replace(seen, init=runs.Process(own.pid, own.ticks - 1)))
    host.runtime.kill(id)
    host.runtime.stop(id, "SIGTERM")
    runs.write(folder, seen)
    host.runtime.kill(id)
    host.wait(id)


def test_an_end_while_nobody_looked_is_known_afterwards(host: Host) -> None:
    id = host.start(container(TRAP))
    host.wait_for_log(id, "ready")
    host.reader.close()
    host.runtime.stop(id, "SIGTERM")
    until((host.settings.run / "runs" / f"{id}-1" / "exit").exists)
    fresh = ContainerReader(host.settings, host.cgroups)
    ended = fresh.look(None)[id].state
    assert isinstance(ended, Exited)
    assert (ended.code, ended.stopped) == (7, True)


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"annotations": {}}', '{"annotations": null}'])
def test_a_damaged_record_is_said_and_harms_no_other(host: Host, damage: str) -> None:
    good, bad = host.start(container()), host.create(container())
    path = host.settings.containers / bad / "config.json"
    path.write_text(damage)
    seen = host.reader.look(None)
    assert seen[bad].damaged.startswith(f"cannot read {path}: ")
    assert isinstance(seen[good].state, Running)
    path.unlink()
    assert "No such file" in host.see(bad).damaged
    host.bundles.remove(bad)
    assert [*host.reader.look(None)] == [good]


@pytest.mark.parametrize("lost", ["config.json", ""])
def test_what_runs_is_known_without_its_record_and_can_be_stopped(host: Host, lost: str) -> None:
    id = host.start(container())
    run(["umount", "-l", str(host.settings.containers / id / "rootfs")])
    gone = host.settings.containers / id / lost
    gone.unlink() if lost else shutil.rmtree(gone)
    fresh = ContainerReader(host.settings, host.cgroups)
    seen = fresh.look(None)[id]
    fresh.close()
    assert (seen.name, seen.app, seen.damaged) == ("app-web-1", "app", "")
    assert isinstance(seen.state, Running)
    host.runtime.kill(id)
    ended = host.see(id)
    assert isinstance(ended.state, Exited)
    assert "No such file" in ended.damaged
    host.runtime.clean(id)
    host.bundles.remove(id)
    assert id not in host.reader.look(None)


def test_what_runs_without_any_record_can_still_be_stopped(host: Host) -> None:
    id = host.start(container())
    for path in (host.settings.containers / id, host.settings.run / "runs" / f"{id}-1"):
        (path / "config.json").write_text("{")
    seen = host.see(id)
    assert seen.damaged
    assert isinstance(seen.state, Running)


def test_a_run_that_cannot_be_read_is_no_absence(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    id = host.start(container())

    def full(path: Path) -> str:
        raise OSError(errno.EMFILE, "Too many open files", str(path))

    monkeypatch.setattr(Path, "read_text", full)
    with pytest.raises(OSError, match="Too many"):
        runs.read(host.settings.run / "runs" / f"{id}-1")


def test_only_what_is_named_is_read_again(host: Host) -> None:
    id = host.start(container("true"))
    host.state(id)
    until((host.settings.run / "runs" / f"{id}-1" / "exit").exists)
    assert isinstance(host.reader.look(frozenset())[id].state, Running | Exited)
    other = host.create(container())
    assert {*host.reader.look(frozenset())} == {id, other}
    assert isinstance(host.reader.look(frozenset({id}))[id].state, Exited)


def test_what_did_not_change_is_not_read_again(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    running, ended = host.start(container()), host.start(container("true"))
    host.wait(ended)
    before = host.reader.look(None)
    again: list[str] = []
    read = ContainerReader._read

    def counting(self: ContainerReader, id: str, numbers: list[int], mounted: frozenset[str]) -> SeenContainer:
        again.append(id)
        return read(self, id, numbers, mounted)

    monkeypatch.setattr(ContainerReader, "_read", counting)
    assert host.reader.look(None) == before
    assert again == []
    host.runtime.clean(ended)
    assert host.reader.look(None)[ended].leftovers == ()
    assert again == [ended]
    host.runtime.stop(running, "SIGWINCH")
    state = host.reader.look(None)[running].state
    assert isinstance(state, Running)
    assert state.stop_sent is not None
    run(["umount", str(host.settings.run / "netns" / running)])
    assert not host.reader.look(None)[running].connected


def test_a_reboot_leaves_a_dead_container_that_starts_again(host: Host) -> None:
    id = host.start(container("cat /kept 2>/dev/null; echo kept > /kept; exec sleep 1000"))
    until((host.settings.containers / id / "upper" / "kept").exists)
    host.runtime.kill(id)
    host.wait(id)
    host.runtime.clean(id)
    run(["umount", str(host.settings.containers / id / "rootfs")])
    run(["umount", str(host.settings.run / "netns" / id)])
    run(["rm", "-r", str(host.settings.run)])
    seen = host.see(id)
    assert (seen.state, seen.mounted, seen.connected) == (Dead(), False, False)
    host.bundles.mount(id)
    host.pin(id)
    host.runtime.start(id, 1, 0)
    host.wait_for_log(id, "kept")
    seen = host.see(id)
    assert (seen.mounted, seen.connected, seen.restarts) == (True, True, 1)


def test_a_root_that_is_not_mounted_is_not_started(host: Host) -> None:
    id = host.create(container())
    run(["umount", str(host.settings.containers / id / "rootfs")])
    with pytest.raises(HostError, match="cannot start container"):
        host.runtime.start(id, 0, 0)
