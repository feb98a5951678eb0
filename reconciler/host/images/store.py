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
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.core.model import SeenImage
from reconciler.core.reference import Reference, image_key, is_local, layout, parse
from reconciler.errors import HostError
from reconciler.host.images.auth import Tokens
from reconciler.host.images.collect import Collected, Needed, collect
from reconciler.host.images.config import read_config
from reconciler.host.images.credentials import Credentials, auth_files
from reconciler.host.images.disk import Disk, blob_name
from reconciler.host.images.docker_archive import DockerArchive
from reconciler.host.images.documents import Platform, digest_of, host_platform
from reconciler.host.images.files import Archive, Folder
from reconciler.host.images.hosts import Endpoint, endpoints
from reconciler.host.images.kept import Documents, Kept
from reconciler.host.images.layers import Layers
from reconciler.host.images.layout import Layout
from reconciler.host.images.locks import Gate, Locks
from reconciler.host.images.mirrors import Mirrors
from reconciler.host.images.names import Named, read_named
from reconciler.host.images.overlay import Limits
from reconciler.host.images.resolve import Resolved, Source, manifest_digest, resolve
from reconciler.host.images.trust import Trust
from reconciler.host.images.unpacker import Unpacker
from reconciler.ports import Report
from reconciler.settings import ImageLimits, Settings

if TYPE_CHECKING:
    from reconciler.host.images.registry import Registry

_COLLECTED = "collected"  # written when unused images were thrown away
_SET_ASIDE = "set-aside"  # written when something damaged was, perhaps by `verify` beside a daemon


