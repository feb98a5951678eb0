"""Names are absorbed, the descriptor tells, and a failure waits longer each time until something changes."""

from __future__ import annotations

import select
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.steps import PullImage, Task
from reconciler.daemon.queue import CALM, LONGEST_FIGHT, LONGEST_RETRY, PATIENCE, Queue, Retries
from reconciler.errors import Failure


@pytest.fixture
def queue() -> Iterator[Queue]:
    queue = Queue()
    yield queue
    queue.close()


def readable(queue: Queue) -> bool:
    return bool(select.select([queue.fd], [], [], 0)[0])


def task(about: str = "one", key: str = "image:a") -> Task:
    return Task(key, "wanted", (PullImage("a"),), about)


def test_names_are_absorbed_and_taken_once(queue: Queue) -> None:
    assert not readable(queue)
    queue.add("a")
    queue.add("a", "b")
    assert readable(queue)
    assert queue.take() == {"a", "b"}
    assert queue.take() == frozenset()
    assert not readable(queue)


def test_it_wakes_again_after_each_take(queue: Queue) -> None:
    for name in ("a", "b"):
        queue.add(name)
        assert readable(queue)
        assert queue.take() == {name}


def test_a_signal_wakes_it_even_in_the_middle_of_taking(queue: Queue) -> None:
    with queue._lock:  # a handler runs in the thread that holds it, and waits for nobody
        queue.wake()
    assert readable(queue)
    assert queue.take() == frozenset()
    assert not readable(queue)


def test_no_name_is_lost_between_threads(queue: Queue) -> None:
    wanted = {f"{thread}-{number}" for thread in range(4) for number in range(500)}

    def add_all(thread: int) -> None:
        for number in range(500):
            queue.add(f"{thread}-{number}")

    threads = [threading.Thread(target=add_all, args=(thread,)) for thread in range(4)]
    for thread in threads:
        thread.start()
    found: set[str] = set()
    while found != wanted:
        assert select.select([queue.fd], [], [], 10)[0], f"{len(wanted - found)} names never rang"
        found |= queue.take()
    for thread in threads:
        thread.join()


def test_a_failed_task_waits_twice_as_long_each_time() -> None:
    retries = Retries(lambda: 0.0)
    delays = []
    now = 100.0
    for _ in range(12):
        retries.fail(task(), Failure("cannot"), now)
        (ready_at,) = retries.times_after(now)
        assert not retries.ready(task(), ready_at - 0.001)
        assert retries.ready(task(), ready_at)
        delays.append(ready_at - now)
        now = ready_at
    assert delays[:4] == [1.0, 2.0, 4.0, 8.0]
    assert delays[-1] == LONGEST_RETRY


def test_it_is_tried_at_once_when_it_is_about_something_else() -> None:
    retries = Retries(lambda: 0.0)
    retries.fail(task("one"), Failure("cannot"), 0.0)
    assert not retries.ready(task("one"), 0.5)
    assert retries.ready(task("two"), 0.5)
    retries.fail(task("two"), Failure("cannot"), 0.5)
    assert retries.outcomes()["image:a"].failures == 1


def test_a_clock_that_was_set_back_holds_nothing_up() -> None:
    retries = Retries(lambda: 0.0)
    retries.fail(task(), Failure("cannot"), 1e9)
    assert not retries.ready(task(), 1e9 + 0.5)
    assert retries.ready(task(), 5.0)


def test_success_and_absence_forget() -> None:
    retries = Retries(lambda: 0.0)
    retries.fail(task(), Failure("cannot"), 0.0)
    retries.succeed(task(), 0.0)
    assert retries.ready(task(), 0.0)
    retries.fail(task(), Failure("cannot"), 0.0)
    retries.keep_only(frozenset({"image:b"}), 0.0)
    assert not retries.outcomes()


def drift(cause: str = "drifted: gone") -> Task:
    return Task("network:a", cause, (), drift=True)


def test_who_keeps_undoing_a_repair_is_not_fought() -> None:
    retries, now, delays = Retries(lambda: 0.0), 100.0, []
    for _ in range(12):
        assert retries.ready(drift(), now)
        retries.succeed(drift(), now)
        times = retries.times_after(now)
        delays.append(times[0] - now if times else 0.0)
        if times:
            assert not retries.ready(drift(), times[0] - 0.001)
            assert retries.ready(Task("network:a", "not in any spec", ()), now)
            now = times[0]
        retries.keep_only(frozenset(), now)
    assert delays[: PATIENCE - 1] == [0.0] * (PATIENCE - 1)
    assert delays[PATIENCE - 1 : PATIENCE + 2] == [1.0, 2.0, 4.0]
    assert delays[-1] == LONGEST_FIGHT
    assert retries.outcomes()["network:a"].error == ("drifted: gone; repaired 12 times, and somebody keeps undoing it")


def test_a_fight_is_over_when_it_was_calm_for_a_while() -> None:
    retries = Retries(lambda: 0.0)
    for _ in range(PATIENCE):
        retries.succeed(drift(), 0.0)
    assert not retries.ready(drift(), 0.5)
    retries.keep_only(frozenset(), 1.0 + CALM)
    assert not retries.outcomes()
    retries.succeed(drift(), 1.0 + CALM)
    assert retries.ready(drift(), 1.0 + CALM)


def test_a_few_repairs_are_nothing_to_speak_of() -> None:
    retries = Retries(lambda: 0.0)
    retries.succeed(drift(), 0.0)
    assert not retries.outcomes()
    assert retries.ready(drift(), 0.0)


def test_one_failure_is_nothing_to_another_task() -> None:
    retries = Retries(lambda: 0.0)
    retries.fail(task(), Failure("cannot"), 0.0)
    assert retries.ready(task(key="image:b"), 0.0)


@given(st.floats(0, 1), st.integers(1, 2000))
def test_jitter_lengthens_by_a_fifth_at_most(jitter: float, failures: int) -> None:
    steady, jittered = Retries(lambda: 0.0), Retries(lambda: jitter)
    for _ in range(min(failures, 40)):
        steady.fail(task(), Failure("cannot"), 0.0)
        jittered.fail(task(), Failure("cannot"), 0.0)
    base, longer = steady.times_after(-1.0)[0], jittered.times_after(-1.0)[0]
    assert base <= longer <= base * 1.2 + 1e-9
