"""Bad revisions under traffic: the old one serves on, and what failed is not tried again until it is another one."""

from __future__ import annotations

import signal
import time

import pytest

from tests.end_to_end.host import Host
from tests.end_to_end.registry import Registry
from tests.end_to_end.shops import (
    CHECK_COMMAND,
    CRASHES,
    ENTRYPOINT,
    WEB,
    nothing_is_lost,
    open_shop,
    quarantined,
    spec,
    update,
)
from tests.end_to_end.traffic import Traffic

pytestmark = [pytest.mark.root, pytest.mark.host]

BAD = {
    "crashes": spec(1, more=CRASHES),
    "crashes, and nobody asks": spec(1, check="", more=CRASHES),
    "cannot be started": spec(1, more='    entrypoint: ["/no/such/program"]\n'),
    "cannot be made": spec(1, more='    user: "nobody-of-that-name"\n'),
    "never healthy": spec(
        1,
        image="web:2",
        check='    healthcheck: {test: ["TCP", "9999"], interval: 300ms, timeout: 300ms, retries: 2}\n',
    ),
    "healthy, then ill": spec(
        1,
        image="web:2",
        monitor="20s",
        check=CHECK_COMMAND.replace("COMMAND", "test ! -e /tmp/ill"),
        more=ENTRYPOINT.replace("COMMAND", "(sleep 4; touch /tmp/ill) & exec nginx -c /etc/nginx/nginx.conf"),
    ),
    "serves, then crashes": spec(
        1,
        image="web:2",
        monitor="20s",
        more=ENTRYPOINT.replace("COMMAND", "nginx -c /etc/nginx/nginx.conf & sleep 2; kill -QUIT $$!; wait; exit 7"),
    ),
}
LOSES = {"serves, then crashes"}  # what it had accepted itself goes with it
ANOTHER = "  another:\n    image: ${REGISTRY}/sleeper:1\n    restart: always\n    stop_grace_period: 1s\n"


@pytest.fixture
def web(host: Host) -> Host:
    """A shop that was watched for long enough to be good."""
    opened = open_shop(host, spec(0))
    opened.until(lambda: time.time() > opened.containers()[WEB]["since"] + 0.6, "it ran for long enough")
    return opened


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_update_is_rolled_back_and_loses_nothing(web: Host, kind: str) -> None:
    first = web.pids()
    with Traffic(web, 8080) as traffic:
        web.write("shop.yaml", BAD[kind])
        web.until(lambda: quarantined(web), "the quarantine is told")
        web.until(lambda: web.pids() == first and web.http(8080) == "one\n", "the old one serves, and it alone")
        web.end(signal.SIGKILL)
        web.start()
        web.until(lambda: quarantined(web), "the quarantine is still told")
        web.write("shop.yaml", f"# put back by another commit\n{BAD[kind]}\n{ANOTHER}")
        web.until(lambda: "shop-another-1" in web.pids(), "the spec is read")
        assert web.pids()[WEB] == first[WEB]
        assert quarantined(web)
    if kind not in LOSES:
        nothing_is_lost(traffic)
    print(f"\n{kind}: {traffic}")
    assert len(web.said(10_000).split("quarantine revision")) == 2, "it was tried once"
    web.write("shop.yaml", spec(2, image="web:2"))
    web.until(lambda: web.http(8080) == "two\n", "another revision is tried")
    web.until_converged(WEB)
    assert not list((web.machine.state / "quarantine").glob("*.json")), "and what failed is forgotten"


def test_an_image_that_is_gone_changes_nothing(web: Host) -> None:
    with Traffic(web, 8080) as traffic:
        before = web.pids()
        web.write("shop.yaml", spec(1, image="web:gone"))
        web.until(lambda: "web:gone" in str(web.ask("/v1/status")["troubles"]), "it is told")
        assert web.pids() == before
        web.until(lambda: traffic.kept > 10, "visitors stayed for a while")
    nothing_is_lost(traffic)


def test_a_bad_image_under_the_same_tag_is_tried_again_when_the_tag_moves(host: Host, registry: Registry) -> None:
    """Only the digest differs: what is in quarantine is the revision, and that has the digest in it."""
    registry.tag("web:1", "web:good")
    command = "    entrypoint: [/usr/sbin/nginx, -c, /etc/nginx/nginx.conf]\n"
    web = open_shop(host, spec(0, image="web:good", more=f"    pull_policy: always\n{command}"))
    first = web.pids()
    registry.tag("sleeper:1", "web:good")  # which has no such program
    ask_again(web)
    web.until(lambda: quarantined(web), "the quarantine is told")
    web.until(lambda: web.pids() == first, "the old one runs, and it alone")
    registry.tag("web:2", "web:good")
    ask_again(web)
    web.until(lambda: web.http(8080) == "two\n", "the digest is another one")
    web.until_converged(WEB)


def ask_again(host: Host) -> None:
    """`pull_policy: always` asks when the daemon starts."""
    host.end()
    host.start()


@pytest.mark.parametrize("kind", ["cannot be started", "cannot be made", "crashes"])
def test_a_bad_update_that_stops_first_is_made_good(web: Host, kind: str) -> None:
    first = web.pids()
    web.write("shop.yaml", BAD[kind].replace("start-first", "stop-first"))
    web.until(lambda: quarantined(web), "the quarantine is told")
    web.until(lambda: web.http(8080) == "one\n", "the last good one is made again")
    assert web.pids() != first


def test_after_stop_first_the_last_good_one_is_made_again_also_after_a_reboot(web: Host) -> None:
    update(web, spec(1, image="web:2", order="stop-first"))
    web.until(lambda: time.time() > web.containers()[WEB]["since"] + 1.5, "it ran long enough to be good")
    web.write("shop.yaml", spec(2, order="stop-first", more=CRASHES))
    web.until(lambda: quarantined(web), "the quarantine is told")
    web.until(lambda: web.http(8080) == "two\n", "the last good one is made again")
    web.reboot()
    web.until(lambda: web.http(8080) == "two\n", "and after a reboot")
    assert quarantined(web)
