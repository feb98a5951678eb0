"""Updates by tag: a tag moves and the host follows, unless a lock says otherwise; a dead registry changes nothing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.end_to_end.host import DIFFERENT, Host
from tests.end_to_end.registry import Registry

pytestmark = [pytest.mark.root, pytest.mark.host]

WEB = """
[services.web]
image = "${REGISTRY}/web:moving"
pull_policy = "always"
ports = ["8080:8080"]
restart = "always"
stop_grace_period = "2s"
x-drain = "0s"
deploy.update_config.monitor = "0.5s"
"""


@pytest.fixture
def moving(host: Host, registry: Registry) -> Iterator[Host]:
    """A machine that runs what the tag `moving` is."""
    registry.tag("web:1", "web:moving")
    host.write("web.toml", WEB)
    host.start()
    host.until_converged("web-web-1")
    assert host.http(8080) == "one\n"
    yield host
    registry.tag("web:1", "web:moving")


def restart(host: Host) -> None:
    """`always` asks when the daemon starts."""
    host.end()
    host.start()


def test_a_moved_tag_is_followed_and_is_the_cause(moving: Host, registry: Registry) -> None:
    before = moving.pids()
    restart(moving)
    moving.until_converged("web-web-1")
    assert moving.pids() == before, "an unchanged tag replaces nothing"
    registry.tag("web:2", "web:moving")
    restart(moving)
    moving.until(lambda: moving.http(8080) == "two\n", "the new image is served")
    moving.until_converged("web-web-1")
    assert f"image {registry.http}/web:moving moved from sha256:" in moving.said()


def test_a_dead_registry_stops_nothing_and_is_told(moving: Host, registry: Registry) -> None:
    before = moving.pids()
    registry.stop()
    try:
        restart(moving)
        moving.until(lambda: "cannot" in str(moving.ask("/v1/status")["troubles"]), "the status tells of the registry")
        assert moving.pids() == before
        moving.kill("web-web-1")
        moving.until(lambda: moving.pids().get("web-web-1", before["web-web-1"]) != before["web-web-1"], "it is back")
        moving.write("web.toml", f"{WEB}environment = {{ CHANGED = '1' }}\n")
        moving.until(lambda: moving.ask("/v1/status")["containers"][0]["restarts"] == 0, "a new instance is made")
        moving.until(lambda: moving.http(8080) == "one\n", "it serves what is here")
    finally:
        registry.start()
    moving.until_converged("web-web-1")


def test_a_lock_decides_until_it_is_updated(moving: Host, registry: Registry) -> None:
    before = moving.pids()
    assert "reconciler.lock is written: 1 tags are locked" in moving.reconciler("lock")
    registry.tag("web:2", "web:moving")
    restart(moving)
    moving.until_converged("web-web-1")
    assert moving.pids() == before, "locking what runs changes nothing, and a locked tag is not followed"
    assert "was not written" in moving.reconciler("lock", "--update", "web", "--dry-run", code=DIFFERENT)
    moving.reconciler("lock", "--update", "web")
    moving.until(lambda: moving.http(8080) == "two\n", "the new image is served")
    moving.until_converged("web-web-1")
    assert "as the lock says" in moving.said()


def test_a_broken_lock_is_told_and_changes_nothing(moving: Host) -> None:
    moving.reconciler("lock")
    moving.until_converged("web-web-1")
    before = moving.pids()
    moving.write("reconciler.lock", "[images")
    moving.until(lambda: "reconciler.lock:1:8: cannot read" in str(moving.ask("/v1/status")["troubles"]), "it is told")
    restart(moving)
    moving.until(lambda: "reconciler.lock:1:8: cannot read" in str(moving.ask("/v1/status")["troubles"]), "it is told")
    assert moving.pids() == before


POLICIES = ("always", "missing", "if_not_present", "never", "daily", "weekly", "every_12h")


def every_policy(more: str = "") -> str:
    """A service for each policy, of one image."""
    service = "  {0}: {{image: '${{REGISTRY}}/sleeper:1', pull_policy: {0}, restart: always{1}}}\n"
    return "services:\n" + "".join(service.format(policy, more) for policy in POLICIES)


def test_whatever_the_policy_a_dead_registry_keeps_nothing_from_running(host: Host, registry: Registry) -> None:
    """The newest if it can be had, else what is here: after a reboot, for a changed spec, and for a killed process."""
    names = {f"all-{policy}-1" for policy in POLICIES}
    host.write("all.yaml", every_policy())
    host.start()
    host.until_converged(*names)
    registry.stop()
    try:
        host.reboot()
        host.until(lambda: host.pids().keys() == names, "all run again after the reboot")
        before = host.pids()
        host.kill("all-always-1")
        host.until(lambda: host.pids().get("all-always-1", before["all-always-1"]) != before["all-always-1"], "is back")
        host.write("all.yaml", every_policy(", environment: {CHANGED: '1'}"))
        host.until(lambda: not set(host.pids().values()) & set(before.values()) and host.pids().keys() == names, "new")
        host.write("more.yaml", "services: {web: {image: '${REGISTRY}/web:2', restart: always}}\n")
        host.until(
            lambda: "cannot" in host.containers()["more-web-1"]["why"] or _told(host), "what is not here is told"
        )
        assert host.pids().keys() == names
    finally:
        registry.start()
    host.until_converged(*names, "more-web-1")


def _told(host: Host) -> bool:
    return any(trouble["key"].startswith("image:") for trouble in host.ask("/v1/status")["troubles"])
