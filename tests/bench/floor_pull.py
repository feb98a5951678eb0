"""The floor of a pull: stream, both digests, inflate, a small tar reader, two layers at once; nothing else.

What the work costs in a warm Python process that trusts what it is given: no confinement, no limits, no lists, no
syncs, no second look. It shares no code with `reconciler`.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from backports.zstd import ZstdDecompressor
from isal import igzip_lib

AT_ONCE = 2
CHUNK, STEP, BLOCK = 1 << 18, 1 << 18, 512
ACCEPT = "application/vnd.oci.image.manifest.v1+json"


class Floor:
    """One pull into one folder."""

    def __init__(self, folder: Path, host: str, name: str) -> None:
        self._folder, self._host, self._name = folder, host, name

    def pull(self, tag: str) -> None:
        """Manifest, config, then every layer into a folder of its own."""
        manifest = json.loads(self._get(f"manifests/{tag}").read())
        config = json.loads(self._get(f"blobs/{manifest['config']['digest']}").read())
        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(self._layer, range(100), manifest["layers"], config["rootfs"]["diff_ids"]))

    def _get(self, path: str) -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection(self._host)
        connection.request("GET", f"/v2/{self._name}/{path}", headers={"Accept": ACCEPT})
        return connection.getresponse()

    def _layer(self, number: int, blob: dict[str, Any], diff: str) -> None:
        top = self._folder / str(number)
        top.mkdir()
        packed, plain = hashlib.sha256(), hashlib.sha256()
        zstd = blob["mediaType"].endswith("zstd")
        source = chunks(self._get(f"blobs/{blob['digest']}"), packed)
        stream = Stream(inflated(source, plain, zstd=zstd))
        unpack(stream, os.open(top, os.O_PATH))
        stream.rest()
        found = packed.hexdigest(), plain.hexdigest()
        if found != (blob["digest"].removeprefix("sha256:"), diff.removeprefix("sha256:")):
            raise ValueError(f"layer {number} is another one")


def chunks(response: http.client.HTTPResponse, digest: Any) -> Iterator[bytes]:
    """The blob as it comes."""
    while chunk := response.read(CHUNK):
        digest.update(chunk)
        yield chunk


def inflated(source: Iterator[bytes], digest: Any, *, zstd: bool) -> Iterator[bytes]:
    """The tar stream."""
    decoder = ZstdDecompressor() if zstd else igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)
    for chunk in source:
        data = chunk
        while data or not decoder.needs_input:
            piece = decoder.decompress(data, STEP)
            digest.update(piece)
            yield piece
            data = b""
            if decoder.eof:
                break


class Stream:
    """Exact reads over the pieces."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._piece, self._at = pieces, b"", 0

    def read(self, count: int) -> bytes:
        """So many bytes."""
        end = self._at + count
        if end <= len(self._piece):
            found = self._piece[self._at : end]
            self._at = end
            return found
        return b"".join(self.parts(count))

    def parts(self, count: int) -> Iterator[memoryview]:
        """So many bytes in pieces, without a copy."""
        while count:
            if self._at == len(self._piece):
                self._piece, self._at = next(self._pieces), 0
            part = memoryview(self._piece)[self._at : self._at + count]
            self._at += len(part)
            count -= len(part)
            yield part

    def rest(self) -> None:
        """To the end, for the digests."""
        for _ in self._pieces:
            pass


def unpack(stream: Stream, top: int) -> None:
    """Folders, files, and links as ustar has them, with mode, owner and time."""
    parent, parent_fd = b"", top
    times: list[tuple[bytes, int]] = []
    while (header := stream.read(BLOCK)).count(0) != BLOCK:
        name = header[: header.index(0)] if not header[99] else header[:100]
        folder, _, base = name.rstrip(b"/").rpartition(b"/")
        if folder != parent:
            parent, parent_fd = folder, os.open(folder, os.O_PATH, dir_fd=top)
        mtime = int(header[136:148].strip(b"\0 "), 8)
        kind = header[156:157]
        if kind == b"0":
            write(stream, header, base, (parent_fd, mtime))
        elif kind == b"5":
            os.mkdir(base, 0o755, dir_fd=parent_fd)
            times.append((name, mtime))
        elif kind == b"2":
            os.symlink(header[157 : header.index(0, 157)], base, dir_fd=parent_fd)
            os.utime(base, ns=(mtime * 10**9, mtime * 10**9), dir_fd=parent_fd, follow_symlinks=False)
        else:
            raise ValueError(f"{name!r} is of a kind that the bench's images do not have")
    for name, mtime in reversed(times):
        os.utime(name, (mtime, mtime), dir_fd=top)


def write(stream: Stream, header: bytes, base: bytes, place: tuple[int, int]) -> None:
    """One file, in the folder and with the time of `place`."""
    folder, mtime = place
    mode, uid, gid, size = (int(header[begin:end].strip(b"\0 ") or b"0", 8) for begin, end in FIELDS)
    fd = os.open(base, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode, dir_fd=folder)
    for part in stream.parts(size):
        os.write(fd, part)
    if uid or gid:
        os.fchown(fd, uid, gid)
    os.utime(fd, ns=(mtime * 10**9, mtime * 10**9))
    os.close(fd)
    stream.read(-size % BLOCK)


FIELDS = ((100, 108), (108, 116), (116, 124), (124, 136))  # mode, uid, gid, size


def serve() -> None:
    """A line when we are there; then pull what each line of the input names, and answer it with one."""
    os.umask(0)
    print("ready", flush=True)
    for number, line in enumerate(sys.stdin):
        host, _, image = line.strip().partition("/")
        name, _, tag = image.partition(":")
        folder = Path(sys.argv[1], str(number))
        folder.mkdir()
        Floor(folder, host, name).pull(tag)
        print(0, flush=True)