class ImageStore:
    """The images of one host. Safe for threads."""

    def __init__(
        self,
        settings: Settings,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._disk = Disk(settings.images)
        self._allowed = settings.image_limits
        self._limits = layer_limits(settings.image_limits)
        self._known = Mirrors(clock)
        locks = Locks()
        self._documents = Documents(self._disk, locks)
        self._layers = Layers(self._disk, locks, self._limits, self._known)
        logins = Credentials(auth_files(settings.registry_auth, Path.home()))
        self._registry = cache(lambda: _registries(settings, logins, sleep))
        self._mirrors = settings.registry_mirrors
        self._hosts = settings.registry_hosts
        self._host = host_platform(os.uname().machine)
        self._trust = Trust(settings.trust, self._sources)
        self._clock = clock
        self._gate = Gate(settings.images / "lock")
        self._lock = threading.Lock()
        self._seen: dict[str, SeenImage] | None = None
        self._stamps: dict[str, tuple[int, int, int]] = {}
        self._set_aside_at = 0.0

    def recover(self) -> None:
        """Make the store's folders and delete whatever an interrupted pull left. Call once, before anything else."""
        self._disk.prepare()
        if self.usage()[0] is None:
            self._disk.write(_COLLECTED, b"")

    def pull(self, reference: str, report: Report, platform: str = "") -> None:
        """Make `reference` whole in the store. Raises HostError, and leaves nothing half done visible."""
        try:
            with self._documents.pulling():
                self._pull(reference, report, platform)
        except OSError as error:
            raise HostError(f"cannot pull {reference}: {error.strerror or error}") from error

    def _pull(self, reference: str, report: Report, platform: str) -> None:
        asked = self._clock()
        sources = self._sources(reference)
        self._trust.admit(reference)
        image = self._known.first(sources, lambda source: self._resolve(source, reference, platform))
        trust = self._trust.decide(reference, (image.named, image.digest))
        with self._gate.together():
            names = self._layers.complete(sources, image, image_key(reference, platform), report)
            self._write(image, names)
            self._name(
                Named(
                    reference=reference,
                    digest=image.digest,
                    platform=platform,
                    named=image.named,
                    checked_at=asked,
                    trust=trust,
                )
            )

    def check(self, reference: str, report: Report, platform: str = "") -> None:
        """Ask what the tag `reference` names now, and pull that when it is something else. Raises HostError."""
        key, asked = image_key(reference, platform), self._clock()
        try:
            known = read_named(self._disk.record(_reference_record(key)) or {})
            if known.named == self.current_digest(reference):
                self._name(replace(known, checked_at=asked))
            else:
                self.pull(reference, report, platform)
        except (OSError, HostError) as error:
            self._note_try(key)
            if isinstance(error, HostError):
                raise
            raise HostError(f"cannot check {reference}: {error.strerror or error}") from error

    def current_digest(self, reference: str) -> str:
        """What the tag `reference` names in its registry now. Raises HostError."""
        return self._known.first(self._registries(reference), lambda place: place.current_digest())

    def mirrors(self) -> Mapping[str, str]:
        """The mirrors that were passed over, and why."""
        return self._known.failures()

    def seen(self) -> Mapping[str, SeenImage]:
        """What is whole, by `image_key`. Reads the disk once; later only what a pull or a layout has changed."""
        with self._lock:
            if self._seen is None or self._set_aside_at != self._last_set_aside():
                self._set_aside_at = self._last_set_aside()
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

    def collect(self, references: Collection[str], digests: Collection[str], age: float) -> Collected:
        """Throw away what these do not need and was pulled more than `age` seconds ago; waits for running pulls."""
        before = self._clock() - age  # not of what comes while it is waited for pulls
        with self._gate.alone(patient=False):
            gone = collect(self._disk, Needed(references=references, digests=digests), before)
            self._disk.write(_COLLECTED, b"")
            with self._lock:
                self._seen = None
                self._stamps.clear()
            return gone

    def usage(self) -> tuple[float | None, float]:
        """When `collect` last ran (None: the store is not made yet), and the share of its file system in use."""
        try:
            held = os.statvfs(self._disk.root)
            return self._disk.written(_COLLECTED), 1.0 - held.f_bavail / max(1, held.f_blocks)
        except FileNotFoundError:
            return None, 0.0

    def layer_sizes(self) -> Mapping[str, int]:
        """Bytes of every layer, unpacked."""
        return {name: _number((self._disk.layer(name) or {}).get("size")) for name in self._disk.names("layers")}

    def verify(self) -> Mapping[str, tuple[str, ...]]:
        """What is damaged: layer or document -> what is wrong with it, in a few sentences. Reads everything."""
        found: dict[str, tuple[str, ...]] = {}
        with self._gate.together(), Unpacker("the store", self._limits) as child:
            for name in self._disk.names("layers"):
                if why := child.verify(self._disk.root / "layers" / name / "diff"):
                    found[name] = why
            for name in self._disk.names("blobs/sha256"):
                if digest_of(self._disk.read(blob_name(name)) or b"") != f"sha256:{name}":
                    found[name] = ("its content has changed",)
        return found

    def set_aside(self, damaged: Collection[str]) -> None:
        """Take what `verify` found damaged out of sight, so that the next pull fetches it again.

        A container that runs from a damaged layer keeps it: it stays on the disk, under another name.
        """
        with self._gate.alone(), self._lock:
            for name in damaged:
                self._disk.set_aside(name)
            self._disk.write(_SET_ASIDE, b"")

    def _last_set_aside(self) -> float:
        try:
            return self._disk.written(_SET_ASIDE)
        except FileNotFoundError:
            return 0.0

    # --- where an image comes from -----------------------------------------------------------------------------

    def _sources(self, reference: str) -> Sequence[Source]:
        """Where to ask, the next one when one fails."""
        try:
            return [on_disk(reference)] if is_local(reference) else self._registries(reference)
        except ValueError as error:
            raise HostError(f"cannot pull {reference}: {error}") from None

    def _registries(self, reference: str) -> list[Registry]:
        parsed = parse(reference)
        return [self._registry()(place, parsed) for place in endpoints(parsed.host, self._mirrors, self._hosts)]

    def _resolve(self, source: Source, reference: str, platform: str) -> Resolved:
        return resolve(Kept(source, self._documents), self._platform(platform), reference, self._allowed)

    def _platform(self, text: str) -> Platform:
        return Platform(*text.split("/")) if text else self._host

    # --- what is written down ------------------------------------------------------------------------------------

    def _write(self, image: Resolved, names: list[str]) -> None:
        size = sum(_number((self._disk.layer(name) or {}).get("size")) for name in set(names))
        for digest, text in ((image.digest, image.text), (image.config.digest, image.config_text)):
            if self._disk.read(blob_name(digest)) != text:
                self._disk.write(blob_name(digest), text)
        record = {"manifest": image.digest, "config": image.config.digest, "layers": names, "size": size}
        self._disk.write(f"images/{_hex(image.digest)}", json.dumps(record).encode())

    def _name(self, named: Named) -> None:
        """Write down what the reference means, now that all of it is here."""
        self._disk.write(_reference_record(named.key), json.dumps(named.record()).encode())
        seen = self._image(named)
        with self._lock:
            if self._seen is not None and seen is not None:
                self._seen = {**self._seen, named.key: seen}
                self._stamps.pop(named.key, None)

    def _note_try(self, key: str) -> None:
        """Remember, for as long as this process lives, that its registry was asked in vain."""
        with self._lock:
            if self._seen and key in self._seen:
                self._seen = {**self._seen, key: replace(self._seen[key], tried_at=self._clock())}

    def _image_record(self, digest: str) -> Mapping[str, object] | None:
        return self._disk.record(f"images/{_hex(digest)}")

    # --- what is seen ----------------------------------------------------------------------------------------------

    def _read_all(self) -> Mapping[str, SeenImage]:
        found = {}
        for record in self._disk.records("references"):
            named = read_named(record)
            image = self._image(named)
            if image is not None:
                found[named.key] = image
        return found

    def _image(self, named: Named) -> SeenImage | None:
        """The image with this name, None when it is missing, damaged, or no longer allowed."""
        if not self._trust.holds(named.reference, named.trust):
            return None
        record = self._image_record(named.digest)
        text = self._disk.read(blob_name(str(record.get("config")))) if record else None
        if record is None or text is None or not all(map(self._disk.has_layer, _texts(record.get("layers")))):
            return None
        try:
            image = read_config(text, self._platform(named.platform))
        except ValueError:
            return None
        return SeenImage(
            reference=named.reference,
            digest=named.digest,
            id=str(record.get("config")),
            layers=image.layers,
            config=image.config,
            created=image.created,
            architecture=image.platform.architecture,
            size=_number(record.get("size")),
            platform=named.platform,
            named=named.named,
            checked_at=named.checked_at,
        )

    def _now(self, key: str) -> SeenImage | None:
        """What a layout's tag names now; None when that has not been pulled, the old image when nobody can tell."""
        assert self._seen is not None
        old = self._seen[key]
        source = on_disk(old.reference)
        stamp = source.stamp()
        if stamp == self._stamps.get(key) or not any(stamp):
            return old
        try:
            digest = manifest_digest(source, self._platform(old.platform))
        except (HostError, ValueError):
            return old
        if digest != old.digest:
            return self._image(Named(reference=old.reference, digest=digest, platform=old.platform))
        self._stamps[key] = stamp
        return old


def on_disk(reference: str) -> Layout | DockerArchive:
    """The source for a reference to something on disk. Raises ValueError."""
    place = layout(reference)
    path = Path(place.path)
    if place.kind == "docker-archive":
        return DockerArchive(reference, Archive(path), place.tag)
    return Layout(reference, Folder(path, "index.json") if place.kind == "oci" else Archive(path), place.tag)


def layer_limits(limits: ImageLimits) -> Limits:
    """What of the settings is about layers."""
    return Limits(
        entries=limits.entries,
        size=limits.unpacked,
        ratio=limits.ratio,
        reserve=limits.reserve,
        seconds=limits.seconds,
        depth=limits.depth,
    )


def _hex(digest: str) -> str:
    return digest.removeprefix("sha256:")


def _reference_record(key: str) -> str:
    return f"references/{hashlib.sha256(key.encode()).hexdigest()}"


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0


def _texts(value: object) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def _registries(
    settings: Settings, logins: Credentials, sleep: Callable[[float], None]
) -> Callable[[Endpoint, Reference], Registry]:
    """How registries are spoken to. HTTP and TLS take more memory than the rest of the store: loaded when wanted."""
    registry = import_module("reconciler.host.images.registry")
    transport = import_module("reconciler.host.images.transport")
    return partial(registry.Registry, registry.Access(transport.Transport(settings, sleep), Tokens(), logins))
