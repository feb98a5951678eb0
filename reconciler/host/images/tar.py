"""The tar format: ustar, pax and GNU long names, one entry at a time from a stream.

Pure but for pulling chunks. Reads strictly: a wrong checksum, a cut member, a sparse file or an unknown type
ends the layer (`tarfile` of the standard library takes all of them in silence). Runs in the confined child.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from zlib import adler32

from reconciler.host.images.inflate import LayerError

BLOCK = 512
HEADER_LIMIT = 1 << 20  # bytes of one pax or long-name record
XATTR_LIMIT = 256
XATTR_SIZE = 65536  # XATTR_SIZE_MAX of Linux
ID_LIMIT = (1 << 32) - 2  # 2**32 - 1 is (uid_t)-1, "do not change" to the kernel
_ZERO = bytes(BLOCK)
_XATTR = b"SCHILY.xattr."
_PADDING = b" " * 8
_TIMES = (-(1 << 31), 15_032_385_535)  # what ext4 holds: 1901 to 2446


@dataclass(slots=True)
class Entry:
    """One member. `kind` is tar's type character; `link` the target of a link; `mtime` in nanoseconds."""

    name: bytes
    kind: bytes
    mode: int
    uid: int
    gid: int
    size: int
    mtime: int
    link: bytes = b""
    device: tuple[int, int] = (0, 0)
    xattrs: tuple[tuple[bytes, bytes], ...] = ()


