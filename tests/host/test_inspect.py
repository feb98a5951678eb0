"""The questions that `doctor` asks, on this host and on recorded words."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from reconciler.host.inspect import RUN_BYTES, inspect, parse_config, parse_modules, version
from reconciler.settings import Settings


def test_this_host_answers(tmp_path: Path) -> None:
    facts = inspect(Settings(state=tmp_path / "not" / "there", run=tmp_path, instance="proof", runtime="/no/such/runc"))
    assert facts.root == (os.geteuid() == 0)
    assert facts.runtime == "/no/such/runc"
    assert facts.versions["/no/such/runc"] is None
    assert "proc" in facts.filesystems
    assert "/proc" in facts.mounts
    assert facts.sysctls["net/ipv4/ip_forward"].strip() in {"0", "1"}
    (disk,) = facts.disks
    assert disk.path == str(tmp_path)
    assert disk.free > 0
    assert 0 <= disk.inodes <= 1


def test_a_run_directory_in_memory_needs_little(tmp_path: Path) -> None:
    settings = Settings(state=tmp_path, run=Path("/proc/not/there"))  # /proc is a file system of its own everywhere
    state, run_directory = inspect(settings).disks
    assert (state.path, run_directory.path) == (str(tmp_path), "/proc")
    assert run_directory.needed == RUN_BYTES < state.needed
    assert run_directory.purpose != state.purpose


def program(folder: Path, body: str) -> str:
    path = folder / "program"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize(
    ("body", "printed"), [("echo program version 1.2.3 $1", "program version 1.2.3 --version\n"), ("exit 3", "")]
)
def test_a_program_is_asked_for_its_version(tmp_path: Path, body: str, printed: str) -> None:
    assert version(program(tmp_path, body)) == printed


def test_a_program_that_is_not_there_is_told_from_one_that_says_nothing(tmp_path: Path) -> None:
    assert version(str(tmp_path / "nothing")) is None


@pytest.mark.parametrize(
    ("listed", "features"),
    [
        ("", set()),
        ("kernel/net/bridge/bridge.ko\nkernel/fs/ext4/ext4.ko\n", {"bridge"}),
        (
            "kernel/drivers/net/veth.ko.xz:\nkernel/net/netfilter/nf_tables.ko.xz: kernel/lib/libcrc32c.ko.xz\n",
            {"veth", "nf_tables"},
        ),
        ("kernel/net/bridge/br_netfilter.ko: kernel/net/bridge/bridge.ko\n", {"bridge"}),
        ("kernel/fs/overlayfs/overlay.ko.zst:\n", {"overlay"}),
    ],
)
def test_modules_that_the_kernel_can_load(listed: str, features: set[str]) -> None:
    assert parse_modules(listed) == features


def test_features_that_the_kernel_has_built_in() -> None:
    config = "CONFIG_VETH=y\nCONFIG_BRIDGE=m\n# CONFIG_OVERLAY_FS is not set\nCONFIG_NF_TABLES=y\n"
    assert parse_config(config) == {"veth", "nf_tables"}
