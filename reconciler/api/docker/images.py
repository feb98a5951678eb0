"""Images as Docker lists and inspects them.

What an image says of itself is a stranger's word: commands lose their arguments, environments are not shown.
"""

from __future__ import annotations

from reconciler.api.docker import filters as by
from reconciler.api.docker.words import familiar, parse_timestamp, program, timestamp
from reconciler.api.question import Json, Question, RefusalError
from reconciler.core.model import SeenImage
from reconciler.core.status import Snapshot

_ZERO = "1970-01-01T00:00:00Z"  # `docker compose images` fails on an empty time


def listing(question: Question) -> list[Json]:
    """`/images/json`: one entry for each id, with all its references."""
    filters = by.parse(question.query.get("filters", ""), _TESTS)
    groups = by_id(question.snapshot)
    return [_entry(id, images) for id, images in sorted(groups.items()) if by.accepts(images, filters, _TESTS)]


def inspection(question: Question) -> Json:
    """`/images/{id}/json`: by reference, by id, by the beginning of an id."""
    wanted = question.path["id"]
    groups = by_id(question.snapshot)
    for images in groups.values():
        if any(familiar(wanted) in _spellings(image) for image in images):
            return _inspect(images)
    bare = wanted.removeprefix("sha256:")
    found = [images for id, images in groups.items() if id.removeprefix("sha256:").startswith(bare)]
    if len(bare) >= 4 and len(found) == 1:
        return _inspect(found[0])
    raise RefusalError(404, f"No such image: {wanted if ':' in wanted.rpartition('/')[2] else wanted + ':latest'}")


def by_id(snapshot: Snapshot) -> dict[str, list[SeenImage]]:
    """The images of the store, by the digest of their config."""
    groups: dict[str, list[SeenImage]] = {}
    for _, image in sorted(snapshot.observed.images.items()):
        groups.setdefault(image.id, []).append(image)
    return groups


def _spellings(image: SeenImage) -> set[str]:
    short = familiar(image.reference)
    return {image.reference, short, short.removesuffix(":latest"), image.digest}


def _tags(images: list[SeenImage]) -> list[str]:
    return [familiar(image.reference) for image in images if "@" not in image.reference]


def _digests(images: list[SeenImage]) -> list[str]:
    names = [(familiar(image.reference).partition("@")[0], image.digest) for image in images]
    return sorted({f"{_repository(name)}@{digest}" for name, digest in names if not name.startswith("oci:")})


def _repository(name: str) -> str:
    folder, slash, last = name.rpartition("/")
    return folder + slash + last.partition(":")[0]


def _labels(image: SeenImage) -> dict[str, str]:
    return dict(image.config.labels)


def _entry(id: str, images: list[SeenImage]) -> Json:
    return {
        "Containers": -1,
        "Created": int(parse_timestamp(images[0].created)),
        "Id": id,
        "Labels": _labels(images[0]),
        "ParentId": "",
        "RepoDigests": _digests(images),
        "RepoTags": _tags(images),
        "SharedSize": -1,
        "Size": images[0].size,
    }


def _inspect(images: list[SeenImage]) -> Json:
    image = images[0]
    seconds = parse_timestamp(image.created)
    return {
        "Id": image.id,
        "RepoTags": _tags(images),
        "RepoDigests": _digests(images),
        "Parent": "",
        "Comment": "",
        "Created": timestamp(seconds) if seconds > 0 else _ZERO,
        "DockerVersion": "",
        "Author": "",
        "Architecture": image.architecture,
        "Os": "linux",
        "Size": image.size,
        "GraphDriver": {"Data": None, "Name": "overlay2"},
        "RootFS": {"Type": "layers", "Layers": image.layers},
        "Metadata": {"LastTagTime": "0001-01-01T00:00:00Z"},
        "Config": _config(image),
    }


def _config(image: SeenImage) -> Json:
    config = image.config
    word = program((*config.entrypoint, *config.command))
    return {
        "AttachStderr": False,
        "AttachStdin": False,
        "AttachStdout": False,
        "Cmd": [word] if word else None,
        "Domainname": "",
        "Entrypoint": None,
        "Env": [],
        "ExposedPorts": {port: {} for port in config.exposed_ports},
        "Hostname": "",
        "Image": "",
        "Labels": _labels(image),
        "OnBuild": None,
        "OpenStdin": False,
        "StdinOnce": False,
        "Tty": False,
        "User": config.user,
        "Volumes": {volume: {} for volume in config.volumes} or None,
        "WorkingDir": config.working_dir,
    }


_TESTS: dict[str, by.Test[list[SeenImage]]] = {
    "reference": lambda images, wanted: any(
        wanted in {familiar(image.reference), image.reference, _repository(familiar(image.reference))}
        for image in images
    ),
    "label": lambda images, wanted: by.label(_labels(images[0]), wanted),
    "dangling": lambda images, wanted: (wanted.lower() in {"true", "1"}) == (not _tags(images)),
}
