"""Frozen digests. They are for ever: a release that changes one recreates its users' containers for nothing.

When one of these fails, the code is wrong, not the test. A new field must have a default that leaves them alone.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import pytest

from reconciler.core.model import (
    BindMount,
    Container,
    PullPolicy,
    Resources,
    Restart,
    TmpfsMount,
    VolumeMount,
    container_id,
    revision,
)
from reconciler.core.networking import Attachment, Destination, Port
from reconciler.core.starting import Dependency

IMAGE = "sha256:" + "5a" * 32

PLAIN = Container(
    name="web-web-1",
    app="web",
    service="web",
    replica=1,
    spec="web.yaml",
    image="docker.io/library/nginx:1.27",
    networks=(Attachment(network="web_default"),),
)
CONTAINERS = {
    "plain": PLAIN,
    "alone": replace(PLAIN, networks=(), name="web-web-2", replica=2),
    "process": replace(
        PLAIN,
        command=("sh", "-c", "true"),
        entrypoint=(),
        environment=(("A", "1"), ("ß", "ü")),
        working_dir="/srv",
        user="1000:1000",
        hostname="web",
        init=True,
        stop_signal="SIGQUIT",
        stop_grace_period=90.0,
    ),
    "mounts": replace(
        PLAIN,
        mounts=(
            BindMount(source="/a", target="/a", read_only=True, create_host_path=False, propagation="rslave"),
            TmpfsMount(target="/b", size=65536, mode=0o700, options=("noexec",)),
            VolumeMount(volume="web_data", target="/c", nocopy=True),
        ),
    ),
    "rights": replace(PLAIN, cap_add=("NET_ADMIN", "SYS_TIME"), cap_drop=("ALL",), read_only=True),
    "ports": replace(
        PLAIN,
        ports=(Port(target=80, published=8080), Port(target=53, published=53, protocol="udp", host_ip="127.0.0.1")),
    ),
    "networks": replace(
        PLAIN,
        networks=(
            Attachment(network="web_front", aliases=("www",), ipv4_address="10.5.0.9", declared="5a" * 32),
            Attachment(network="web_back", ipv6_address="fd00::9", mac_address="02:42:ac:11:00:02", gw_priority=1),
        ),
        dns=("1.1.1.1",),
        extra_hosts=(("a", "host-gateway"),),
        sysctls=(("net.core.somaxconn", "1024"),),
        egress=(Destination(host="10.0.0.0/8", ports=(443, 443), protocol="tcp"), Destination(host="api.example")),
        ports=(Port(target=80, published=80, allow=()), Port(target=81, published=81, allow=("10.0.0.0/8",))),
    ),
    "host": replace(PLAIN, networks=(), host_network=True),
    "shared": replace(PLAIN, networks=(), shares="web-vpn-1"),
    "limits": replace(PLAIN, resources=Resources(memory=64 << 20, cpus=0.5, pids=32), labels=(("team", "web"),)),
}
FROZEN = {
    "plain": "71aae7a09e284556abb27cfa45e7109cfe5f9e50ffbe13197a1774fa1ea2218d",
    "alone": "3fcc23d8d9c2f5ed4ae61e6243ccd8438faa74bcdd5f9cc68d771a26bdad5f3e",
    "process": "62d681cc8513c24b399e4aa179eec6f993a6728ab6a2d9779bd01d6a8a82f5ca",
    "mounts": "a3bc8b09a39f10d73450924be59bb4586ef8603211fa553cb6c0a318078fd727",
    "rights": "0e4429323b59affc925bab9715e61aefd85a249b57caf38214ad8d81f6784a23",
    "ports": "2336e0d841e51a9cffab30e4bf5217bdf27b36d59ecae329528a93ae4b956e4f",
    "networks": "5793db357374de8b773f852f4a68b6105fd9c6a68dab6931d640f3777e3956c3",
    "host": "4993dc2884c1e03f667a181d85710327305e35cc7f78fe281ddee92582d30145",
    "shared": "1bde2a6bfe6bed20a181f104b0036fbef40dffd004c158ab7841a323524d9c79",
    "limits": "e6136d87555767fc7a8c5d5d7357a1e93ed7a716c0bc553099ffd122ba27e53d",
}


@pytest.mark.parametrize("name", CONTAINERS)
def test_frozen(name: str) -> None:
    assert revision(CONTAINERS[name], IMAGE) == FROZEN[name]


def test_the_canonical_form_is_what_is_digested() -> None:
    parts = {
        "app": "web",
        "image": "docker.io/library/nginx:1.27",
        "name": "web-web-1",
        "networks": [{"network": "web_default"}],
        "replica": 1,
        "service": "web",
    }
    text = json.dumps({"container": parts, "image": IMAGE}, sort_keys=True, separators=(",", ":"))
    assert hashlib.sha256(text.encode()).hexdigest() == FROZEN["plain"]


@pytest.mark.parametrize(
    "changed",
    [
        replace(PLAIN, spec="other.toml"),
        replace(PLAIN, restart=Restart(policy="always")),
        replace(PLAIN, depends_on=(Dependency(service="db"),)),
        replace(PLAIN, pull_policy=PullPolicy(when="always")),
        replace(PLAIN, locked=IMAGE),
    ],
)
def test_what_lives_outside_the_container_changes_no_revision(changed: Container) -> None:
    assert revision(changed, IMAGE) == FROZEN["plain"]


def test_all_others_do() -> None:
    revisions = {revision(container, image) for container in CONTAINERS.values() for image in (IMAGE, "sha256:other")}
    assert len(revisions) == 2 * len(CONTAINERS)
    assert revision(replace(PLAIN, command=()), IMAGE) != FROZEN["plain"]
    assert revision(replace(PLAIN, platform="linux/arm64"), IMAGE) != FROZEN["plain"]


def test_mounts_of_different_kinds_never_look_alike() -> None:
    volume = replace(PLAIN, mounts=(VolumeMount(volume="a", target="/b"),))
    bind = replace(PLAIN, mounts=(BindMount(source="a", target="/b"),))
    tmpfs = replace(PLAIN, mounts=(TmpfsMount(target="/b"),))
    assert len({revision(container, IMAGE) for container in (volume, bind, tmpfs)}) == 3


def test_an_instance_is_new_at_every_moment_and_the_same_for_one() -> None:
    assert container_id(PLAIN, IMAGE, 1.5) == container_id(PLAIN, IMAGE, 1.5)
    assert container_id(PLAIN, IMAGE, 1.5) != container_id(PLAIN, IMAGE, 1.6)
    assert len(container_id(PLAIN, IMAGE, 1.5)) == 64


@pytest.mark.parametrize(
    "changed",
    [
        replace(PLAIN, networks=()),
        replace(PLAIN, networks=(), host_network=True),
        replace(PLAIN, networks=(Attachment(network="web_default", declared="5a"),)),
        replace(PLAIN, egress=()),
        replace(PLAIN, domainname="example"),
    ],
)
def test_another_network_is_another_container(changed: Container) -> None:
    assert revision(changed, IMAGE) != FROZEN["plain"]


def test_nobody_and_everybody_nowhere_and_everywhere_differ() -> None:
    ports = [replace(PLAIN, ports=(Port(target=80, published=80, allow=allow),)) for allow in (None, ())]
    assert len({revision(container, IMAGE) for container in ports}) == 2
    assert len({revision(replace(PLAIN, egress=egress), IMAGE) for egress in (None, ())}) == 2
