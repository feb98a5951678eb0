"""The daemon with a weak heart: it kills itself, by SIGKILL, at exactly one moment of its work.

`python -m tests.end_to_end.mortal WHEN STEP… -- run` is `reconciler run`, which dies `before` or `after` the last STEP,
when all others came earlier in this order. A step is the name of its class, or a state of health that is noted.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from functools import wraps
from typing import Any

from reconciler import __main__ as program
from reconciler.daemon import execute
from reconciler.host import health


class Heart:
    """Counts what happens, and stops at its hour."""

    def __init__(self, when: str, steps: list[str]) -> None:
        self._when, self._steps = when, steps
        self._lock = threading.Lock()

    def beats(self, act: Callable[..., Any], name: Callable[..., str]) -> Callable[..., Any]:
        """`act`, with a look at what it does, by `name` of its arguments."""

        @wraps(act)
        def acting(*args: object) -> object:
            due = self._is_due(name(*args))
            if due and self._when == "before":
                os.kill(os.getpid(), signal.SIGKILL)
            result = act(*args)
            if due:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return acting

    def _is_due(self, name: str) -> bool:
        with self._lock:
            if self._steps and self._steps[0] == name:
                del self._steps[0]
                return not self._steps
            return False


def main(arguments: list[str]) -> int:
    """Weaken the heart, and live."""
    end = arguments.index("--")
    heart = Heart(arguments[0], arguments[1:end])
    execute.perform = heart.beats(execute.perform, lambda step, *_: type(step).__name__)
    health.write = heart.beats(health.write, lambda *noted: noted[-1].state)
    return program.main(arguments[end + 1 :])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
