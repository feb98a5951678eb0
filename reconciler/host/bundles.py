"""The files and mounts of a container: `<containers>/<id>/`, which is all that is kept of it on disk.

`config.json` is the record and what runs are made from; written last: a folder without one is half a container.
`lower` names the image's layers for mounting again after a reboot, `rootfs` is where the overlay of them and `upper`
is mounted, `etc` holds the three files that are bound into the container, `log` its output. Starts nothing.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from reconciler.core import bundle
from reconciler.core.model import BindMount, Container, SeenImage, VolumeMount
from reconciler.core.process import stop_signal
from reconciler.core.record import Instance, record, to_annotations
from reconciler.errors import HostError
from reconciler.host import overlay, rootfs, runs
from reconciler.host.cgroups import Cgroups
from reconciler.host.files import commit
from reconciler.settings import Settings

Lower = Callable[[SeenImage], tuple[Path, tuple[str, ...]]]
"""The folder with an image's layers, and their short names in it, topmost first."""


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

    def create(self, id: str, container: Container, revision: str, image: SeenImage, address: str) -> None:
        """Write record and bundle and mount the root file system; undoes what it did when it fails."""
        whole = replace(container, hostname=container.hostname or id[:12])
        instance = Instance(
            id=id,
            revision=revision,
            address=address,
            stop_signal=stop_signal(container, image.config),
            created_at=self._clock(),
        )
        folder = self._folder(id)
        try:
            self._build(folder, whole, image, instance)
        except OSError as error:
            self._undo(id)
            raise HostError(f"cannot create container {container.name}: {error.filename}: {error.strerror}") from error
        except BaseException:
            self._undo(id)
            raise

    def _build(self, folder: Path, container: Container, image: SeenImage, instance: Instance) -> None:
        layers, names = self._lower(image)
        self._settings.containers.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.mkdir(mode=0o700)
        for name in ("rootfs", "upper", "work", "etc", "log"):
            (folder / name).mkdir(mode=0o755)
        (folder / "lower").write_text("\n".join((str(layers), *names)))
        self._write_etc(folder / "etc", container, instance.address)
        self.mount(instance.id)
        self._make_sources(container)
        document = self._document(folder, container, image, instance)
        annotations = to_annotations(record(container, image, instance))
        commit(folder / "config.json", bundle.render(document, annotations, "null"))

    def _document(self, folder: Path, container: Container, image: SeenImage, instance: Instance) -> bundle.Document:
        place = bundle.Place(
            root=str(folder / "rootfs"),
            etc=str(folder / "etc"),
            volumes=str(self._settings.volumes),
            network=str(self._settings.run / runs.NAMESPACES / instance.id),
            cgroup=self._cgroups.path(instance.id),
        )
        who = rootfs.find_user(folder / "rootfs", container.user or image.config.user)
        return bundle.config(container, image.config, who, place, self._facts)

    def _write_etc(self, folder: Path, container: Container, address: str) -> None:
        names = f"{address}\t{container.hostname}\n" if address else ""
        texts = {
            "hostname": f"{container.hostname}\n",
            "hosts": f"127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n{names}",
            "resolv.conf": _resolv_conf(),
        }
        for name, text in texts.items():
            (folder / name).write_text(text)
            (folder / name).chmod(0o644)

    def _make_sources(self, container: Container) -> None:
        for mount in container.mounts:
            if isinstance(mount, BindMount) and not os.path.lexists(mount.source):
                if not mount.create_host_path:
                    raise HostError(f"cannot create container {container.name}: {mount.source} does not exist")
                Path(mount.source).mkdir(parents=True, exist_ok=True)
            if isinstance(mount, VolumeMount) and not (self._settings.volumes / mount.volume).is_dir():
                raise HostError(f"cannot create container {container.name}: volume {mount.volume} does not exist")

    def mount(self, id: str) -> None:
        """Mount the root file system again, as after a reboot."""
        folder = self._folder(id)
        try:
            layers, *names = (folder / "lower").read_text().split("\n")
        except OSError as error:
            raise HostError(f"cannot mount container {id[:12]}: {folder}: {error.strerror}") from error
        overlay.unmount(folder / "rootfs")
        overlay.mount(folder / "rootfs", Path(layers), names, folder / "upper", folder / "work")

    def remove(self, id: str) -> None:
        """Unmount and delete everything of the container but its volumes."""
        folder = self._folder(id)
        overlay.unmount(folder / "rootfs")
        with contextlib.suppress(FileNotFoundError):
            (folder / "config.json").unlink()
        _delete(folder)
        for number in runs.of_container(self._settings.run / runs.FOLDER, id):
            _delete(self._settings.run / runs.FOLDER / f"{id}-{number}")

    def _undo(self, id: str) -> None:
        with contextlib.suppress(HostError):
            self.remove(id)

    def _folder(self, id: str) -> Path:
        return self._settings.containers / id


def facts(cgroups: Cgroups) -> bundle.HostFacts:
    """What a bundle must know of this host."""
    throttles = sorted(str(path) for path in Path("/sys/devices/system/cpu").glob("cpu[0-9]*/thermal_throttle"))
    kinds = [name for name in dir(resource) if name.startswith("RLIMIT_")]
    return bundle.HostFacts(
        cgroup_namespaces=Path("/proc/self/ns/cgroup").exists(),
        swap_limits=cgroups.swap_limits(),
        masked=tuple(throttles),
        hard_limits={kind: resource.getrlimit(getattr(resource, kind))[1] for kind in kinds},
    )


def _resolv_conf() -> str:
    try:
        return Path("/etc/resolv.conf").read_text()
    except OSError:
        return ""


def _delete(folder: Path) -> None:
    try:
        shutil.rmtree(folder)
    except FileNotFoundError:
        return
    except OSError as error:
        raise HostError(f"cannot delete {folder}: {error.strerror}") from error


def read_config(path: Path) -> bundle.Document:
    """A bundle's config.json. Raises OSError or ValueError."""
    return dict(json.loads(path.read_text()))
