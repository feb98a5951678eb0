"""A warm process in the cell that does what the bench asks: one JSON line in, one out.

For docker, podman and reconciler it only starts programs; the floor serves its own functions by the same loop.
What it costs itself is counted with the contender, and is well under a millisecond a call.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

Function = Callable[..., object]


def run(argv: list[str], folder: str | None = None) -> str:
    """Run a program to its end; its output, or its complaint as an error."""
    done = subprocess.run(argv, capture_output=True, text=True, stdin=subprocess.DEVNULL, cwd=folder, check=False)
    if done.returncode != 0:
        raise OSError(f"cannot run {' '.join(argv[:4])}: {done.stderr.strip()[-600:]}")
    return done.stdout


def run_all(commands: list[list[str]], at_once: int) -> None:
    """Run many programs, so many at once."""
    with ThreadPoolExecutor(at_once) as pool:
        list(pool.map(run, commands))


def spawn(argv: list[str], log: str) -> int:
    """Start a program that stays; its number as seen in the cell."""
    with Path(log).open("ab") as output:
        started = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True)
    return started.pid


def answer(line: bytes, functions: Mapping[str, Function]) -> bytes:
    """Do what one line asks; errors go back as text."""
    request = json.loads(line)
    try:
        reply = {"result": functions[request["call"]](*request["arguments"])}
    except Exception as error:  # whatever went wrong belongs to the bench, which prints it
        reply = {"error": f"{type(error).__name__}: {error}"}
    return json.dumps(reply).encode() + b"\n"


def serve(descriptor: int, functions: Mapping[str, Function]) -> None:
    """Answer until the bench closes its end."""
    with socket.socket(fileno=descriptor) as channel, channel.makefile("rb") as lines:
        for line in lines:
            channel.sendall(answer(line, functions))


if __name__ == "__main__":
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    serve(int(sys.argv[1]), {"run": run, "run_all": run_all, "spawn": spawn})
