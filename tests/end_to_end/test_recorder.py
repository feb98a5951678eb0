"""The flight recorder and `why` on a machine with real containers: a bad update, from its cause to its last lines."""

from __future__ import annotations

import json

import pytest

from tests.end_to_end.host import Host

pytestmark = [pytest.mark.root, pytest.mark.host]

SECRET = "canary-5f1e-hunter2"
SHOP = """
services:
  web:
    image: ${{REGISTRY}}/web:1
    ports: ["8080:8080"]
    restart: always
    stop_grace_period: 5s
    environment: {{VERSION: "{version}", TOKEN: "${{TOKEN}}", IN_SPEC: "{secret}-2"}}
    x-drain: 1s
    deploy: {{update_config: {{monitor: 1s}}}}
{more}"""
BAD = """\
    entrypoint: ["/bin/sh", "-c", "echo token $$TOKEN and $$IN_SPEC; echo no luck; exit 3", "{secret}-3"]
"""


def spec(version: int, more: str = "") -> str:
    return SHOP.format(version=version, secret=SECRET, more=more)


def test_a_bad_update_is_explained_before_and_after_a_reboot(host: Host) -> None:
    env = host.specs / ".env"
    env.write_text(env.read_text() + f"TOKEN={SECRET}-1\n")
    host.write("shop.yaml", spec(0))
    host.start()
    host.until_converged("shop-web-1")
    assert host.reconciler("why", "shop").startswith("shop: converged, for ")
    host.write("shop.yaml", spec(1, BAD.format(secret=SECRET)))
    host.until(lambda: "quarantined" in host.reconciler("history"), "the quarantine is recorded")
    host.until(lambda: len(host.pids()) == 1 and host.http(8080) == "one\n", "the old one serves")
    host.until(lambda: "removed" in host.reconciler("history"), "the bad one is gone")
    explained(host)
    host.reboot()
    host.until(lambda: len(host.pids()) == 1 and host.http(8080) == "one\n", "the old one serves again")
    explained(host)
    host.end()
    recorded(host)


def explained(host: Host) -> None:
    why = json.loads(host.reconciler("why", "shop/web", "--json", code=4))
    assert [cause["code"] for cause in why["causes"]] == ["quarantined"]
    assert "quarantined" in host.reconciler("why", "shop", code=4)
    status = host.ask("/v1/status")
    assert [entry["code"] for entry in status["containers"]] == ["quarantined"]
    recorded(host)
    said = (host.reconciler("why", "shop", code=4), host.said(10_000), json.dumps([status, host.ask("/v1/plan")]))
    assert not [text for text in said if SECRET in text]


def recorded(host: Host) -> None:
    """The same with and without a daemon."""
    rows = json.loads(host.reconciler("history", "shop", "--json"))["entries"]
    bad = next(row for row in rows if row["what"] == "quarantined")
    assert "exit code 3" in bad["detail"]
    shown = host.reconciler("show", f"shop@{bad['revision'][:12]}")
    for line in ("ended with code 3", "no luck", "token *** and ***", "quarantine revision", "~ environment.VERSION"):
        assert line in shown, shown
    everything = shown + host.reconciler("show", f"shop@{bad['revision']}", "--json") + host.reconciler("history")
    assert SECRET not in everything
    files = list((host.machine.state / "history").rglob("*"))
    assert len(files) >= 4
    for path in files:
        assert SECRET.encode() not in path.read_bytes(), path
    for path in (host.machine.state / "quarantine").glob("*"):
        assert SECRET.encode() not in path.read_bytes(), path
