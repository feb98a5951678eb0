"""The only door to other programs.

Every program gets an argument list and never a shell, a fixed environment, no descriptor but its three streams, and a
process group of its own, so that nothing of it is left when it does not end in time. Nothing here knows what a
program is for; adapters call `run` and parse what it returns.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from reconciler.errors import HostError

ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}
_LAST_LINES = 5
_LOGRUS = re.compile(r'time="[^"]*" level=\w+ msg=(?:"((?:[^"\\]|\\.)*)"|([^"\s]+))(?: .*)?')
_ESCAPED = re.compile(r"\\(.)")
_ESCAPES = {"n": " ", "t": " ", "r": " "}
_SHOWN = 200  # characters of a command line in a message


class ProgramError(HostError):
    """A program that ran to its end and failed; `output` is its standard output."""

    def __init__(self, message: str, output: str) -> None:
        super().__init__(message)
        self.output = output


def run(
    argv: Sequence[str],
    *,
    input: str | bytes | None = None,
    timeout: float = 30.0,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    pass_fds: Sequence[int] = (),
) -> str:
    """Run `argv` to its end and return its standard output; `env` is added to the fixed environment.

    Raises HostError when the program is missing, fails, or has not ended and closed its output after `timeout` seconds.
    """
    process = _launch(argv, input is not None, env, cwd, pass_fds)
    try:
        given = input.encode() if isinstance(input, str) else input
        stdout, stderr = process.communicate(given, timeout)
    except subprocess.TimeoutExpired:
        _end(process)
        raise HostError(f"cannot run {_shown(argv)}: it did not end within {timeout:g} seconds") from None
    except BaseException:
        _end(process)
        raise
    if process.returncode != 0:
        why = failure(process.returncode, stderr.decode(errors="replace"))
        raise ProgramError(f"cannot run {_shown(argv)}: {why}", stdout.decode(errors="replace"))
    return str(stdout.decode(errors="replace"))


def status(argv: Sequence[str], *, pass_fds: Sequence[int] = (), timeout: float = 30.0) -> int:
    """Run `argv` to its end and return its exit status; what it says is not listened to.

    Raises HostError when it is missing, and TimeoutError after `timeout` seconds; then nothing of it is left.
    """
    process = _launch(argv, False, None, None, pass_fds, silent=True)
    try:
        return process.wait(timeout)
    except subprocess.TimeoutExpired:
        raise TimeoutError from None
    finally:
        _end(process)


def _launch(
    argv: Sequence[str],
    fed: bool,
    env: Mapping[str, str] | None,
    cwd: Path | None,
    pass_fds: Sequence[int],
    *,
    silent: bool = False,
) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            argv,
            stdin=subprocess.PIPE if fed else subprocess.DEVNULL,
            stdout=subprocess.DEVNULL if silent else subprocess.PIPE,
            stderr=subprocess.DEVNULL if silent else subprocess.PIPE,
            env={**ENVIRONMENT, **(env or {})},
            cwd=cwd,
            pass_fds=pass_fds,
            process_group=0,
        )
    except OSError as error:
        raise HostError(f"cannot run {_shown(argv)}: {(error.strerror or str(error)).lower()}") from error


def _end(process: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        process.kill()
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            stream.close()
    process.wait()


def failure(code: int, stderr: str) -> str:
    """Why a program failed, in one line: its last words, else its exit status."""
    words = [spoken(line) for line in stderr.strip().splitlines() if line.strip()][-_LAST_LINES:]
    ended = f"it was ended by {signal.Signals(-code).name}" if code < 0 else f"it exited with status {code}"
    return "; ".join(words) if words else ended


def spoken(line: str) -> str:
    """What a line of standard error says, without the dress of logrus, in which runc and skopeo log.

    `time="…" level=error msg="…"`, where msg is in quotes, with Go's escapes, unless it is a single word.
    """
    found = _LOGRUS.fullmatch(line.strip())
    if not found:
        return line.strip()
    return _ESCAPED.sub(lambda match: _ESCAPES.get(match[1], match[1]), found[1]) if found[1] else found[2]


def _shown(argv: Sequence[str]) -> str:
    text = " ".join(argv)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
