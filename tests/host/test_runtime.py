"""Containers from start to end, with real conmon and runc."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.core.model import Dead, Exited, Running
from tests.host.containers import Host, container, hosting

pytestmark = [pytest.mark.root, pytest.mark.host]


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    with hosting(tmp_path) as made:
        yield made


def test_a_container_is_created_started_seen_ended_and_removed(host: Host) -> None:
    id = host.create(container("echo hello; read line; exit 3"))
    assert host.state(id) == Dead()
    host.runtime.start(id, 0, 0)
    ended = host.wait(id)
    assert ended.code == 3
    assert host.log(id) == "hello\n"
    assert host.see(id).leftovers == (f"{id}-1",)
    host.runtime.clean(id)
    assert host.see(id).leftovers == ()
    assert isinstance(host.state(id), Exited)
    host.bundles.remove(id)
    assert host.reader.look(None) == {}


def test_stop_signals_the_first_process_and_says_so(host: Host) -> None:
    id = host.start(container("trap 'exit 7' TERM; echo ready; while :; do sleep 0.05; done"))
    host.wait_for_log(id, "ready")
    running = host.state(id)
    assert isinstance(running, Running)
    assert running.stop_sent is None
    host.runtime.stop(id, "SIGTERM")
    ended = host.wait(id)
    assert (ended.code, ended.stopped) == (7, True)
