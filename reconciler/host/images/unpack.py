"""The confined child: takes layers over a socket and unpacks each in a process of its own.

Started by `unpacker` for the time of a pull. It leaves the host's network, mounts, IPC and processes at once; each
layer is a fork that is chrooted into its empty directory and imports nothing from then on, so that nothing of
the image is ever loaded. Compressed bytes come in on a pipe; the two digests, counts and at most one
sentence of refusal go out on another.
"""

from __future__ import annotations

import ctypes
import gc
import hashlib
import json
import os
import resource
import signal
import socket
import sys
from collections.abc import Iterator

from reconciler.host.images.inflate import LayerError, inflate
from reconciler.host.images.listing import Writer
from reconciler.host.images.overlay import FULL, Limits, Tree, escape
from reconciler.host.images.tar import Entry, Stream, entries
from reconciler.host.images.verify import damages

CHUNK = 1 << 20  # all that the pipe holds: who writes is woken once for it, not four times
MEMORY = 512 << 20
_NAMESPACES = 0x00020000 | 0x04000000 | 0x08000000 | 0x20000000 | 0x40000000  # mount, UTS, IPC, PID, network
_MS_REC_PRIVATE = 0x4000 | 0x40000
_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38
_CAPABILITY_VERSION = 0x20080522
_CAPABILITIES = (0, 1, 3, 4, 21, 27, 31)  # chown, dac_override, fowner, fsetid, sys_admin (trusted.*), mknod, setfcap
_CHECK_SPACE = 16 << 20
_M_MMAP_THRESHOLD, _M_TRIM_THRESHOLD = -3, -1  # mallopt(3)
_KEPT_MEMORY = 32 << 20


def main() -> None:
    """Serve jobs from the socket whose number is in argv until it is closed."""
    control = socket.socket(fileno=int(sys.argv[1]))
    _die_with_parent()
    _keep_memory()
    _leave_host()
    inside = os.fork()  # the first process of the new PID namespace; when it ends all the others do
    if inside:
        control.close()
        os._exit(os.waitstatus_to_exitcode(os.waitpid(inside, 0)[1]) & 0xFF)
    _die_with_parent()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        message, fds, _, _ = socket.recv_fds(control, 4096, 4)
        if not message:
            os._exit(0)
        if os.fork() == 0:
            control.close()
            _work(json.loads(message), *fds)
        for fd in fds:
            os.close(fd)


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def _keep_memory() -> None:
    """Make each layer's process touch little that is not its own yet: a page that is new or shared costs a fault."""
    libc = ctypes.CDLL(None)
    for option in (_M_MMAP_THRESHOLD, _M_TRIM_THRESHOLD):  # what one piece had serves the next one
        libc.mallopt(option, _KEPT_MEMORY)
    gc.disable()  # entries make no cycles, and a collection writes to every object there is
    gc.freeze()


def _leave_host() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_NAMESPACES) == 0:
        libc.mount(b"none", b"/", None, _MS_REC_PRIVATE, None)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))


def _work(job: dict[str, int], folder: int, answer: int, *files: int) -> None:
    """One layer, to be unpacked or to be verified. Never returns."""
    limits = Limits(**{key: job[key] for key in Limits.__slots__ if key in job})
    _confine(folder)
    try:
        result = _unpack(files, job["announced"], limits) if "announced" in job else _verify(*files)
    except LayerError as error:
        result = {"refused": str(error)}
    except OSError as error:
        result = {"refused": error.strerror or "input or output failed"}
    except MemoryError:
        result = {"refused": "it needs too much memory"}
    except BaseException as error:  # a traceback would be looked up in the image's own files
        result = {"refused": f"the unpacker has a mistake: {type(error).__name__}"}
    text = memoryview(json.dumps(result).encode())
    while text:
        text = text[os.write(answer, text) :]
    os._exit(0)


def _confine(folder: int) -> None:
    """Make `folder` the whole world: from here on nothing can be imported, and no name leads out."""
    sys.path.clear()
    sys.meta_path.clear()
    os.umask(0)
    os.fchdir(folder)
    os.chroot(".")
    os.close(folder)
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0)
    kept = sum(1 << number for number in _CAPABILITIES)
    # effective, permitted, inheritable; the second triple is for numbers from 32 on
    if libc.capset(header, (ctypes.c_uint32 * 6)(kept, kept, 0, 0, 0, 0)):
        raise OSError(ctypes.get_errno(), "cannot give up capabilities")


class _Blob:
    """The compressed stream: counted, hashed, and held to its announced size."""

    def __init__(self, fd: int, size: int) -> None:
        self._fd = fd
        self._announced = size
        self.size = 0
        self.digest = hashlib.sha256()

    def __iter__(self) -> Iterator[bytes]:
        while chunk := os.read(self._fd, CHUNK):
            self.size += len(chunk)
            if self.size > self._announced:
                raise LayerError(f"it has more than the announced {self._announced} bytes")
            self.digest.update(chunk)
            yield chunk


class _Plain:
    """The tar stream: counted, hashed, and held to the limits."""

    def __init__(self, blob: _Blob, limits: Limits) -> None:
        self._blob = blob
        self._limits = limits
        self.size = 0
        self.digest = hashlib.sha256()

    def __iter__(self) -> Iterator[bytes]:
        checked = 0
        limits = self._limits
        for piece in inflate(self._blob):
            self.size += len(piece)
            if self.size > limits.size:
                raise LayerError(f"it unpacks to more than {limits.size} bytes")
            if self.size > limits.ratio_from and self.size > self._blob.size * limits.ratio:
                raise LayerError(f"it unpacks to more than {limits.ratio} times its size")
            self.digest.update(piece)
            if self.size >= checked:
                checked = self.size + _CHECK_SPACE
                self._check_space()
            yield piece

    def _check_space(self) -> None:
        free = os.statvfs("/")
        if free.f_bavail * free.f_frsize < self._limits.reserve:
            raise LayerError(f"fewer than {self._limits.reserve} {FULL}")


def _verify(listing: int) -> dict[str, object]:
    with open(listing, "rb") as file:
        return {"damages": damages(file.read())}


def _unpack(files: tuple[int, ...], size: int, limits: Limits) -> dict[str, object]:
    blob = _Blob(files[0], size)
    plain = _Plain(blob, limits)
    stream = Stream(iter(plain))
    tree = Tree(limits, Writer(files[1]))
    count = 0
    for entry in entries(stream):
        count += 1
        _add(tree, entry, stream)
        if count + len(tree.implied) > limits.entries:
            raise LayerError(f"it has more than {limits.entries} entries")
    stream.drain()
    for _ in blob:
        pass
    tree.finish()
    return {
        "blob": "sha256:" + blob.digest.hexdigest(),
        "blob_size": blob.size,
        "diff": "sha256:" + plain.digest.hexdigest(),
        "size": plain.size,
        "entries": count,
        "implied": sorted(name.decode("latin-1") for name in tree.implied),
        "opaque_root": tree.opaque_root,
        "dropped": sorted(name[:80].decode("latin-1") for name in tree.dropped),
    }


def _add(tree: Tree, entry: Entry, stream: Stream) -> None:
    try:
        tree.add(entry, stream.content)
    except LayerError as error:
        raise LayerError(f"entry '{escape(entry.name)}': {error}") from None
    except ValueError:
        raise LayerError(f"entry '{escape(entry.name)}': a name has a NUL") from None
    except OSError as error:
        raise OSError(error.errno, f"entry '{escape(entry.name)}': {error.strerror}") from None


if __name__ == "__main__":
    main()
