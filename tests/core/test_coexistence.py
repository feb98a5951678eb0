"""Sentences about firewalls of others: who they are, what they drop, what to do."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.coexistence import Chain, obstacles

POOL = "10.192.0.0/12"
FORWARD = Chain(family="ip", table="filter", name="FORWARD", drops=True)
DOCKER = replace(FORWARD, beside=frozenset({"DOCKER-USER", "DOCKER"}))
UFW = replace(DOCKER, beside=frozenset({"DOCKER-USER", "ufw-before-forward"}))
FIREWALLD = Chain(family="inet", table="firewalld", name="filter_FORWARD", drops=False)


@pytest.mark.parametrize(
    ("chain", "words"),
    [
        (
            FORWARD,
            "Chain FORWARD of the nftables table ip filter drops forwarded IPv4 packets of containers; let them pass: "
            "iptables -I FORWARD -i rc-+ -j ACCEPT && iptables -I FORWARD -o rc-+ -j ACCEPT",
        ),
        (
            DOCKER,
            "Docker (chain FORWARD of the nftables table ip filter) drops forwarded IPv4 packets of containers; let "
            "them pass: iptables -I DOCKER-USER -i rc-+ -j ACCEPT && iptables -I DOCKER-USER -o rc-+ -j ACCEPT",
        ),
        (
            replace(DOCKER, family="ip6", legacy=True),
            "Docker (chain FORWARD of the legacy iptables table ip6 filter) drops forwarded IPv6 packets of "
            "containers; let them pass: ip6tables-legacy -I DOCKER-USER -i rc-+ -j ACCEPT && "
            "ip6tables-legacy -I DOCKER-USER -o rc-+ -j ACCEPT",
        ),
        (
            UFW,
            "ufw (chain FORWARD of the nftables table ip filter) drops forwarded IPv4 packets of containers; let them "
            "pass: ufw route allow from 10.192.0.0/12 && ufw route allow to 10.192.0.0/12",
        ),
        (
            FIREWALLD,
            "firewalld (chain filter_FORWARD of the nftables table inet firewalld) drops forwarded IPv4 and IPv6 "
            "packets of containers; let them pass: firewall-cmd --permanent --zone=trusted --add-source=10.192.0.0/12 "
            "&& firewall-cmd --reload",
        ),
        (
            Chain(family="inet", table="mine", name="pass", drops=True),
            "Chain pass of the nftables table inet mine drops forwarded IPv4 and IPv6 packets of containers; let them "
            "pass: nft insert rule inet mine pass iifname '\"rc-*\"' accept && "
            "nft insert rule inet mine pass oifname '\"rc-*\"' accept",
        ),
    ],
)
def test_what_is_in_the_way_is_named_with_what_to_do(chain: Chain, words: str) -> None:
    assert obstacles((chain,), POOL) == (words,)
    assert obstacles((replace(chain, welcomes=True),), POOL) == ()


def test_a_chain_that_lets_pass_is_no_obstacle() -> None:
    assert obstacles((replace(FORWARD, drops=False), replace(DOCKER, drops=False)), POOL) == ()


def test_what_concerns_ipv6_alone_is_left_out_where_there_is_none() -> None:
    six = replace(FORWARD, family="ip6")
    assert len(obstacles((FORWARD, six, FIREWALLD), POOL)) == 3
    assert obstacles((six,), POOL, ipv6=False) == ()
    assert len(obstacles((FORWARD, six, FIREWALLD), POOL, ipv6=False)) == 2


CHAINS = st.lists(
    st.builds(
        Chain,
        family=st.sampled_from(["ip", "ip6", "inet"]),
        table=st.sampled_from(["filter", "firewalld", "mine"]),
        name=st.sampled_from(["FORWARD", "pass"]),
        drops=st.booleans(),
        beside=st.frozensets(st.sampled_from(["DOCKER-USER", "ufw-before-forward", "other"])),
        welcomes=st.booleans(),
        legacy=st.booleans(),
    )
).map(tuple)


@given(CHAINS)
def test_each_obstacle_is_one_sentence_with_commands(chains: tuple[Chain, ...]) -> None:
    found = obstacles(chains, POOL)
    assert list(found) == sorted(set(found))
    assert all(sentence.count("; ") == 1 and "let them pass: " in sentence for sentence in found)
    assert bool(found) == any((chain.drops or chain.table == "firewalld") and not chain.welcomes for chain in chains)
