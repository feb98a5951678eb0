"""A site as somebody would run it, on one machine, asked as its visitors and its owner would ask.

Web server, three replicas behind one port, redis with a volume, a worker with an `env_file`; TOML and YAML; images
from a registry over HTTP and over HTTPS. These tests only look; nothing here changes the site.
"""

from __future__ import annotations

import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from tests.end_to_end.host import CONVERGED, SITE_RUNS, Host
from tests.end_to_end.images import REDIS_USER
from tests.end_to_end.machine import RUN, Machine
from tests.end_to_end.namespaces import Namespaces
from tests.end_to_end.registry import Registry

LIMITS = ("memory.max", "memory.limit_in_bytes", "pids.max")

pytestmark = [pytest.mark.root, pytest.mark.host]


@pytest.fixture(scope="module")
def host(network: Namespaces, registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """A machine on which the site runs."""
    machine = Machine(network, registry, tmp_path_factory.mktemp("site") / "disk")
    host = Host(machine)
    try:
        host.write_site()
        host.start()
        host.until_converged(*SITE_RUNS)
        yield host
    finally:
        machine.end()


# --- what visitors see -------------------------------------------------------------------------------------------


def test_page_is_that_of_the_top_layer(host: Host) -> None:
    assert host.http(8080) == "one\n"


def test_whiteouts_hide_what_lower_layers_have(host: Host) -> None:
    assert host.http(8080, "/old/kept.txt") == "of the upper layer\n"
    for hidden in ("/secret.txt", "/old/forgotten.txt"):
        with pytest.raises(AssertionError, match="answers 404"):
            host.http(8080, hidden)


def test_replicas_share_the_port(host: Host) -> None:
    names = {host.http(8081, "/who").strip() for _ in range(60)}
    ids = {entry["id"][:12] for name, entry in host.containers().items() if name.startswith("site-who-")}
    assert names == ids
    assert len(ids) == 3


def test_published_ports_answer_on_the_machine_itself(host: Host) -> None:
    assert host.http(8080, inside=True) == "one\n"
    assert host.http(8080, inside=True, address=host.machine.address) == "one\n"


def test_port_that_is_not_published_is_closed(host: Host) -> None:
    assert host.refuses(8082)


def test_redis_remembers(host: Host) -> None:
    assert host.redis("PING") == "+PONG"
    assert host.redis("SET", "colour", "green") == "+OK"
    assert host.redis("GET", "colour") == "green"


# --- what the kernel shows ---------------------------------------------------------------------------------------


def test_environment_is_that_of_file_and_spec(host: Host) -> None:
    text = (host.process("worker-sleeper-1") / "environ").read_bytes().decode().rstrip("\0")
    environment = dict(entry.split("=", 1) for entry in text.split("\0"))
    assert environment["COLOUR"] == "red"
    assert environment["PLACE"] == "the env_file"
    assert environment["PRICE"] == "5$"
    assert environment["PATH"] == "/bin"


@pytest.mark.parametrize(
    ("name", "uid"), [("site-web-1", 101), ("cache-redis-1", REDIS_USER), ("worker-sleeper-1", 65534)]
)
def test_user_is_that_of_spec_or_image(host: Host, name: str, uid: int) -> None:
    assert _status(host, name)["Uid"].split() == [str(uid)] * 4


def test_capabilities_are_docker_s_and_fewer_when_dropped(host: Host) -> None:
    assert int(_status(host, "site-web-1")["CapBnd"], 16) == 0
    assert int(_status(host, "site-who-1")["CapBnd"], 16) == 0xA80425FB


def test_process_is_filtered_and_gains_nothing(host: Host) -> None:
    assert _status(host, "site-who-1")["Seccomp"] == "2"


def test_root_is_read_only_where_asked(host: Host) -> None:
    assert _mount_options(host, "site-web-1", "/")[0] == "ro"
    assert _mount_options(host, "site-web-1", "/tmp")[0] == "rw"
    assert _mount_options(host, "site-who-1", "/")[0] == "rw"


def test_limits_are_in_force(host: Host) -> None:
    pid = host.process("site-web-1").name
    groups = [folder for folder in host.machine.cgroups() if pid in _members(host, folder)]
    found = {(group / name).read_text().strip() for group in groups for name in LIMITS if (group / name).exists()}
    assert found == {str(64 << 20), "50"}


def test_volume_was_filled_from_the_image(host: Host) -> None:
    (volume,) = (host.machine.state / "volumes").glob("*data*")
    data = next(path for path in (volume / "_data", volume) if path.exists())
    found = data.stat()
    assert (found.st_uid, stat.S_IMODE(found.st_mode)) == (REDIS_USER, 0o750)
    assert list(data.glob("append*"))


def test_state_is_for_root_only(host: Host) -> None:
    assert stat.S_IMODE(host.machine.state.stat().st_mode) == 0o700


def test_one_bridge_for_each_app_and_one_table_of_each_family(host: Host) -> None:
    assert len(host.machine.links("bridge")) == 3
    assert sorted(family for family, _ in host.machine.tables()) == ["bridge", "inet"]


# --- what the socket says ----------------------------------------------------------------------------------------


def test_socket_is_closed_to_others(host: Host) -> None:
    assert stat.S_IMODE(host.machine.path(RUN / "status.sock").stat().st_mode) == 0o660


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_socket_changes_nothing(host: Host, method: str) -> None:
    code, _ = host.request("/containers/site-web-1/json", method)
    assert code in {403, 405}
    assert host.http(8080) == "one\n"


def test_plan_is_empty(host: Host) -> None:
    shown = host.ask("/v1/plan")
    assert (shown["tasks"], shown["waits"], shown["converged"]) == ([], [], True)


def test_docker_library_lists_the_containers(host: Host) -> None:
    client = docker.DockerClient(base_url=f"unix://{host.machine.path(RUN / 'status.sock')}", version="auto")
    try:
        listed = {container.name: container for container in client.containers.list()}
        assert set(listed) == set(SITE_RUNS)
        assert listed["site-web-1"].ports == {"8080/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}]}
        assert listed["cache-redis-1"].labels["com.docker.compose.project"] == "cache"
    finally:
        client.close()


def test_curl_reaches_the_socket(host: Host) -> None:
    answer = host.machine.inside.run("curl", "-sS", "--unix-socket", RUN / "status.sock", "http://localhost/_ping")
    assert answer == "OK"


def test_docker_command_lists_the_containers(host: Host) -> None:
    if shutil.which("docker"):  # optional, as the library above asks the same
        shown = host.machine.inside.run("docker", "-H", f"unix://{RUN}/status.sock", "ps", "--format", "{{.Names}}")
        assert sorted(shown.split()) == sorted(SITE_RUNS)


# --- what the owner types ----------------------------------------------------------------------------------------


def test_status_names_every_container(host: Host) -> None:
    shown = host.reconciler("status")
    assert all(name in shown for name in SITE_RUNS)


def test_plan_finds_nothing_to_do_and_touches_nothing(host: Host) -> None:
    before = host.pids()
    host.reconciler("plan", code=CONVERGED)
    assert host.pids() == before


def _status(host: Host, name: str) -> dict[str, str]:
    lines = (host.process(name) / "status").read_text().splitlines()
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


def _mount_options(host: Host, name: str, point: str) -> list[str]:
    lines = (line.split() for line in (host.process(name) / "mountinfo").read_text().splitlines())
    return next(line[5].split(",") for line in lines if line[4] == point)


def _members(host: Host, folder: Path) -> list[str]:
    """Processes of a cgroup by their numbers on the machine, which is why it is asked there."""
    return host.machine.inside.run("cat", folder / "cgroup.procs").split()
