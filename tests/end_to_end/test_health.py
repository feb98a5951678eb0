"""Health, order and hooks with real servers: what falls ill leaves table and names, and comes back."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.end_to_end.host import Host

pytestmark = [pytest.mark.root, pytest.mark.host]

# A server that is ill when its page is gone; each start writes that anew.
WEB = """
services:
  web:
    image: ${REGISTRY}/sleeper:1
    command: ["sh", "-c", "hostname > /run/who; exec httpd -f -p 8080 -h /run"]
    tmpfs: /run
    ports: ["8080:8080"]
    restart: RESTART
    stop_grace_period: 1s
    healthcheck: {test: TEST, interval: 200ms, timeout: 2s, retries: 2}
    deploy: {replicas: 2}
"""
HTTP = '[HTTP, "http://:8080/who"]'
COMMAND = "wget -q -O - http://127.0.0.1:8080/who"
BOTH = ("web-web-1", "web-web-2")


def healths(host: Host) -> dict[str, str]:
    return {name: entry["health"] for name, entry in host.containers().items()}


def page(host: Host, name: str) -> Path:
    return host.process(name) / "root/run/who"


@pytest.fixture
def web(host: Host) -> Host:
    host.write("web.yaml", WEB.replace("RESTART", '"no"').replace("TEST", HTTP))
    host.start()
    host.until_converged(*BOTH)
    return host


def test_an_ill_replica_gets_no_connections_until_it_is_well_again(web: Host) -> None:
    assert healths(web) == dict.fromkeys(BOTH, "healthy")
    file = page(web, "web-web-1")
    both = {web.http(8080, "/who") for _ in range(20)}
    assert len(both) == 2
    ill = file.read_text()
    file.unlink()
    web.until(lambda: healths(web)["web-web-1"] == "unhealthy", "it is ill")
    web.until(lambda: not any(task["key"] == "firewall" for task in web.ask("/v1/plan")["tasks"]), "the table is made")
    assert {web.http(8080, "/who") for _ in range(20)} == both - {ill}
    entry = web.containers()["web-web-1"]
    assert "its restart policy is no" in entry["why"]
    assert "status 404" in entry["why"]
    shown = web.ask(f"/containers/{entry['id']}/json")["State"]["Health"]
    assert shown["Status"] == "unhealthy"
    file.write_text(ill)
    web.until(lambda: healths(web)["web-web-1"] == "healthy", "it is well")
    web.until_converged(*BOTH)
    assert {web.http(8080, "/who") for _ in range(20)} == both


@pytest.mark.parametrize("test", [HTTP, f'"{COMMAND}"'], ids=["http", "command"])
def test_what_is_ill_is_started_again(host: Host, test: str) -> None:
    host.write("web.yaml", WEB.replace("RESTART", "always").replace("TEST", test))
    host.start()
    host.until_converged(*BOTH)
    page(host, "web-web-1").unlink()
    host.until(lambda: host.containers()["web-web-1"]["restarts"] == 1, "it is started again")
    host.until_converged(*BOTH)
    assert healths(host) == dict.fromkeys(BOTH, "healthy")
    assert host.containers()["web-web-2"]["restarts"] == 0


def test_a_healthy_container_stays_in_service_when_the_daemon_is_killed(web: Host) -> None:
    before = web.pids()
    web.end(signal.SIGKILL)
    web.start()
    assert healths(web) == dict.fromkeys(BOTH, "healthy")
    web.until_converged(*BOTH)
    assert web.pids() == before


ORDER = """
services:
  job:
    image: ${REGISTRY}/sleeper:1
    command: ["sh", "-c", "echo done >> /data/log"]
    volumes: ["data:/data"]
  db:
    image: ${REGISTRY}/sleeper:1
    command: ["sh", "-c", "sleep 1; exec httpd -f -p 5432"]
    restart: always
    stop_grace_period: 1s
    healthcheck: {test: [TCP, "5432"], interval: 200ms, start_period: 10s}
    depends_on: {job: {condition: service_completed_successfully}}
  web:
    image: ${REGISTRY}/sleeper:1
    command:
      - sh
      - -c
      - wget -q -O - http://db:5432/ 2>&1 | grep -q 'server returned error' && echo web >> /data/log; exec sleep 1000
    init: true
    restart: always
    volumes: ["data:/data"]
    post_start: [{command: ["sh", "-c", "echo started $$NAME >> /data/log"], environment: {NAME: web}}]
    pre_stop: [{command: ["sh", "-c", "echo stopping >> /data/log"], user: "0", working_dir: /data}]
    depends_on: {db: {condition: service_healthy, restart: true}}
