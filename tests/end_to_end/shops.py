"""A web server of which there are many revisions, and what is asked of it while one takes the place of another."""

from __future__ import annotations

from tests.end_to_end.host import Host
from tests.end_to_end.traffic import Traffic

WEB = "shop-web-1"
DRAIN = 0.3  # seconds, as in the spec
_SPEC = """
services:
  web:
    image: ${{REGISTRY}}/{image}
    ports: ["8080:8080"]
    restart: always
    stop_grace_period: 5s
    environment: {{VERSION: "{version}"}}
    x-drain: 300ms
{check}    deploy: {{replicas: {replicas}, update_config: {{order: {order}, monitor: {monitor}{config}}}}}
{more}"""
CHECK = '    healthcheck: {test: [HTTP, "http://:8080/"], interval: 500ms, timeout: 2s, retries: 2}\n'
CHECK_COMMAND = '    healthcheck: {test: ["CMD-SHELL", "COMMAND"], interval: 500ms, timeout: 2s, retries: 1}\n'
ENTRYPOINT = '    entrypoint: ["/bin/sh", "-c", "COMMAND"]\n'
CRASHES = ENTRYPOINT.replace("COMMAND", "echo no luck; exit 3")


def spec(version: int, image: str = "web:1", **changes: object) -> str:
    """Revision `version`, another one for each number. `more` belongs to the service, `config` to its update_config."""
    values: dict[str, object] = {
        "order": "start-first", "monitor": "300ms", "check": CHECK, "replicas": 1, "config": "", "more": "",
    }  # fmt: skip
    return _SPEC.format(version=version, image=image, **(values | changes))


def open_shop(host: Host, text: str, *names: str) -> Host:
    """A machine on which it runs and was watched."""
    host.write("shop.yaml", text)
    host.start()
    host.until_converged(*(names or (WEB,)))
    host.until(lambda: host.http(8080), "it serves")
    return host


def update(host: Host, text: str) -> None:
    """Write the spec, and wait until another instance is all there is."""
    before = host.containers()[WEB]["id"]
    host.write("shop.yaml", text)
    host.until(lambda: host.containers()[WEB]["id"] != before, "another instance is made")
    host.until_converged(WEB)


def nothing_is_lost(traffic: Traffic, drain: float = DRAIN) -> None:
    """Every request was answered, and whoever stayed had the time to go."""
    assert traffic.requests > 0
    assert traffic.kept > 0
    assert not traffic.lost, f"{traffic}: {traffic.lost}\n{traffic.host.said(200)}"
    assert not traffic.cut(drain), f"{traffic}: {traffic.cut(drain)} of {traffic.served}\n{traffic.host.said(200)}"


def quarantined(host: Host) -> bool:
    """Whether the status tells of a revision in quarantine."""
    return "quarantined: revision" in str(host.ask("/v1/status")["troubles"])
