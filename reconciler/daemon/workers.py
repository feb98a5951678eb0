"""Threads that do tasks. They end with the process, whatever they are doing: every step may be interrupted anywhere.

The pools of the standard library wait for their threads at exit, which would make stopping the daemon take as long as
its slowest pull. `wire` makes them; `daemon.loop` submits.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

from reconciler.core.steps import Task

Work = Callable[[Task], None]


class Workers:
    """`count` threads, started when they are first needed."""

    def __init__(self, count: int, name: str) -> None:
        self._count, self._name = count, name
        self._work: queue.SimpleQueue[tuple[Work, Task]] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._changed = threading.Condition()
        self._unfinished = 0

    def submit(self, work: Work, task: Task) -> None:
        """Have `work(task)` done by the next free thread. `work` must not raise."""
        with self._changed:
            self._unfinished += 1
            if self._unfinished > len(self._threads) < self._count:
                thread = threading.Thread(target=self._run, name=f"{self._name}-{len(self._threads)}", daemon=True)
                self._threads.append(thread)
                thread.start()
        self._work.put((work, task))

    def wait_for_room(self, seconds: float) -> None:
        """Wait while more tasks are given than there are threads, but no longer than `seconds`."""
        with self._changed:
            self._changed.wait_for(lambda: self._unfinished <= self._count, seconds)

    def wait(self, seconds: float) -> bool:
        """Wait until all is done, but no longer than `seconds`; whether it is."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._unfinished, seconds)

    def _run(self) -> None:
        while True:
            work, task = self._work.get()
            try:
                work(task)
            finally:
                with self._changed:
                    self._unfinished -= 1
                    self._changed.notify_all()
