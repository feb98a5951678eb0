"""Nothing stays broken: whatever of the network side is changed by hand comes back, is told, and opens nothing.

Each injury of `injuries` is done to a host on which nobody restarts anything; meanwhile others try what is closed.
The times that it took are printed as a table (`pytest -rP`), and are no part of the verdict.
"""

from __future__ import annotations

import difflib
import json
import math
import signal
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from reconciler.core.naming import SETTLED
from tests.end_to_end.host import DIFFERENT, Host
from tests.end_to_end.injuries import ROWS, Injury, places
from tests.end_to_end.namespaces import until
from tests.end_to_end.probing import Probers, closed_ways, tempt
from tests.end_to_end.world import World, crossing

pytestmark = [pytest.mark.root, pytest.mark.host]

ONE = """
services:
  web:
    image: ${REGISTRY}/sleeper:1
"""
LONG = 60.0  # seconds; a deadline, and no measure


@pytest.fixture
def world(host: Host) -> Iterator[World]:
    """The crossing, long enough up that a record which differs was changed by somebody."""
    made = crossing(host)
    up = time.monotonic()
    until(lambda: time.monotonic() - up > SETTLED, "a record that differs now was changed by somebody")
    yield made
    made.end()


def test_whatever_is_broken_by_hand_is_mended_and_told_and_opens_nothing(world: World) -> None:
    before, here = world.host.pids(), places(world)
    tempt(world)
    probers = Probers(world, closed_ways(world))
    report = []
    try:
        stopped = _stop_a_resolver(world)
        for injury in ROWS:
            probers.during = injury.kind
            report.append((injury.kind, *_suffer(world, injury, here)))
        report.append(("resolver killed", *_kill_a_resolver(world)))
        report.append(("resolver stopped", *stopped()))
    finally:
        probers.end()
    _print(report, probers)
    assert not probers.leaks(), "\n".join(probers.leaks())
    assert world.host.pids() == before
    assert [f"{kind}: {told}" for kind, _, told in report if not told] == []


def test_who_keeps_undoing_a_repair_is_named_and_not_fought_at_every_moment(host: Host) -> None:
    host.write("one.yaml", ONE)
    host.start()
    host.until_converged("one-web-1")
    (bridge,) = host.machine.links("bridge")
    before = host.pids()

    def fights() -> list[str]:
        host.machine.inside.run("ip", "link", "set", bridge, "down")
        return [
            trouble for trouble in host.ask("/v1/status")["troubles"] if "somebody keeps undoing it" in str(trouble)
        ]

    (trouble, *_) = until(fights, "the fight is told", LONG)
    assert f"bridge {bridge} is down; repaired" in str(trouble)
    assert "somebody keeps undoing it" in host.reconciler("status", code=DIFFERENT)
    host.until_converged("one-web-1")
    assert host.pids() == before


def _suffer(world: World, injury: Injury, here: dict[str, str]) -> tuple[float, str]:
    """Seconds until it is mended, and what was told."""
    last = _last_event(world.host)
    run = world.stations[injury.where].run if injury.where else world.host.machine.inside.run

    def look() -> str:
        return run("sh", "-c", injury.look.format(**here))

    healthy, started = look(), time.monotonic()
    run("sh", "-c", injury.how.format(**here))
    with suppress(AssertionError):
        until(lambda: look() == healthy, f"{injury.kind} is mended", LONG)
    if look() != healthy:
        difference = difflib.unified_diff(healthy.splitlines(), look().splitlines(), lineterm="", n=0)
        print(f"{injury.kind} is not mended:", *difference, sep="\n")
        return math.inf, ""
    took = time.monotonic() - started
    return took, _told(world.host, last, injury.told.format(**here))


def _kill_a_resolver(world: World) -> tuple[float, str]:
    last, pid = _last_event(world.host), _resolver(world.host, "shop_back")
    started = time.monotonic()
    world.host.machine.inside.run("kill", "-KILL", pid)
    until(lambda: world.lookup("cousin", "store").found, "names are answered again", LONG)
    return time.monotonic() - started, _told(world.host, last, "shop_back: it is gone")


def _stop_a_resolver(world: World) -> Callable[[], tuple[float, str]]:
    """SIGSTOP, which nobody is told of; that takes until all are asked again. Meanwhile other things break."""
    last, pid = _last_event(world.host), _resolver(world.host, "other_default")
    started = time.monotonic()
    world.host.machine.inside.run("kill", f"-{signal.SIGSTOP.value}", pid)

    def mended() -> tuple[float, str]:
        until(lambda: world.lookup("stranger", "stranger").found, "names are answered again", LONG)
        return time.monotonic() - started, _told(world.host, last, "other_default: it is gone")

    return mended


# --- what the daemon told ----------------------------------------------------------------------------------------


def _events(host: Host, after: int = 0) -> list[dict[str, str]]:
    code, lines = host.request(f"/v1/events?after={after}")
    assert code == 200
    return [json.loads(line) for line in lines.splitlines()]


def _last_event(host: Host) -> int:
    return max((int(event["sequence"]) for event in _events(host)), default=0)


def _told(host: Host, after: int, words: str) -> str:
    """The drift that was told with one of these words, "" when none was."""
    drifts = [event for event in _events(host, after) if event["action"] == "drifted"]
    said = [f"{event['name']}: {event['message']}" for event in drifts]
    return next((line for line in said if any(word in line for word in words.split("|"))), "")


def _resolver(host: Host, network: str) -> str:
    """The process, on the machine, that answers for a network."""
    lines = host.machine.processes()
    return next(str(pid) for pid, line in lines.items() if "dnsmasq" in line and f"/records/{network}" in line)


def _print(report: list[tuple[str, float, str]], probers: Probers) -> None:
    print(f"{'injury':44} {'mended after':>12}  told as")
    for kind, took, told in report:
        print(f"{kind:44} {took * 1000:9.0f} ms  {told}")
    median = statistics.median(took for _, took, _ in report)
    tried = f"{probers.attempts} attempts at what is closed, {len(probers.leaks())} succeeded"
    print(f"median {median * 1000:.0f} ms; {tried}")