volumes: {data: {}}
"""


def log(host: Host) -> list[str]:
    return (host.machine.state / "volumes/order_data/log").read_text().splitlines()


def up(host: Host) -> bool:
    shown = host.containers()
    return bool(
        shown["order-web-1"]["state"] == "running"
        and shown["order-db-1"]["health"] == "healthy"
        and host.ask("/v1/status")["converged"]
    )


def test_conditions_and_hooks_hold_at_the_first_start_after_a_reboot_and_at_the_end(host: Host) -> None:
    host.write("order.yaml", ORDER)
    host.start()
    host.until(lambda: up(host), "all is up")
    host.until(lambda: sorted(log(host)) == ["done", "started web", "web"], "all have written")
    assert log(host)[0] == "done"
    host.reboot()
    host.until(lambda: up(host), "all is up again")
    host.until(lambda: len(log(host)) == 5, "all have written but the job, which is done")
    assert sorted(log(host)[3:]) == ["started web", "web"]
    host.write("order.yaml", ORDER.replace("start_period: 10s", "start_period: 11s"))
    host.until(lambda: len(log(host)) == 8, "web was started again after db was replaced")
    assert log(host)[5] == "stopping"
    host.until(lambda: up(host), "all is up again")
    host.remove("order.yaml")
    host.until(lambda: not host.containers(), "all is gone")
    assert log(host)[8:] == ["stopping"]


CLIENT = """
  client:
    image: ${REGISTRY}/sleeper:1
    restart: always
    stop_grace_period: 1s
"""


def addresses(host: Host, name: str) -> set[str]:
    """What a client in the same network gets for a name."""
    client = str(host.pids()["web-client-1"])
    said = host.machine.inside.run(
        *("nsenter", "--target", client, "--net", "--mount", "/bin/nslookup", "-type=a", name), code=None
    )
    return {line.split()[-1] for line in said.partition("Name:")[2].splitlines() if line.startswith("Address")}


def test_an_ill_replica_leaves_the_names_and_is_left_alone_where_nobody_wants_it_restarted(host: Host) -> None:
    settings = host.machine.disk / "etc/reconciler/reconciler.toml"
    settings.write_text(f"{settings.read_text()}restart_unhealthy = false\n")
    host.machine.reboot()  # so that the settings are there
    host.write("web.yaml", WEB.replace("RESTART", "always").replace("TEST", HTTP) + CLIENT)
    host.start()
    host.until_converged(*BOTH, "web-client-1")
    own = {name: host.ask(f"/containers/{entry['id']}/json") for name, entry in host.containers().items()}
    first, second = (next(iter(own[name]["NetworkSettings"]["Networks"].values()))["IPAddress"] for name in BOTH)
    assert addresses(host, "web") == {first, second}
    before, file = host.pids(), page(host, "web-web-1")
    ill = file.read_text()
    file.unlink()
    host.until(lambda: addresses(host, "web") == {second}, "it has no name")
    file.write_text(ill)
    host.until(lambda: addresses(host, "web") == {first, second}, "it has one again")
    assert host.pids() == before


def test_what_is_ill_again_and_again_is_restarted_with_growing_pauses(host: Host) -> None:
    never = WEB.replace("RESTART", "always").replace("TEST", '[TCP, "9999"]')
    host.write("web.yaml", never)
    host.start()
    host.until(lambda: host.containers()["web-web-1"]["restarts"] >= 3, "it was restarted three times")
    host.until(lambda: "times in a row; restarts after" in host.containers()["web-web-1"]["why"], "it says so")


def test_a_dependency_that_is_killed_takes_nobody_along(host: Host) -> None:
    host.write("order.yaml", ORDER)
    host.start()
    host.until(lambda: up(host), "all is up")
    before = host.pids()
    host.kill("order-db-1")
    host.until(lambda: host.containers()["order-db-1"]["restarts"] == 1 and up(host), "it is back")
    after = host.pids()
    assert after["order-web-1"] == before["order-web-1"]
    assert after["order-db-1"] != before["order-db-1"]
