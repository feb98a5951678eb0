"""What runtimes print of themselves."""

from __future__ import annotations

import pytest

from reconciler.host.versions import parse_version, runtime_version


@pytest.mark.parametrize(
    ("printed", "version"),
    [
        ("runc version 1.1.5+ds1\ncommit: 1.1.5+ds1-1+deb12u1\nspec: 1.0.2-dev\n", "1.1.5+ds1"),
        ("crun version 1.8.1\ncommit: f8a096be060b22ccd3d5f3ebe44108517fbf6c30\n", "1.8.1"),
        ("youki 0.3\n", ""),
        ("", ""),
    ],
)
def test_the_version_is_read(printed: str, version: str) -> None:
    assert parse_version(printed) == version


def test_the_runtime_of_this_host_is_asked() -> None:
    assert runtime_version("runc")


def test_a_runtime_that_is_not_there_has_no_version() -> None:
    assert runtime_version("no-such-runtime") == ""
