"""Control groups of both kinds, on trees made by hand, and on this host."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconciler.host.cgroups import Cgroups, detect


def _v1(root: Path) -> Cgroups:
    for name in ("memory", "pids", "cpuacct", "systemd", "cpu"):
        (root / name).mkdir()
    return detect("ours", root=root)


def _v2(root: Path, driver: str = "cgroupfs") -> Cgroups:
    (root / "cgroup.controllers").write_text("cpu memory pids")
    return detect("ours", driver, root)


def test_detection(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    one, two = detect("x", root=tmp_path / "one"), _v2(tmp_path / "two")
    assert (one.unified, one.driver) == (False, "cgroupfs")
    assert (two.unified, two.driver) == (True, "cgroupfs")
    assert detect("x", "systemd", tmp_path / "one").driver == "systemd"


def test_paths_of_both_drivers(tmp_path: Path) -> None:
    plain, managed = _v2(tmp_path), _v2(tmp_path, "systemd")
    assert plain.path("c-1") == "/ours/c-1"
    assert plain.folder("c-1", "memory") == tmp_path / "ours/c-1"
    assert managed.path("c-1") == "ours.slice:ours:c-1"
    assert managed.folder("c-1", "memory") == tmp_path / "ours.slice/ours-c-1.scope"


def test_a_dash_in_a_slice_is_a_level(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").write_text("")
    managed = detect("ours-demo", "systemd", tmp_path)
    assert managed.path("c-1") == "ours-demo.slice:ours-demo:c-1"
    assert managed.folder("c-1", "") == tmp_path / "ours.slice/ours-demo.slice/ours-demo-c-1.scope"


def test_kills_for_want_of_memory(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    one, two = _v1(tmp_path / "one"), _v2(tmp_path / "two")
    assert one.oom_kills("c-1") == two.oom_kills("c-1") == 0
    for cgroups, file, text in (
        (one, "memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n"),
        (two, "memory.events", "low 0\nhigh 0\nmax 9\noom 1\noom_kill 3\noom_group_kill 0\n"),
    ):
        cgroups.folder("c-1", "memory").mkdir(parents=True)
        (cgroups.folder("c-1", "memory") / file).write_text(text)
    assert (one.oom_kills("c-1"), two.oom_kills("c-1")) == (2, 3)


def test_monitors_are_moved_away(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    one, two = _v1(tmp_path / "one"), _v2(tmp_path / "two")
    one.adopt_monitor(77)
    two.adopt_monitor(77)
    assert (tmp_path / "one/memory/ours/monitors/cgroup.procs").read_text() == "77"
    assert (tmp_path / "two/ours/monitors/cgroup.procs").read_text() == "77"


def test_empty_groups_are_removed_and_others_are_not(tmp_path: Path) -> None:
    for name in ("pids/ours/monitors", "memory/ours/monitors", "memory/ours/c-1/used", "pids/ours/c-2", "pids/theirs"):
        (tmp_path / name).mkdir(parents=True)
    detect("ours", root=tmp_path).remove()
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")) == [
        "memory",
        "memory/ours",
        "memory/ours/c-1",
        "memory/ours/c-1/used",
        "pids",
        "pids/theirs",
    ]


def test_swap_limits(tmp_path: Path) -> None:
    cgroups = _v2(tmp_path)
    assert not cgroups.swap_limits()
    (tmp_path / "some").mkdir()
    (tmp_path / "some" / "memory.swap.max").write_text("max")
    assert cgroups.swap_limits()


def test_limits_on_processes(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
    assert not detect("ours", root=tmp_path / "one").pids_limits()
    assert _v1(tmp_path / "one").pids_limits()
    assert _v2(tmp_path / "two").pids_limits()
    (tmp_path / "two" / "cgroup.controllers").write_text("cpu io rapids")
    assert not detect("ours", root=tmp_path / "two").pids_limits()


@pytest.mark.parametrize(
    ("others", "stopped"),
    [
        ([], ["a-b-c.slice", "a-b.slice", "a.slice"]),
        (["a.slice/a-b.slice/a-b-d.slice"], ["a-b-c.slice"]),
        (["a.slice/a-x.scope"], ["a-b-c.slice", "a-b.slice"]),
    ],
)
def test_slices_are_stopped_unless_they_are_also_another_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, others: list[str], stopped: list[str]
) -> None:
    """`a-b-c.slice` is in `a-b.slice` is in `a.slice` (systemd.slice(5)); systemd removes the folders."""
    (tmp_path / "cgroup.controllers").write_text("")
    for folder in ["a.slice/a-b.slice/a-b-c.slice", *others]:
        (tmp_path / folder).mkdir(parents=True)
    asked = []

    def systemctl(argv: list[str]) -> str:
        asked.append(argv[-1])
        next(tmp_path.rglob(argv[-1])).rmdir()
        return ""

    monkeypatch.setattr("reconciler.host.cgroups.run", systemctl)
    detect("a-b-c", "systemd", tmp_path).remove()
    assert asked == stopped


@pytest.mark.root
def test_freshening_moves_nothing() -> None:
    before = Path("/proc/self/cgroup").read_text()
    detect("ours").freshen()
    assert Path("/proc/self/cgroup").read_text() == before
