"""One connection to the socket, with the limits that keep a bad reader from costing more than itself.

uvicorn's h11 protocol speaks HTTP; this adds what it leaves open: how many connections there may be, how long
a request may take to arrive, and how long a reader may leave its answer unread. Whoever breaks a limit is cut off.
"""

from __future__ import annotations

import asyncio

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

CONNECTIONS = 128  # RELIABILITY F-141; `docker stats` alone holds one for each container
REQUEST_TIME = 60.0  # seconds from connecting, or from the last answer, until a whole request is there
WRITE_TIME = 10.0  # seconds for which a full buffer may not drain (F-140)
HEADER_SIZE = 32 * 1024

_BUSY = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n"
    b'{"message":"cannot answer: too many connections are open"}\n'
)


class Connection(H11Protocol):
    """uvicorn makes one for each accepted connection."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Count it, and turn it away when there are too many."""
        super().connection_made(transport)
        self._within(REQUEST_TIME)
        if len(self.connections) > CONNECTIONS:
            transport.write(_BUSY)
            transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        self._forget()
        super().connection_lost(exc)

    def handle_events(self) -> None:
        """Read what has arrived; a request that is there ends the wait for it."""
        if self.transport.is_closing():
            return
        super().handle_events()
        if self.conn.our_state in {h11.SEND_RESPONSE, h11.SEND_BODY} and not self.flow.write_paused:
            self._forget()

    def on_response_complete(self) -> None:
        """Wait for the next request, for as long as for the first."""
        if not self.transport.is_closing():
            self._within(REQUEST_TIME)
        elif self.transport.get_write_buffer_size():
            self._within(WRITE_TIME)  # closing waits for the reader; a reader that never reads is not waited for
        super().on_response_complete()

    def pause_writing(self) -> None:
        """The reader does not keep up."""
        self._within(WRITE_TIME)
        super().pause_writing()

    def resume_writing(self) -> None:
        """It does again."""
        self._forget()
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        """Say that this was no HTTP; in the middle of an answer nothing can be said."""
        try:
            super().send_400_response(msg)
        except h11.LocalProtocolError:
            self.transport.abort()

    def _within(self, seconds: float) -> None:
        self._forget()
        self._deadline = self.loop.call_later(seconds, self.transport.abort)

    def _forget(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
