"""Firewalls of others, written by their own programs: found, and no longer told once their advice is followed."""

from __future__ import annotations

import subprocess

import pytest

from reconciler.core.ruleset import Published
from reconciler.host import obstacles
from reconciler.host.obstacles import Obstacles
from reconciler.settings import Settings
from tests.host.network.conftest import nft
from tests.host.network.ground import HOST, Ground, ground

__all__ = ["ground"]  # a fixture

pytestmark = pytest.mark.root


@pytest.fixture
def way(namespace: None) -> Obstacles:
    return Obstacles(Settings(instance="test"))


def run(words: str) -> None:
    subprocess.run(words, shell=True, check=True)


def followed(sentence: str) -> None:
    run(sentence.partition("let them pass: ")[2])


def test_an_empty_host_has_none(way: Obstacles) -> None:
    assert way.look() == ()


@pytest.mark.parametrize("program", ["iptables", "ip6tables", "iptables-legacy", "ip6tables-legacy"])
@pytest.mark.parametrize("chain", ["", "DOCKER-USER"])
def test_a_policy_of_iptables_is_found_and_the_advice_ends_it(way: Obstacles, program: str, chain: str) -> None:
    if chain:
        run(f"{program} -N {chain} && {program} -A FORWARD -j {chain}")
    assert way.look() == ()
    run(f"{program} -P FORWARD DROP")
    (sentence,) = way.look()
    assert ("Docker" in sentence, f"{program} -I" in sentence) == (bool(chain), True)
    assert way.look(ipv6=False) == (() if program.startswith("ip6") else (sentence,))
    followed(sentence)
    assert way.look() == ()


def test_a_chain_of_nftables_is_found_and_the_advice_ends_it(way: Obstacles) -> None:
    nft(
        "-f", "-", input="table inet mine {\n chain pass {\n type filter hook forward priority 5; policy drop;\n }\n}\n"
    )
    nft("-f", "-", input="table arp other {\n chain input {\n type filter hook input priority 0; policy drop;\n }\n}\n")
    (sentence,) = way.look()
    assert sentence.startswith("Chain pass of the nftables table inet mine drops")
    followed(sentence)
    assert way.look() == ()


@pytest.mark.parametrize("pool", ["10.192.0.0/12", "172.30.0.0/16", "10.0.0.0/8", "192.168.7.128/25"])
def test_a_rule_for_our_addresses_is_a_welcome(namespace: None, pool: str) -> None:
    way = Obstacles(Settings(instance="test", address_pool=pool))
    run("iptables -P FORWARD DROP; iptables -N ufw-before-forward; iptables -A FORWARD -j ufw-before-forward")
    (sentence,) = way.look()
    assert f"ufw route allow from {pool}" in sentence
    run("iptables -A ufw-before-forward -s 198.51.100.0/24 -j ACCEPT")
    assert way.look() == (sentence,)
    run(f"iptables -A ufw-before-forward -s {pool} -j ACCEPT")
    assert way.look() == ()


def test_while_no_ruleset_changes_nothing_is_asked_again(way: Obstacles, monkeypatch: pytest.MonkeyPatch) -> None:
    run("iptables -P FORWARD DROP")
    found = way.look()
    monkeypatch.delattr(obstacles, "chains")
    assert way.look() == found


def test_our_own_tables_are_none(ground: Ground) -> None:
    ground.network("shop", "web")
    ground.publish()
    assert Obstacles(ground.settings).look() == ()


def test_what_is_told_is_what_drops_and_the_advice_lets_pass(ground: Ground) -> None:
    ground.network("shop", "web")
    ground.serve("web", 80)
    ground.publish(Published(port=8080, targets=(("10.192.3.2", 80),)))
    run("iptables -N DOCKER-USER; iptables -A FORWARD -j DOCKER-USER; iptables -P FORWARD DROP")
    assert ground.who("outside", HOST, 8080) == "dropped"
    (sentence,) = Obstacles(ground.settings).look()
    followed(sentence)
    assert ground.who("outside", HOST, 8080) == "web"
