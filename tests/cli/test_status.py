"""`status` against a real socket: what it prints, and which number it ends with."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from reconciler.__main__ import main
from reconciler.cli import render
from reconciler.cli.status import UnreachableError, ask, lines
from reconciler.core import model
from reconciler.core.jobs import Schedule
from reconciler.core.progress import LayerProgress, Progress
from reconciler.core.status import Event, project
from reconciler.core.steps import Plan
from tests.api.conftest import Api
from tests.api.feed import CONTAINERS, NOW, SNAPSHOT
from tests.api.test_protocol import until
from tests.core.worlds import container, desired

Capture = pytest.CaptureFixture[str]

CALM = replace(SNAPSHOT, plan=Plan(), outcomes={}, desired=model.Desired())


def status(api: Api, *words: str) -> int:
    return main(["status", "--run-directory", str(api.path.parent), *words])


def test_not_converged_is_4_with_every_reason(api: Api, capsys: Capture) -> None:
    assert status(api) == 4
    printed = capsys.readouterr()
    assert printed.err == ""
    assert "\x1b" not in printed.out
    rows = {line.split()[0]: line for line in printed.out.splitlines()}
    assert "running" in rows["shop-web-1"]
    assert "127.0.0.1:18081->80/tcp" in rows["shop-web-1"]
    assert "exited (3)" in rows["shop-done3-1"]
    assert rows["shop-worker-1"].endswith("it ended 3 times in a row")
    assert rows["image:x:"] == "image:x: cannot pull image x: the registry is away"
    assert printed.out.endswith("2 of 6 containers run, in 2 apps: not converged yet\n")


def test_converged_is_0(api: Api, capsys: Capture) -> None:
    api.feed.snapshot = CALM
    assert status(api) == 0
    assert capsys.readouterr().out.endswith(": converged\n")


def test_a_job_has_a_line_with_its_next_run(api: Api, capsys: Capture) -> None:
    job = container(service="save", schedule=Schedule(cron="0 0 1 1 *"))
    api.feed.snapshot = replace(CALM, desired=desired(job))
    assert status(api) == 0
    line = "job shop-save-1: next run at 2027-01-01 00:00 UTC; it has not run yet"
    assert line in capsys.readouterr().out.splitlines()


def test_json_is_the_answer_of_the_daemon(api: Api, capsys: Capture) -> None:
    assert status(api, "--json") == 4
    assert json.loads(capsys.readouterr().out) == json.loads(api.client().ask("/v1/status").read())


def test_an_empty_host_has_no_table(api: Api, capsys: Capture) -> None:
    api.feed.snapshot = replace(CALM, observed=model.Observed())
    assert status(api) == 0
    assert capsys.readouterr().out == "0 of 0 containers run, in 0 apps: converged\n"


def test_no_daemon_is_5_and_one_sentence(tmp_path: Path, capsys: Capture) -> None:
    assert main(["status", "--run-directory", str(tmp_path)]) == 5
    expected = f"cannot reach the daemon at {tmp_path}/status.sock: none runs there; start it with `reconciler run`\n"
    assert capsys.readouterr().err == expected


def test_a_dead_daemon_is_5(tmp_path: Path, capsys: Capture) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "status.sock"))
    assert main(["status", "--run-directory", str(tmp_path)]) == 5
    assert "none runs there" in capsys.readouterr().err


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"SSH-2.0-OpenSSH\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n[]",
        b"HTTP/1.1 500 No\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\n\r\n{",
    ],
)
def test_what_is_no_daemon_is_said_so(tmp_path: Path, answer: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen()

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(UnreachableError, match="cannot understand the daemon"):
            ask(tmp_path / "s", "/v1/status")
        thread.join()


def answer(**changes: object) -> dict[str, Any]:
    from reconciler.api.question import encode

    found: dict[str, Any] = json.loads(encode(project(replace(SNAPSHOT, **changes))))  # type: ignore[arg-type]
    return found


def test_times_are_short() -> None:
    rows = {line.split()[0]: line.split() for line in lines(answer(), NOW, colours=False)}
    assert rows["shop-web-1"][2] == "8m"
    assert rows["shop-lone-1"][2] == "60m"
    assert rows["shop-worker-1"][3] == "5s"


def test_pulls_show_how_far_they_are() -> None:
    layers = (
        LayerProgress(f"sha256:{'a' * 64}", 8_000_000, 8_000_000),
        LayerProgress(f"sha256:{'b' * 64}", 4_000_000, 20_000_000, 2e6),
        LayerProgress(f"sha256:{'c' * 64}", 0, 20_000_000),
    )
    redis = Progress("docker.io/library/redis:7", 12_000_000, 48_000_000, 3e6, layers)
    text = lines(answer(progress={"redis": redis, "x": Progress("x", 0, 0)}), NOW, colours=False)
    first = text.index("pulling docker.io/library/redis:7: 25 % of 48.0 MB, 3.0 MB/s, 12s left, 1 of 3 layers")
    assert text[first + 1 : first + 3] == ["  layer bbbbbbbbbbbb: 4.0 MB of 20.0 MB, 2.0 MB/s", "pulling x: begins"]


def test_when_it_is_tried_again_is_told() -> None:
    outcome = replace(SNAPSHOT.outcomes["image:x"], retry_at=NOW + 12)
    text = lines(answer(outcomes={"image:x": outcome}), NOW, colours=False)
    assert "image:x: cannot pull image x: the registry is away (again in 12s)" in text


def test_out_of_memory_is_told() -> None:
    killed = replace(CONTAINERS[2], state=model.Exited(code=137, at=NOW, since=NOW, oom=True))
    text = "\n".join(lines(answer(observed=model.Observed(containers={killed.id: killed})), NOW, colours=False))
    assert "exited (out of memory)" in text


def test_nothing_from_a_spec_reaches_the_terminal_as_an_order() -> None:
    evil = replace(CONTAINERS[0], image="\x1b]0;owned\x07\x1b[2J\nbb\u202e", name="a\rb")
    text = lines(answer(observed=model.Observed(containers={evil.id: evil})), NOW, colours=False)
    assert all(char.isprintable() for line in text for char in line)
    tame = replace(CONTAINERS[0], name="tame")
    assert len(text) == len(lines(answer(observed=model.Observed(containers={tame.id: tame})), NOW, colours=False))


def test_colours_are_for_terminals_and_align_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    import re

    plain, coloured = (lines(answer(), NOW, colours=on) for on in (False, True))
    assert [re.sub(r"\x1b\[\d+m", "", line).rstrip() for line in coloured] == plain
    assert any("\x1b[32mrunning" in line for line in coloured)
    with open(os.devnull, "w") as pipe:
        assert not render.coloured(pipe)
    master, slave = os.openpty()
    with open(slave, "w") as terminal:
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.delenv("NO_COLOR", raising=False)
        assert render.coloured(terminal)
        monkeypatch.setenv("NO_COLOR", "1")
        assert not render.coloured(terminal)
    os.close(master)


Change = Callable[[Api], None]


def test_watch_prints_again_when_something_happens_and_ends_with_the_last_answer(api: Api) -> None:
    argv = [sys.executable, "-m", "reconciler", "status", "--watch", "--json", "--run-directory", str(api.path.parent)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert json.loads(process.stdout.readline())["converged"] is False
        until(lambda: bool(api.feed.rings))
        api.feed.snapshot = CALM
        api.feed.happen(Event(sequence=5, at=NOW, kind="daemon", name="daemon", action="converged"))
        assert json.loads(process.stdout.readline())["converged"] is True
        process.send_signal(signal.SIGINT)
    assert process.returncode == 0


def test_watch_ends_with_the_daemon(api: Api) -> None:
    argv = [sys.executable, "-m", "reconciler", "status", "--watch", "--run-directory", str(api.path.parent)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stderr
        assert process.stdout.readline().startswith("NAME")
        until(lambda: bool(api.feed.rings))
        api.server.stop()
        said = process.stderr.read()
    assert said.startswith(("cannot follow the daemon: it has stopped\n", "cannot reach the daemon at "))
    assert said.count("\n") == 1
    assert process.returncode == 5
