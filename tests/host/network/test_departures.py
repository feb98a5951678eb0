"""Links that go: what was taken out of the way is deleted, also when the program ends right after."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.host.network.conftest import World, ip

pytestmark = pytest.mark.root

LAST_ACT = """
import threading
from pathlib import Path
from reconciler.host.departures import Departures
from reconciler.host.netlink import Netlink
from reconciler.host import rtnetlink

def act():
    with Netlink() as host:
        links = [rtnetlink.parse_link(host.ask(rtnetlink.get_link(f"going{number}"))) for number in range(4)]
        departures = Departures("test", Path("/nonexistent"))
        for link in links:
            departures.retire(host, link)

worker = threading.Thread(target=act, daemon=True)
worker.start()
worker.join()
"""


def test_links_that_go_in_the_last_moment_are_gone_when_the_program_has_ended(world: World) -> None:
    for number in range(4):
        ip("link", "add", f"going{number}", "type", "bridge")
    subprocess.run([sys.executable, "-c", LAST_ACT], check=True)
    left = [line for line in ip("-o", "link").splitlines() if "rc~" in line or "going" in line]
    assert left == []
