"""The files and mounts of containers: whole or absent, layers complete, volumes filled, logs rotated without loss."""

from __future__ import annotations

import os
import select
import signal
import stat
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.core.model import Running, VolumeMount
from reconciler.core.networking import Joint, Network
from reconciler.errors import HostError, UnfitError
from reconciler.host import logs, overlay, refused, runs
from reconciler.host.bundles import ContainerBundles
from reconciler.host.populate import populate
from reconciler.host.revisions import MADE_FROM, parse_made_from
from reconciler.host.run import run
from tests.core.worlds import endpoint
from tests.host.containers import Host, container, hosting, joined

pytestmark = [pytest.mark.root, pytest.mark.host]


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    with hosting(tmp_path) as made:
        yield made


# --- layers --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 20, 60, 128])
def test_all_layers_are_there(tmp_path: Path, count: int) -> None:
    """The kernel cuts mount options at a page without a word, so file lists are compared."""
    layers, target = tmp_path / ("long" * 40), tmp_path / "target"
    names = [f"{number:026d}" for number in range(count)]
    for name in names:
        (layers / name).mkdir(parents=True)
        (layers / name / f"of-{name}").write_text(name)
        (layers / name / "same").write_text(name)
    for folder in (target, tmp_path / "upper", tmp_path / "work"):
        folder.mkdir()
    overlay.mount(target, layers, names, tmp_path / "upper", tmp_path / "work")
    try:
        assert sorted(os.listdir(target)) == sorted([*(f"of-{name}" for name in names), "same"])
        assert (target / "same").read_text() == names[0]
        (target / "written").write_text("")
        assert (tmp_path / "upper" / "written").exists()
    finally:
        overlay.unmount(target)
    assert os.listdir(target) == []


def test_more_layers_than_a_mount_can_name_are_refused(tmp_path: Path) -> None:
    names = [f"{number:064d}" for number in range(128)]
    with pytest.raises(HostError, match="the image has 128 layers, more than a mount can name"):
        overlay.mount(tmp_path, tmp_path, names, tmp_path, tmp_path)


def test_an_image_without_layers_is_refused(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="has no layers"):
        overlay.mount(tmp_path, tmp_path, [], tmp_path, tmp_path)


def test_special_characters_in_names_are_only_names(tmp_path: Path) -> None:
    odd = tmp_path / "a,b=c\\d:e"
    for name in ("one:two", "x,y", "upper", "work", "target"):
        (odd / name).mkdir(parents=True)
    (odd / "one:two" / "file").write_text("1")
    overlay.mount(odd / "target", odd, ["one:two", "x,y"], odd / "upper", odd / "work")
    try:
        assert os.listdir(odd / "target") == ["file"]
    finally:
        overlay.unmount(odd / "target")


def test_mounting_changes_no_other_thread_s_working_directory(tmp_path: Path, host: Host) -> None:
    before = Path.cwd()
    host.create(container())
    assert Path.cwd() == before


def test_what_it_was_made_from_is_kept_as_declared(host: Host) -> None:
    """What is filled in for this instance, such as its hostname, would make the next one another revision."""
    wanted = container()
    id = host.create(wanted)
    assert parse_made_from((host.settings.containers / id / MADE_FROM).read_text())[0] == wanted


def test_unmounting_what_is_not_mounted_is_right(tmp_path: Path) -> None:
    overlay.unmount(tmp_path)
    overlay.unmount(tmp_path / "missing")


# --- whole or absent -----------------------------------------------------------------------------------------


def test_a_creation_that_fails_leaves_nothing(host: Host) -> None:
    for bad in (container(user="nobody-of-that-name"), container(cap_add=("FLY",)), container(stop_signal="FOO")):
        with pytest.raises(UnfitError, match="cannot"):
            host.create(bad)
        assert len(refused.read(host.settings)) == 1, "it is noted that this revision cannot be had"
        refused.take_back(host.settings, *refused.read(host.settings))
    assert list(host.settings.containers.glob("*")) == list(host.settings.containers.glob(".*")) == []
    assert str(host.settings.containers) not in Path("/proc/self/mountinfo").read_text()


