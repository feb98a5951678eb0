"""The images that are pulled: made from program text and noise with a fixed seed, so they are the same on every run.

tiny      1 layer of 1.3 MB
mid       6 layers, 13,000 files, about 110 MB in gzip and 300 MB unpacked
mid-zstd  the same layers in zstd
many      2 layers, 50,000 small files
next      mid with another last layer: what a second version of an image is to a host that has the first
"""

from __future__ import annotations

import random
import sysconfig
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from backports import zstd

from tests.host.images.builder import Member, build_layout, folder, symlink, tar

NAMES = ("tiny", "mid", "mid-zstd", "many", "next")
FILES_IN_FOLDER = 100
GZIP = 16 + zlib.MAX_WBITS  # zlib writes gzip's header and trailer


def build(layout: Path) -> None:
    """Write all of them into one OCI layout, each under its name."""
    text = b"".join(path.read_bytes() for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")))

    def layer(number: int, files: int, largest: int) -> bytes:
        return tar(*members(random.Random(number), text, f"usr/share/part-{number}", (files, largest)))

    mid = [layer(number, 2200, 43_000) for number in range(7)]
    many = [layer(number, 25_000, 3500) for number in range(10, 12)]
    with ThreadPoolExecutor() as pool:
        packed = list(pool.map(gzipped, [*mid, *many]))
    build_layout(layout, "tiny", [[Member("app", random.Random(1).randbytes(1_300_000), mode=0o755)]])
    build_layout(layout, "mid", packed[:6])
    build_layout(layout, "next", [*packed[:5], packed[6]])
    build_layout(layout, "mid-zstd", [zstd.compress(content, 3) for content in mid[:6]])
    build_layout(layout, "many", packed[7:])


def gzipped(content: bytes) -> bytes:
    """As `gzip -6` and `docker push` pack it."""
    packing = zlib.compressobj(6, zlib.DEFLATED, GZIP)
    return packing.compress(content) + packing.flush()


def members(chance: random.Random, text: bytes, top: str, shape: tuple[int, int]) -> Iterator[Member]:
    """Files that pack to about a third, in folders of a hundred with an entry for each, and a link now and then."""
    files, largest = shape
    for path in accumulated(top):
        yield folder(path)
    for number in range(files):
        place = f"{top}/{number // FILES_IN_FOLDER}"
        if number % FILES_IN_FOLDER == 0:
            yield folder(place)
            yield symlink(f"{place}/first", "0")
        content = mixed(chance, text, chance.randrange(largest // 10, largest))
        owner = 33 if number % 10 == 0 else 0
        yield Member(f"{place}/{number}", content, mode=0o755 if number % 9 == 0 else 0o644, uid=owner, gid=owner)


def accumulated(path: str) -> Iterator[str]:
    """`a`, `a/b`, `a/b/c`."""
    parts = path.split("/")
    yield from ("/".join(parts[:count]) for count in range(1, len(parts) + 1))


def mixed(chance: random.Random, text: bytes, size: int) -> bytes:
    """A piece of the text, a tenth of it noise."""
    at = chance.randrange(len(text) - size)
    return text[at : at + size * 9 // 10] + chance.randbytes(size // 10)
