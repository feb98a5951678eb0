"""Streams of layers: times, cut and damaged packings, and the same tree every time."""

from __future__ import annotations

import gzip
import os
import struct
import zlib
from collections.abc import Callable

import pytest
from backports import zstd

from reconciler.errors import HostError
from reconciler.host.images.documents import Descriptor
from reconciler.host.images.overlay import remove_tree
from tests.host.images.builder import (
    LAYER,
    Member,
    digest,
    folder,
    hardlink,
    header,
    pax,
    tar,
)
from tests.host.images.frame import FILE, Frame, X, at, describe, raw, writer

pytestmark = pytest.mark.root

A = tar(Member("a", X * 3000))
TIMES = {
    "plain": (b"1600000000", 1_600_000_000_000_000_000),
    "fraction": (b"1.9999999999", 1_999_999_999),
    "negative": (b"-5.5", -5_500_000_000),
    "1900": (b"-2208988800", -(1 << 31) * 1_000_000_000),
    "2**31": (b"2147483648.25", 2_147_483_648_250_000_000),
    "2**63": (b"9223372036854775807", 15_032_385_535 * 1_000_000_000),
}


@pytest.mark.parametrize("name", TIMES)
def test_times(name: str, frame: Frame) -> None:
    """U-27: what the file system holds, without an exception; for folders too, though files come into them later."""
    text, expected = TIMES[name]
    frame.unpack(
        raw(
            pax(mtime=text),
            header(b"d", b"5"),
            pax(mtime=text),
            at(b"d/a"),
            pax(mtime=text),
            header(b"l", b"2", link=b"x"),
        )
    )
    for path in ("d", "d/a", "l"):
        assert os.lstat(frame.root / path).st_mtime_ns == expected


def test_capabilities_survive_a_change_of_owner(frame: Frame) -> None:
    """U-25: chown clears security.capability, so it must come after."""
    value = bytes.fromhex("0100000200040000000000000000000000000000")
    frame.unpack(raw(pax(SCHILY__xattr__security__capability=value), at(b"ping", uid=b"0000005\0")))
    assert os.getxattr(frame.root / "ping", "security.capability") == value


@pytest.mark.parametrize("tenth", range(1, 10))
@pytest.mark.parametrize("pack", [gzip.compress, zstd.compress])
def test_a_cut_stream_is_refused_wherever_it_is_cut(pack: Callable[[bytes], bytes], tenth: int, frame: Frame) -> None:
    blob = pack(tar(Member("a", os.urandom(9000))))
    assert "the compressed data is cut off" in frame.refusal(blob[: len(blob) * tenth // 10])


@pytest.mark.parametrize("place", [-8, -4])
def test_a_wrong_gzip_trailer_is_refused(place: int, frame: Frame) -> None:
    blob = bytearray(gzip.compress(A))
    blob[place] ^= 1
    assert "the compressed data is damaged" in frame.refusal(bytes(blob))


@pytest.mark.parametrize(
    ("flags", "fields"),
    [(0x08, b"n" * (1 << 20) + b"\0"), (0x1C, struct.pack("<H", 300) + b"e" * 300 + b"n" * 999 + b"\0c\0")],
)
def test_a_gzip_header_with_fields(flags: int, fields: bytes, frame: Frame) -> None:
    body = zlib.compressobj(wbits=-15)
    data = body.compress(A) + body.flush()
    head = b"\x1f\x8b\x08" + bytes([flags]) + bytes(6)
    frame.unpack(head + fields + data + struct.pack("<II", zlib.crc32(A), len(A)))
    assert list(describe(frame.root)) == ["a"]


def test_a_zstd_window_of_a_gigabyte_is_refused(frame: Frame) -> None:
    options: dict[int, int] = {zstd.CompressionParameter.window_log: 30, zstd.CompressionParameter.content_size_flag: 0}
    packer = zstd.ZstdCompressor(options=options)
    blob = packer.compress(A) + packer.flush()
    assert "the compressed data is damaged" in frame.refusal(blob)


def test_a_zstd_dictionary_is_refused(frame: Frame) -> None:
    book = zstd.train_dict([b"%d some text for a book" % number for number in range(2000)], 2000)
    assert "the compressed data is damaged" in frame.refusal(zstd.compress(A, zstd_dict=book))


def test_the_opaque_root_is_reported(frame: Frame) -> None:
    assert frame.unpack(tar(Member(".wh..wh..opq"), Member("a", X))).opaque_root
    assert describe(frame.root) == {"a": FILE}


def test_wrong_size_and_digest_are_refused(frame: Frame) -> None:
    """R-13: the compressed blob against its descriptor."""
    other = Descriptor(LAYER, digest(b"other"), len(A))
    with pytest.raises(HostError, match=r"its content has the digest sha256:"):
        frame.unpacker.unpack(other, frame.root, writer(A))
    longer = Descriptor(LAYER, digest(A), len(A) + 1)
    with pytest.raises(HostError, match=rf"it has {len(A)} bytes instead of {len(A) + 1}"):
        frame.unpacker.unpack(longer, frame.root, writer(A))
    shorter = Descriptor(LAYER, digest(A), len(A) - 1)
    with pytest.raises(HostError, match=rf"it has more than the announced {len(A) - 1} bytes"):
        frame.unpacker.unpack(shorter, frame.root, writer(A))


def test_the_same_layer_gives_the_same_tree_every_time(frame: Frame) -> None:
    members = [
        folder("d", 0o700),
        Member("d/a", X),
        Member("d/.wh.b"),
        folder("d", 0o755),
        Member("d/a", b"2"),
        hardlink("e", "d/a"),
    ]
    frame.unpack(tar(*members))
    first = describe(frame.root, times=False)
    remove_tree(os.fsencode(frame.root))
    frame.root.mkdir()
    frame.unpack(tar(*members))
    assert describe(frame.root, times=False) == first


def test_a_deep_and_wide_tree(frame: Frame) -> None:
    """U-07: 2000 folders deep within one name, 900 files in one folder."""
    deep = "/".join("d" * 500)
    frame.unpack(tar(Member(f"{deep}/x", X), *(Member(f"w/{number}", X) for number in range(900))))
    assert len(describe(frame.root)) == 500 + 1 + 1 + 900
