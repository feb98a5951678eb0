"""The good path: from a real registry and from a layout to a directory that overlayfs mounts."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from reconciler.core.progress import Progress
from reconciler.host.images.store import ImageStore
from tests.host.images.builder import Member, build_layout, folder, symlink
from tests.host.images.registries import push

pytestmark = [pytest.mark.root, pytest.mark.host]

BASE = [folder("etc", uid=5, gid=6, mode=0o750), Member("etc/passwd", b"root\n"), Member("etc/hosts", b"lower\n")]
TOP = [Member("etc/hosts", b"upper\n", uid=7), Member("etc/.wh.passwd"), symlink("lib", "usr/lib")]


def merged(store: ImageStore, reference: str, command: str) -> str:
    """What `command` prints inside the mounted image, in a mount namespace of its own."""
    root, lower = store.lower(store.seen()[reference])
    script = f"mount -t overlay overlay -o lowerdir={':'.join(lower)} /mnt && cd /mnt && {command}"
    if len(lower) == 1:
        script = f"cd {lower[0]} && {command}"
    done = subprocess.run(
        ["unshare", "-m", "--propagation", "private", "sh", "-c", script], cwd=root, capture_output=True, check=True
    )
    return done.stdout.decode()


def test_a_layout_becomes_a_mountable_image(store: ImageStore, tmp_path: Path) -> None:
    digest = build_layout(tmp_path / "layout", "1", [BASE, TOP], {"Cmd": ["/bin/sh"]})
    reference = f"oci:{tmp_path}/layout:1"
    reports: list[Progress] = []
    store.pull(reference, reports.append)
    image = store.seen()[reference]
    assert image.digest == digest
    assert image.config.command == ("/bin/sh",)
    assert merged(store, reference, "ls etc && cat etc/hosts && stat -c '%u %g %a' etc && readlink lib") == (
        "hosts\nupper\n5 6 750\nusr/lib\n"
    )
    assert reports[-1].done == reports[-1].total > 0


def test_a_real_registry_gives_the_same_image(store: ImageStore, tmp_path: Path, registry: str) -> None:
    digest = build_layout(tmp_path / "layout", "1", [BASE, TOP])
    push(tmp_path / "layout", "1", f"{registry}/some/app:1")
    store.pull(f"{registry}/some/app:1", lambda _: None)
    assert store.seen()[f"{registry}/some/app:1"].digest == digest
    assert merged(store, f"{registry}/some/app:1", "cat etc/hosts") == "upper\n"


def test_docker_schema_2_is_read(store: ImageStore, tmp_path: Path, registry: str) -> None:
    build_layout(tmp_path / "layout", "1", [BASE])
    push(tmp_path / "layout", "1", f"{registry}/app:2", "--format=v2s2")
    store.pull(f"{registry}/app:2", lambda _: None)
    assert merged(store, f"{registry}/app:2", "cat etc/hosts") == "lower\n"


def test_a_new_store_sees_what_the_old_one_pulled(store: ImageStore, settings: object, tmp_path: Path) -> None:
    build_layout(tmp_path / "layout", "1", [BASE])
    store.pull(f"oci:{tmp_path}/layout:1", lambda _: None)
    again = ImageStore(settings, sleep=lambda _: None)  # type: ignore[arg-type]
    again.recover()
    assert again.seen() == store.seen()
    assert os.stat(again.lower(again.seen()[f"oci:{tmp_path}/layout:1"])[0]).st_mode & 0o777 == 0o700


def test_a_rebuilt_layout_is_noticed_and_a_lost_one_is_not_missed(store: ImageStore, tmp_path: Path) -> None:
    reference = f"oci:{tmp_path}/layout:1"
    first = build_layout(tmp_path / "layout", "1", [BASE])
    store.pull(reference, lambda _: None)
    second = build_layout(tmp_path / "layout", "1", [BASE, TOP])
    assert reference not in store.seen()
    store.pull(reference, lambda _: None)
    assert store.seen()[reference].digest == second
    (tmp_path / "layout" / "index.json").unlink()
    assert store.seen()[reference].digest == second
    build_layout(tmp_path / "layout", "1", [BASE])
    assert store.seen()[reference].digest == first
