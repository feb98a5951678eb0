"""uvicorn with our application: what the socket needs from its first client on. `server` imports it no sooner."""

from __future__ import annotations

import asyncio
import socket
import threading

import uvicorn

from reconciler.api.app import application
from reconciler.api.connection import HEADER_SIZE, REQUEST_TIME, Connection
from reconciler.api.stream import Doorbell
from reconciler.core.status import Feed
from reconciler.settings import Settings

STOP_TIME = 5.0  # seconds until open connections are given up


def serving(feed: Feed, settings: Settings) -> Http:
    """A server of `feed` that does not listen yet."""
    doorbell = Doorbell(feed)
    config = uvicorn.Config(
        application(feed, settings, doorbell),
        http=Connection, ws="none", lifespan="off", loop="asyncio", log_config=None, log_level="critical",
        access_log=False, server_header=False, date_header=False, proxy_headers=False, backlog=128,
        timeout_keep_alive=int(REQUEST_TIME) * 2, h11_max_incomplete_event_size=HEADER_SIZE,
    )  # fmt: skip
    return Http(config, doorbell)


class Http(uvicorn.Server):
    """uvicorn without its clock: it wakes ten times a second to see whether it shall stop; this one is told."""

    def __init__(self, config: uvicorn.Config, doorbell: Doorbell) -> None:
        super().__init__(config)
        self._doorbell = doorbell
        self._stopping = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._end = asyncio.Event()

    def answer(self, listener: socket.socket) -> None:
        """Serve until `stop` is called."""
        asyncio.run(self.serve(sockets=[listener]))

    async def main_loop(self) -> None:
        """Uvicorn's, without looking at the clock."""
        self._loop = asyncio.get_running_loop()
        if not self._stopping.is_set():
            await self._end.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:  # noqa: ARG002  closed by asyncio
        """Uvicorn's, with an end to the patience."""
        for server in self.servers:
            server.close()
        for connection in tuple(self.server_state.connections):
            connection.shutdown()
        if self.server_state.tasks:
            _, late = await asyncio.wait(tuple(self.server_state.tasks), timeout=STOP_TIME)
            for task in late:
                task.cancel()

    def stop(self) -> None:
        """End all streams and let `answer` return. May be called from any thread."""
        self._doorbell.close()
        self._stopping.set()
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._end.set)
