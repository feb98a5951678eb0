"""The host follows the specs, and comes back to them: new, changed, removed, drifted, daemon killed, power cut."""

from __future__ import annotations

import signal

import pytest

from tests.end_to_end.host import SITE_RUNS, Host
from tests.end_to_end.registry import Registry

pytestmark = [pytest.mark.root, pytest.mark.host]

WEB = """
[services.web]
image = "${REGISTRY}/web:1"
ports = ["8080:8080"]
restart = "always"
stop_grace_period = "2s"
x-drain = "0s"
deploy.update_config.monitor = "0.5s"
"""
SLEEPER = """
services:
  one:
    image: ${REGISTRY}/sleeper:1
    restart: always
"""
CACHE = """
services:
  redis:
    image: ${REGISTRY}/redis:7
    restart: always
    ports: ["6379:6379"]
    volumes: ["data:/data"]
volumes:
  data: {}
"""


@pytest.fixture
def web(host: Host) -> Host:
    """A machine on which one web server runs."""
    host.write("web.toml", WEB)
    host.start()
    host.until_converged("web-web-1")
    return host


# --- specs come, change and go -----------------------------------------------------------------------------------


def test_new_spec_is_followed(web: Host) -> None:
    before = web.pids()
    web.write("other.yaml", SLEEPER)
    web.until_converged("web-web-1", "other-one-1")
    assert web.pids()["web-web-1"] == before["web-web-1"]


def test_changed_image_replaces_the_container(web: Host) -> None:
    web.write("web.toml", WEB.replace("web:1", "web:2"))
    web.until(lambda: web.http(8080) == "two\n", "the new page is served")
    web.until_converged("web-web-1")


def test_changed_port_moves(web: Host) -> None:
    web.write("web.toml", WEB.replace("8080:8080", "9090:8080"))
    web.until(lambda: web.http(9090) == "one\n", "the new port answers")
    web.until(lambda: web.refuses(8080), "the old port is closed")


def test_comment_changes_nothing(web: Host) -> None:
    before = web.pids()
    web.write("web.toml", f"# a remark\n{WEB}")
    web.write("other.yaml", SLEEPER)
    web.until_converged("web-web-1", "other-one-1")
    assert web.pids()["web-web-1"] == before["web-web-1"]


def test_scaled_up_and_down(web: Host) -> None:
    before = web.pids()
    web.write("web.toml", f"{WEB}deploy.replicas = 3\n")
    web.until_converged("web-web-1", "web-web-2", "web-web-3")
    assert web.pids()["web-web-1"] == before["web-web-1"]
    web.write("web.toml", WEB)
    web.until_converged("web-web-1")
    assert web.pids() == before


def test_removed_spec_takes_everything_but_the_volume_along(web: Host) -> None:
    web.write("cache.yaml", CACHE)
    web.until_converged("web-web-1", "cache-redis-1")
    bridges = web.machine.links("bridge")
    assert web.redis("SET", "kept", "yes") == "+OK"
    web.remove("cache.yaml")
    web.until_converged("web-web-1")
    web.until(lambda: web.machine.links("bridge") < bridges, "the bridge is gone")
    assert web.refuses(6379)
    web.write("cache.yaml", CACHE)
    web.until_converged("web-web-1", "cache-redis-1")
    assert web.redis("GET", "kept") == "yes"


# --- somebody changes the host -----------------------------------------------------------------------------------


def test_killed_container_comes_back(web: Host) -> None:
    before = web.pids()
    web.kill("web-web-1")
    web.until(lambda: web.pids()["web-web-1"] != before["web-web-1"], "it runs again")
    web.until(lambda: web.http(8080) == "one\n", "it answers again")
    web.until_converged("web-web-1")


def test_container_deleted_by_the_runtime_comes_back(web: Host) -> None:
    before = web.pids()
    (run,) = web.runtime("list", "--quiet").split()
    web.runtime("delete", "--force", run)
    web.until(lambda: web.pids()["web-web-1"] != before["web-web-1"], "it runs again")
    web.until(lambda: web.http(8080) == "one\n", "it answers again")
    web.until_converged("web-web-1")


def test_deleted_bridge_comes_back(web: Host) -> None:
    before = web.pids()
    (bridge,) = web.machine.links("bridge")
    web.machine.inside.run("ip", "link", "delete", bridge)
    web.until(lambda: web.http(8080) == "one\n", "it answers again", seconds=60)
    web.until_converged("web-web-1")
    assert web.machine.links("bridge") == {bridge}
    assert web.pids() == before


@pytest.mark.parametrize("family", ["inet", "bridge"])
def test_deleted_table_comes_back(web: Host, family: str) -> None:
    before, tables = web.pids(), web.machine.tables()
    web.machine.inside.run("nft", "delete", "table", family, dict(tables)[family])
    web.until(lambda: web.http(8080) == "one\n", "it answers again", seconds=60)
    web.until(lambda: web.machine.tables() == tables, "the table is back")
    web.until_converged("web-web-1")
    assert web.pids() == before


def test_tables_of_others_are_left_alone(web: Host) -> None:
    web.machine.inside.run("nft", "add", "table", "inet", "somebody")
    web.machine.inside.run("ip", "link", "add", "theirs", "type", "bridge")
    web.remove("web.toml")
    web.write("other.yaml", SLEEPER)
    web.until_converged("other-one-1")
    assert ("inet", "somebody") in web.machine.tables()
    assert "theirs" in web.machine.links("bridge")


# --- the daemon goes away ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_restarted_daemon_touches_nothing(web: Host, number: signal.Signals) -> None:
    before = web.pids()
    code = web.end(number)
    assert code == (-signal.SIGKILL if number == signal.SIGKILL else 0)
    assert web.http(8080) == "one\n"
    web.start()
    web.until_converged("web-web-1")
    assert web.pids() == before


def test_what_happened_meanwhile_is_made_up_for(web: Host) -> None:
    web.write("other.yaml", SLEEPER)
    web.until_converged("web-web-1", "other-one-1")
    before = web.pids()
    web.end(signal.SIGKILL)
    web.machine.inside.run("kill", "-KILL", str(before["web-web-1"]))
    web.remove("other.yaml")
    web.write("third.yaml", SLEEPER)
    web.start()
    web.until_converged("web-web-1", "third-one-1")
    assert web.http(8080) == "one\n"
    assert web.pids()["web-web-1"] != before["web-web-1"]


def test_second_daemon_is_refused(web: Host) -> None:
    before = web.pids()
    web.reconciler("run", "--once", code=1)
    assert web.pids() == before


def test_reboot_brings_the_site_back_with_its_data(host: Host) -> None:
    host.write_site()
    host.start()
    host.until_converged(*SITE_RUNS)
    assert host.redis("SET", "before", "the reboot") == "+OK"
    host.reboot()
    host.until_converged(*SITE_RUNS)
    assert host.redis("GET", "before") == "the reboot"
    assert host.http(8080) == "one\n"
    assert len({host.http(8081, "/who") for _ in range(60)}) == 3


def test_reboot_needs_no_registry(web: Host, registry: Registry) -> None:
    registry.stop()
    try:
        web.reboot()
        web.until_converged("web-web-1")
    finally:
        registry.start()
    assert web.http(8080) == "one\n"
