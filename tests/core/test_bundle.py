"""config.json as a value."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.bundle import PIDS_LIMIT, SYSCTLS, HostFacts, Place, config, for_run, render
from reconciler.core.model import BindMount, Container, ImageConfig, Resources
from reconciler.core.process import User
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
    hostname="web",
    command=("serve",),
)
PLACE = Place(root="/c/rootfs", etc="/c/etc", volumes="/v", network="/run/netns/x", cgroup="/reconciler/x")
HOST = HostFacts(masked=("/sys/devices/system/cpu/cpu0/thermal_throttle",), hard_limits={"RLIMIT_NOFILE": 20000})


def _config(container: Container = WEB, user: User | None = None, host: HostFacts = HOST, **place: str) -> Any:
    return config(container, ImageConfig(), user or User(), replace(PLACE, **place), host)


def test_process_is_docker_s() -> None:
    process = _config(user=User(7, 8, (8, 9), "/home"))["process"]
    assert process["args"] == ["serve"]
    assert process["user"] == {"uid": 7, "gid": 8, "additionalGids": [8, 9], "umask": 0o022}
    assert process["terminal"] is False
    assert process["noNewPrivileges"] is False
    assert process["oomScoreAdj"] == 0
    assert len(process["capabilities"]["bounding"]) == 14
    assert process["capabilities"]["effective"] == process["capabilities"]["permitted"]
    assert process["capabilities"]["inheritable"] == process["capabilities"]["ambient"] == []
    assert {"type": "RLIMIT_NOFILE", "soft": 1024, "hard": 20000} in process["rlimits"]


def test_namespaces_are_all_its_own_and_the_network_s_is_given() -> None:
    namespaces = _config()["linux"]["namespaces"]
    assert {entry["type"] for entry in namespaces} == {"network", "mount", "uts", "pid", "ipc", "cgroup"}
    assert [entry["path"] for entry in namespaces if "path" in entry] == ["/run/netns/x"]
    old = _config(host=HostFacts(cgroup_namespaces=False))["linux"]["namespaces"]
    assert "cgroup" not in {entry["type"] for entry in old}


def test_what_is_hidden_includes_what_the_host_adds() -> None:
    linux = _config()["linux"]
    assert {"/proc/kcore", "/sys/firmware", "/sys/devices/system/cpu/cpu0/thermal_throttle"} <= set(
        linux["maskedPaths"]
    )
    assert "/proc/sys" in linux["readonlyPaths"]
    assert linux["rootfsPropagation"] == "private"


@pytest.mark.parametrize(
    ("container", "expected"),
    [
        (WEB, SYSCTLS),
        (replace(WEB, domainname="example.org"), {**SYSCTLS, "kernel.domainname": "example.org"}),
        (replace(WEB, sysctls=(("net.core.somaxconn", "1024"),)), {**SYSCTLS, "net.core.somaxconn": "1024"}),
        (
            replace(WEB, sysctls=(("net.ipv4.ip_unprivileged_port_start", "1024"),)),
            {**SYSCTLS, "net.ipv4.ip_unprivileged_port_start": "1024"},
        ),
        (replace(WEB, networks=(), host_network=True), {}),
        (replace(WEB, networks=(), shares="app-other-1"), {}),
        (replace(WEB, networks=(), shares="app-other-1", sysctls=(("kernel.shmmax", "1"),)), {"kernel.shmmax": "1"}),
    ],
)
def test_kernel_settings_are_those_of_the_spec_and_of_its_own_network(
    container: Container, expected: dict[str, str]
) -> None:
    assert _config(container)["linux"]["sysctl"] == expected


@pytest.mark.parametrize(
    ("wanted", "swap", "expected"),
    [
        (Resources(), True, {"pids": {"limit": PIDS_LIMIT}}),
        (Resources(pids=50), True, {"pids": {"limit": 50}}),
        (Resources(pids=-1), True, {"pids": {"limit": -1}}),
        (Resources(memory=100), True, {"pids": {"limit": PIDS_LIMIT}, "memory": {"limit": 100, "swap": 200}}),
        (Resources(memory=100), False, {"pids": {"limit": PIDS_LIMIT}, "memory": {"limit": 100}}),
        (Resources(cpus=1.5), True, {"pids": {"limit": PIDS_LIMIT}, "cpu": {"period": 100000, "quota": 150000}}),
        (Resources(cpus=0.001), True, {"pids": {"limit": PIDS_LIMIT}, "cpu": {"period": 100000, "quota": 1000}}),
    ],
)
def test_resources(wanted: Resources, swap: bool, expected: object) -> None:
    resources = _config(replace(WEB, resources=wanted), host=HostFacts(swap_limits=swap))["linux"]["resources"]
    assert resources.pop("devices") == [{"allow": False, "access": "rwm"}]
    assert resources == expected


def test_the_usual_limit_on_processes_is_left_out_where_there_is_no_controller() -> None:
    host = HostFacts(pids_limits=False)
    assert "pids" not in _config(host=host)["linux"]["resources"]
    wanted = replace(WEB, resources=Resources(pids=50))
    assert _config(wanted, host=host)["linux"]["resources"]["pids"] == {"limit": 50}


def test_init_comes_first() -> None:
    document = _config(replace(WEB, init=True), init="/usr/bin/tini-static")
    assert document["process"]["args"] == ["/sbin/docker-init", "--", "serve"]
    assert "/usr/bin/tini-static" in [mount["source"] for mount in document["mounts"]]


def test_a_bad_mount_makes_no_bundle() -> None:
    with pytest.raises(HostError, match="mount at '/proc'"):
        _config(replace(WEB, mounts=(BindMount(source="/x", target="/proc"),)))


def test_render_splices_seccomp_in_unparsed() -> None:
    text = render(_config(), {"io.reconciler.id": "x"}, '{"defaultAction":"SCMP_ACT_ERRNO"}')
    document = json.loads(text)
    assert document["linux"]["seccomp"] == {"defaultAction": "SCMP_ACT_ERRNO"}
    assert document["annotations"] == {"io.reconciler.id": "x"}


@given(st.text(), st.text())
def test_nothing_a_user_writes_changes_what_is_spliced(name: str, value: str) -> None:
    hostile = '"seccomp":null "cgroupsPath":"/reconciler/x"'
    container = replace(WEB, command=("serve", hostile), environment=(("A", hostile + value.replace("\0", "")),))
    text = render(_config(container), {name: value + hostile, hostile: name}, '{"real":1}')
    document = json.loads(for_run(text, "/reconciler/x", "/reconciler/x-2"))
    assert document["linux"]["seccomp"] == {"real": 1}
    assert document["linux"]["cgroupsPath"] == "/reconciler/x-2"
    assert document["process"]["args"] == ["serve", hostile]
    assert document["annotations"][name] == (name if name == hostile else value + hostile)


def test_a_run_differs_in_its_cgroup_only() -> None:
    text = render(_config(), {}, "null")
    before, after = json.loads(text), json.loads(for_run(text, "/reconciler/x", "/reconciler/x-7"))
    before["linux"]["cgroupsPath"] = "/reconciler/x-7"
    assert after == before
