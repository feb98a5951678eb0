"""Compressed bytes in, plain bytes out: gzip and zstd of any number of frames, or plain tar.

Decided by magic bytes, since media types lie. A cut stream, trailing junk and a wrong checksum are refused:
the decoders of Python hide all three (RELIABILITY §1.6). Runs in the confined child only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, cast

from backports.zstd import DecompressionParameter, ZstdDecompressor, ZstdError
from isal import igzip_lib

STEP = 1 << 18  # most bytes that one step may give: a bomb cannot fill memory, and they fit a processor's cache
WINDOW_LOG = 27  # 128 MiB: what every zstd decoder must take (RFC 8878 names 8 MiB, `--long` writes 27)

GZIP = b"\x1f\x8b"
ZSTD = b"\x28\xb5\x2f\xfd"

# isal's type hints call its exception class an exception
_DAMAGED = (cast("type[Exception]", igzip_lib.error), ZstdError, EOFError, ValueError)


class LayerError(Exception):
    """This layer breaks a rule; the text says which."""


class _Decoder(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


def inflate(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The plain content of `chunks`, in pieces of at most STEP bytes. Raises LayerError."""
    source = iter(chunks)
    head = b""
    for chunk in source:
        head += chunk
        if len(head) >= 4:
            break
    rest = _chain(head, source)
    if head.startswith(GZIP):
        return _frames(rest, _gzip, padded=True)
    if head.startswith(ZSTD) or (head[1:4] == b"\x2a\x4d\x18" and 0x50 <= head[0] <= 0x5F):
        return _frames(rest, _zstd, padded=False)
    return rest


def _chain(head: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    if head:
        yield head
    yield from rest


def _gzip() -> _Decoder:
    return igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)


def _zstd() -> _Decoder:
    return ZstdDecompressor(options={DecompressionParameter.window_log_max: WINDOW_LOG})


def _frames(chunks: Iterator[bytes], make: Callable[[], _Decoder], *, padded: bool) -> Iterator[bytes]:
    decoder: _Decoder | None = None
    ended = False
    for chunk in chunks:
        data = chunk
        while data or (decoder is not None and not decoder.needs_input):
            if decoder is None:
                if padded and ended and not data.strip(b"\0"):
                    break  # gzip files on tapes and in registries end in zeros
                decoder = make()
            yield _step(decoder, data)
            data = b""
            if decoder.eof:
                data, decoder, ended = decoder.unused_data, None, True
    if decoder is not None:
        raise LayerError("the compressed data is cut off")


def _step(decoder: _Decoder, data: bytes) -> bytes:
    try:
        return decoder.decompress(data, STEP)
    except _DAMAGED as error:
        raise LayerError(f"the compressed data is damaged: {error}") from None
