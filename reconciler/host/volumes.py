"""Named volumes: one folder each, which outlives every container. Nothing here ever deletes one."""

from __future__ import annotations

import os

from reconciler.core.model import Volume
from reconciler.errors import HostError
from reconciler.host.files import sync
from reconciler.settings import Settings


class VolumeFolders:
    """The port `Volumes`: folders below `settings.volumes`, which is root's alone."""

    def __init__(self, settings: Settings) -> None:
        self._folder = settings.volumes

    def create(self, volume: Volume) -> None:
        """Make the volume's folder; one that is there is left as it is. An external one must be there."""
        path = self._folder / volume.name
        if volume.external:
            if not path.is_dir():
                raise HostError(f"cannot use volume {volume.name}: it is external, and {path} does not exist")
            return
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.mkdir(mode=0o755, exist_ok=True)
            sync(self._folder)
        except OSError as error:
            raise HostError(f"cannot create volume {volume.name}: {path}: {error.strerror}") from error

    def seen(self) -> frozenset[str]:
        """The names of all volumes. Raises HostError when they cannot be read, which is not the same as none."""
        try:
            with os.scandir(self._folder) as entries:
                return frozenset(
                    entry.name
                    for entry in entries
                    if not entry.name.startswith(".") and entry.is_dir(follow_symlinks=False)
                )
        except FileNotFoundError:
            return frozenset()
        except OSError as error:
            raise HostError(f"cannot read the volumes in {self._folder}: {error.strerror}") from error
