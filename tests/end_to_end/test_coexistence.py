"""Beside other programs that keep rules: theirs stay as they are, and whoever of them drops our traffic is told."""

from __future__ import annotations

import pytest

from tests.end_to_end.host import ENVIRONMENT, PROGRAM, Host

pytestmark = [pytest.mark.root, pytest.mark.host]

WEB = """
services:
  web:
    image: ${REGISTRY}/web:1
    ports: ["8080:8080"]
"""
# As Docker leaves it: an older table of iptables whose forward chain drops what nobody there accepts.
THEIRS = """
table ip filter {
  chain FORWARD { type filter hook forward priority 0; policy drop; }
}
table inet somebody {
  set friends { type ipv4_addr; elements = { 192.0.2.1 } }
  chain input { type filter hook input priority 0; policy accept; ip saddr @friends counter; }
}
"""


def test_rules_of_others_are_never_touched_and_who_drops_our_traffic_is_told(host: Host) -> None:
    theirs = host.machine.disk / "theirs.nft"
    theirs.write_text(THEIRS)
    host.machine.inside.run("nft", "-f", theirs)
    before = _rules(host)
    host.write("web.yaml", WEB)
    host.start()
    host.until(lambda: "web-web-1" in host.pids(), "it runs")
    host.until(lambda: "FORWARD" in str(host.ask("/v1/status")["troubles"]), "the obstacle is told")
    assert "FORWARD" in host.machine.inside.run(*PROGRAM, "doctor", env=ENVIRONMENT, code=None)
    host.write("web.yaml", WEB.replace("8080:8080", "8081:8080"))
    host.until(lambda: "web-web-1" in host.pids(), "it runs")
    host.machine.inside.run("nft", "chain", "ip", "filter", "FORWARD", "{ policy accept; }")
    host.until(lambda: host.http(8081) == "one\n", "it answers once nobody drops it")
    host.until_converged("web-web-1")
    host.end()
    host.reconciler("down")
    assert _rules(host) == before.replace("policy drop", "policy accept")


def _rules(host: Host) -> str:
    return host.machine.inside.run("nft", "-s", "list", "ruleset")
