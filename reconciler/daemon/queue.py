"""What has to be looked at, and when a failed task may be tried again. Names, never events.

`Queue` is the only thing that other threads touch: they add a name and the loop wakes. `Retries` belongs to the
loop alone and is the one owner of retry: exponential per task, with jitter, forgotten on success or when what the
task is about changes. Neither knows what a name means.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass

from reconciler.core.status import Outcome
from reconciler.core.steps import Task
from reconciler.core.work import failed
from reconciler.errors import Failure

FIRST_RETRY = 1.0
LONGEST_RETRY = 300.0
PATIENCE = 4  # repairs of the same thing, after which somebody is taken to undo them on purpose
LONGEST_FIGHT = 30.0
CALM = 10.0  # seconds without drift after which a fight is over


class Queue:
    """A set of names with a file descriptor that becomes readable when there are some."""

    def __init__(self) -> None:
        self._names: set[str] = set()
        self._lock = threading.Lock()
        self.fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def add(self, *names: str) -> None:
        """Ask for another look at `names`. From any thread; what is already asked for is absorbed."""
        with self._lock:
            if not self._names:
                os.eventfd_write(self.fd, 1)
            self._names.update(names)

    def wake(self) -> None:
        """Make the descriptor readable. For signal handlers: they may interrupt whoever holds the lock."""
        os.eventfd_write(self.fd, 1)

    def take(self) -> frozenset[str]:
        """All names since the last call; never blocks."""
        with self._lock:
            names, self._names = frozenset(self._names), set()
            with contextlib.suppress(BlockingIOError):
                os.eventfd_read(self.fd)
        return names

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self.fd)


@dataclass(frozen=True, slots=True)
class _Failed:
    about: str
    outcome: Outcome


class Retries:
    """How often each task failed, and when it may run again."""

    def __init__(self, jitter: Callable[[], float]) -> None:
        """`jitter` gives a number between 0 and 1; each delay is lengthened by up to a fifth of itself."""
        self._failed: dict[str, _Failed] = {}
        self._repaired: dict[str, Outcome] = {}
        self._jitter = jitter

    def fail(self, task: Task, failure: Failure, now: float) -> None:
        """Note that and how `task` failed."""
        before = self._failed.get(task.key)
        failures = before.outcome.failures + 1 if before and before.about == task.about else 1
        delay = min(LONGEST_RETRY, FIRST_RETRY * 2.0 ** min(failures - 1, 30)) * (1 + self._jitter() / 5)
        outcome = Outcome(
            key=task.key,
            at=now,
            error=failure.message,
            failures=failures,
            retry_at=now + delay,
            code=failed(task, failure.fault),
        )
        self._failed[task.key] = _Failed(task.about, outcome)

    def succeed(self, task: Task, now: float) -> None:
        """Note that `task` went well; one that puts drift right, too often in a short time, has to wait after that."""
        self._failed.pop(task.key, None)
        if not task.drift:
            return
        before = self._repaired.get(task.key)
        repairs = before.failures + 1 if before and _recent(before, now) else 1
        delay = min(LONGEST_FIGHT, FIRST_RETRY * 2.0 ** min(repairs - PATIENCE, 30)) if repairs >= PATIENCE else 0.0
        error = f"{task.cause}; repaired {repairs} times, and somebody keeps undoing it"
        self._repaired[task.key] = Outcome(
            key=task.key, at=now, error=error, failures=repairs, retry_at=now + delay, code="undone"
        )

    def ready(self, task: Task, now: float) -> bool:
        """Whether `task` may run: it did not fail, is about something else now, or has waited long enough.

        A failure that lies in the future proves that somebody set the clock.
        """
        failed = self._failed.get(task.key)
        if task.drift and _waits(self._repaired.get(task.key), now):
            return False
        return failed is None or failed.about != task.about or not _waits(failed.outcome, now)

    def keep_only(self, keys: frozenset[str], now: float) -> None:
        """Forget what is no longer planned, so that nothing grows."""
        for key in self._failed.keys() - keys:
            del self._failed[key]
        self._repaired = {key: repaired for key, repaired in self._repaired.items() if _recent(repaired, now)}

    def outcomes(self) -> dict[str, Outcome]:
        """The failures that still matter, and the fights, by task key."""
        fights = {key: repaired for key, repaired in self._repaired.items() if repaired.failures >= PATIENCE}
        return fights | {key: failed.outcome for key, failed in self._failed.items()}

    def times_after(self, now: float) -> list[float]:
        """When failed tasks may be tried again, as far as that lies ahead."""
        outcomes = (*(failed.outcome for failed in self._failed.values()), *self._repaired.values())
        return [outcome.retry_at for outcome in outcomes if outcome.retry_at and outcome.retry_at > now]


def _recent(repaired: Outcome, now: float) -> bool:
    return repaired.at <= now < (repaired.retry_at or repaired.at) + CALM


def _waits(outcome: Outcome | None, now: float) -> bool:
    return outcome is not None and outcome.at <= now < (outcome.retry_at or 0.0)
