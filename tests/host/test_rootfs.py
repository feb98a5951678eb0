"""Paths of an image, resolved as the container would and never outside of it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reconciler.errors import HostError
from reconciler.host.rootfs import check_root, find_user, locate


def _locate(root: Path, path: str) -> str:
    descriptor = os.open(root, os.O_PATH)
    try:
        return locate(descriptor, path)
    finally:
        os.close(descriptor)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/", "/"),
        ("/plain/x", "/plain/x"),
        ("/missing/deep", "/missing/deep"),
        ("/run-link/x", "/run/x"),
        ("/var/run/x", "/run/x"),
        ("/up/etc", "/etc"),
        ("/dangling/x", "/proc/sys/x"),
        ("/chain/x", "/run/x"),
        ("/plain/../../etc", "/etc"),
        ("/host/x", "/tmp/somewhere/x"),
    ],
)
def test_where_a_path_is(tmp_path: Path, path: str, expected: str) -> None:
    (tmp_path / "plain").mkdir()
    (tmp_path / "run").mkdir()
    (tmp_path / "var").mkdir()
    links = {"run-link": "/run", "var/run": "../run", "up": "../../..", "dangling": "/proc/sys", "chain": "run-link"}
    for name, target in {**links, "host": "/tmp/somewhere"}.items():
        (tmp_path / name).symlink_to(target)
    assert _locate(tmp_path, path) == expected


def test_links_without_end_are_refused(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(HostError, match="too many links"):
        _locate(tmp_path, "/loop")


names = st.sampled_from(["a", "b", "c", "..", "."])
targets = st.builds(
    lambda parts, root: ("/" if root else "") + "/".join(parts), st.lists(names, min_size=1, max_size=4), st.booleans()
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(links=st.dictionaries(st.sampled_from(["a", "b", "c"]), targets, max_size=3), path=targets)
def test_a_place_is_never_outside(tmp_path: Path, links: dict[str, str], path: str) -> None:
    for old in tmp_path.iterdir():
        old.unlink()
    for name, target in links.items():
        (tmp_path / name).symlink_to(target)
    try:
        place = _locate(tmp_path, path)
    except HostError:
        return
    assert place.startswith("/")
    assert ".." not in place.split("/")


def test_a_fit_root_passes(tmp_path: Path) -> None:
    check_root(tmp_path, ["/data"])
    for name in ("dev/pts", "proc", "sys/fs", "etc"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "dev" / "ptmx").symlink_to("pts/ptmx")
    check_root(tmp_path, ["/data", "/var/run/x", "/dev/shm"], "/srv")


@pytest.mark.parametrize("path", ["/devices/x", "/var/run/x", "/etc/hosts"])
def test_a_mount_that_links_lead_below_the_kernel_s_folders_is_refused(tmp_path: Path, path: str) -> None:
    for name in ("var", "etc"):
        (tmp_path / name).mkdir()
    for name, target in {"devices": "/proc/sys", "var/run": "../dev", "etc/hosts": "/sys/x"}.items():
        (tmp_path / name).symlink_to(target)
    with pytest.raises(HostError, match="in the image: it leads to /"):
        check_root(tmp_path, [path])


@pytest.mark.parametrize("name", ["dev", "proc", "sys/fs"])
def test_a_link_where_the_kernel_mounts_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).symlink_to("/tmp")
    with pytest.raises(HostError, match=f"its /{name} is not a folder"):
        check_root(tmp_path, [])


def test_a_root_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/")
    with pytest.raises(HostError, match="cannot open the root file system"):
        check_root(tmp_path / "link", [])


def test_undecodable_accounts_do_not_hide_the_others(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_bytes(b"b\xffd:x:1:1::/:\nweb:x:5:6::/web:\n")
    assert find_user(tmp_path, "web").uid == 5
    assert find_user(tmp_path, "").uid == 0
