"""Where something may be mounted (H-03), and what a container's mounts look like."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.model import BindMount, Container, Mount, TmpfsMount, VolumeMount
from reconciler.core.mounts import KERNEL_FOLDERS, beneath, check_mounts, clean, destinations, oci_mounts
from reconciler.errors import HostError
from tests.core.worlds import attached

WEB = Container(
    name="app-web-1",
    app="app",
    service="web",
    replica=1,
    spec="app.yaml",
    image="nginx",
    networks=attached("app_default"),
)


def _with(*mounts: Mount) -> Container:
    return replace(WEB, mounts=mounts)


def _volume(target: str, read_only: bool = False) -> VolumeMount:
    return VolumeMount(volume="app_data", target=target, read_only=read_only)


@pytest.mark.parametrize(
    "target",
    [
        *("/", "//", "/.", "/proc", "/proc/sys", "/sys/fs/cgroup", "/dev", "/dev/pts", "/dev/null", "/./dev"),
        *("..", "/a/../proc", "data", "", "/a\0b", "/" + "x" * 5000, "/dev/shm"),
    ],
)
def test_a_mount_that_hands_over_the_host_is_refused(target: str) -> None:
    with pytest.raises(HostError, match="cannot create container app-web-1: mount at"):
        check_mounts(_with(_volume(target)))


@pytest.mark.parametrize("target", ["/data", "/data/", "/processes", "/devices/x", "/var/run/x.sock", "/system"])
def test_an_ordinary_mount_is_not(target: str) -> None:
    check_mounts(_with(_volume(target)))


def test_memory_may_be_mounted_at_dev_shm() -> None:
    container = _with(TmpfsMount(target="/dev/shm", size=2**30))
    check_mounts(container)
    shm = [mount for mount in oci_mounts(container, "/v", "/e", "") if mount["destination"] == "/dev/shm"]
    assert [mount["options"] for mount in shm] == [["nosuid", "nodev", "noexec", "rw", "size=1073741824"]]


def test_two_mounts_at_one_place_are_refused() -> None:
    with pytest.raises(HostError, match="two mounts at '/data'"):
        check_mounts(_with(_volume("/data"), TmpfsMount(target="/data/.")))


def test_a_mount_inside_a_writable_one_is_refused_whatever_the_order() -> None:
    for mounts in ((_volume("/a"), _volume("/a/b")), (_volume("/a/b"), _volume("/a"))):
        with pytest.raises(HostError, match="'/a/b' lies inside the writable mount at '/a'"):
            check_mounts(_with(*mounts))


def test_a_mount_inside_one_that_nobody_else_writes_is_not() -> None:
    check_mounts(_with(_volume("/a", read_only=True), _volume("/a/b")))
    check_mounts(_with(TmpfsMount(target="/a"), _volume("/a/b")))
    check_mounts(_with(_volume("/ab"), _volume("/a")))


def test_what_a_container_mounts_never_appears_on_the_host() -> None:
    for propagation in ("shared", "rshared"):
        with pytest.raises(HostError, match="must not appear on the host"):
            check_mounts(_with(BindMount(source="/x", target="/x", propagation=propagation)))


def test_mounts_as_docker_makes_them() -> None:
    container = _with(
        _volume("/deep/er"),
        BindMount(source="/srv", target="/srv/", read_only=True, propagation="rslave"),
        TmpfsMount(target="/scratch", size=1024, mode=0o750, options=("exec",)),
    )
    seen = {mount["destination"]: mount for mount in oci_mounts(container, "/volumes", "/etc-of-it", "/usr/bin/tini")}
    assert seen["/deep/er"]["source"] == "/volumes/app_data"
    assert seen["/deep/er"]["options"] == ["rbind", "rprivate", "rw"]
    assert seen["/srv"]["options"] == ["rbind", "rslave", "ro"]
    assert seen["/scratch"]["options"][-3:] == ["exec", "size=1024", "mode=750"]
    assert seen["/etc/hosts"]["source"] == "/etc-of-it/hosts"
    assert seen["/sbin/docker-init"]["options"] == ["rbind", "rprivate", "ro"]
    assert [*seen][:7] == ["/proc", "/dev", "/dev/pts", "/sys", "/sys/fs/cgroup", "/dev/mqueue", "/dev/shm"]


def test_a_file_of_ours_in_etc_gives_way_to_the_spec_s() -> None:
    mounts = oci_mounts(_with(BindMount(source="/mine", target="/etc/hosts")), "/v", "/e", "")
    assert [mount["source"] for mount in mounts if mount["destination"] == "/etc/hosts"] == ["/mine"]


def test_outer_mounts_come_before_inner_ones() -> None:
    container = _with(_volume("/a/b/c", read_only=True), _volume("/a", read_only=True))
    order = [mount["destination"] for mount in oci_mounts(container, "/v", "/e", "")]
    assert order.index("/a") < order.index("/a/b/c")


@given(st.lists(st.sampled_from(["", ".", "a", "b", "..", "proc", "dev", "sys"]), max_size=6))
def test_what_passes_never_lies_below_the_kernel_s_folders(parts: list[str]) -> None:
    target = "/" + "/".join(parts)
    container = _with(_volume(target))
    try:
        check_mounts(container)
    except HostError:
        return
    (place,) = destinations(container)
    assert place == clean(place)
    assert not beneath(place, KERNEL_FOLDERS)
    assert re.fullmatch(r"(/[a-z]+)+", place)
