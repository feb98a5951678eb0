"""The files and mounts of a container: `<containers>/<id>/`, which is all that is kept of it on disk.

`config.json` is the record and what runs are made from, `made-from.json` what the container itself was made from. A
container is built under a hidden name and renamed when it is whole, and removed the other way round, so that nobody
ever sees half of one.
`lower` names the image's layers for mounting again after a reboot, `rootfs` is where the overlay of them and `upper`
is mounted, `etc` holds the three files that are bound into the container, `log` its output. Starts nothing.
"""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from reconciler.core import bundle, etc
from reconciler.core.model import BindMount, Container, SeenImage, VolumeMount
from reconciler.core.networking import Joint
from reconciler.core.process import capabilities, stop_signal
from reconciler.core.record import Instance, record, to_annotations
from reconciler.errors import HostError, UnfitError
from reconciler.host import files, logs, overlay, refused, rootfs, runs, seccomp
from reconciler.host.cgroups import Cgroups
from reconciler.host.init import find_init
from reconciler.host.populate import populate
from reconciler.host.revisions import MADE_FROM, made_from
from reconciler.settings import Settings

Lower = Callable[[SeenImage], tuple[Path, tuple[str, ...]]]
"""The folder with an image's layers, and their short names in it, topmost first."""


RESOLVED = Path("/run/systemd/resolve/resolv.conf")  # whom systemd-resolved asks (systemd-resolved.service(8))


class ContainerBundles:
    """The port `Bundles`. `lower` finds an image's layers; `clock` is seconds since the epoch."""

    def __init__(
        self, settings: Settings, lower: Lower, cgroups: Cgroups, clock: Callable[[], float] = time.time
    ) -> None:
        self._settings = settings
        self._lower = lower
        self._cgroups = cgroups
        self._clock = clock
        self._facts = facts(cgroups)
        self._filling = threading.Lock()  # replicas share volumes

    def create(self, id: str, container: Container, revision: str, image: SeenImage, joint: Joint) -> None:
        """Write record and bundle and mount the root file system; undoes what it did when it fails."""
        try:
            self._create(id, container, revision, image, joint)
        except UnfitError as error:
            refused.note(self._settings, revision, str(error))
            raise

    def _create(self, id: str, container: Container, revision: str, image: SeenImage, joint: Joint) -> None:
        whole = replace(container, hostname=container.hostname or self._hostname(id, container, joint))
        instance = Instance(
            id=id,
            revision=revision,
            joint=joint,
            stop_signal=stop_signal(container, image.config),
            created_at=self._clock(),
        )
        half = self._hidden(id)
        try:
            self._build(half, whole, image, instance)
            files.replace(half / MADE_FROM, made_from(container, image))  # as declared, not as filled in
            half.rename(self._folder(id))
        except OSError as error:
            _discard(half)
            raise HostError(f"cannot create container {container.name}: {error.filename}: {error.strerror}") from error
        except BaseException:
            _discard(half)
            raise
        threading.Thread(target=self._make_durable, args=(self._folder(id),), name="sync").start()

    def _hostname(self, id: str, container: Container, joint: Joint) -> str:
        """As in Docker: that of whom it shares the network with."""
        if joint.shares:
            return _text(self._folder(joint.shares) / "etc" / "hostname").strip() or id[:12]
        return os.uname().nodename if container.host_network else id[:12]

    def _make_durable(self, folder: Path) -> None:
        """Beside the start, which need not wait: what a power cut takes before this is damaged, and is made again."""
        with contextlib.suppress(OSError):  # removed again meanwhile, or the disk fails: the next start will tell
            for path in (folder / "config.json", folder, folder.parent):
                files.sync(path)

    def _build(self, half: Path, container: Container, image: SeenImage, instance: Instance) -> None:
        layers, names = self._lower(image)
        self._settings.containers.mkdir(mode=0o700, parents=True, exist_ok=True)
        half.mkdir(mode=0o700)
        for name in ("rootfs", "upper", "work", "etc", "log"):
            (half / name).mkdir()
        (half / "upper").chmod(0o755)  # the root directory that the container sees, whatever the daemon's umask
        (half / "lower").write_text("\n".join((str(layers), *names)))
        if not instance.joint.shares:
            _write_etc(half / "etc", container, instance.joint)
        _mount(half)
        self._make_sources(container, half / "rootfs")
        document = self._document(half, container, image, instance)
        annotations = to_annotations(record(container, image, instance))
        text = bundle.render(document, annotations, seccomp.rendered(capabilities(container)))
        files.replace(half / "config.json", text)

    def _document(self, half: Path, container: Container, image: SeenImage, instance: Instance) -> bundle.Document:
        folder = self._folder(instance.id)
        owner = instance.joint.shares or instance.id  # of the network namespace
        place = bundle.Place(
            root=str(folder / "rootfs"),
            etc=str(self._folder(owner) / "etc"),
            volumes=str(self._settings.volumes),
            network="" if container.host_network else str(self._settings.run / runs.NAMESPACES / owner),
            cgroup=self._cgroups.path(instance.id),
            init=find_init() if container.init else "",
        )
        who = rootfs.find_user(half / "rootfs", container.user or image.config.user)
        return bundle.config(container, image.config, who, place, self._facts)

    def _make_sources(self, container: Container, root: Path) -> None:
        for mount in container.mounts:
            if isinstance(mount, BindMount) and not os.path.lexists(mount.source):
                if not mount.create_host_path:
                    raise UnfitError(f"cannot create container {container.name}: {mount.source} does not exist")
                Path(mount.source).mkdir(parents=True, exist_ok=True)
            if isinstance(mount, VolumeMount):
                volume = self._settings.volumes / mount.volume
                if not volume.is_dir():
                    raise HostError(f"cannot create container {container.name}: volume {mount.volume} does not exist")
                if not mount.nocopy:
                    with self._filling:
                        populate(volume, root, mount.target)

    def mount(self, id: str) -> None:
        """Mount the root file system again, as after a reboot."""
        try:
            _mount(self._folder(id))
        except OSError as error:
            raise HostError(f"cannot mount container {id[:12]}: {error.filename}: {error.strerror}") from error

    def remove(self, id: str) -> None:
        """Unmount and delete everything of the container but its volumes; its runs first, which would bring it back."""
        folder, hidden = self._folder(id), self._hidden(id)
        for number in runs.of_container(self._settings.run / runs.FOLDER, id):
            _delete(self._settings.run / runs.FOLDER / f"{id}-{number}")
        overlay.unmount(folder / "rootfs")
        with contextlib.suppress(FileNotFoundError):
            folder.rename(hidden)
        _delete(hidden)

    def rotate_log(self, id: str) -> None:
        """Start a new log file without losing a line; drop the oldest beyond the limit."""
        numbers = runs.of_container(self._settings.run / runs.FOLDER, id)
        controls = self._settings.run / runs.FOLDER / f"{id}-{max(numbers, default=0)}" / "ctl"
        try:
            logs.rotate(self._folder(id) / "log", controls, self._settings.logs.files)
        except OSError as error:
            raise HostError(f"cannot rotate the log of container {id[:12]}: {error.strerror}") from error

    def sweep(self) -> None:
        """Delete what an interrupted creation or removal left. Only while nothing is created: at the daemon's start."""
        with contextlib.suppress(FileNotFoundError):
            for folder in self._settings.containers.glob(".*"):
                _discard(folder)

    def _hidden(self, id: str) -> Path:
        """Where a container is while it is half there: the reader of containers passes over such names."""
        return self._settings.containers / f".{id}"

    def _folder(self, id: str) -> Path:
        return self._settings.containers / id


