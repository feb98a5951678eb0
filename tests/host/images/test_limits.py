"""Every limit of `[images]` in the settings, met and passed by one, and each refusal in one sentence."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path

import pytest

from reconciler.cli.settings import LIMITS
from reconciler.errors import HostError
from reconciler.host.images.documents import Descriptor, Manifest
from reconciler.host.images.overlay import Limits
from reconciler.host.images.resolve import check_limits
from reconciler.host.images.store import ImageStore, layer_limits
from reconciler.host.images.unpacker import Unpacker
from reconciler.settings import ImageLimits, Settings
from tests.host.images.builder import Member, config_bytes, packed, tar
from tests.host.images.frame import Frame
from tests.host.images.scripted import Server

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


TAR = tar(Member("a/b", b"x" * (9 << 20)), Member("c", b"x"))
BLOB = packed(TAR)
CONFIG_SIZE = len(config_bytes([BLOB], {}, "amd64"))
# what is just enough for an image of this one layer, and why one less is not
ENOUGH: dict[str, tuple[int, str]] = {
    "compressed": (len(BLOB), f"{len(BLOB)} bytes of layers, and the settings allow {len(BLOB) - 1}"),
    "unpacked": (len(TAR), f"it unpacks to more than {len(TAR) - 1} bytes"),
    "entries": (3, "it has more than 2 entries"),  # two, and a folder that is only implied
    "depth": (2, "it lies more than 1 folders deep"),
    "config": (CONFIG_SIZE, f"{CONFIG_SIZE} bytes of config, and the settings allow {CONFIG_SIZE - 1}"),
    "layers": (1, "1 layers, and the settings allow 0"),
}


@pytest.mark.root
@pytest.mark.parametrize("limit", ENOUGH)
def test_a_pull_may_reach_each_limit_and_not_pass_it(limit: str, settings: Settings, server: Server) -> None:
    enough, why = ENOUGH[limit]
    with pytest.raises(HostError, match=why):
        pull(settings, server, BLOB, **{limit: enough - 1})
    pull(settings, server, BLOB, **{limit: enough})


@pytest.mark.root
def test_a_manifest_may_reach_its_limit_and_not_pass_it(settings: Settings, server: Server) -> None:
    size = len(json.dumps(server.image_manifest([BLOB])))
    with pytest.raises(HostError, match=f"{size} bytes of manifest, and the settings allow {size - 1}"):
        pull(settings, server, BLOB, manifest=size - 1)
    pull(settings, server, BLOB, manifest=size)


@pytest.mark.root
def test_a_layer_may_reach_its_ratio_and_not_pass_it(tmp_path: Path) -> None:
    """Looked at once a layer is large; here from a mebibyte on."""
    enough = -(-len(TAR) // len(BLOB))
    for ratio in (enough, enough - 1):
        with Unpacker("test", Limits(ratio=ratio, ratio_from=1 << 20)) as unpacker:
            frame = Frame(tmp_path / str(ratio), unpacker)
            frame.prepare()
            if ratio == enough:
                assert frame.unpack(BLOB).size == len(TAR)
            else:
                assert frame.refusal(BLOB).endswith(f"it unpacks to more than {ratio} times its size")


@pytest.mark.root
def test_what_is_to_stay_free_on_the_disk_stays_free(settings: Settings, server: Server) -> None:
    with pytest.raises(HostError, match="fewer than 4611686018427387904 bytes are free on the disk"):
        pull(settings, server, BLOB, reserve=1 << 62)
    pull(settings, server, BLOB, reserve=0)


def test_every_limit_is_tried_here_or_where_time_is() -> None:
    timed = {"seconds", "connect", "answer", "stall", "slowest"}  # test_isolation, test_patience
    assert {field.name for field in fields(ImageLimits)} == {*ENOUGH, "manifest", "ratio", "reserve", *timed}
    assert {option.key for option in LIMITS} == {field.name for field in fields(ImageLimits)}


def test_no_real_image_comes_near_the_defaults() -> None:
    """The largest that are known: 30 GB in a layer, 127 layers, some 700,000 files, folders 60 deep, 1:40."""
    limits = ImageLimits()
    assert limits.unpacked > 2 * 30e9
    assert limits.compressed > 2 * 30e9
    assert limits.layers > 127
    assert limits.entries > 2 * 700_000
    assert limits.depth > 8 * 60
    assert limits.ratio > 6 * 40


def test_the_limits_of_layers_come_from_the_settings() -> None:
    found = layer_limits(ImageLimits(unpacked=1, entries=2, ratio=3, depth=4, seconds=5))
    assert (found.size, found.entries, found.ratio, found.depth, found.seconds) == (1, 2, 3, 4, 5)
    assert layer_limits(ImageLimits()) == layer_limits(ImageLimits(compressed=1))
