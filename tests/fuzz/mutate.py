"""Changes to good input that a stranger might make: of bytes, of tar headers, of JSON. All by one random generator."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

BLOCK = 512
ODD: Sequence[Any] = (
    None, True, -1, 0, 1 << 63, 1e309, 0.5, "", "x", "\0", "../../etc", "/", "a\nb", "\ud800", "sha256:" + "0" * 64,
    "sha256:../x", "\u0661", "x" * 5000, [], {}, [[]], {"": ""}, [None], "application/vnd.oci.image.index.v1+json",
)  # fmt: skip
_FIELDS = [(0, 100), (100, 8), (108, 8), (116, 8), (124, 12), (136, 12), (156, 1), (157, 100), (257, 8), (329, 8)]
_NUMBERS = [b"777777777777", b"-1", b"\x80" + b"\0" * 11, b"\xff" * 12, b"\x80" + b"\xff" * 11, b"", b" 7 ", b"0x1"]
_NAMES = [
    b"..",
    b"../x",
    b"/",
    b".",
    b".wh.",
    b".wh..wh..opq",
    b".wh.a",
    b"a/../b",
    b"\xff\xfe",
    b"a" * 100,
    b"l/x",
    b"l",
]


def bytes_of(text: bytes, random: Random) -> bytes:
    """One to four small changes anywhere."""
    for _ in range(random.randint(1, 4)):
        text = random.choice(_BYTES)(text, random)
    return text


def _flip(text: bytes, random: Random) -> bytes:
    if not text:
        return b"\0"
    at = random.randrange(len(text))
    return text[:at] + bytes([text[at] ^ (1 << random.randrange(8))]) + text[at + 1 :]


def _cut(text: bytes, random: Random) -> bytes:
    return text[: random.randint(0, len(text))]


def _drop(text: bytes, random: Random) -> bytes:
    at = random.randint(0, len(text))
    return text[:at] + text[at + random.randint(1, 16) :]


def _repeat(text: bytes, random: Random) -> bytes:
    at = random.randint(0, len(text))
    return text[:at] + text[at : at + random.randint(1, 600)] * random.randint(2, 4) + text[at:]


def _insert(text: bytes, random: Random) -> bytes:
    at = random.randint(0, len(text))
    return text[:at] + random.randbytes(random.randint(1, 16)) + text[at:]


_BYTES: Sequence[Callable[[bytes, Random], bytes]] = (_flip, _flip, _cut, _drop, _repeat, _insert)


def tar_of(text: bytes, others: Sequence[bytes], random: Random) -> bytes:
    """Blocks moved, repeated, or taken from other archives; fields of headers, mostly with a good checksum."""
    blocks = [text[at : at + BLOCK] for at in range(0, len(text), BLOCK)]
    for _ in range(random.randint(1, 5)):
        at = random.randrange(len(blocks) or 1)
        match random.randrange(5):
            case 0:
                blocks.insert(at, blocks[random.randrange(len(blocks))] if blocks else bytes(BLOCK))
            case 1:
                blocks[at : at + 1] = []
            case 2:
                other = random.choice(others)
                begin = random.randrange(0, max(1, len(other)), BLOCK)
                blocks[at:at] = [other[begin : begin + BLOCK], other[begin + BLOCK : begin + 2 * BLOCK]]
            case _:
                blocks[at : at + 1] = [_header(block, random) for block in blocks[at : at + 1]]
    return b"".join(blocks)


def _header(block: bytes, random: Random) -> bytes:
    start, size = random.choice(_FIELDS)
    field = random.choice([*_NUMBERS, *_NAMES, bytes([random.choice(b"01234567LKxgSDMVNZ\0")]), random.randbytes(size)])
    block = block[:start] + field[:size].ljust(size, b"\0") + block[start + size :]
    block = block.ljust(BLOCK, b"\0")[:BLOCK]
    if random.random() < 0.1:
        return block
    blank = block[:148] + b" " * 8 + block[156:]
    return block[:148] + b"%06o\0 " % sum(blank) + block[156:]


def json_of(document: Any, random: Random) -> bytes:
    """One to three values replaced, removed, or said twice."""
    document = json.loads(json.dumps(document))
    for _ in range(random.randint(1, 3)):
        document = _changed(document, random)
    text = json.dumps(document, ensure_ascii=random.random() < 0.5).encode("utf-8", "surrogatepass")
    return text if random.random() < 0.8 else bytes_of(text, random)


def _changed(value: Any, random: Random) -> Any:
    if not isinstance(value, dict | list) or not value or random.random() < 0.2:
        return random.choice(ODD)
    if isinstance(value, list):
        at = random.randrange(len(value))
        choice = [*value[:at], _changed(value[at], random), *value[at + 1 :]]
        return random.choice([choice, choice, value * 2, value[:at] + value[at + 1 :]])
    key = random.choice(list(value))
    found = {**value, key: _changed(value[key], random)}
    what = random.randrange(8)
    if what == 0:
        del found[key]
    elif what == 1:
        found[key.swapcase()] = value[key]
    return found
