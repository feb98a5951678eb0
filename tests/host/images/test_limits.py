"""Every limit of `[images]` in the settings, met and passed by one, and each refusal in one sentence."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from reconciler.errors import HostError
from reconciler.host.images.documents import Descriptor, Manifest
from reconciler.host.images.resolve import check_limits
from reconciler.host.images.store import ImageStore, layer_limits
from reconciler.settings import ImageLimits, Settings
from tests.host.images.builder import Member, packed, tar
from tests.host.images.scripted import Server, one_file

MANIFEST = Manifest(
    Descriptor("config", "sha256:c", 50), (Descriptor("layer", "sha256:a", 30), Descriptor("layer", "sha256:b", 40))
)
EXACT = ImageLimits(manifest=100, config=50, layers=2, compressed=70)


def test_what_just_fits_fits() -> None:
    check_limits(100, MANIFEST, EXACT)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"manifest": 99}, "100 bytes of manifest, and the settings allow 99"),
        ({"config": 49}, "50 bytes of config, and the settings allow 49"),
        ({"layers": 1}, "2 layers, and the settings allow 1"),
        ({"compressed": 69}, "70 bytes of layers, and the settings allow 69"),
    ],
)
def test_one_more_does_not(change: dict[str, int], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        check_limits(100, MANIFEST, replace(EXACT, **change))


@pytest.fixture
def server() -> Iterator[Server]:
    with Server().running() as made:
        yield made


def pull(settings: Settings, server: Server, layer: bytes, **limits: int) -> None:
    server.image([layer])
    store = ImageStore(replace(settings, image_limits=ImageLimits(**limits)), sleep=lambda _: None)
    store.recover()
    store.pull(f"{server.host}/app:1", lambda _: None)


@pytest.mark.root
@pytest.mark.parametrize(
    ("limit", "enough", "why"),
    [
        ("entries", 10, "it has more than 1 entries"),
        ("depth", 2, "it lies more than 1 folders deep"),
        ("layers", 1, "the settings allow"),
        ("config", 4096, "the settings allow"),
    ],
)
def test_a_pull_keeps_to_the_settings(limit: str, enough: int, why: str, settings: Settings, server: Server) -> None:
    layer = packed(tar(Member("a/b", b"x"), Member("c", b"x")))
    too_few = 1 if limit in {"entries", "depth"} else 10 if limit == "config" else 0
    with pytest.raises(HostError, match=why):
        pull(settings, server, layer, **{limit: too_few})
    pull(settings, server, layer, **{limit: enough})


@pytest.mark.root
def test_a_layer_that_grows_too_large(settings: Settings, server: Server) -> None:
    layer = one_file(content=b"x" * 100_000)
    with pytest.raises(HostError):
        pull(settings, server, layer, unpacked=50_000)
    pull(settings, server, layer, unpacked=1 << 20)


def test_the_limits_of_layers_come_from_the_settings() -> None:
    found = layer_limits(ImageLimits(unpacked=1, entries=2, ratio=3, depth=4, seconds=5))
    assert (found.size, found.entries, found.ratio, found.depth, found.seconds) == (1, 2, 3, 4, 5)
    assert layer_limits(ImageLimits()) == layer_limits(ImageLimits(compressed=1))
