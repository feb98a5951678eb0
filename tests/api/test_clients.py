"""Programs that people have: docker-py, and the docker command line where it is installed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import docker
import pytest
from docker.errors import APIError, NotFound

from tests.api.conftest import Api
from tests.api.feed import CONTAINERS, IMAGE, SECRET

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")

WEB = CONTAINERS[0]


@pytest.fixture
def client(api: Api) -> docker.DockerClient:
    return docker.DockerClient(base_url=f"unix://{api.path}")


def test_docker_py_negotiates_and_reads(client: docker.DockerClient) -> None:
    assert client.ping()
    assert client.version()["ApiVersion"] == "1.44"
    assert client.info()["ContainersRunning"] == 2
    assert {container.name for container in client.containers.list()} == {"shop-web-1", "shop-lone-1", "shop-worker-1"}
    assert len(client.containers.list(all=True, filters={"label": "com.docker.compose.project=shop"})) == 5


def test_docker_py_has_objects(client: docker.DockerClient) -> None:
    web = client.containers.get("shop-web-1")
    assert (web.id, web.status, web.health) == (WEB.id, "running", "unknown")
    assert web.image.tags == ["bb:1"]
    assert web.ports["80/tcp"] == [{"HostIp": "127.0.0.1", "HostPort": "18081"}]
    assert web.labels["com.docker.compose.service"] == "web"
    assert SECRET not in json.dumps(web.attrs)
    assert [image.id for image in client.images.list()] == [IMAGE.id]
    (network,) = client.networks.list(greedy=True)
    assert [container.name for container in network.containers] == ["shop-web-1"]
    assert {volume.name for volume in client.volumes.list()} == {"left_over", "shop_data"}


def test_docker_py_sees_events(client: docker.DockerClient, api: Api) -> None:
    last = api.feed.kept[-1].at
    found = [event["Action"] for event in client.events(since=1, until=int(last) + 1, decode=True)]
    assert found == ["pull", "start", "die"]


def test_docker_py_cannot_change_anything(client: docker.DockerClient) -> None:
    with pytest.raises(APIError, match=r"the files are the only way in: edit the spec .*shop\.yaml") as refusal:
        client.containers.get("shop-web-1").stop()
    assert refusal.value.status_code == 403
    with pytest.raises(NotFound, match="No such container: nosuch"):
        client.containers.get("nosuch")


def installed() -> list[str]:
    """Every docker command line of this host: the distribution's and the user's may differ in age."""
    folders = os.environ.get("PATH", "").split(":")
    return sorted({path for folder in folders if (path := shutil.which("docker", path=folder))})


def docker_cli(program: str, api: Api, tmp_path: Path, *words: str) -> tuple[int, str]:
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "DOCKER_HOST": f"unix://{api.path}"}
    done = subprocess.run([program, *words], env=environment, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.host
def test_the_docker_command_line_lists(api: Api, tmp_path: Path) -> None:
    for program in installed():
        code, text = docker_cli(program, api, tmp_path, "ps", "-a", "--format", "{{.Names}} {{.State}} {{.Ports}}")
        assert code == 0, text
        assert "shop-web-1 running 0.0.0.0:53->53/udp, 127.0.0.1:18081->80/tcp" in text
        assert "shop-done3-1 exited" in text


@pytest.mark.host
def test_the_docker_command_line_reads_without_a_complaint(api: Api, tmp_path: Path) -> None:
    shows = ["version", "info", "images", "network ls", "volume ls", "port shop-web-1", "plugin ls"]
    shows += ["inspect shop-web-1", "inspect bb:1", "network inspect shop_default", "volume inspect shop_data"]
    reads = [*shows, "events --since 1 --until 2"]
    for program in installed():
        for words in reads:
            code, text = docker_cli(program, api, tmp_path, *words.split())
            assert code == 0, (words, text)
            assert SECRET not in text


@pytest.mark.host
def test_the_docker_command_line_is_told_what_to_edit(api: Api, tmp_path: Path) -> None:
    for program in installed():
        code, text = docker_cli(program, api, tmp_path, "stop", "shop-web-1")
        assert code == 1
        assert "Error response from daemon: cannot change anything here" in text
        assert "shop.yaml" in text
        code, text = docker_cli(program, api, tmp_path, "inspect", "nosuch")
        assert (code, "nosuch" in text) == (1, True)
