"""The only door to other programs."""

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
    """Stdout of the program; raises HostError with the last lines of its stderr."""
    data = input.encode() if isinstance(input, str) else input
    try:
        done = subprocess.run(
            argv, input=data, stdin=None if data is not None else subprocess.DEVNULL, capture_output=True,
            timeout=timeout, env=env, cwd=cwd, pass_fds=pass_fds, check=True,
        )  # fmt: skip
    except subprocess.CalledProcessError as error:
        why = " ".join(error.stderr.decode(errors="replace").split("\n")[-5:]).strip()
        raise HostError(f"cannot run {' '.join(argv)}: {why}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise HostError(f"cannot run {' '.join(argv)}: {error}") from error
    return done.stdout.decode()