def facts(cgroups: Cgroups) -> bundle.HostFacts:
    """What a bundle must know of this host."""
    throttles = sorted(str(path) for path in Path("/sys/devices/system/cpu").glob("cpu[0-9]*/thermal_throttle"))
    kinds = [name for name in dir(resource) if name.startswith("RLIMIT_")]
    return bundle.HostFacts(
        cgroup_namespaces=Path("/proc/self/ns/cgroup").exists(),
        swap_limits=cgroups.swap_limits(),
        pids_limits=cgroups.pids_limits(),
        masked=tuple(throttles),
        hard_limits={kind: resource.getrlimit(getattr(resource, kind))[1] for kind in kinds},
    )


def _mount(folder: Path) -> None:
    layers, *names = (folder / "lower").read_text().split("\n")
    overlay.unmount(folder / "rootfs")
    overlay.mount(folder / "rootfs", Path(layers), names, folder / "upper", folder / "work")


def _write_etc(folder: Path, container: Container, joint: Joint) -> None:
    host = etc.HostFiles(
        hosts=_text(Path("/etc/hosts")), resolv_conf=_text(Path("/etc/resolv.conf")), resolved=_text(RESOLVED)
    )
    for name, text in etc.texts(container, joint, host).items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o644)


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError):
        return ""


def _discard(folder: Path) -> None:
    with contextlib.suppress(HostError):
        overlay.unmount(folder / "rootfs")
        _delete(folder)


def _delete(folder: Path) -> None:
    try:
        shutil.rmtree(folder)
    except FileNotFoundError:
        return
    except OSError as error:
        raise HostError(f"cannot delete {folder}: {error.strerror}") from error
