"""What wakes the loop, and what does not."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace

import pytest

from reconciler.core.names import LINKS
from reconciler.daemon.loop import Loop
from tests.daemon.test_loop import Machine, machine

__all__ = ["machine"]  # a fixture


@pytest.fixture
def bell() -> Iterator[tuple[int, int]]:
    """A doorbell: what is written to the second descriptor rings the first."""
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


def listening(machine: Machine, reader: int, answers: dict[bytes, str]) -> Loop:
    """A loop that has settled, with one doorbell that answers each byte as told."""
    machine.settle()
    machine.queue.take()
    return Loop(replace(machine.loop.around, doorbells={reader: lambda: answers[os.read(reader, 1)]}))


def test_what_rings_for_others_is_no_reason_to_look(machine: Machine, bell: tuple[int, int]) -> None:
    """A namespace of somebody else's container, say; the second ring is for us."""
    loop = listening(machine, bell[0], {b"1": "", b"2": LINKS})
    os.write(bell[1], b"12")
    assert loop._wait() == {LINKS}


def test_what_is_in_the_queue_is_seen_while_others_ring(machine: Machine, bell: tuple[int, int]) -> None:
    loop = listening(machine, bell[0], {b"1": ""})
    os.write(bell[1], b"111")
    machine.queue.add("progress")
    assert loop._wait() == {"progress"}