class Stream:
    """Exact reads over an iterator of chunks; knows how much of the current entry's content is left."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._chunk = b""
        self._at = 0
        self._left = 0
        self._padding = 0

    def exactly(self, count: int) -> bytes:
        """`count` bytes, fewer only at the end of the stream."""
        start = self._at
        end = start + count
        if end <= len(self._chunk):
            self._at = end
            return self._chunk[start:end]
        return b"".join(self._pieces(count))

    def begin(self, size: int) -> None:
        """From here on `size` bytes of content follow."""
        self._left = size
        self._padding = -size % BLOCK

    def content(self) -> Iterable[memoryview]:
        """What is left of the current content, without a copy. Raises LayerError when it is cut off."""
        start = self._at
        end = start + self._left
        if end > len(self._chunk):
            return self._long_content()
        self._at = end
        self._left = 0
        return (memoryview(self._chunk)[start:end],)

    def _long_content(self) -> Iterator[memoryview]:
        for piece in self._pieces(self._left):
            self._left -= len(piece)
            yield piece
        if self._left:
            raise LayerError("the archive is cut off in its content")

    def finish(self) -> None:
        """Go to the next header, also when nobody wanted the content."""
        if self._left:
            for _ in self.content():
                pass
        end = self._at + self._padding
        if end <= len(self._chunk):
            self._at = end
        else:
            self.exactly(self._padding)

    def _pieces(self, count: int) -> Iterator[memoryview]:
        while count:
            have = len(self._chunk) - self._at
            if not have:
                chunk = next(self._chunks, None)
                if chunk is None:
                    return
                self._chunk, self._at = chunk, 0
                continue
            take = min(have, count)
            start = self._at
            self._at += take
            count -= take
            yield memoryview(self._chunk)[start : start + take]

    def drain(self) -> None:
        """Read to the end: what follows the archive counts for the digest, and for nothing else."""
        for _ in self._chunks:
            pass


def entries(stream: Stream) -> Iterator[Entry]:
    """Every member up to the end of the archive, its content to be had from `stream` until the next one."""
    records: dict[bytes, bytes] = {}
    while True:
        block = stream.exactly(BLOCK)
        if not block:
            return  # no end blocks: the diffID decides whether something is missing
        if len(block) < BLOCK:
            raise LayerError("the archive is cut off in a header")
        if block == _ZERO:
            _check_end(stream.exactly(BLOCK))
            return
        entry = _header(block)
        if entry.kind in b"xgLK":
            _record(entry, stream, records)
            continue
        _complete(entry, records)
        records = {}
        stream.begin(entry.size)
        yield entry
        stream.finish()


def _check_end(block: bytes) -> None:
    if block not in (b"", _ZERO):
        raise LayerError("the archive goes on after a zero block")


# --- headers -------------------------------------------------------------------------------------------------------


def _header(block: bytes) -> Entry:
    if _number(block[148:156]) != _checksum(block):
        raise LayerError("a header has a wrong checksum")
    name, kind = _text(block[:100]), block[156:157]
    if block[345] and block[257:265] == b"ustar\x0000":
        name = _text(block[345:500]) + b"/" + name
    if kind == b"\0":
        kind = b"5" if name.endswith(b"/") else b"0"
    return Entry(
        name,
        b"0" if kind == b"7" else kind,
        _known(block[100:108]) & 0o7777,
        _known(block[108:116]),
        _known(block[116:124]),
        _size(_number(block[124:136])),
        _time(block[136:148]),
        _text(block[157:257]) if kind in b"12" else b"",
        (_number(block[329:337]), _number(block[337:345])) if kind in b"34" else (0, 0),
    )


def _checksum(block: bytes) -> int:
    """The bytes of a header added up, the checksum as spaces: the lower half of Adler-32, exact for 256 bytes."""
    parts = (adler32(block[:148]) & 0xFFFF) + (adler32(block[156:412]) & 0xFFFF) + (adler32(block[412:]) & 0xFFFF)
    return parts - 3 + 8 * 32  # each starts with 1


def _text(data: bytes) -> bytes:
    return data.split(b"\0", 1)[0]


def _number(data: bytes) -> int:
    """Octal, or base 256 when the first bit is set (GNU)."""
    if data[0] & 0x80:
        value = int.from_bytes(data, "big")
        return value - (1 << 8 * len(data)) if data[0] & 0x40 else value - (1 << 8 * len(data) - 1)
    text = data.strip(b"\0 ")
    if not text:
        return 0
    if not text.isdigit() or b"8" in text or b"9" in text:
        raise LayerError(f"a header has the number {text!r}")
    return int(text, 8)


_known = lru_cache(512)(_number)  # modes, owners and times repeat


@lru_cache(512)
def _time(data: bytes) -> int:
    """Nanoseconds."""
    return _clamp(_number(data))


def _size(value: int) -> int:
    if not 0 <= value < 1 << 62:
        raise LayerError(f"a header has the size {value}")
    return value


def _clamp(seconds: int) -> int:
    return min(max(seconds, _TIMES[0]), _TIMES[1]) * 1_000_000_000


# --- records before an entry -----------------------------------------------------------------------------------------


def _record(entry: Entry, stream: Stream, records: dict[bytes, bytes]) -> None:
    if entry.size > HEADER_LIMIT:
        raise LayerError(f"a header record has {entry.size} bytes")
    data = stream.exactly(entry.size + -entry.size % BLOCK)
    if len(data) < entry.size:
        raise LayerError("the archive is cut off in a header record")
    data = data[: entry.size]
    if entry.kind == b"x":
        records.update(parse_pax(data))
    elif entry.kind == b"L":
        records[b"path"] = _text(data)
    elif entry.kind == b"K":
        records[b"linkpath"] = _text(data)
    # A global record (g) must not rename or own what follows: git writes its commit there, attackers a path.


def parse_pax(data: bytes) -> dict[bytes, bytes]:
    """`LENGTH KEY=VALUE\\n` records. Raises LayerError."""
    records = {}
    at = 0
    while at < len(data):
        space = data.find(b" ", at, at + 9)
        length = int(data[at:space]) if space > at and data[at:space].isdigit() else 0
        record = data[space + 1 : at + length]
        key, equals, value = record[:-1].partition(b"=")
        if not length or at + length > len(data) or not equals or not key or record[-1:] != b"\n":
            raise LayerError("a pax record is damaged")
        records[key] = value
        at += length
    return records


def _complete(entry: Entry, records: dict[bytes, bytes]) -> None:
    if records:
        _apply(entry, records)
    if not (0 <= entry.uid <= ID_LIMIT and 0 <= entry.gid <= ID_LIMIT):
        raise LayerError(f"the owner {entry.uid}:{entry.gid} is not possible")
    if entry.kind in b"123456":
        entry.size = 0


def _apply(entry: Entry, records: dict[bytes, bytes]) -> None:
    if any(key.startswith(b"GNU.sparse.") for key in records):
        raise LayerError("sparse files are not supported")
    entry.name = records.get(b"path", entry.name)
    entry.link = records.get(b"linkpath", entry.link)
    if b"size" in records:
        entry.size = _size(_decimal(records[b"size"]))
    if b"uid" in records:
        entry.uid = _decimal(records[b"uid"])
    if b"gid" in records:
        entry.gid = _decimal(records[b"gid"])
    if b"mtime" in records:
        entry.mtime = _seconds(records[b"mtime"])
    entry.xattrs = tuple((key[len(_XATTR) :], value) for key, value in records.items() if key.startswith(_XATTR))
    if len(entry.xattrs) > XATTR_LIMIT or any(len(value) > XATTR_SIZE for _, value in entry.xattrs):
        raise LayerError("it has too many or too big extended attributes")


def _decimal(text: bytes) -> int:
    if not text.removeprefix(b"-").isdigit() or len(text) > 20:
        raise LayerError(f"a pax record has the number {text[:40]!r}")
    return int(text)


def _seconds(text: bytes) -> int:
    whole, _, fraction = text.partition(b".")
    if fraction and not fraction.isdigit():
        raise LayerError(f"a pax record has the time {text[:40]!r}")
    seconds = _decimal(whole)
    nanoseconds = int(fraction[:9].ljust(9, b"0")) if fraction else 0
    clamped = _clamp(seconds)
    if clamped != seconds * 1_000_000_000:
        return clamped
    return clamped - nanoseconds if text.startswith(b"-") else clamped + nanoseconds
