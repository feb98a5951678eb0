"""`reconciler images`: what the image store holds, how large it is, and who uses what. Only looks."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from reconciler.cli import codes, render
from reconciler.core.model import Desired, Observed, SeenImage
from reconciler.core.names import EVERYTHING
from reconciler.core.sizes import size
from reconciler.daemon import wire
from reconciler.daemon.loop import meaning
from reconciler.errors import HostError
from reconciler.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """An image, the containers made from it, and the services that ask for it."""

    image: SeenImage
    containers: tuple[str, ...]
    services: tuple[str, ...]


def images(settings: Settings, arguments: argparse.Namespace) -> int:
    """Print a line per image."""
    if os.geteuid() != 0:
        raise HostError("cannot look into the image store: that needs root")
    host = wire.adapters(settings)
    observed = host.observer.look(frozenset({EVERYTHING}))
    found = uses(meaning(wire.specs(settings)(), observed), observed)
    if arguments.json:
        print(json.dumps([as_data(use) for use in found], indent=2))
    else:
        print("\n".join(lines(found, on_terminal=render.coloured(sys.stdout))))
        print(summary(found, host.images.layer_sizes()))
    return codes.OK


def uses(desired: Desired, observed: Observed) -> tuple[Use, ...]:
    """Every image of the store with its users, by reference."""
    containers = _group((seen.image_digest, seen.name) for seen in observed.containers.values())
    services = _group((wanted.image, f"{wanted.app}/{wanted.service}") for wanted in desired.containers.values())
    return tuple(
        Use(image=image, containers=containers.get(image.digest, ()), services=services.get(reference, ()))
        for reference, image in sorted(observed.images.items())
    )


def _group(pairs: Iterable[tuple[str, str]]) -> Mapping[str, tuple[str, ...]]:
    found: dict[str, set[str]] = {}
    for key, value in pairs:
        found.setdefault(key, set()).add(value)
    return {key: tuple(sorted(values)) for key, values in found.items()}


def lines(found: tuple[Use, ...], *, on_terminal: bool) -> list[str]:
    """A table. Layers that images share are part of the size of each."""
    rows = [
        [use.image.reference, use.image.digest[7:19], size(use.image.size), ", ".join(_users(use)) or "-"]
        for use in found
    ]
    colours = [["", "grey", "", "" if _users(use) else "yellow"] for use in found] if on_terminal else []
    return render.table(["IMAGE", "DIGEST", "SIZE", "USED BY"], rows, colours)


def summary(found: tuple[Use, ...], layers: Mapping[str, int]) -> str:
    """A line of sums, in which every layer counts once; `layers` has the size of each in bytes."""
    unused = sum(not _users(use) for use in found)
    images = "1 image" if len(found) == 1 else f"{len(found)} images"
    held = "1 layer" if len(layers) == 1 else f"{len(layers)} layers"
    return f"{images}, {unused} unused; {size(sum(layers.values()))} in {held}"


def _users(use: Use) -> tuple[str, ...]:
    return use.containers or tuple(f"{service} (wanted)" for service in use.services)


def as_data(use: Use) -> dict[str, object]:
    """One image as JSON data; `size` in bytes, unpacked."""
    return {
        "reference": use.image.reference,
        "digest": use.image.digest,
        "id": use.image.id,
        "created": use.image.created,
        "architecture": use.image.architecture,
        "size": use.image.size,
        "layers": len(use.image.layers),
        "containers": list(use.containers),
        "services": list(use.services),
    }