def test_what_an_interrupted_creation_left_is_not_seen_and_swept(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = host.create(container())

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("reconciler.host.files.replace", killed)
    monkeypatch.setattr("reconciler.host.bundles._discard", lambda _: None)
    with pytest.raises(KeyboardInterrupt):
        host.create(container())
    monkeypatch.undo()
    assert len(os.listdir(host.settings.containers)) == 2
    assert {*host.reader.look(None)} == {kept}
    host.bundles.sweep()
    assert os.listdir(host.settings.containers) == [kept]


def test_sweeping_before_anything_was_made_is_right(tmp_path: Path, host: Host) -> None:
    host.bundles.sweep()
    ContainerBundles(replace(host.settings, state=tmp_path / "none"), lambda _: (tmp_path, ()), host.cgroups).sweep()


def test_the_daemon_s_umask_is_not_the_container_s(host: Host) -> None:
    umask = os.umask(0o077)
    try:
        assert host.output(container("cat /etc/hostname /etc/hosts > /dev/null && stat -c %a /", user="web")) == "755\n"
    finally:
        os.umask(umask)


def test_names_are_those_of_the_container(host: Host) -> None:
    text = host.output(container("hostname; cat /etc/hostname; grep -c localhost /etc/hosts", hostname="mine"))
    assert text == "mine\nmine\n2\n"


def test_the_address_is_in_hosts(host: Host) -> None:
    id = f"{7:064x}"
    host.made.append(id)
    host.pin(id)
    host.bundles.create(
        id,
        container("cat /etc/hosts", hostname="mine"),
        "r",
        host.image,
        Joint(endpoints=(endpoint(Network(name="n", app="a", spec="s"), "10.1.2.3/24"),)),
    )
    host.runtime.start(id, 0, 0)
    host.wait(id)
    assert host.log(id).splitlines()[-1] == "10.1.2.3\tmine"


# --- volumes -------------------------------------------------------------------------------------------------


def _image_data(host: Host) -> Path:
    data = host.layers / "base" / "data"
    (data / "folder").mkdir()
    (data / "folder" / "file").write_text("from the image")
    os.chown(data / "folder" / "file", 7, 8)
    (data / "link").symlink_to("folder/file")
    os.chown(data, 1000, 1001)
    data.chmod(0o2750)
    return data


def test_a_new_volume_is_filled_from_the_image(host: Host) -> None:
    _image_data(host)
    volume = host.settings.volumes / "app_data"
    volume.mkdir()
    host.create(container(mounts=(VolumeMount(volume="app_data", target="/data"),)))
    seen = volume.stat()
    assert (seen.st_uid, seen.st_gid, stat.S_IMODE(seen.st_mode)) == (1000, 1001, 0o2750)
    assert (volume / "link").readlink() == Path("folder/file")
    assert (volume / "folder" / "file").read_text() == "from the image"
    assert (volume / "folder" / "file").stat().st_uid == 7
    assert os.listdir(host.settings.volumes) == ["app_data"]


def test_a_volume_with_contents_or_nocopy_is_left_alone(host: Host) -> None:
    _image_data(host)
    used, empty = host.settings.volumes / "used", host.settings.volumes / "empty"
    used.mkdir()
    empty.mkdir()
    (used / "mine").write_text("mine")
    host.create(container(mounts=(VolumeMount(volume="used", target="/data"),)))
    host.create(container(mounts=(VolumeMount(volume="empty", target="/data", nocopy=True),)))
    assert os.listdir(used) == ["mine"]
    assert os.listdir(empty) == []


def test_an_interrupted_filling_is_done_again_or_finished(tmp_path: Path) -> None:
    root, volume = tmp_path / "root", tmp_path / "data"
    (root / "data").mkdir(parents=True)
    (root / "data" / "a").write_text("new")
    volume.mkdir()
    (tmp_path / ".data.filling").mkdir()
    (tmp_path / ".data.filling" / "half").write_text("")
    populate(volume, root, "/data")
    assert os.listdir(volume) == ["a"]
    (tmp_path / ".data.filled").mkdir()
    (tmp_path / ".data.filled" / "b").write_text("")
    populate(volume, root, "/data")
    assert sorted(os.listdir(volume)) == ["a", "b"]
    assert sorted(os.listdir(tmp_path)) == ["data", "root"]


def test_a_link_in_the_image_never_fills_a_volume_from_the_host(tmp_path: Path) -> None:
    root, volume, secret = tmp_path / "root", tmp_path / "data", tmp_path / "secret"
    for folder in (root, volume, secret):
        folder.mkdir()
    (secret / "key").write_text("")
    (root / "absolute").symlink_to(secret)
    (root / "relative").symlink_to("../secret")
    for name in ("absolute", "relative", "missing"):
        populate(volume, root, f"/{name}")
    assert os.listdir(volume) == []


def test_volumes_are_shared_and_outlive_containers(host: Host) -> None:
    (host.settings.volumes / "v").mkdir()
    mounts = (VolumeMount(volume="v", target="/data"),)
    id = host.start(container("echo kept > /data/file", mounts=mounts))
    host.wait(id)
    host.runtime.clean(id)
    host.bundles.remove(id)
    read_only = (replace(mounts[0], read_only=True),)
    assert (
        host.output(container("cat /data/file; touch /data/x 2>/dev/null || echo ro", mounts=read_only)) == "kept\nro\n"
    )


# --- logs ----------------------------------------------------------------------------------------------------


def test_rotation_loses_no_line_and_keeps_a_bounded_number_of_files(host: Host) -> None:
    host.bundles = ContainerBundles(
        replace(host.settings, logs=replace(host.settings.logs, files=200)),
        lambda _: (host.layers, host.names),
        host.cgroups,
    )
    pace = "[ $((i % 100)) = 0 ] && sleep 0.02"
    id = host.start(container(f"i=0; while [ $i -lt 3000 ]; do {pace}; echo line $i; i=$((i+1)); done; echo end"))
    folder = host.settings.containers / id / "log"
    rotations = 0
    while isinstance(host.state(id), Running):
        host.bundles.rotate_log(id)
        rotations += 1
        time.sleep(0.002)
        assert rotations < 150
    host.wait(id)
    files = sorted(folder.iterdir(), key=lambda path: int(path.suffix.strip(".log") or 0), reverse=True)
    text = "".join(path.read_text() for path in files)
    assert joined(text).splitlines() == [*(f"line {number}" for number in range(3000)), "end"]
    assert len(files) > 1


def test_a_rotation_ends_when_the_new_file_is_there(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "_REOPEN_TIME", 0.05)
    id = host.start(container("echo one; exec sleep 1000"))
    host.wait_for_log(id, "one")
    seen = runs.read(host.settings.run / "runs" / f"{id}-1")
    assert seen is not None
    os.kill(seen.monitor.pid, signal.SIGSTOP)
    try:
        with pytest.raises(HostError, match="timed out"):
            host.bundles.rotate_log(id)
    finally:
        os.kill(seen.monitor.pid, signal.SIGCONT)


def test_a_monitor_that_ends_before_it_reads_is_not_waited_for(tmp_path: Path) -> None:
    """A container may end just when its log is rotated; then nobody makes the new file."""
    (tmp_path / "container.log").write_text("last words\n")
    controls = tmp_path / "ctl"
    os.mkfifo(controls)
    reader = os.open(controls, os.O_RDONLY | os.O_NONBLOCK)

    def end_when_told() -> None:
        select.select([reader], [], [])
        os.close(reader)

    monitor = threading.Thread(target=end_when_told)
    monitor.start()
    logs.rotate(tmp_path, controls, 2)
    monitor.join()
    assert (tmp_path / "container.log.1").read_text() == "last words\n"


def test_an_interrupted_rotation_is_seen_and_taken_up_again(host: Host) -> None:
    id = host.start(container("echo one; exec sleep 1000"))
    host.wait_for_log(id, "one")
    folder = host.settings.containers / id / "log"
    (folder / "container.log").rename(folder / "container.log.1")
    assert host.see(id).log_bytes == (folder / "container.log.1").stat().st_size > 0
    host.bundles.rotate_log(id)
    assert sorted(path.name for path in folder.iterdir()) == ["container.log", "container.log.1"]
    assert host.see(id).log_bytes == 0


def test_old_files_are_dropped(host: Host) -> None:
    id = host.create(container())
    folder = host.settings.containers / id / "log"
    for number in range(6):
        (folder / "container.log").write_text(f"{number}\n")
        host.bundles.rotate_log(id)
    kept = {path.name: path.read_text() for path in folder.iterdir() if path.name != "container.log"}
    assert kept == {"container.log.1": "5\n", "container.log.2": "4\n"}


def test_rotation_without_a_run_or_a_file_is_right(host: Host) -> None:
    id = host.create(container())
    host.bundles.rotate_log(id)
    assert [*(host.settings.containers / id / "log").iterdir()] == []


def test_removing_while_mounted_twice_and_with_links_deletes_only_its_own(host: Host, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("")
    id = host.create(container())
    (host.settings.containers / id / "upper" / "link").symlink_to(outside)
    run(["mount", "--bind", str(outside), str(host.settings.containers / id / "rootfs")])
    host.bundles.remove(id)
    assert [path.name for path in outside.iterdir()] == ["kept"]
    assert not (host.settings.containers / id).exists()
