"""T10 and T11: a service is updated while it serves, and many are asked all the time whether they are well.

No peer does the first on one host without a gap, so it is measured against the floor of a start: the same server, by
hand. What each means stands in README.md.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from tests.bench import workload
from tests.bench.contender import Contender
from tests.bench.measures import Sample, Stopwatch, declare, machine_busy, names, remove, sparing, turns
from tests.bench.ours import Reconciler

UPDATING = ("reconciler-runc", "reconciler-crun", "floor-runc", "floor-crun")
PORT = 19000
LATE = (0, 300)  # milliseconds that the server takes until it listens
CROWD = 100
WARM = 5.0  # seconds until all are healthy and asked at their usual pace
TESTS: dict[str, object] = {"http": ["HTTP", "http://:80/"], "tcp": ["TCP", "80"]}


def update(contenders: Sequence[Contender], rounds: int) -> Iterator[Sample]:
    """T10: a spec renamed into place until the port leads to the new container, less what that takes to be ready."""
    chosen = [contender for contender in contenders if contender.name in UPDATING]
    for late in LATE:
        for number, contender in turns(chosen, rounds + 1):
            with sparing(contender):
                change = _update if isinstance(contender, Reconciler) else _start
                watch = change(contender, number, late)
                watch.wall -= late / 1000
                yield from watch.samples(f"T10 {late}") if number else ()  # the first one makes what is updated later
        for contender in chosen:
            if isinstance(contender, Reconciler):
                with sparing(contender):
                    remove(contender, ["web"], "")


def _update(contender: Contender, number: int, late: int) -> Stopwatch:
    assert isinstance(contender, Reconciler)
    said = f"{number}+{late}"
    spec: dict[str, object] = {
        "command": [workload.COMMAND, "web", said],
        "healthcheck": {"test": TESTS["http"], "interval": "1s"},
        "x-drain": "100ms",
        "deploy": {"update_config": {"order": "start-first", "monitor": "100ms"}},
    }
    watch = Stopwatch(contender)
    with watch.running():
        contender.up_with({"web": PORT}, spec)
        contender.wait_said(PORT, said)
    contender.wait_converged()  # the old one is gone
    return watch


def _start(contender: Contender, number: int, late: int) -> Stopwatch:
    """One more of them, by hand."""
    name = f"web{number}+{late}"
    watch = declare(contender, {name: PORT})
    remove(contender, [name], "")
    return watch


def probing(contenders: Sequence[Contender], seconds: float) -> Iterator[Sample]:
    """T11: CPU of the daemon's own process in a second, while it asks a hundred containers every second."""
    for contender in contenders:
        if isinstance(contender, Reconciler) and contender.name == "reconciler-crun":
            with sparing(contender):
                yield from _probing(contender, seconds)


def _probing(contender: Reconciler, seconds: float) -> Iterator[Sample]:
    for kind, test in TESTS.items():
        ports = names(CROWD)
        contender.up_with(ports, {"healthcheck": {"test": test, "interval": "1s"}})
        contender.wait_up(ports)
        time.sleep(WARM)
        own, busy = contender.engine_cpu(), machine_busy()
        time.sleep(seconds)
        spent, others = contender.engine_cpu() - own, machine_busy() - busy
        yield Sample(f"T11 {kind}", contender.name, "cpu", spent / seconds, max(0.0, others - spent) / seconds / 2)
        remove(contender, list(ports), "")
