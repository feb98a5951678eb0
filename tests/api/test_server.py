"""The socket as a file, and the life of its server."""

from __future__ import annotations

import grp
import json
import os
import socket
import stat
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.api.server import listen, serve
from reconciler.core.status import Event
from reconciler.errors import HostError
from reconciler.settings import Settings
from tests.api.conftest import Api, connect
from tests.api.feed import NOW, SNAPSHOT, FakeFeed
from tests.api.test_protocol import until


def test_the_socket_is_for_its_owner_and_group(api: Api) -> None:
    mode = api.path.stat().st_mode
    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o660


@pytest.mark.root
def test_the_group_of_the_settings_may_read(settings: Settings) -> None:
    group = next(entry for entry in grp.getgrall() if entry.gr_gid)
    with listen(settings.socket, group.gr_name):
        assert settings.socket.stat().st_gid == group.gr_gid


def test_the_umask_does_not_matter_and_is_left_alone(settings: Settings) -> None:
    before = os.umask(0)
    try:
        with listen(settings.socket, ""):
            assert stat.S_IMODE(settings.socket.stat().st_mode) == 0o660
            assert os.umask(0) == 0
    finally:
        os.umask(before)


def test_a_stale_socket_is_replaced(settings: Settings) -> None:
    listen(settings.socket, "").close()
    assert settings.socket.exists()
    with listen(settings.socket, ""), connect(settings.socket):
        pass


def test_a_socket_that_answers_is_not(settings: Settings, api: Api) -> None:
    with pytest.raises(HostError, match=r"cannot listen on .*: another daemon answers there"):
        serve(api.feed, settings).start()
    assert api.client().ask("/healthz").status == 200


def test_what_is_no_socket_is_not_touched(settings: Settings) -> None:
    settings.socket.parent.mkdir()
    settings.socket.write_text("precious")
    with pytest.raises(HostError, match="no socket is in the way"):
        listen(settings.socket, "")
    assert settings.socket.read_text() == "precious"


def test_a_path_that_is_too_long_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(HostError, match=r"cannot listen on .*too long"):
        listen(tmp_path / ("x" * 120) / "status.sock", "")


def test_stop_takes_the_socket_away_and_can_be_repeated(settings: Settings) -> None:
    server = serve(FakeFeed(SNAPSHOT), settings)
    server.stop()
    server.start()
    server.stop()
    server.stop()
    assert list(settings.run.iterdir()) == []
    assert "api" not in [thread.name for thread in threading.enumerate()]


def test_stop_leaves_the_socket_of_a_successor(settings: Settings, api: Api) -> None:
    api.path.unlink()
    with listen(settings.socket, ""):
        api.server.stop()
        assert settings.socket.exists()


