"""Readers of strangers' bytes, pure: any bytes at all end in a value or in one sentence."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.host.images import tar as archive
from reconciler.host.images.config import read_config
from reconciler.host.images.documents import (
    Descriptor,
    Entry,
    Platform,
    check_digest,
    choose,
    host_platform,
    media_type_of,
    read_index,
    read_json,
    read_manifest,
)
from reconciler.host.images.inflate import LayerError, inflate
from reconciler.host.images.layout import select
from reconciler.host.images.overlay import clean
from reconciler.host.images.tar import Stream, entries
from tests.host.images.builder import CONFIG, LAYER, MANIFEST, Member, folder, hardlink, packed, symlink, tar

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
DIGEST = "sha256:" + "a" * 64
GOOD: dict[str, Any] = {
    "schemaVersion": 2,
    "mediaType": MANIFEST,
    "config": {"mediaType": CONFIG, "digest": DIGEST, "size": 5},
    "layers": [{"mediaType": LAYER, "digest": DIGEST, "size": 5}],
}


@given(st.dictionaries(st.sampled_from([*GOOD, "manifests", "fsLayers", "artifactType", "Layers"]), JSON))
def test_any_manifest_is_read_or_refused(changes: dict[str, Any]) -> None:
    with suppress(ValueError):
        document = read_json(json.dumps({**GOOD, **changes}).encode())
        assert media_type_of(document, MANIFEST) == MANIFEST
        assert read_manifest(document).layers


@given(
    st.lists(
        st.fixed_dictionaries(
            {}, optional={"mediaType": JSON, "digest": JSON, "size": JSON, "platform": JSON, "annotations": JSON}
        )
    )
)
def test_any_index_is_read_or_refused(listed: list[dict[str, Any]]) -> None:
    with suppress(ValueError):
        read_index({"manifests": listed})


@given(st.text())
def test_a_digest_is_one_or_refused(text: str) -> None:
    with suppress(ValueError):
        assert len(check_digest(text)) == 71


@given(st.binary(max_size=64))
def test_any_bytes_are_json_or_refused(text: bytes) -> None:
    with suppress(ValueError):
        assert isinstance(read_json(text), dict)


# --- platforms ---------------------------------------------------------------------------------------------------


def entry(architecture: str, variant: str = "", system: str = "linux") -> Entry:
    return Entry(Descriptor(MANIFEST, architecture + variant, 1), Platform(system, architecture, variant))


EVERYTHING = [
    entry("arm", "v5"),
    entry("arm", "v7"),
    entry("arm", "v6"),
    entry("arm64", "v8"),
    entry("amd64"),
    entry("amd64", "v3"),
    entry("386"),
]


@pytest.mark.parametrize(
    ("machine", "chosen"),
    [("x86_64", "amd64"), ("aarch64", "arm64v8"), ("armv7l", "armv7"), ("armv6l", "armv6"), ("i686", "386")],
)
def test_the_best_variant_is_chosen(machine: str, chosen: str) -> None:
    assert choose(EVERYTHING, host_platform(machine)).digest == chosen


@pytest.mark.parametrize(
    ("there", "machine", "chosen"),
    [
        ([entry("arm", "v5"), entry("arm", "v6")], "armv7l", "armv6"),
        ([entry("arm")], "armv7l", "arm"),
        ([entry("arm64")], "aarch64", "arm64"),
        ([entry("amd64", "v1")], "x86_64", "amd64v1"),
        ([Entry(Descriptor(MANIFEST, "only", 1))], "x86_64", "only"),
    ],
)
def test_variants_fall_back(there: Sequence[Entry], machine: str, chosen: str) -> None:
    assert choose(there, host_platform(machine)).digest == chosen


@pytest.mark.parametrize(
    "there", [[], [entry("arm", "v7")], [entry("amd64", system="windows")], [entry("amd64", "v3")]]
)
def test_no_platform_fits(there: Sequence[Entry]) -> None:
    with pytest.raises(ValueError, match="there is none for linux/amd64; there is"):
        choose(there, host_platform("x86_64"))


# --- tar -----------------------------------------------------------------------------------------------------------

SAMPLE = tar(
    folder("d", 0o700),
    Member("d/" + "long" * 60, b"x" * 1000),
    symlink("l", "t" * 200),
    hardlink("h", "d"),
    Member("p", b"y", pax={"SCHILY.xattr.user.a": "1", "mtime": "5.5"}),
)


def read(data: bytes, cuts: Sequence[int]) -> list[tuple[archive.Entry, bytes]]:
    """Every entry with its content, the stream coming in pieces that end at `cuts`."""
    stream = Stream(pieces(data, cuts))
    found = []
    for item in entries(stream):
        found.append((item, b"".join(bytes(piece) for piece in stream.content())))
    return found


def pieces(data: bytes, cuts: Sequence[int]) -> Iterator[bytes]:
    ends = sorted({min(cut, len(data)) for cut in cuts} | {0, len(data)})
    for start, end in pairwise(ends):
        yield data[start:end]


@given(st.lists(st.integers(0, len(SAMPLE)), max_size=20))
def test_where_the_stream_is_cut_into_pieces_does_not_matter(cuts: list[int]) -> None:
    assert read(SAMPLE, cuts) == read(SAMPLE, [])
    assert len(read(SAMPLE, cuts)) == 5


@settings(max_examples=300)
@given(st.lists(st.tuples(st.integers(0, len(SAMPLE) - 1), st.integers(0, 255)), min_size=1, max_size=4))
def test_a_damaged_archive_is_read_or_refused(changes: list[tuple[int, int]]) -> None:
    data = bytearray(SAMPLE)
    for at, value in changes:
        data[at] = value
    with suppress(LayerError):
        for item, _ in read(bytes(data), [1000]):
            assert item.kind


@given(st.binary(max_size=2048))
def test_any_bytes_are_an_archive_or_refused(data: bytes) -> None:
    with suppress(LayerError):
        read(data, [])


@given(st.binary(max_size=100), st.booleans())
def test_any_bytes_are_inflated_or_refused(data: bytes, zipped: bool) -> None:
    start = packed(b"x" * 50)[:12] if zipped else b"\x28\xb5\x2f\xfd"
    with suppress(LayerError):
        for piece in inflate([start + data]):
            assert len(piece) <= 1 << 20


@given(st.binary(max_size=600), st.integers(1, 300))
def test_gzip_in_pieces(content: bytes, size: int) -> None:
    blob = packed(content) + packed(content)
    chunks = [blob[at : at + size] for at in range(0, len(blob), size)]
    assert b"".join(inflate(chunks)) == content * 2


@given(st.binary(max_size=40))
def test_a_clean_name_stays_inside(name: bytes) -> None:
    with suppress(LayerError):
        found = clean(name)
        assert not found.startswith(b"/")
        assert not {b"", b".", b".."} & set(found.split(b"/")) or found == b""
        assert clean(found) == found


# --- layouts -------------------------------------------------------------------------------------------------------


def test_which_image_of_a_layout() -> None:
    one, two = Entry(Descriptor("", "1", 1), name="1"), Entry(Descriptor("", "2", 1), name="latest")
    assert select((one,), "latest").digest == "1"
    assert select((one, two), "latest").digest == "2"
    assert select((one, two), "1").digest == "1"
    with pytest.raises(ValueError, match="the layout has 0 images for '3'; there is 1, latest"):
        select((one, two), "3")
    with pytest.raises(ValueError, match="the layout has 2 images for '1'"):
        select((one, one), "1")


@pytest.mark.parametrize("text", ["a\nb", "\x1b[2J", "\u202e"])
def test_what_an_image_says_of_its_platform_stays_on_one_line(text: str) -> None:
    """Found by fuzzing."""
    entry = Entry(Descriptor(MANIFEST, DIGEST, 1), Platform(text, "amd64"))
    for refuse in (
        lambda: choose([entry, entry], Platform("linux", "amd64")),
        lambda: read_config(json.dumps({"os": text, "architecture": "amd64"}).encode(), Platform("linux", "amd64")),
    ):
        with pytest.raises(ValueError, match="linux/amd64") as caught:
            refuse()
        assert str(caught.value).isprintable()


def test_an_index_of_thousands_is_not_listed_in_full() -> None:
    entries = [Entry(Descriptor(MANIFEST, DIGEST, 1), Platform("linux", f"m{at}")) for at in range(5000)]
    with pytest.raises(ValueError, match="and 4980 more") as caught:
        choose(entries, Platform("linux", "amd64"))
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize(
    "after", [b"no number=1\n", b"=", b" x=1\n", b"-1 a=b\n", b"123456789 a=b\n", b"0 a=b\n", b"3 a=b\n"]
)
def test_a_pax_record_without_a_length_ends_the_layer_not_the_day(after: bytes) -> None:
    """Found by fuzzing: what stood before it was read again, for ever."""
    with pytest.raises(LayerError, match="a pax record is damaged"):
        archive.parse_pax(b"6 a=b\n" + after)


@given(st.lists(st.sampled_from([b"6 a=b\n", b"7 c=de\n", b" ", b"=", b"\n", b"5 ", b"0 ", b"99 x=y\n"]), max_size=8))
def test_any_pax_records_are_read_to_their_end_or_refused(parts: list[bytes]) -> None:
    with suppress(LayerError):
        found = archive.parse_pax(b"".join(parts))
        assert set(found) <= {b"a", b"c"}
