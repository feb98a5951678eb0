"""Updates under traffic: nothing is lost while one revision takes the other's place, nor while a bad one goes back."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

import pytest

from tests.end_to_end.host import Host
from tests.end_to_end.traffic import Traffic

pytestmark = [pytest.mark.root, pytest.mark.host]

UPDATES = int(os.environ.get("UPDATES", "20"))
PLAIN = """
services:
  web:
    image: ${{REGISTRY}}/{image}
    ports: ["8080:8080"]
    restart: always
    stop_grace_period: 5s
    environment: {{VERSION: "{version}"}}
    x-drain: 1s
    deploy: {{update_config: {{order: {order}, monitor: {monitor}}}}}
{more}"""


def spec(version: int, image: str = "web:1", order: str = "start-first", monitor: str = "1s", more: str = "") -> str:
    return PLAIN.format(version=version, image=image, order=order, monitor=monitor, more=more)


@pytest.fixture
def web(host: Host) -> Host:
    """A machine on which one web server runs, and was watched."""
    host.write("shop.yaml", spec(0))
    host.start()
    host.until_converged("shop-web-1")
    assert host.http(8080) == "one\n"
    return host


def update(host: Host, text: str) -> None:
    """Write the spec, and wait until another instance is all there is."""
    before = host.containers()["shop-web-1"]["id"]
    host.write("shop.yaml", text)
    host.until(lambda: host.containers()["shop-web-1"]["id"] != before, "another instance is made")
    host.until_converged("shop-web-1")


def nothing_is_lost(traffic: Traffic) -> None:
    assert traffic.requests > 0
    assert traffic.kept > 0
    assert (traffic.lost, traffic.broken) == ([], []), f"of {traffic.requests} requests\n{traffic.host.said(200)}"


def test_update_after_update_loses_nothing(web: Host) -> None:
    with Traffic(web, 8080) as traffic:
        for version in range(1, UPDATES + 1):
            update(web, spec(version, image=f"web:{1 + version % 2}"))
    nothing_is_lost(traffic)
    assert set(traffic.answers) == {"one", "two"}
    print(f"{UPDATES} start-first updates: {traffic.requests} requests, longest gap {traffic.gap * 1000:.0f} ms")


PHASES: dict[str, Callable[[Host], bool]] = {
    "made": lambda host: "create container" in host.said(200),
    "started": lambda host: "start container" in host.said(200),
    "ready": lambda host: "serves in its place" in host.said(200),
    "stopped": lambda host: "stop container" in host.said(200),
}


@pytest.mark.parametrize("phase", PHASES)
def test_a_daemon_that_is_killed_in_any_phase_loses_nothing(web: Host, phase: str) -> None:
    web.end()
    (web.machine.disk / "daemon.log").unlink()
    web.start()
    with Traffic(web, 8080) as traffic:
        web.write("shop.yaml", spec(1, image="web:2"))
        web.until(lambda: PHASES[phase](web), f"the new one is {phase}")
        web.end(signal.SIGKILL)
        web.start()
        web.until_converged("shop-web-1")
    nothing_is_lost(traffic)
    assert web.http(8080) == "two\n"


BAD = {
    "crashes": spec(1, more='    entrypoint: ["/bin/sh", "-c", "echo no luck; exit 3"]\n'),
    "never healthy": spec(
        1,
        image="web:2",
        more='    healthcheck: {test: ["TCP", "9999"], interval: 500ms, timeout: 500ms, retries: 2}\n',
    ),
    "healthy, then ill": spec(
        1,
        image="web:2",
        monitor="10s",
        more='    entrypoint: ["/bin/sh", "-c", "(sleep 4; touch /tmp/ill) & exec nginx -c /etc/nginx/nginx.conf"]\n'
        '    healthcheck: {test: ["CMD-SHELL", "test ! -e /tmp/ill"], interval: 500ms, timeout: 2s, retries: 1}\n',
    ),
}


@pytest.mark.parametrize("text", BAD.values(), ids=BAD)
def test_a_bad_update_is_rolled_back_and_loses_nothing(web: Host, text: str) -> None:
    with Traffic(web, 8080) as traffic:
        web.write("shop.yaml", text)
        web.until(lambda: _told(web), "the quarantine is told")
        web.until(lambda: len(web.pids()) == 1 and web.http(8080) == "one\n", "the old one serves")
        web.end(signal.SIGKILL)
        web.start()
        web.until(lambda: _told(web), "the quarantine is still told")
    nothing_is_lost(traffic)
    assert web.http(8080) == "one\n"
    update(web, spec(2, image="web:2"))
    assert web.http(8080) == "two\n"
    assert not list((web.machine.state / "quarantine").glob("*.json")), "another revision forgets it"


def test_an_image_that_is_gone_changes_nothing(web: Host) -> None:
    with Traffic(web, 8080) as traffic:
        before = web.pids()
        web.write("shop.yaml", spec(1, image="web:gone"))
        web.until(lambda: "web:gone" in str(web.ask("/v1/status")["troubles"]), "it is told")
        assert web.pids() == before
        web.until(lambda: traffic.kept > 10, "visitors stayed for a while")
    nothing_is_lost(traffic)


def test_a_stop_first_update_has_a_gap_and_a_bad_one_is_made_good(web: Host) -> None:
    with Traffic(web, 8080, long=0) as traffic:
        update(web, spec(1, image="web:2", order="stop-first"))
    print(f"a stop-first update: longest gap {traffic.gap * 1000:.0f} ms, {len(traffic.lost)} requests refused")
    assert web.http(8080) == "two\n"
    web.until(lambda: time.time() > web.containers()["shop-web-1"]["since"] + 1.5, "it ran long enough to be good")
    web.write("shop.yaml", BAD["crashes"].replace("start-first", "stop-first"))
    web.until(lambda: _told(web), "the quarantine is told")
    web.until(lambda: web.http(8080) == "two\n", "the last good one is made again")
    web.reboot()
    web.until(lambda: web.http(8080) == "two\n", "and after a reboot")
    assert _told(web)


def _told(host: Host) -> bool:
    return "quarantined: revision" in str(host.ask("/v1/status")["troubles"])
