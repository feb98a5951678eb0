"""Whether a host is fit: the judgement over facts that `host.inspect` has asked for. Pure.

Each check is one small function from facts to findings, with the name of what was looked at, a verdict, what was
found, and what to do about it.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from reconciler.core.advisories import runc_holes

GIB = 1 << 30
CONTROLLERS = ("cpu", "memory", "pids")
FEATURES = ("overlay", "nf_tables", "bridge", "veth")
# program -> (package that brings it, whether nothing works without it, what it is for)
TOOLS: Mapping[str, tuple[str, bool, str]] = {
    "nft": ("nftables", True, "published ports"),
    "ip": ("iproute2", False, "looking at links by hand"),
    "dnsmasq": ("dnsmasq-base", False, "names between containers"),
    "bsdtar": ("libarchive-tools", False, "looking into images by hand"),
}

Verdict = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the host says, mostly word by word. `versions`: what a program prints, None when it is not there."""

    root: bool = True
    runtime: str = "runc"
    monitor: str = "conmon"
    versions: Mapping[str, str | None] = field(default_factory=dict)
    filesystems: str = ""  # /proc/filesystems
    modules: frozenset[str] = frozenset()  # built in, loaded or loadable
    mounts: str = ""  # /proc/mounts
    controllers: str | None = None  # cgroup.controllers of the root, None on version 1
    sysctls: Mapping[str, str] = field(default_factory=dict)  # by path below /proc/sys; missing ones are not there
    ruleset: str = ""  # nft -j list ruleset
    routes: str = ""  # ip -j route
    pool: str = "10.192.0.0/12"
    table: str = "reconciler"
    disks: tuple[Disk, ...] = ()
    mirrors: Mapping[str, str] = field(
        default_factory=dict
    )  # of registries: by name, why it is no use; "" for a good one


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """Where something is kept: free bytes, the share of inodes that is free, and how many bytes there should be."""

    path: str
    free: int
    inodes: float = 1.0
    needed: int = GIB
    purpose: str = "images and writable layers"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line of `doctor`."""

    name: str
    verdict: Verdict
    found: str
    advice: str = ""


def judge(facts: Facts) -> tuple[Finding, ...]:
    """Every check, in the order in which a person would mend them."""
    checks = (_root, _tools, _runc, _kernel, _cgroups, _forwarding, _firewalls, _addresses, _disks, _mirrors)
    return tuple(finding for check in checks for finding in check(facts))


def is_fit(findings: tuple[Finding, ...]) -> bool:
    """Whether the daemon can do its work here."""
    return all(finding.verdict != "fail" for finding in findings)


def _root(facts: Facts) -> Iterator[Finding]:
    if facts.root:
        yield Finding(name="user", verdict="ok", found="root")
    else:
        yield Finding(name="user", verdict="fail", found="not root", advice="the daemon needs root; try sudo")


def _tools(facts: Facts) -> Iterator[Finding]:
    needed = {facts.runtime: ("runc", True, "containers"), facts.monitor: ("conmon", True, "containers"), **TOOLS}
    for program, (package, required, purpose) in needed.items():
        printed = facts.versions.get(program)
        if printed is None:
            advice = f"{purpose} need it: apt install {package}" if required else f"only for {purpose}: {package}"
            yield Finding(name=program, verdict="fail" if required else "warn", found="missing", advice=advice)
        else:
            yield Finding(name=program, verdict="ok", found=(printed.strip().splitlines() or ["there"])[0])


def _runc(facts: Facts) -> Iterator[Finding]:
    printed = facts.versions.get(facts.runtime) or ""
    if not printed.startswith("runc"):
        return
    holes = runc_holes(printed)
    if holes:
        names = ", ".join(hole.name for hole in holes)
        advice = "take a newer runc (1.3.6, 1.4.3, 1.5) or crun; what can be checked before a start, the daemon checks"
        yield Finding(name="runc fixes", verdict="warn", found=f"open as far as is known: {names}", advice=advice)
    else:
        yield Finding(name="runc fixes", verdict="ok", found="no known hole")


def _kernel(facts: Facts) -> Iterator[Finding]:
    filesystems = {line.split()[-1] for line in facts.filesystems.splitlines() if line.strip()}
    for feature in FEATURES:
        if feature in filesystems | facts.modules:
            yield Finding(name=f"kernel {feature}", verdict="ok", found="there")
        else:
            advice = f"modprobe {feature}, or a kernel that has it"
            yield Finding(name=f"kernel {feature}", verdict="fail", found="missing", advice=advice)


def _cgroups(facts: Facts) -> Iterator[Finding]:
    if facts.controllers is not None:
        version, found = 2, set(facts.controllers.split())
    else:
        version, found = 1, parse_cgroup1(facts.mounts)
    missing = [name for name in CONTROLLERS if name not in found]
    if not found:
        advice = "mount cgroup2 on /sys/fs/cgroup"
        yield Finding(name="cgroups", verdict="fail", found="not mounted", advice=advice)
    elif missing:
        advice = "a service that limits these does not start; see cgroup_disable on the kernel's command line"
        advice += "; the others run without the usual limit on processes" if "pids" in missing else ""
        yield Finding(name="cgroups", verdict="warn", found=f"v{version} without {', '.join(missing)}", advice=advice)
    else:
        yield Finding(name="cgroups", verdict="ok", found=f"v{version} with {', '.join(CONTROLLERS)}")


def parse_cgroup1(mounts: str) -> set[str]:
    """The controllers of the version 1 hierarchies in /proc/mounts."""
    lines = [line.split() for line in mounts.splitlines()]
    return {option for line in lines if len(line) > 3 and line[2] == "cgroup" for option in line[3].split(",")} - {
        "rw", "ro", "nosuid", "nodev", "noexec", "relatime", "xattr"
    }  # fmt: skip


def _forwarding(facts: Facts) -> Iterator[Finding]:
    forward = facts.sysctls.get("net/ipv4/ip_forward", "").strip()
    found = "on" if forward == "1" else "off; the daemon turns it on when it makes a network"
    yield Finding(name="forwarding", verdict="ok", found=found)
    if facts.sysctls.get("net/bridge/bridge-nf-call-iptables", "").strip() == "1":
        yield Finding(
            name="br_netfilter",
            verdict="warn",
            found="on: traffic within one network also passes the host's firewall",
            advice="sysctl net.bridge.bridge-nf-call-iptables=0, unless something here needs it",
        )


def _firewalls(facts: Facts) -> Iterator[Finding]:
    dropping = parse_dropping(facts.ruleset, facts.table)
    for chain in dropping:
        yield Finding(
            name="firewall",
            verdict="warn",
            found=f"chain {chain} drops what is forwarded unless a rule of its own lets it pass",
            advice='let it accept iifname "rc-*" and oifname "rc-*" (docker: in DOCKER-USER)',
        )
    if not dropping:
        yield Finding(name="firewall", verdict="ok", found="no other table drops what is forwarded")


def parse_dropping(ruleset: str, own: str) -> tuple[str, ...]:
    """The chains of others that drop forwarded packets by policy, as `family table chain`, and firewalld's."""
    entries = _json_list(_json_object(ruleset).get("nftables"))
    chains = [entry["chain"] for entry in entries if isinstance(entry.get("chain"), dict)]
    found = []
    for chain in chains:
        foreign = chain.get("table") != own and chain.get("hook") == "forward"
        if foreign and (chain.get("policy") == "drop" or chain.get("table") == "firewalld"):
            found.append(f"{chain.get('family')} {chain.get('table')} {chain.get('name')}")
    return tuple(found)


