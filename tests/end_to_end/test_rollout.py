"""Updates under traffic: nothing is lost while one revision takes the other's place, whenever the daemon dies."""

from __future__ import annotations

import os
import signal
import sys

import pytest

from tests.end_to_end.host import Host
from tests.end_to_end.shops import WEB, nothing_is_lost, open_shop, spec, update
from tests.end_to_end.traffic import Traffic

pytestmark = [pytest.mark.root, pytest.mark.host]

UPDATES = int(os.environ.get("UPDATES", "100"))


@pytest.fixture
def web(host: Host) -> Host:
    return open_shop(host, spec(0))


def test_update_after_update_loses_nothing(web: Host) -> None:
    with Traffic(web, 8080) as traffic:
        for version in range(1, UPDATES + 1):
            update(web, spec(version, image=f"web:{1 + version % 2}"))
    print(f"\n{UPDATES} start-first updates: {traffic}")
    nothing_is_lost(traffic)
    assert len(traffic.answers) == UPDATES + 1, "every revision has served"
    assert len(traffic.stays) >= UPDATES, "connections stayed through every change"


# Where the daemon dies: before or after a step, which comes after the others named before it.
PHASES = {
    "spec read": "before KeepGood",
    "old one kept in mind": "after KeepGood",
    "new one made": "after CreateContainer",
    "connected": "after ConnectContainer",
    "started, not healthy": "after StartContainer",
    "healthy": "after healthy",
    "about to move ports": "before healthy ApplyRuleset",
    "ports moved": "after healthy ApplyRuleset",
    "names moved": "after healthy WriteNames",
    "about to drain": "before DrainContainer",
    "draining": "after DrainContainer",
    "old one stopping": "after StopContainer",
    "old one cleaned": "after CleanContainer",
    "old one disconnected": "after DisconnectContainer",
    "old one removed": "after RemoveContainer",
    "about to keep the new one in mind": "before RemoveContainer KeepGood",
    "new one kept in mind": "after RemoveContainer KeepGood",
}


def test_a_daemon_that_is_killed_in_any_phase_loses_nothing(web: Host) -> None:
    with Traffic(web, 8080) as traffic:
        for version, (phase, moment) in enumerate(PHASES.items(), 1):
            web.end()
            web.start((sys.executable, "-m", "tests.end_to_end.mortal", *moment.split(), "--"))
            before = web.containers()[WEB]["id"]
            web.write("shop.yaml", spec(version, image=f"web:{1 + version % 2}"))
            assert web.until_it_dies() == -signal.SIGKILL, phase
            web.start()
            web.until(lambda before=before: web.containers()[WEB]["id"] != before, f"{phase}: another is made")  # type: ignore[misc] # mypy does not see the default
            web.until_converged(WEB)
    print(f"\nkilled in each of {len(PHASES)} phases: {traffic}")
    nothing_is_lost(traffic)
    assert not list((web.machine.state / "quarantine").glob("*.json")), "a killed daemon makes no revision bad"
    assert web.http(8080) == ("two\n" if len(PHASES) % 2 else "one\n")


def test_a_stop_first_update_has_a_gap(web: Host) -> None:
    update(web, spec(1, order="stop-first"))
    with Traffic(web, 8080, long=0) as traffic:
        update(web, spec(2, image="web:2", order="stop-first"))
        web.until(lambda: web.http(8080) == "two\n", "the new one serves")
    print(f"\na stop-first update: {traffic}")
    assert len(traffic.answers) == 2


def test_in_a_reboot_in_the_middle_of_an_update_the_new_one_or_the_old_one_serves(web: Host) -> None:
    for version, moment in ((1, "after StartContainer"), (2, "after DrainContainer")):
        web.end()
        web.start((sys.executable, "-m", "tests.end_to_end.mortal", *moment.split(), "--"))
        web.write("shop.yaml", spec(version, image=f"web:{1 + version % 2}"))
        assert web.until_it_dies() == -signal.SIGKILL
        web.reboot()
        web.until(lambda version=version: web.http(8080) == ("two\n" if version % 2 else "one\n"), "the new one")  # type: ignore[misc] # as above
        web.until_converged(WEB)
    assert not list((web.machine.state / "quarantine").glob("*.json"))
