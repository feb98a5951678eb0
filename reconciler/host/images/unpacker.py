"""The daemon's side of the confined child: starts it, hands it layers, and believes nothing that it says.

One `Unpacker` lives as long as one pull. Called by `store`; the child itself is `unpack`.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from reconciler.errors import HostError
from reconciler.host.images.documents import Descriptor
from reconciler.host.images.overlay import Limits
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

    def __init__(self, reference: str, limits: Limits, seconds: float) -> None:
        self._reference = reference
        self._limits = limits
        self._seconds = seconds
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
            run(argv, env=env, timeout=self._seconds, pass_fds=(theirs.fileno(),))
        except HostError as error:
            self._failure = error
        finally:
            theirs.close()

    def unpack(self, layer: Descriptor, folder: Path, send: Send) -> Unpacked:
        """Unpack into the empty `folder` what `send` writes. Raises HostError when anything does not match."""
        blob_read, blob_write = os.pipe()
        answer_read, answer_write = os.pipe()
        fcntl.fcntl(blob_write, fcntl.F_SETPIPE_SZ, PIPE_SIZE)
        self._start(layer, folder, (blob_read, answer_write))
        try:
            send(blob_write)
        except BrokenPipeError:
            pass  # the child has seen enough, and says why
        finally:
            os.close(blob_write)
            text = _read_all(answer_read)
            os.close(answer_read)
        return self._judge(layer, text)

    def _start(self, layer: Descriptor, folder: Path, pipes: tuple[int, int]) -> None:
        directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        job = json.dumps({"announced": layer.size, **asdict(self._limits)}).encode()
        try:
            socket.send_fds(self._control, [job], [pipes[0], directory, pipes[1]])
        except OSError as error:
            raise self._error(layer, str(self._failure or error)) from error
        finally:
            for fd in (*pipes, directory):
                os.close(fd)

    def _judge(self, layer: Descriptor, text: bytes) -> Unpacked:
        try:
            answer = json.loads(text)
        except ValueError:
            raise self._error(layer, "its process died") from None
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
        return HostError(f"cannot unpack layer {layer.digest[:19]} of {self._reference}: {why}")


def _read_all(fd: int) -> bytes:
    parts = []
    total = 0
    while (part := os.read(fd, 1 << 16)) and total < ANSWER_LIMIT:
        parts.append(part)
        total += len(part)
    return b"".join(parts)