def _json_object(text: str) -> dict[str, Any]:
    found = _loads(text)
    return found if isinstance(found, dict) else {}


def _json_list(value: object) -> list[dict[str, Any]]:
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def _loads(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _addresses(facts: Facts) -> Iterator[Finding]:
    pool = ipaddress.IPv4Network(facts.pool)
    foreign = parse_overlaps(facts.routes, facts.pool)
    if any(pool.subnet_of(network) for network in foreign):
        advice = "set address_pool to a private network that this host does not reach"
        yield Finding(name="addresses", verdict="fail", found=f"{pool} is in use by the host", advice=advice)
    elif foreign:
        names = ", ".join(map(str, foreign))
        advice = "these are left out; set address_pool if that leaves too few"
        yield Finding(name="addresses", verdict="warn", found=f"{pool} overlaps with {names}", advice=advice)
    else:
        yield Finding(name="addresses", verdict="ok", found=f"{pool} is free")


def parse_overlaps(routes: str, pool: str) -> tuple[ipaddress.IPv4Network, ...]:
    """The networks that the host reaches by links that are not ours and that overlap with `pool`."""
    wanted = ipaddress.IPv4Network(pool)
    found = []
    for route in _json_list(_loads(routes)):
        if str(route.get("dev", "")).startswith("rc-") or route.get("dst") == "default":
            continue
        try:
            network = ipaddress.IPv4Network(str(route.get("dst")), strict=False)
        except ValueError:
            continue
        if network.prefixlen > 0 and network.overlaps(wanted):
            found.append(network)
    return tuple(sorted(found))


def _disks(facts: Facts) -> Iterator[Finding]:
    for disk in facts.disks:
        found = f"{disk.free / GIB:.1f} GiB free, {disk.inodes:.0%} of inodes"
        verdict: Verdict = "ok"
        if disk.free < disk.needed or disk.inodes < 0.05:
            verdict = "warn" if disk.free >= disk.needed // 8 and disk.inodes >= 0.005 else "fail"
        advice = "" if verdict == "ok" else f"make room: {disk.purpose} need it"
        yield Finding(name=f"disk {disk.path}", verdict=verdict, found=found, advice=advice)


def _mirrors(facts: Facts) -> Iterator[Finding]:
    advice = "images come from the registry itself meanwhile; mend the mirror, or take it out of the settings"
    for name, why in sorted(facts.mirrors.items()):
        if why:
            yield Finding(name=f"mirror {name}", verdict="warn", found=why, advice=advice)
        else:
            yield Finding(name=f"mirror {name}", verdict="ok", found="answers")
