"""Fuzzes one target for as long as is asked: `python -m tests.fuzz layer|manifest [SECONDS] [SEED]`; `layer` as root.

What breaks a promise is written to the current directory, and its traceback shown; the same seed finds it again.
"""

from __future__ import annotations

import hashlib
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from types import FrameType

from tests.fuzz.targets import TARGETS

HANG = 20  # seconds for one input; most take milliseconds


def run(name: str, inputs: Iterator[int], seed: int) -> int:
    """Try one changed input for each of `inputs`; how many there were. Raises what a promise broken raises."""
    target, make = TARGETS[name]
    count = 0
    with target() as attempt:
        for number in inputs:
            text = make(Random(f"{seed} {number}"))
            try:
                attempt(text)
            except BaseException:
                found = Path(f"fuzz-{name}-{hashlib.sha256(text).hexdigest()[:12]}")
                found.write_bytes(text)
                print(f"seed {seed}, input {number}: see {found}", file=sys.stderr)
                raise
            count += 1
    return count


def _hangs(_number: int, _frame: FrameType | None) -> None:
    raise TimeoutError(f"an input takes longer than {HANG} seconds")


def until(seconds: float) -> Iterator[int]:
    """Numbers until the time is over. An input that takes too long ends in a TimeoutError."""
    signal.signal(signal.SIGALRM, _hangs)
    end, number = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        signal.alarm(HANG)
        yield number
        number += 1


if __name__ == "__main__":
    given = dict(enumerate(sys.argv[1:]))
    target, seconds, seed = given[0], float(given.get(1, 60)), int(given.get(2, 1))
    print(f"{target}: {run(target, until(seconds), seed)} inputs, nothing found")
