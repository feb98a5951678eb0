"""`status`: ask the daemon over its socket, and print what it says.

Speaks HTTP/1.0 by hand, because every import is paid for by who waits for the answer. Decides nothing: words
and reasons come from the daemon (`core.status`).
"""

from __future__ import annotations

import argparse
import json
import select
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from reconciler.cli import codes, render
from reconciler.core.durations import compact
from reconciler.core.progress import LayerProgress, Progress, describe
from reconciler.core.sizes import size
from reconciler.errors import ReconcilerError
from reconciler.settings import Settings

ANSWER_TIME = 5.0  # seconds that the daemon may take
REFRESH = 2.0  # seconds between two looks of --watch when nothing happens
_COLOURS = {"running": "green", "missing": "red", "exited": "red", "held": "red", "created": "blue"}

Answer = dict[str, Any]


class UnreachableError(ReconcilerError):
    """No daemon answers at the socket."""


class RefusedError(ReconcilerError):
    """The daemon says why there is no answer."""


def status(settings: Settings, arguments: argparse.Namespace) -> int:
    """Print the status once, or again and again. The exit status says whether the host is as it should be."""
    try:
        if not arguments.watch:
            return _show(settings.socket, arguments.json)
        return _watch(settings.socket, arguments.json)
    except UnreachableError as error:
        print(error, file=sys.stderr)
        return codes.UNREACHABLE


def _show(path: Path, as_json: bool) -> int:
    answer = ask(path, "/v1/status")
    print(_text(answer, as_json))
    return codes.OK if answer["converged"] else codes.DIFFERENT


def _text(answer: Answer, as_json: bool) -> str:
    if as_json:
        return json.dumps(answer, indent=2)
    return "\n".join(lines(answer, time.time(), render.coloured(sys.stdout)))


def _watch(path: Path, as_json: bool) -> int:
    """Show it now, and again whenever it reads differently, until interrupted."""
    shown, answer = "", {"converged": False}
    try:
        for _ in _bells(path):
            answer = ask(path, "/v1/status")
            text = json.dumps(answer) if as_json else _text(answer, as_json)
            if text != shown:
                clear = sys.stdout.isatty() and not as_json
                print("\x1b[H\x1b[2J" + text if clear else text + ("" if as_json else "\n"), flush=True)
            shown = text
    except KeyboardInterrupt:
        pass
    return codes.OK if answer["converged"] else codes.DIFFERENT


def _bells(path: Path) -> Iterator[None]:
    """Once at the start, after each event, and every so often: times and progress move without events."""
    with closing(_connect(path)) as following:
        following.sendall(_request("/v1/events?follow=1"))
        while True:
            yield
            ready, _, _ = select.select([following], [], [], REFRESH)
            if ready and not following.recv(65536):
                raise UnreachableError("cannot follow the daemon: it has stopped")


def _request(target: str) -> bytes:
    return f"GET {target} HTTP/1.0\r\n\r\n".encode()


def _connect(path: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(ANSWER_TIME)
    try:
        connection.connect(str(path))
    except OSError as error:
        connection.close()
        raise UnreachableError(f"cannot reach the daemon at {path}: {_why(error)}") from None
    return connection


def _why(error: OSError) -> str:
    if isinstance(error, FileNotFoundError | ConnectionRefusedError):
        return "none runs there; start it with `reconciler run`"
    if isinstance(error, PermissionError):
        return "you may not; join the socket's group or become root"
    return error.strerror or str(error)


def ask(path: Path, target: str) -> Answer:
    """The JSON that the daemon at `path` answers to GET `target`. Raises UnreachableError, RefusedError."""
    with closing(_connect(path)) as connection:
        try:
            connection.sendall(_request(target))
            answer = b"".join(iter(lambda: connection.recv(1 << 20), b""))
        except OSError as error:
            raise UnreachableError(f"cannot reach the daemon at {path}: {_why(error)}") from None
    head, _, body = answer.partition(b"\r\n\r\n")
    try:
        found = json.loads(body)
    except ValueError:
        found = None
    if b" 404 " in head.partition(b"\r\n")[0] and isinstance(found, dict):
        raise RefusedError(str(found.get("message")))
    if b" 200 " not in head.partition(b"\r\n")[0] or not isinstance(found, dict):
        raise UnreachableError(f"cannot understand the daemon at {path}: {body[:200].decode(errors='replace').strip()}")
    return found


def lines(answer: Answer, now: float, colours: bool) -> list[str]:
    """The status for a person."""
    shown = answer["containers"]
    head = ("NAME", "STATE", "SINCE", "IMAGE", "PORTS", "WHY")
    tints = [[""] + [_COLOURS.get(entry["state"], "yellow")] + [""] * 3 + ["yellow"] for entry in shown]
    text = render.table(head, [_row(entry, now) for entry in shown], tints if colours else ()) if shown else []
    text += [_job(job, colours) for job in answer["jobs"]]
    text += [render.clean(line) for pull in answer["pulls"] for line in _pull(pull)]
    named = {f"{kind}:{entry['name']}" for kind in ("container", "health") for entry in shown if entry["why"]}
    troubles = [trouble for trouble in answer["troubles"] if trouble["key"] not in named]
    text += [render.colour(render.clean(_trouble(trouble, now)), "yellow", colours) for trouble in troubles]
    return [*text, _summary(answer, colours)]


def _row(entry: Answer, now: float) -> tuple[str, ...]:
    state = entry["state"]
    if state == "exited":
        state += " (out of memory)" if entry["oom"] else f" ({entry['exit_code']})"
    elif entry["health"]:
        state += f" ({entry['health']})"
    since = "" if entry["since"] is None else compact(now - entry["since"])
    image = entry["image"].removeprefix("docker.io/").removeprefix("library/")
    return entry["name"], state, since, image, ", ".join(entry["ports"]), entry["why"]


def _job(job: Answer, colours: bool) -> str:
    text = render.clean(f"job {job['name']}: {job['said']}")
    return render.colour(text, "yellow", colours) if job["exit_code"] else text


def _pull(pull: Answer) -> Iterator[str]:
    """A pull in total, and its layers that are on their way."""
    layers = tuple(LayerProgress(**layer) for layer in pull["layers"])
    progress = Progress(pull["reference"], pull["done"], pull["total"], pull["rate"], layers)
    yield f"pulling {progress.reference}: {describe(progress)}"
    for layer in progress.flying:
        name = layer.digest.removeprefix("sha256:")[:12]
        yield f"  layer {name}: {size(layer.done)} of {size(layer.size)}, {size(layer.rate)}/s"


def _trouble(trouble: Answer, now: float) -> str:
    again = trouble["retry_at"]
    return f"{trouble['key']}: {trouble['message']}" + ("" if again is None else f" (again in {compact(again - now)})")


def _summary(answer: Answer, colours: bool) -> str:
    running = sum(entry["state"] == "running" for entry in answer["containers"])
    apps = "1 app" if len(answer["apps"]) == 1 else f"{len(answer['apps'])} apps"
    count = f"{running} of {len(answer['containers'])} containers run, in {apps}: "
    if answer["converged"]:
        return count + render.colour("converged", "green", colours)
    return count + render.colour("not converged yet", "yellow", colours)
