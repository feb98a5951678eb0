"""The judgement over a host's facts, which are recorded words of real programs."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.fitness import Disk, Facts, Finding, is_fit, judge, parse_cgroup1, parse_dropping, parse_overlaps

GOOD = Facts(
    versions={
        "runc": "runc version 1.4.3\n",
        "conmon": "conmon version 2.1.6\ncommit: unknown\n",
        "nft": "nftables v1.0.6 (Lester Gooch #5)\n",
        "ip": "ip utility, iproute2-6.1.0, libbpf 1.1.2\n",
        "dnsmasq": "Dnsmasq version 2.90  Copyright (c) 2000-2024 Simon Kelley\n",
        "bsdtar": "bsdtar 3.6.2 - libarchive 3.6.2\n",
    },
    filesystems="nodev\tsysfs\nnodev\toverlay\n\text4\n",
    modules=frozenset({"nf_tables", "bridge", "veth"}),
    controllers="cpuset cpu io memory hugetlb pids rdma misc\n",
    sysctls={"net/ipv4/ip_forward": "1\n"},
    ruleset='{"nftables": [{"metainfo": {"version": "1.0.6"}}]}',
    routes='[{"dst":"default","gateway":"192.0.2.1","dev":"eth0"},{"dst":"192.0.2.0/24","dev":"eth0"}]',
    disks=(Disk(path="/var/lib", free=80 << 30),),
)

# /proc/mounts of a Debian 12 with a hybrid hierarchy
MOUNTS = """\
tmpfs /sys/fs/cgroup tmpfs rw,nosuid,nodev,noexec,relatime 0 0
cgroup2 /sys/fs/cgroup/unified cgroup2 rw,nosuid,nodev,noexec,relatime 0 0
cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,nosuid,nodev,noexec,relatime,cpu,cpuacct 0 0
cgroup /sys/fs/cgroup/memory cgroup rw,nosuid,nodev,noexec,relatime,memory 0 0
cgroup /sys/fs/cgroup/pids cgroup rw,nosuid,nodev,noexec,relatime,pids 0 0
cgroup /sys/fs/cgroup/systemd cgroup rw,nosuid,nodev,noexec,relatime,xattr,name=systemd 0 0
"""


def chain(table: str, policy: str = "drop", hook: str = "forward", family: str = "ip") -> dict[str, object]:
    body = {"family": family, "table": table, "name": "FORWARD", "type": "filter", "hook": hook, "policy": policy}
    return {"chain": body}


def ruleset(*entries: dict[str, object]) -> str:
    return json.dumps({"nftables": [{"metainfo": {}}, {"table": {"family": "ip", "name": "filter"}}, *entries]})


def found(facts: Facts, name: str) -> list[Finding]:
    return [finding for finding in judge(facts) if finding.name == name]


def test_a_good_host_is_fit_and_needs_no_advice() -> None:
    findings = judge(GOOD)
    assert {finding.verdict for finding in findings} == {"ok"}
    assert [finding.advice for finding in findings if finding.advice] == []
    assert is_fit(findings)


@pytest.mark.parametrize(
    ("facts", "name", "verdict"),
    [
        (replace(GOOD, root=False), "user", "fail"),
        (replace(GOOD, versions={**GOOD.versions, "runc": None}), "runc", "fail"),
        (replace(GOOD, versions={**GOOD.versions, "nft": None}), "nft", "fail"),
        (replace(GOOD, versions={**GOOD.versions, "dnsmasq": None}), "dnsmasq", "warn"),
        (replace(GOOD, versions={**GOOD.versions, "nft": ""}), "nft", "ok"),
        (replace(GOOD, versions={**GOOD.versions, "runc": "runc version 1.1.5\n"}), "runc fixes", "warn"),
        (replace(GOOD, filesystems="nodev\tsysfs\n"), "kernel overlay", "fail"),
        (replace(GOOD, modules=frozenset({"nf_tables", "bridge"})), "kernel veth", "fail"),
        (replace(GOOD, controllers="cpu memory"), "cgroups", "warn"),
        (replace(GOOD, controllers=None), "cgroups", "fail"),
        (replace(GOOD, controllers=None, mounts=MOUNTS), "cgroups", "ok"),
        (replace(GOOD, sysctls={"net/ipv4/ip_forward": "0\n"}), "forwarding", "ok"),
        (replace(GOOD, sysctls={"net/bridge/bridge-nf-call-iptables": "1\n"}), "br_netfilter", "warn"),
        (replace(GOOD, ruleset=ruleset(chain("filter"))), "firewall", "warn"),
        (replace(GOOD, routes='[{"dst":"10.200.0.0/16","dev":"wg0"}]'), "addresses", "warn"),
        (replace(GOOD, routes='[{"dst":"10.0.0.0/8","dev":"wg0"}]'), "addresses", "fail"),
        (replace(GOOD, disks=(Disk(path="/x", free=1 << 29),)), "disk /x", "warn"),
        (replace(GOOD, disks=(Disk(path="/x", free=1 << 20),)), "disk /x", "fail"),
        (replace(GOOD, disks=(Disk(path="/x", free=1 << 40, inodes=0.02),)), "disk /x", "warn"),
        (replace(GOOD, disks=(Disk(path="/x", free=1 << 29, needed=1 << 29),)), "disk /x", "ok"),
        (replace(GOOD, disks=(Disk(path="/x", free=1 << 20, needed=1 << 21),)), "disk /x", "warn"),
    ],
)
def test_what_is_wrong_is_found_and_comes_with_advice(facts: Facts, name: str, verdict: str) -> None:
    (finding,) = found(facts, name)
    assert finding.verdict == verdict
    assert bool(finding.advice) == (verdict != "ok")
    assert is_fit(judge(facts)) == (verdict != "fail")


def test_advice_names_what_the_disk_is_for_and_what_no_longer_holds() -> None:
    (disk,) = found(replace(GOOD, disks=(Disk(path="/x", free=0, purpose="records"),)), "disk /x")
    assert disk.advice == "make room: records need it"
    (cgroups,) = found(replace(GOOD, controllers="cpu memory"), "cgroups")
    assert "without the usual limit on processes" in cgroups.advice
    (cgroups,) = found(replace(GOOD, controllers="cpu pids"), "cgroups")
    assert "without the usual limit" not in cgroups.advice


def test_another_runtime_is_looked_for_under_its_own_name() -> None:
    facts = replace(GOOD, runtime="crun", versions={**GOOD.versions, "crun": "crun version 1.8.1\n"})
    assert found(facts, "crun")[0].found == "crun version 1.8.1"
    assert found(facts, "runc fixes") == []


def test_the_controllers_of_version_1_are_those_that_are_mounted() -> None:
    assert parse_cgroup1(MOUNTS) >= {"cpu", "cpuacct", "memory", "pids"}
    assert "rw" not in parse_cgroup1(MOUNTS)
    assert parse_cgroup1("") == set()


@pytest.mark.parametrize(
    ("entries", "dropping"),
    [
        ([], ()),
        ([chain("filter")], ("ip filter FORWARD",)),
        ([chain("filter", policy="accept")], ()),
        ([chain("filter", hook="input")], ()),
        ([chain("reconciler", family="inet")], ()),
        ([chain("firewalld", policy="accept", family="inet")], ("inet firewalld FORWARD",)),
        ([{"chain": {"family": "ip", "table": "filter", "name": "DOCKER-USER"}}], ()),
    ],
)
def test_chains_that_drop_what_is_forwarded(entries: list[dict[str, object]], dropping: tuple[str, ...]) -> None:
    assert parse_dropping(ruleset(*entries), "reconciler") == dropping


@pytest.mark.parametrize("text", ["", "[]", "null", "{", '{"nftables": 3}', '{"nftables": [3, {"chain": 4}]}'])
def test_a_ruleset_that_cannot_be_read_holds_nothing(text: str) -> None:
    assert parse_dropping(text, "reconciler") == ()


@pytest.mark.parametrize(
    ("route", "overlaps"),
    [
        ({"dst": "default", "dev": "eth0"}, 0),
        ({"dst": "0.0.0.0/0", "dev": "eth0"}, 0),
        ({"dst": "10.195.0.7", "dev": "eth0"}, 1),
        ({"dst": "10.192.0.0/24", "dev": "rc-0123456789ab"}, 0),
        ({"dst": "172.17.0.0/16", "dev": "docker0"}, 0),
        ({"dst": "unreachable", "dev": "lo"}, 0),
    ],
)
def test_routes_that_overlap(route: dict[str, str], overlaps: int) -> None:
    assert len(parse_overlaps(json.dumps([route]), "10.192.0.0/12")) == overlaps


@given(st.text(), st.text(), st.text(), st.none() | st.text(), st.dictionaries(st.just("runc"), st.none() | st.text()))
def test_whatever_programs_say_there_is_a_judgement(
    ruleset: str, routes: str, mounts: str, controllers: str | None, versions: dict[str, str | None]
) -> None:
    facts = replace(
        GOOD,
        ruleset=ruleset,
        routes=routes,
        mounts=mounts,
        controllers=controllers,
        versions=versions,
        filesystems=mounts,
    )
    assert all(finding.found for finding in judge(facts))


def test_a_mirror_that_is_no_use_is_a_warning_and_no_more() -> None:
    facts = replace(GOOD, mirrors={"a.example": "", "b.example": "cannot ask b.example/v2/: timed out"})
    good, bad = [finding for finding in judge(facts) if finding.name.startswith("mirror ")]
    assert (good.name, good.verdict) == ("mirror a.example", "ok")
    assert (bad.verdict, bad.found) == ("warn", "cannot ask b.example/v2/: timed out")
    assert is_fit(judge(facts))
