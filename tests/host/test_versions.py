"""Which fixes a runtime lacks, what a static program is, and files that are whole or absent."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from reconciler.errors import HostError
from reconciler.host import runs
from reconciler.host.cgroups import detect
from reconciler.host.files import replace, sync
from reconciler.host.init import find_init, is_static
from reconciler.host.versions import RUNC_FIXES, missing_fixes, parse_version, runtime_facts

LATE = ("CVE-2025-31133", "CVE-2025-52565", "CVE-2025-52881")


@pytest.mark.parametrize(
    ("version", "package", "missing"),
    [
        ("1.1.5+ds1", "1.1.5+ds1-1+deb12u1", ("CVE-2024-45310", *LATE, "CVE-2026-41579")),
        ("1.1.5", "", ("CVE-2024-21626", "CVE-2024-45310", *LATE, "CVE-2026-41579")),
        ("1.2.8", "", ("CVE-2026-41579",)),
        ("1.3.2", "", (*LATE, "CVE-2026-41579")),
        ("1.3.6+ds1", "1.3.6+ds1-2", ()),
        ("1.4.0", "", ("CVE-2026-41579",)),
        ("2.0.0", "", ()),
        ("", "", tuple(name for name, _ in RUNC_FIXES)),
    ],
)
def test_missing_fixes(version: str, package: str, missing: tuple[str, ...]) -> None:
    assert missing_fixes(version, package) == missing


def test_versions_are_read() -> None:
    assert parse_version("runc version 1.1.5+ds1\ncommit: 1.1.5+ds1-1\nspec: 1.0.2-dev\n") == "1.1.5+ds1"
    assert parse_version("crun version 1.8.1\n+SYSTEMD +SELINUX\n") == "1.8.1"
    assert parse_version("nonsense") == ""


@pytest.mark.host
def test_facts_of_this_host() -> None:
    facts = runtime_facts("runc", detect("x"))
    assert facts.version
    assert facts.missing == missing_fixes(facts.version, facts.package)
    assert facts.cgroups in (1, 2)
    with pytest.raises(HostError, match="cannot run no-runtime"):
        runtime_facts("no-runtime", detect("x"))


@pytest.mark.host
def test_static_programs_are_told_from_others() -> None:
    assert is_static(Path("/bin/busybox").read_bytes())
    assert not is_static(Path("/bin/true").read_bytes())
    assert not is_static(b"#!/bin/sh\n")
    assert not is_static(Path("/bin/busybox").read_bytes()[:70])
    assert find_init(["true", "busybox"]).endswith("/busybox")
    with pytest.raises(HostError, match="install catatonit"):
        find_init(["true", "no-such-program"])


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    replace(path, "first", 0o640)
    sync(path)
    sync(tmp_path)
    replace(path, "second")
    assert path.read_text() == "second"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_a_planted_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / ".file.new").symlink_to(tmp_path / "victim")
    with pytest.raises(OSError, match="symbolic link"):
        replace(tmp_path / "file", "text")
    assert not (tmp_path / "victim").exists()


def test_runs_lead_back_and_damage_is_none(tmp_path: Path) -> None:
    run = runs.Run(init=runs.Process(1, 2), monitor=runs.Process(3, 4), since=1.5, restarts=2, failures=1)
    runs.write(tmp_path, run)
    assert runs.read(tmp_path) == run
    for damage in ("", "{", "[]", '{"init": {"pid": 1}}', '{"init": 1}'):
        (tmp_path / "run.json").write_text(damage)
        assert runs.read(tmp_path) is None
    assert runs.read(tmp_path / "missing") is None


def test_a_process_is_known_by_its_start() -> None:
    own = runs.identify(os.getpid())
    assert own is not None
    assert runs.lives(own)
    assert not runs.lives(runs.Process(own.pid, own.ticks + 1))
    assert runs.hold(runs.Process(own.pid, own.ticks + 1)) is None
    assert runs.identify(2**22 + 1) is None
    descriptor = runs.hold(own)
    assert descriptor is not None
    os.close(descriptor)


def test_runs_of_a_container(tmp_path: Path) -> None:
    for name in ("a-1", "a-10", "a-2", "ab-3", "a-x"):
        (tmp_path / name).mkdir()
    assert runs.of_container(tmp_path, "a") == [1, 2, 10]
    assert runs.of_container(tmp_path / "missing", "a") == []
    assert runs.split("a-b-3") == ("a-b", 3)
