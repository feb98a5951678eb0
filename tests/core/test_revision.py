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
from reconciler.core.networking import Port

IMAGE = "sha256:" + "5a" * 32

PLAIN = Container(
    name="web-web-1",
    app="web",
    service="web",
    replica=1,
    spec="web.yaml",
    image="docker.io/library/nginx:1.27",
    network="web_default",
)
CONTAINERS = {
    "plain": PLAIN,
    "alone": replace(PLAIN, network=None, name="web-web-2", replica=2),
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
    "limits": replace(PLAIN, resources=Resources(memory=64 << 20, cpus=0.5, pids=32), labels=(("team", "web"),)),
}
FROZEN = {
    "plain": "8aae77be910126498aa8dde614e136758877a544b627dda663569e969318becf",
    "alone": "cf70f6f768b44bff6c1f9d1c7cefb7a6d107b885d8a5cfccfbf2519cc189c3ae",
    "process": "4c1412de93ba4ea068b98ab4acb1b971e27e1f67fd15ae46aba6a87f06ca01e3",
    "mounts": "e7ee957b60809e36050b1dae525a85d69a59e247a93bb299604fd0b217d4ac2a",
    "rights": "e1ebf24af2a36cdc3143f12fe85c658823e7dffb9b432a4e2535792da320295d",
    "ports": "0fe6d135a8145ac83325d9c43b43739fbc728d621496636d50bdacb33a682fa4",
    "limits": "4b09b73b8c9fa9fc30ca55da49799ceda306aea4216fe29949dad74c0cf43677",
}


@pytest.mark.parametrize("name", CONTAINERS)
def test_frozen(name: str) -> None:
    assert revision(CONTAINERS[name], IMAGE) == FROZEN[name]


def test_the_canonical_form_is_what_is_digested() -> None:
    parts = {
        "app": "web",
        "image": "docker.io/library/nginx:1.27",
        "name": "web-web-1",
        "network": "web_default",
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
        replace(PLAIN, depends_on=("db",)),
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
