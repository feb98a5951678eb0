"""The read-only status socket: bound, owned and served in a thread of its own.

`serve` is what the daemon calls. The thread runs an event loop that reads published snapshots only, so that no
reader can slow convergence. What is answered stands in `app`, what a connection may do in `connection`.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import grp
import os
import socket
import stat
import threading
from pathlib import Path

import uvicorn

from reconciler.api.app import application
from reconciler.api.connection import HEADER_SIZE, REQUEST_TIME, Connection
from reconciler.api.stream import Doorbell
from reconciler.core.status import Feed
from reconciler.errors import HostError
from reconciler.settings import Settings

STOP_TIME = 5.0  # seconds until open connections are given up


def serve(feed: Feed, settings: Settings) -> Server:
    """A server of `feed` on `settings.socket`, not started yet."""
    return Server(feed, settings)


class Server:
    """The socket and its thread. `start` and `stop` are called once each, from the daemon's thread."""

    def __init__(self, feed: Feed, settings: Settings) -> None:
        self._path = settings.socket
        self._group = settings.socket_group
        self._doorbell = Doorbell(feed)
        config = uvicorn.Config(
            application(feed, settings, self._doorbell),
            http=Connection, ws="none", lifespan="off", loop="asyncio", log_config=None, log_level="critical",
            access_log=False, server_header=False, date_header=False, proxy_headers=False, backlog=128,
            timeout_keep_alive=int(REQUEST_TIME) * 2, h11_max_incomplete_event_size=HEADER_SIZE,
        )  # fmt: skip
        self._uvicorn = _Uvicorn(config)
        self._thread: threading.Thread | None = None
        self._inode = 0

    def start(self) -> None:
        """Bind and answer. Raises HostError when something else answers at the path, or it cannot be bound."""
        listener = listen(self._path, self._group)
        self._inode = self._path.stat().st_ino
        self._thread = threading.Thread(target=self._run, args=(listener,), name="api", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Finish what is being answered, end all streams and take the socket away. Repeatable."""
        if self._thread is None:
            return
        self._doorbell.close()
        self._uvicorn.stop()
        self._thread.join(STOP_TIME + 2)
        self._thread = None
        with contextlib.suppress(OSError):
            if self._path.stat().st_ino == self._inode:
                self._path.unlink()

    def _run(self, listener: socket.socket) -> None:
        asyncio.run(self._uvicorn.serve(sockets=[listener]))


class _Uvicorn(uvicorn.Server):
    """uvicorn without its clock: it wakes ten times a second to see whether it shall stop; this one is told."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._stopping = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._end = asyncio.Event()

    async def main_loop(self) -> None:
        self._loop = asyncio.get_running_loop()
        if not self._stopping.is_set():
            await self._end.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:  # noqa: ARG002  closed by asyncio
        for server in self.servers:
            server.close()
        for connection in tuple(self.server_state.connections):
            connection.shutdown()
        if self.server_state.tasks:
            _, late = await asyncio.wait(tuple(self.server_state.tasks), timeout=STOP_TIME)
            for task in late:
                task.cancel()

    def stop(self) -> None:
        """Let `serve` return. May be called from any thread."""
        self._stopping.set()
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._end.set)


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
