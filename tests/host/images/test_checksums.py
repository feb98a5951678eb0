"""The checksum of a tar header: every right one is taken, every wrong one is refused, however large the bytes are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.host.images.inflate import LayerError
from reconciler.host.images.tar import Entry, Stream, entries
from tests.host.images.builder import header

OTHERS = [*range(148), *range(156, 512)]  # all but the checksum itself
FIELD = st.binary(min_size=32, max_size=32) | st.just(b"\xff" * 32)


def read(block: bytes) -> list[Entry]:
    return list(entries(Stream(iter([block, bytes(1024)]))))


@given(name=st.binary(max_size=100), uname=FIELD, gname=FIELD, prefix=st.binary(max_size=155))
def test_a_right_checksum_is_taken(name: bytes, uname: bytes, gname: bytes, prefix: bytes) -> None:
    (entry,) = read(header(b"a" + name[:99], uname=uname, gname=gname, prefix=prefix, link=b"\xff" * 100))
    assert entry.mode == 0o644


@given(uname=FIELD, prefix=st.binary(max_size=155), at=st.sampled_from(OTHERS), change=st.integers(1, 255))
def test_any_other_byte_makes_it_wrong(uname: bytes, prefix: bytes, at: int, change: int) -> None:
    block = bytearray(header(b"name", uname=uname, prefix=prefix))
    block[at] = (block[at] + change) % 256
    with pytest.raises(LayerError, match="checksum"):
        read(bytes(block))


def test_the_largest_sum() -> None:
    full = b"\xff" * 155
    block = header(full[:100], uname=full[:32], gname=full[:32], prefix=full, link=full[:100])
    assert sum(block) > 1 << 16
    assert len(read(block)) == 1
    stated = int(block[148:154], 8)
    for other in (stated - 65521, stated - 65536, stated + 1):
        with pytest.raises(LayerError, match="checksum"):
            read(block[:148] + b"%06o\0 " % other + block[156:])
