"""T9: a container's network alone, by the product's adapters, by hand-packed netlink, and by `ip` and `nft`.

One container's network is a namespace, a veth, the bridge's port, an address, a route, a published port and the record
of a name. Each contender has a network namespace of its own and wires it in turns with the others, all from this one
warm process. CPU is that of the process and its children; what the kernel does later, by itself, is nobody's.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bench import kernel
from tests.bench.measures import Sample
from tests.bench.network_floor import Floor, Processes
from tests.bench.network_ours import Adapters
from tests.bench.pull import leave_network

MANY, PORTS = 100, 1000
CROWDS = 4  # rounds of one for each round of many
PATIENCE = 5.0
NETNS = Path("/run/netns")  # where `ip netns` keeps its names

Wired = Adapters | Floor | Processes
KINDS: Sequence[type[Wired]] = (Adapters, Floor, Processes)


@dataclass(frozen=True, slots=True)
class Place:
    """A contender, and the thread in whose network namespace it works."""

    contender: Wired
    thread: ThreadPoolExecutor
    links: int  # that are there before any container

    def timed(self, work: Callable[[], None]) -> tuple[float, float]:
        """Wall and CPU seconds of `work`, done there."""
        return self.thread.submit(_timed, work).result()

    def settle(self) -> None:
        """Wait until the kernel has taken away the links of namespaces that were let go."""
        deadline = time.monotonic() + PATIENCE
        while self.thread.submit(_links).result() > self.links and time.monotonic() < deadline:
            time.sleep(0.01)


def _timed(work: Callable[[], None]) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), _cpu()
    work()
    return time.perf_counter() - wall, _cpu() - cpu


def _cpu() -> float:
    spent = os.times()
    return time.process_time() + spent.children_user + spent.children_system


def _links() -> int:
    return len(socket.if_nameindex())


def run(folder: Path, rounds: int) -> list[Sample]:
    """All samples: `rounds` of one container and of one change, and some of many containers."""
    with ExitStack() as stack:
        stack.enter_context(_own_names())
        places = [_place(kind, folder, stack) for kind in KINDS]
        samples = list(_turns(places, rounds, 1))
        samples += _turns(places, max(3, rounds // CROWDS), MANY)
        return samples + list(_changes(places[:2], rounds))


@contextmanager
def _own_names() -> Iterator[None]:
    """A place of our own for the names of `ip netns`; gone with our mount namespace."""
    made = not NETNS.exists()
    NETNS.mkdir(exist_ok=True)
    kernel.mount("tmpfs", str(NETNS), "tmpfs")
    try:
        yield
    finally:
        kernel.unmount(str(NETNS))
        if made:
            NETNS.rmdir()


def _place(kind: type[Wired], folder: Path, stack: ExitStack) -> Place:
    thread = stack.enter_context(ThreadPoolExecutor(1, initializer=leave_network))
    own = folder / kind.name
    own.mkdir(parents=True)
    contender: Wired = thread.submit(kind, own).result()  # type: ignore[assignment] # mypy joins the three to object
    return Place(contender, thread, thread.submit(_links).result())


def _turns(places: Sequence[Place], rounds: int, size: int) -> Iterator[Sample]:
    """Up and down again, one contender after the other; the first round, in which everything is new, does not count."""
    for number in range(rounds + 1):
        shift = number % len(places)
        for place in [*places[shift:], *places[:shift]]:
            print(".", end="", file=sys.stderr, flush=True)
            found = {"T9": place.timed(lambda place=place: place.contender.up(size))}  # type: ignore[misc] # of this turn
            found["T9d"] = place.timed(place.contender.down)
            place.settle()
            if number:
                yield from _samples(place, found, size)


def _changes(places: Sequence[Place], rounds: int) -> Iterator[Sample]:
    """One endpoint of a thousand that are published is another one."""
    for place in places:
        place.thread.submit(place.contender.publish, PORTS).result()
    for number in range(rounds):
        for place in places if number % 2 else places[::-1]:
            yield from _samples(place, {"T9c": place.timed(place.contender.change)}, PORTS)


def _samples(place: Place, found: Mapping[str, tuple[float, float]], size: int) -> Iterator[Sample]:
    for measure, (wall, cpu) in found.items():
        yield Sample(f"{measure} {size}", place.contender.name, "wall", wall)
        yield Sample(f"{measure} {size}", place.contender.name, "cpu", cpu)
