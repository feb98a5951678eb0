"""The parts of a cell and of the floor that are pure."""

from __future__ import annotations

import json
from pathlib import Path

from tests.bench import floor_bundle, netlink, workload
from tests.bench.cgroups import Hierarchy, parse_hierarchies

HYBRID = """\
21 1 0:20 / /sys/fs/cgroup rw shared:9 - tmpfs tmpfs rw,mode=755
22 21 0:21 / /sys/fs/cgroup/cpuacct rw,relatime shared:10 - cgroup cgroup rw,cpuacct
23 21 0:22 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd
24 21 0:23 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
"""
HYBRID_MEMBERSHIP = "2:cpuacct:/outer\n1:name=systemd:/\n0::/\n"


def test_hybrid_hierarchies_are_nested_below_our_own_group() -> None:
    found = parse_hierarchies(HYBRID, HYBRID_MEMBERSHIP)
    assert [(hierarchy.kind, hierarchy.options) for hierarchy in found] == [
        ("cgroup", "cpuacct"),
        ("cgroup", "none,name=systemd"),
        ("cgroup2", ""),
    ]
    assert found[0].group("cell") == Path("/sys/fs/cgroup/cpuacct/outer/cell")
    assert found[2].group("cell") == Path("/sys/fs/cgroup/unified/cell")


def test_on_version_2_a_cell_lies_at_the_root() -> None:
    mounts = "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate\n"
    (found,) = parse_hierarchies(mounts, "0::/user.slice\n")
    assert found == Hierarchy(Path("/sys/fs/cgroup"), "cgroup2", "", "/user.slice")
    assert found.group("cell") == Path("/sys/fs/cgroup/cell")


def test_attributes_are_padded_to_four_bytes() -> None:
    assert netlink.attribute(3, b"abcde") == b"\x09\0\x03\0abcde\0\0\0"
    assert netlink.nested(1, netlink.attribute(2, b"")) == b"\x08\0\x01\x80\x04\0\x02\0"


def test_the_layout_names_its_blobs_by_their_digests(tmp_path: Path) -> None:
    workload.write_layout(tmp_path, b"layer")
    (entry,) = json.loads((tmp_path / "index.json").read_text())["manifests"]
    blobs = tmp_path / "blobs" / "sha256"
    manifest = json.loads((blobs / entry["digest"].removeprefix("sha256:")).read_text())
    for part in (entry, manifest["config"], *manifest["layers"]):
        blob = (blobs / part["digest"].removeprefix("sha256:")).read_bytes()
        assert (workload.digest(blob), len(blob)) == (part["digest"], part["size"])


def test_the_profile_keeps_what_applies_to_these_capabilities(tmp_path: Path) -> None:
    rules = [
        {"names": ["read"], "action": "ALLOW", "args": [], "includes": {}, "excludes": {}},
        {"names": ["mount"], "action": "ALLOW", "includes": {"caps": ["CAP_SYS_ADMIN"]}},
        {"names": ["chroot"], "action": "ALLOW", "includes": {"caps": ["CAP_SYS_CHROOT"]}},
        {"names": ["umount"], "action": "ERRNO", "excludes": {"caps": ["CAP_SYS_CHROOT"]}},
        {"names": ["arm_only"], "action": "ALLOW", "includes": {"arches": ["arm"]}},
    ]
    profile = tmp_path / "seccomp.json"
    profile.write_text(json.dumps({"defaultAction": "ERRNO", "syscalls": rules}))
    kept = floor_bundle.seccomp(profile)
    assert kept is not None
    assert [rule["names"] for rule in kept["syscalls"]] == [["read"], ["chroot"]]


def test_without_a_profile_there_is_no_filter(tmp_path: Path) -> None:
    assert floor_bundle.seccomp(tmp_path / "missing") is None
