"""The tar format: ustar, pax and GNU long names, one entry at a time from a stream.

Pure but for pulling chunks. Reads strictly: a wrong checksum, a cut member, a sparse file or an unknown type
ends the layer (`tarfile` of the standard library takes all of them in silence). Runs in the confined child.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

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
    xattrs: dict[bytes, bytes] = field(default_factory=dict)


class Stream:
    """Exact reads over an iterator of chunks."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._chunk = b""
        self._at = 0

    def exactly(self, count: int) -> bytes:
        """`count` bytes, fewer only at the end of the stream."""
        at = self._at
        if len(self._chunk) - at >= count:
            self._at = at + count
            return self._chunk[at : at + count]
        return b"".join(self.pieces(count))

    def pieces(self, count: int) -> Iterator[memoryview]:
        """`count` bytes without a copy, fewer only at the end of the stream."""
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
    """Every member up to the end of the archive; the caller reads each one's content before the next."""
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
        yield _complete(entry, records)
        records = {}


def _check_end(block: bytes) -> None:
    if block not in (b"", _ZERO):
        raise LayerError("the archive goes on after a zero block")


# --- headers -------------------------------------------------------------------------------------------------------


def _header(block: bytes) -> Entry:
    if _number(block[148:156]) != sum(block) - sum(block[148:156]) + 256:
        raise LayerError("a header has a wrong checksum")
    name, magic, kind = _text(block[:100]), block[257:265], block[156:157]
    if magic == b"ustar\x0000" and block[345]:
        name = _text(block[345:500]) + b"/" + name
    if kind == b"\0":
        kind = b"5" if name.endswith(b"/") else b"0"
    device = (_number(block[329:337]), _number(block[337:345])) if kind in b"34" else (0, 0)
    return Entry(
        name=name,
        kind=b"0" if kind == b"7" else kind,
        mode=_number(block[100:108]) & 0o7777,
        uid=_number(block[108:116]),
        gid=_number(block[116:124]),
        size=_size(_number(block[124:136])),
        mtime=_clamp(_number(block[136:148])),
        link=_text(block[157:257]),
        device=device,
    )


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
        if at + length > len(data) or not equals or not key or record[-1:] != b"\n":
            raise LayerError("a pax record is damaged")
        records[key] = value
        at += length
    return records


def _complete(entry: Entry, records: dict[bytes, bytes]) -> Entry:
    if records:
        _apply(entry, records)
    if not (0 <= entry.uid <= ID_LIMIT and 0 <= entry.gid <= ID_LIMIT):
        raise LayerError(f"the owner {entry.uid}:{entry.gid} is not possible")
    if entry.kind != b"0":
        entry.size = entry.size if entry.kind not in b"123456" else 0
    return entry


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
    entry.xattrs = {key[len(_XATTR) :]: value for key, value in records.items() if key.startswith(_XATTR)}
    if len(entry.xattrs) > XATTR_LIMIT or any(len(value) > XATTR_SIZE for value in entry.xattrs.values()):
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
