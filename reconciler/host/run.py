"""The only door to other programs: a list of arguments in, standard output back, or one sentence of error.

Never a shell; standard input is closed when there is none. Everybody in `host` calls it.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from reconciler.errors import HostError


def run(
    argv: Sequence[str],
    *,
    input: str | bytes | None = None,
    timeout: float = 30.0,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    pass_fds: Sequence[int] = (),
) -> str:
    """Standard output of `argv`. Raises HostError when it cannot start, fails, or takes longer than `timeout` s."""
    name = " ".join(argv)
    data = input.encode() if isinstance(input, str) else input
    stdin = subprocess.DEVNULL if data is None else None
    try:
        done = subprocess.run(
            argv,
            input=data,
            stdin=stdin,
            capture_output=True,
            timeout=timeout,
            env=env,
            cwd=cwd,
            pass_fds=pass_fds,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise HostError(f"cannot run {name}: {error}") from error
    if done.returncode:
        last = "; ".join(done.stderr.decode(errors="replace").strip().splitlines()[-3:])
        raise HostError(f"cannot run {name}: {last or f'exit status {done.returncode}'}")
    return done.stdout.decode(errors="replace")
