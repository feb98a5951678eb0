"""The daemon's side of the confined child: starts it, hands it layers, and believes nothing that it says.

One `Unpacker` lives as long as one pull. Called by `store`; the child itself is `unpack`.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from reconciler.errors import HostError
from reconciler.host.images.documents import Descriptor
from reconciler.host.images.overlay import FULL, Limits
from reconciler.host.run import run

PIPE_SIZE = 1 << 20
ANSWER_LIMIT = 64 << 20

Send = Callable[[int], None]  # writes the whole compressed layer into a descriptor


@dataclass(frozen=True, slots=True, kw_only=True)
class Unpacked:
    """What became of a layer. `implied` are folders without an entry of their own, relative to its root."""

    diff: str
    size: int
    entries: int
    implied: tuple[bytes, ...]
    opaque_root: bool


class Unpacker:
    """A child that unpacks. Use as a context; `unpack` may be called from several threads at once."""

    def __init__(self, reference: str, limits: Limits) -> None:
        self._reference = reference
        self._limits = limits
        self._failure: HostError | None = None

    def __enter__(self) -> Self:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._thread = threading.Thread(target=self._serve, args=(theirs,), name="unpack", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._control.close()
        self._thread.join()

    def _serve(self, theirs: socket.socket) -> None:
        argv = [sys.executable, "-s", "-S", "-m", "reconciler.host.images.unpack", str(theirs.fileno())]
        env = {"PYTHONPATH": os.pathsep.join(str(Path(entry or ".").absolute()) for entry in sys.path)}
        try:
            run(argv, env=env, timeout=self._limits.seconds, pass_fds=(theirs.fileno(),))
        except HostError as error:
            self._failure = error
        finally:
            theirs.close()

    def unpack(self, layer: Descriptor, folder: Path, send: Send) -> Unpacked:
        """Unpack what `send` writes into the empty `folder`, and its list beside it. Raises HostError."""
        blob_read, blob_write = os.pipe()
        fcntl.fcntl(blob_write, fcntl.F_SETPIPE_SZ, PIPE_SIZE)
        listing = os.open(folder.with_name("list"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        job = {"announced": layer.size, **asdict(self._limits)}
        answer = self._start(job, folder, blob_read, listing)
        try:
            with suppress(BrokenPipeError):  # the child has seen enough, and says why
                send(blob_write)
        finally:
            os.close(blob_write)
            text = _read_all(answer)
        return self._judge(layer, text)

    def verify(self, folder: Path) -> tuple[str, ...]:
        """How the layer `folder` differs from its list, in a few short sentences. Raises HostError."""
        listing = os.open(folder.with_name("list"), os.O_RDONLY)
        try:
            answer = json.loads(_read_all(self._start({}, folder, listing)))
        except ValueError:
            raise HostError(f"cannot verify layer {folder.parent.name[:12]}: its process died") from None
        return tuple(answer["damages"]) if "damages" in answer else (str(answer["refused"]),)

    def _start(self, job: Mapping[str, int], folder: Path, *files: int) -> int:
        """Give the child a job; where its answer will come, which is empty when there is no child. Closes `files`."""
        answer_read, answer_write = os.pipe()
        directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        with suppress(ConnectionError):
            socket.send_fds(self._control, [json.dumps(job).encode()], [directory, answer_write, *files])
        for fd in (directory, answer_write, *files):
            os.close(fd)
        return answer_read

    def _judge(self, layer: Descriptor, text: bytes) -> Unpacked:
        try:
            answer = json.loads(text)
        except ValueError:
            raise self._error(layer, str(self._failure or "its process died")) from None
        if why := answer.get("refused"):
            raise self._error(layer, why)
        if (size := answer["blob_size"]) != layer.size:
            raise self._error(layer, f"it has {size} bytes instead of {layer.size}")
        if answer["blob"] != layer.digest:
            raise self._error(layer, f"its content has the digest {answer['blob']}")
        return Unpacked(
            diff=answer["diff"],
            size=answer["size"],
            entries=answer["entries"],
            implied=tuple(name.encode("latin-1") for name in answer["implied"]),
            opaque_root=answer["opaque_root"],
        )

    def _error(self, layer: Descriptor, why: str) -> HostError:
        full = why.endswith(FULL) or os.strerror(errno.ENOSPC) in why
        error = HostError(f"cannot unpack layer {layer.digest[:19]} of {self._reference}: {why}")
        return error.blamed("full" if full else "other")


def _read_all(fd: int) -> bytes:
    """Everything from `fd` up to its end or a limit; closes it."""
    parts = []
    total = 0
    with open(fd, "rb", buffering=0) as file:
        while (part := file.read(1 << 16)) and total < ANSWER_LIMIT:
            parts.append(part)
            total += len(part)
    return b"".join(parts)
