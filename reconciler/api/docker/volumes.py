"""Volumes as Docker lists and inspects them. Where they lie on the host is not told."""

from __future__ import annotations

from reconciler.api.docker import filters as by
from reconciler.api.question import Json, Question, RefusalError
from reconciler.core.model import VolumeMount
from reconciler.core.status import Snapshot


def listing(question: Question) -> Json:
    """`/volumes`."""
    filters = by.parse(question.query.get("filters", ""), _TESTS)
    found = [_volume(name, question.snapshot) for name in sorted(question.snapshot.observed.volumes)]
    used = _used(question.snapshot)
    if "dangling" in filters:
        wants = any(value.lower() in {"true", "1"} for value in filters["dangling"])
        found = [volume for volume in found if (volume["Name"] not in used) == wants]
    return {"Volumes": [volume for volume in found if by.accepts(volume, filters, _TESTS)], "Warnings": None}


def inspection(question: Question) -> Json:
    """`/volumes/{name}`."""
    name = question.path["id"]
    if name not in question.snapshot.observed.volumes:
        raise RefusalError(404, f"get {name}: no such volume")
    return _volume(name, question.snapshot)


def _used(snapshot: Snapshot) -> set[str]:
    mounts = (mount for container in snapshot.desired.containers.values() for mount in container.mounts)
    return {mount.volume for mount in mounts if isinstance(mount, VolumeMount)}


def _volume(name: str, snapshot: Snapshot) -> Json:
    wanted = snapshot.desired.volumes.get(name)
    compose = {
        "com.docker.compose.project": wanted.app,
        "com.docker.compose.volume": name.removeprefix(f"{wanted.app}_"),
        **dict(wanted.labels),
    } if wanted else {}  # fmt: skip
    return {
        "CreatedAt": "0001-01-01T00:00:00Z",
        "Driver": "local",
        "Labels": compose,
        "Mountpoint": "",
        "Name": name,
        "Options": None,
        "Scope": "local",
    }


def _labels(volume: Json) -> dict[str, str]:
    labels = volume["Labels"]
    assert isinstance(labels, dict)
    return labels


_TESTS: dict[str, by.Test[Json]] = {
    "name": lambda volume, wanted: by.name(str(volume["Name"]), wanted),
    "driver": lambda _, wanted: wanted == "local",
    "label": lambda volume, wanted: by.label(_labels(volume), wanted),
    "dangling": lambda *_: True,  # decided by `listing`, which knows what is used
}
