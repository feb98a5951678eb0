"""Work is done, by no more threads than asked for, and nobody waits for it at the end."""

from __future__ import annotations

import subprocess
import sys
import threading

from reconciler.core.steps import PullImage, Task
from reconciler.daemon.workers import Workers

TASK = Task("image:a", "wanted", (PullImage("a"),))


def test_everything_is_done() -> None:
    workers = Workers(3, "test")
    done: list[Task] = []
    for _ in range(100):
        workers.submit(done.append, TASK)
    assert workers.wait(10)
    assert done == [TASK] * 100


def test_no_more_at_once_than_asked_for() -> None:
    workers = Workers(2, "test")
    entered, leave = threading.Semaphore(0), threading.Event()

    def hold(_task: Task) -> None:
        entered.release()
        leave.wait(10)

    for _ in range(5):
        workers.submit(hold, TASK)
    assert entered.acquire(timeout=10)
    assert entered.acquire(timeout=10)
    assert not entered.acquire(timeout=0.05)
    assert not workers.wait(0)
    roomy = threading.Thread(target=workers.wait_for_room, args=(10,))
    roomy.start()
    assert roomy.is_alive()
    leave.set()
    roomy.join(10)
    assert not roomy.is_alive()
    assert workers.wait(10)


def test_a_process_ends_while_they_work() -> None:
    program = (
        "import threading; from reconciler.daemon.workers import Workers; from reconciler.core.steps import Task;"
        "w = Workers(1, 'test'); w.submit(lambda task: threading.Event().wait(), Task('a', 'b', ())); print(w.wait(0))"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True)
    assert ended.stdout == "False\n"
