"""The parts that the scenarios stand on, each checked without the program under test."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.end_to_end.host import Host
from tests.end_to_end.machine import RUN, Machine
from tests.end_to_end.namespaces import until
from tests.end_to_end.registry import HTTPS, NAME, Registry

pytestmark = [pytest.mark.root, pytest.mark.host]


def test_machine_reaches_the_registry_by_name_and_certificate(machine: Machine, registry: Registry) -> None:
    answer = machine.inside.run("curl", "-sS", "--cacert", registry.ca, f"https://{NAME}:{HTTPS}/v2/_catalog")
    assert answer.strip() == '{"repositories":["redis","sleeper","web"]}'


def test_visitor_reaches_what_listens_on_the_machine(machine: Machine, host: Host, tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("here")
    machine.inside.run("busybox", "httpd", "-p", "8080", "-h", tmp_path)
    until(lambda: not host.refuses(8080), "httpd listens")
    assert host.http(8080) == host.http(8080, inside=True) == "here"
    assert host.refuses(8081)


def test_fresh_machine_has_nothing_left(machine: Machine) -> None:
    assert machine.leftovers() == {}


def test_everything_that_down_must_remove_is_seen(machine: Machine) -> None:
    (machine.state / "containers/one").mkdir(parents=True)
    for command in (
        "ip link add br-1 type bridge",
        "ip netns add one",
        "nft add table inet ours",
        f"mount -t tmpfs tmpfs {machine.state}/containers/one",
        f"mkdir -p {RUN} /sys/fs/cgroup/{_controller()}{machine.instance}",
        f"touch {RUN}/status.sock",
        "setsid sleep 60 > /dev/null 2>&1 &",
    ):
        machine.inside.run("sh", "-c", command)
    assert set(machine.leftovers()) == {"processes", "links", "tables", "mounts", "cgroups", "containers", "run"}


def test_reboot_keeps_the_disk_and_nothing_else(machine: Machine) -> None:
    def boot_id() -> str:
        return machine.inside.run("cat", "/proc/sys/kernel/random/boot_id")

    before = boot_id()
    machine.inside.run(
        "sh",
        "-c",
        f"mkdir {machine.state}; echo kept > {machine.state}/file; mkdir {RUN}; ip link add br-1 type bridge",
    )
    machine.inside.run("mkdir", f"/sys/fs/cgroup/{_controller()}{machine.instance}")
    machine.reboot()
    assert (machine.state / "file").read_text() == "kept\n"
    assert machine.leftovers() == {}
    assert not machine.path(RUN).exists()
    assert boot_id() != before


def _controller() -> str:
    return "" if Path("/sys/fs/cgroup/cgroup.controllers").exists() else "pids/"
