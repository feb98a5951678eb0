"""The image store: the port `Images`, and what the rest of the host may ask of it.

A pull resolves the reference to one manifest and config, has `layers` unpack what is not there yet, and only then
writes down what the reference names. What is on disk and how it lasts stands in `disk`.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from importlib import import_module
from pathlib import Path

from reconciler.core.model import SeenImage
from reconciler.core.reference import Reference, is_local, layout, parse
from reconciler.errors import HostError
from reconciler.host.images.auth import Tokens
from reconciler.host.images.collect import Collected, Needed, collect
from reconciler.host.images.config import read_config
from reconciler.host.images.credentials import Credentials, auth_files
from reconciler.host.images.disk import Disk
from reconciler.host.images.docker_archive import DockerArchive
from reconciler.host.images.documents import host_platform
from reconciler.host.images.files import Archive, Folder
from reconciler.host.images.hosts import Endpoint, endpoints
from reconciler.host.images.layers import Gate, Layers, Locks
from reconciler.host.images.layout import Layout
from reconciler.host.images.overlay import Limits
from reconciler.host.images.resolve import Resolved, Source, manifest_digest, resolve
from reconciler.ports import Report
from reconciler.settings import Settings


class ImageStore:
    """The images of one host. Safe for threads."""

    def __init__(
        self, settings: Settings, limits: Limits | None = None, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._disk = Disk(settings.images)
        self._layers = Layers(self._disk, Locks(), limits or Limits())
        logins = Credentials(auth_files(settings.registry_auth, Path.home()))
        self._remote = cache(lambda: _remote(settings, logins, sleep))
        self._mirrors = settings.registry_mirrors
        self._hosts = settings.registry_hosts
        self._host = host_platform(os.uname().machine)
        self._gate = Gate()
        self._lock = threading.Lock()
        self._seen: dict[str, SeenImage] | None = None
        self._stamps: dict[str, tuple[int, int, int]] = {}

    def recover(self) -> None:
        """Make the store's folders and delete whatever an interrupted pull left. Call once, before anything else."""
        self._disk.prepare()

    def pull(self, reference: str, report: Report) -> None:
        """Make `reference` whole in the store. Raises HostError, and leaves nothing half done visible."""
        try:
            sources = self._sources(reference)
            image = resolve(sources, self._host, reference)
            with self._gate.together():
                names = self._layers.complete(sources, image, reference, report)
                self._write(reference, image, names)
        except OSError as error:
            raise HostError(f"cannot pull {reference}: {error.strerror or error}") from error

    def seen(self) -> Mapping[str, SeenImage]:
        """What is whole, by reference. Reads the disk once; later only what a pull or a layout has changed."""
        with self._lock:
            if self._seen is None:
                self._seen = dict(self._read_all())
            changed = {name: self._now(name) for name in self._seen if is_local(name)}
            return {name: image for name, old in self._seen.items() if (image := changed.get(name, old))}

    def lower(self, image: SeenImage) -> tuple[Path, tuple[str, ...]]:
        """The folder to be in, and the short relative names of the layers for overlayfs, topmost first."""
        record = self._image_record(image.digest)
        if record is None:
            raise HostError(f"cannot mount image {image.reference}: it is not in the store")
        names: list[str] = []
        for name in reversed(_texts(record.get("layers"))):
            layer = self._disk.layer(name)
            if layer is None:
                raise HostError(f"cannot mount image {image.reference}: layer {name} is missing")
            if name not in names:  # overlayfs takes no layer twice, and the topmost one hides the others
                names.append(name)
            if layer.get("opaque_root"):
                break
        return self._disk.root, tuple(self._disk.short(name) for name in names)

    def collect(self, needed: Needed, older_than: float) -> Collected:
        """Throw away what is not needed and was pulled more than `older_than` seconds ago; waits for running pulls."""
        with self._gate.alone():
            gone = collect(self._disk, needed, time.time() - older_than)
            with self._lock:
                self._seen = None
                self._stamps.clear()
            return gone

    # --- where an image comes from -----------------------------------------------------------------------------

    def _sources(self, reference: str) -> Sequence[Source]:
        """Where to ask, the next one when one fails."""
        try:
            if is_local(reference):
                return [on_disk(reference)]
            parsed = parse(reference)
            places = endpoints(parsed.host, self._mirrors, self._hosts)
            return [self._remote()(place, parsed) for place in places]
        except ValueError as error:
            raise HostError(f"cannot pull {reference}: {error}") from None

    # --- what is written down ------------------------------------------------------------------------------------

    def _write(self, reference: str, image: Resolved, names: list[str]) -> None:
        size = sum(_number((self._disk.layer(name) or {}).get("size")) for name in set(names))
        for digest, text in ((image.digest, image.text), (image.config.digest, image.config_text)):
            if self._disk.read(_blob(digest)) != text:
                self._disk.write(_blob(digest), text)
        record = {"manifest": image.digest, "config": image.config.digest, "layers": names, "size": size}
        self._disk.write(f"images/{_hex(image.digest)}", json.dumps(record).encode())
        named = {"reference": reference, "digest": image.digest}
        self._disk.write(f"references/{_file_name(reference)}", json.dumps(named).encode())
        seen = self._image(reference, image.digest)
        with self._lock:
            if self._seen is not None and seen is not None:
                self._seen = {**self._seen, reference: seen}
                self._stamps.pop(reference, None)

    def _image_record(self, digest: str) -> Mapping[str, object] | None:
        return self._disk.record(f"images/{_hex(digest)}")

    # --- what is seen ----------------------------------------------------------------------------------------------

    def _read_all(self) -> Mapping[str, SeenImage]:
        found = {}
        for record in self._disk.records("references"):
            reference = str(record.get("reference"))
            image = self._image(reference, str(record.get("digest")))
            if image is not None:
                found[reference] = image
        return found

    def _image(self, reference: str, digest: str) -> SeenImage | None:
        """The image with this manifest, None when something of it is missing or damaged."""
        record = self._image_record(digest)
        text = self._disk.read(_blob(str(record.get("config")))) if record else None
        if record is None or text is None:
            return None
        try:
            image = read_config(text, self._host)
        except ValueError:
            return None
        return SeenImage(
            reference=reference,
            digest=digest,
            id=str(record.get("config")),
            layers=image.layers,
            config=image.config,
            created=image.created,
            architecture=image.platform.architecture,
            size=_number(record.get("size")),
        )

    def _now(self, reference: str) -> SeenImage | None:
        """What a layout's tag names now; None when that has not been pulled, the old image when nobody can tell."""
        assert self._seen is not None
        old = self._seen[reference]
        source = on_disk(reference)
        stamp = source.stamp()
        if stamp == self._stamps.get(reference) or not any(stamp):
            return old
        try:
            digest = manifest_digest(source, self._host)
        except (HostError, ValueError):
            return old
        if digest != old.digest:
            return self._image(reference, digest)
        self._stamps[reference] = stamp
        return old


def on_disk(reference: str) -> Layout | DockerArchive:
    """The source for a reference to something on disk. Raises ValueError."""
    place = layout(reference)
    path = Path(place.path)
    if place.kind == "docker-archive":
        return DockerArchive(reference, Archive(path), place.tag)
    return Layout(reference, Folder(path, "index.json") if place.kind == "oci" else Archive(path), place.tag)


def _hex(digest: str) -> str:
    return digest.removeprefix("sha256:")


def _blob(digest: str) -> str:
    return f"blobs/sha256/{_hex(digest)}"


def _file_name(reference: str) -> str:
    return hashlib.sha256(reference.encode()).hexdigest()


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0


def _texts(value: object) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def _remote(
    settings: Settings, logins: Credentials, sleep: Callable[[float], None]
) -> Callable[[Endpoint, Reference], Source]:
    """How registries are spoken to. HTTP and TLS take more memory than the rest of the store: loaded when wanted."""
    registry = import_module("reconciler.host.images.registry")
    transport = import_module("reconciler.host.images.transport")
    return partial(registry.Registry, registry.Access(transport.Transport(settings, sleep), Tokens(), logins))
