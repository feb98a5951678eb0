"""The measures. Each runs one repetition for one contender at a time, in turns, and yields samples.

What a measure means stands in README.md, under the same name.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench.cell import TICKS, CellError
from tests.bench.contender import Contender

SETTLE = 0.4  # seconds in which what an engine still does after the answer is counted to it
FIRST_PORT = 20000
TEN = 10  # run while one of them is killed


@dataclass(frozen=True, slots=True)
class Sample:
    """One figure of one repetition. `foreign`: the share of the machine that others used meanwhile."""

    measure: str
    contender: str
    metric: str
    value: float
    foreign: float = 0.0


@dataclass(slots=True)
class Stopwatch:
    """Wall and CPU of a cell, and what the rest of the machine did in that time."""

    contender: Contender
    wall: float = 0.0
    cpu: float = 0.0
    foreign: float = 0.0
    _busy: float = field(default=0.0, repr=False)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Wall time of what happens inside; CPU until it has settled."""
        cell, own = self.contender.cell, time.process_time()
        cpu, busy, begin = cell.cpu(), machine_busy(), time.perf_counter()
        yield
        self.wall = time.perf_counter() - begin
        time.sleep(SETTLE)
        self.cpu = cell.cpu() - cpu
        others = machine_busy() - busy - self.cpu - (time.process_time() - own)
        self.foreign = max(0.0, others / (self.wall + SETTLE) / (os.cpu_count() or 1))

    def samples(self, measure: str) -> list[Sample]:
        """Both figures."""
        name = self.contender.name
        return [
            Sample(measure, name, "wall", self.wall, self.foreign),
            Sample(measure, name, "cpu", self.cpu, self.foreign),
        ]


def machine_busy() -> float:
    """CPU seconds that all processors have spent on anything but idling (proc(5), /proc/stat)."""
    fields = [int(word) for word in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return (sum(fields) - fields[3] - fields[4]) / TICKS


def turns(contenders: Sequence[Contender], rounds: int) -> Iterator[tuple[int, Contender]]:
    """Every contender once a round; each round begins with another one."""
    for number in range(rounds):
        shift = number % max(1, len(contenders))
        for contender in [*contenders[shift:], *contenders[:shift]]:
            print(".", end="", file=sys.stderr, flush=True)
            if not contender.failed:
                yield number, contender
    print(file=sys.stderr)


@contextmanager
def sparing(contender: Contender) -> Iterator[None]:
    """Whoever fails is told and measured no further; the others go on."""
    try:
        yield
    except (CellError, TimeoutError, KeyError) as error:
        print(f"\nwithout {contender.name} from here on: {error}\n{contender.last_words()}", file=sys.stderr)
        contender.failed = True


def names(count: int) -> dict[str, int]:
    """Names and ports of `count` containers."""
    return {f"web-{number:03}": FIRST_PORT + number for number in range(count)}


def single(contenders: Sequence[Contender], rounds: int) -> Iterator[Sample]:
    """T1: one container declared until its port answers."""
    for number, contender in turns(contenders, rounds):
        ports = {f"one-{number:03}": FIRST_PORT + number}
        with sparing(contender):
            yield from declare(contender, ports).samples("T1")
            yield from remove(contender, list(ports), "T7 1")


def declare(contender: Contender, ports: dict[str, int]) -> Stopwatch:
    """Containers declared until all answer."""
    watch = Stopwatch(contender)
    with watch.running():
        contender.up(ports)
        contender.wait_up(ports)
    return watch


def remove(contender: Contender, what: list[str], measure: str) -> list[Sample]:
    """Take containers away; the samples."""
    watch = Stopwatch(contender)
    with watch.running():
        contender.down(what)
        contender.wait_down()
    return watch.samples(measure)


@dataclass(frozen=True, slots=True)
class Crowd:
    """Many containers at once: how many, how often, and for how long they are watched idling."""

    size: int
    rounds: int
    idle: float

    def run(self, contenders: Sequence[Contender]) -> Iterator[Sample]:
        """T2, T8, T3, T4, T3c and T7, in this order, for one contender after another."""
        for number, contender in turns(contenders, self.rounds):
            with sparing(contender):
                yield from self._once(contender, self.idle if number == 0 else 0.0)

    def _once(self, contender: Contender, idle: float) -> Iterator[Sample]:
        ports, engine = names(self.size), contender.engine_cpu()
        watch = declare(contender, ports)
        yield from watch.samples(f"T2 {self.size}")
        if contender.engine:
            spent = contender.engine_cpu() - engine
            yield Sample(f"T8 {self.size}", contender.name, "cpu", spent / self.size, watch.foreign)
        yield from pss(contender, self.size)
        yield from self._look(contender)
        if idle and contender.idles:
            yield self._idle(contender, idle)
        yield from remove(contender, list(ports), f"T7 {self.size}")

    def _look(self, contender: Contender) -> Iterator[Sample]:
        contender.again()  # the first one may still find something; only an unchanged host counts
        look = contender.again()
        if look is not None:
            yield Sample(f"T4 {self.size}", contender.name, "cpu", look.cpu)
            if look.wall is not None:
                yield Sample(f"T4 {self.size}", contender.name, "wall", look.wall)

    def _idle(self, contender: Contender, seconds: float) -> Sample:
        before = contender.cell.cpu()
        time.sleep(seconds)
        return Sample(f"T3c {self.size}", contender.name, "cpu", (contender.cell.cpu() - before) / seconds)


def pss(contender: Contender, size: int) -> list[Sample]:
    """T3: memory of everything but the workload, and what of it is the resolvers'."""
    found = contender.cell.memory(contender.agent_counts)
    samples = [Sample(f"T3 {size}", contender.name, "bytes", sum(found.values()))]
    return (
        [*samples, Sample(f"T3 {size}", contender.name, "dnsmasq", found["dnsmasq"])] if "dnsmasq" in found else samples
    )


def repair(contenders: Sequence[Contender], rounds: int) -> Iterator[Sample]:
    """T6: `kill -9` of a container's process until it answers again; another of ten each time."""
    ports = names(TEN)
    for contender in contenders:
        with sparing(contender):
            declare(contender, ports)
    for number, contender in turns(contenders, rounds):
        with sparing(contender):
            yield from kill(contender, f"web-{number % TEN:03}", ports)
    for _, contender in turns(contenders, 1):
        with sparing(contender):
            remove(contender, list(ports), "")


def kill(contender: Contender, name: str, ports: dict[str, int]) -> list[Sample]:
    """Kill one until it is back; the samples."""
    killed = contender.cell.servers()[name]
    watch = Stopwatch(contender)
    with watch.running():
        os.kill(killed, signal.SIGKILL)
        contender.wait_back(name, ports[name], killed)
    return watch.samples(f"T6 {TEN}")