def test_stop_ends_streams(settings: Settings) -> None:
    feed = FakeFeed(SNAPSHOT)
    server = serve(feed, settings)
    server.start()
    with connect(settings.socket) as following:
        following.sendall(b"GET /v1/events?follow=1 HTTP/1.0\r\n\r\n")
        until(lambda: bool(feed.rings))
        server.stop()
        answer = b"".join(iter(lambda: following.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert feed.rings == []


def test_an_idle_server_sleeps(api: Api) -> None:
    assert api.client().ask("/_ping").status == 200
    before = _switches()
    threading.Event().wait(0.5)
    assert _switches() - before <= 2  # uvicorn's own loop would have woken five times


def _switches() -> int:
    for task in Path("/proc/self/task").iterdir():
        if (task / "comm").read_text().strip() == "api" or _is_api(int(task.name)):
            text = (task / "status").read_text()
            return int(text.partition("\nvoluntary_ctxt_switches:")[2].split()[0])
    raise AssertionError("there is no thread of the server")


def _is_api(native: int) -> bool:
    return any(thread.name == "api" and thread.native_id == native for thread in threading.enumerate())


def test_health_status_and_plan_say_what_the_snapshot_says(api: Api) -> None:
    health = json.loads(api.client().ask("/healthz").read())
    assert health == {"alive": True, "converged": False, "generation": 7, "at": NOW}
    status = json.loads(api.client().ask("/v1/status").read())
    assert {entry["name"]: entry["state"] for entry in status["containers"]} == {
        "shop-web-1": "running",
        "shop-lone-1": "running",
        "shop-done3-1": "exited",
        "shop-worker-1": "exited",
        "shop-fresh-1": "created",
        "shop-lost-1": "missing",
    }
    assert status["apps"] == ["bad", "shop"]
    plan = json.loads(api.client().ask("/v1/plan").read())
    assert plan["text"] == str(SNAPSHOT.plan).splitlines()
    assert plan["tasks"][0]["steps"] == [{"kind": "StartContainer", "text": "start container shop-lost-1 aaaaaaaaaaaa"}]
    assert plan["waits"] == [
        {
            "key": "container:shop-worker-1",
            "code": "crash-loop",
            "reason": "it ended 3 times in a row",
            "until": NOW + 8,
        }
    ]


def test_the_newest_snapshot_is_answered(api: Api) -> None:
    api.feed.snapshot = replace(SNAPSHOT, generation=8)
    assert json.loads(api.client().ask("/healthz").read())["generation"] == 8


def test_the_same_question_is_rendered_once_and_never_stale(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reconciler.api.app.time.time", lambda: NOW)
    client = api.client()
    first = client.ask("/containers/json").read()
    monkeypatch.setattr("reconciler.api.app.encode", lambda _: b"rendered again")
    assert client.ask("/containers/json").read() == first
    monkeypatch.undo()
    monkeypatch.setattr("reconciler.api.app.time.time", lambda: NOW)
    assert len(client.ask("/containers/json?all=1").read()) > len(first)
    for limit in range(1, 6):
        assert len(json.loads(client.ask(f"/containers/json?limit={limit}").read())) == limit
    api.feed.snapshot = replace(SNAPSHOT, observed=replace(SNAPSHOT.observed, containers={}))
    assert client.ask("/containers/json").read() == b"[]\n"
    assert client.ask("/containers/shop-web-1/json").status == 404


def test_events_after_a_sequence(api: Api) -> None:
    lines = api.client().ask("/v1/events?after=2").read().splitlines()
    assert [json.loads(line)["sequence"] for line in lines] == [3, 4]
    assert json.loads(lines[0])["attributes"] == {"exitCode": "3"}


def test_events_are_followed(api: Api) -> None:
    response = api.client().ask("/v1/events?after=3&follow=1")
    assert json.loads(response.readline())["sequence"] == 4
    api.feed.happen(Event(sequence=5, at=NOW, kind="daemon", name="daemon", action="converged"))
    assert json.loads(response.readline())["action"] == "converged"


def test_docker_events_are_followed_from_now_on_and_filtered(api: Api) -> None:
    response = api.client().ask('/v1.44/events?filters={"type":["container"]}')
    until(lambda: bool(api.feed.rings))
    web = next(iter(SNAPSHOT.observed.containers.values()))
    api.feed.happen(Event(sequence=5, at=NOW, kind="image", name="x", action="pulled"))
    api.feed.happen(Event(sequence=6, at=NOW, kind="container", name=web.name, action="stopping", container=web.id))
    event = json.loads(response.readline())
    assert (event["Type"], event["Action"], event["id"], event["from"]) == ("container", "kill", web.id, web.image)
    assert event["Actor"]["Attributes"]["com.docker.compose.project"] == "shop"


def test_docker_events_end_at_until(api: Api) -> None:
    response = api.client().ask(f"/events?since={NOW - 470}&until={NOW}")
    assert [json.loads(line)["Action"] for line in response.read().splitlines()] == ["die"]


def test_a_socket_nobody_listens_on_is_unreachable(settings: Settings) -> None:
    listen(settings.socket, "").close()
    with socket.socket(socket.AF_UNIX) as probe, pytest.raises(ConnectionRefusedError):
        probe.connect(str(settings.socket))
