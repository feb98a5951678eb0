"""The read-only status socket: bound, owned and served in a thread of its own.

`serve` is what the daemon calls. The thread runs an event loop that reads published snapshots only, so that no
reader can slow convergence. Until the first client comes it only waits, and loads nothing. What is answered stands in
`app`, what a connection may do in `connection`, and uvicorn is in `http`.
"""

from __future__ import annotations

import contextlib
import errno
import grp
import os
import select
import socket
import stat
import threading
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.core.status import Feed
from reconciler.errors import HostError
from reconciler.settings import Settings

if TYPE_CHECKING:
    from reconciler.api.http import Http

STOP_TIME = 7.0  # seconds until the thread is given up; its connections are before


def serve(feed: Feed, settings: Settings) -> Server:
    """A server of `feed` on `settings.socket`, not started yet."""
    return Server(feed, settings)


class Server:
    """The socket and its thread. `start` and `stop` are called once each, from the daemon's thread."""

    def __init__(self, feed: Feed, settings: Settings) -> None:
        self._feed = feed
        self._settings = settings
        self._path = settings.socket
        self._http: Http | None = None  # from the first client on
        self._stopping = threading.Event()
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._thread: threading.Thread | None = None
        self._inode = 0

    def start(self) -> None:
        """Bind and answer. Raises HostError when something else answers at the path, or it cannot be bound."""
        listener = listen(self._path, self._settings.socket_group)
        self._inode = self._path.stat().st_ino
        self._thread = threading.Thread(target=self._run, args=(listener,), name="api", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Finish what is being answered, end all streams and take the socket away. Repeatable."""
        if self._thread is None:
            return
        self._stopping.set()
        os.eventfd_write(self._wake, 1)
        if self._http is not None:
            self._http.stop()
        self._thread.join(STOP_TIME)
        self._thread = None
        os.close(self._wake)
        with contextlib.suppress(OSError):
            if self._path.stat().st_ino == self._inode:
                self._path.unlink()

    def _run(self, listener: socket.socket) -> None:
        with listener:
            poll = select.poll()
            for descriptor in (listener.fileno(), self._wake):
                poll.register(descriptor, select.POLLIN)
            poll.poll()
            if self._stopping.is_set():
                return
            # A quarter of the daemon's memory would be that of a server which nobody may ever ask.
            self._http = import_module("reconciler.api.http").serving(self._feed, self._settings)
            if not self._stopping.is_set():
                self._http.answer(listener)


def listen(path: Path, group: str) -> socket.socket:
    """A listening socket at `path`, 0660 root:`group`, in place of a stale one; nobody can connect before that.

    The folder is made when it is missing. Raises HostError.
    """
    temporary = path.with_name(path.name + ".new")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
        _refuse_taken(path)
        temporary.unlink(missing_ok=True)
        # Linux gives the file the mode of the socket (unix_bind), so that it is never open to others, not even
        # for a moment, and the umask of the process, which other threads share, stays as it is.
        os.fchmod(listener.fileno(), 0o600)
        listener.bind(str(temporary))
        listener.listen(128)
        os.chown(temporary, -1, _gid(group))
        temporary.chmod(0o660)
        temporary.rename(path)
    except OSError as error:
        listener.close()
        raise HostError(f"cannot listen on {path}: {error.strerror or error}") from error
    except HostError:
        listener.close()
        raise
    return listener


def _refuse_taken(path: Path) -> None:
    """Raise HostError unless `path` is free or a socket at which nobody answers."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise HostError(f"cannot listen on {path}: something that is no socket is in the way; remove it")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        result = probe.connect_ex(str(path))
    if result not in {errno.ECONNREFUSED, errno.ENOENT}:
        raise HostError(f"cannot listen on {path}: another daemon answers there; stop it first")


def _gid(group: str) -> int:
    """The id of `group`, -1 (leave it) when the host has no such group."""
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        return -1
