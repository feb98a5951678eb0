"""Which holes a runc has, from what it prints."""

from __future__ import annotations

import pytest

from reconciler.core.advisories import RUNC, parse_version, runc_holes

DEBIAN = "runc version 1.1.5+ds1\ncommit: 1.1.5+ds1-1+deb12u1\nspec: 1.0.2-dev\ngo: go1.19.8\nlibseccomp: 2.5.4\n"
OF_2025 = {"CVE-2025-31133", "CVE-2025-52565", "CVE-2025-52881"}
ALL = {hole.name for hole in RUNC}


@pytest.mark.parametrize(
    ("printed", "holes"),
    [
        (DEBIAN, ALL - {"CVE-2024-21626"}),
        ("runc version 1.1.5\ncommit: v1.1.5-0-gf19387a6\n", ALL),
        ("runc version 1.1.12\n", ALL - {"CVE-2024-21626"}),
        ("runc version 1.1.15\n", ALL - {"CVE-2024-21626", "CVE-2024-45310"}),
        ("runc version 1.2.7\n", OF_2025 | {"CVE-2026-41579"}),
        ("runc version 1.2.8\n", {"CVE-2026-41579"}),
        ("runc version 1.3.2\n", OF_2025 | {"CVE-2026-41579"}),
        ("runc version 1.3.3\n", {"CVE-2026-41579"}),
        ("runc version 1.3.6\n", set()),
        ("runc version 1.4.2\n", {"CVE-2026-41579"}),
        ("runc version 1.4.3\n", set()),
        ("runc version 1.5.0\n", set()),
        ("runc version 2.0.0\n", set()),
        ("runc version unknown\n", set()),
    ],
)
def test_holes(printed: str, holes: set[str]) -> None:
    assert {hole.name for hole in runc_holes(printed)} == holes


@pytest.mark.parametrize(("text", "version"), [("v1.2.3-rc.1", (1, 2, 3)), ("1.2", None), ("crun 1.8.1", (1, 8, 1))])
def test_versions(text: str, version: tuple[int, int, int] | None) -> None:
    assert parse_version(text) == version


def test_every_advisory_is_whole() -> None:
    for hole in RUNC:
        assert list(hole.fixed) == sorted(hole.fixed)
        assert hole.name.startswith("CVE-")
        assert hole.risk
