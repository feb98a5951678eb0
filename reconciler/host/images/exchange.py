"""One request and its answer, over connections that are used again. No redirects, no logins, no retries.

`http.client` for documents and blobs alike: whoever has it streams as fast as anybody, and every read goes through
`patience`. Called by `transport`.
"""

from __future__ import annotations

import http.client
import ssl
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from urllib.parse import SplitResult, urlencode

from reconciler.errors import HostError
from reconciler.host.images.patience import Patience, PatientSocket
from reconciler.host.images.route import connect, proxy_for

IDLE = 20.0  # seconds in which a connection is used again; servers close them after some more
KEPT = 16  # idle connections, wherever they go; a stranger may redirect us to any number of places
ERROR_LIMIT = 64 * 1024
_HEADERS = {"Accept-Encoding": "identity", "User-Agent": "reconciler"}

Key = tuple[str, str, ssl.SSLContext, str]


@dataclass(slots=True)
class Answer:
    """Status, headers (names in lower case), and the body: read, or still to be streamed from `stream`."""

    url: str
    status: int
    headers: Mapping[str, str]
    body: bytes = b""
    stream: http.client.HTTPResponse | None = None
    close: Callable[[], None] = field(default=lambda: None)


@dataclass(frozen=True, slots=True)
class Asking:
    """A request: what is sent, and how much may come back (None: the body is streamed)."""

    parts: SplitResult
    context: ssl.SSLContext
    headers: Mapping[str, str]
    method: str = "GET"
    form: Mapping[str, str] | None = None
    limit: int | None = None


class Exchange:
    """The connections of one daemon. Safe for threads."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._lock = threading.Lock()
        self._idle: list[tuple[Key, float, http.client.HTTPConnection]] = []  # the oldest first

    def ask(self, asking: Asking) -> Answer:
        """The answer. Raises OSError or http.client.HTTPException, and HostError when it is more than it may be."""
        key = asking.parts.scheme, asking.parts.netloc, asking.context, proxy_for(asking.parts)
        connection = self._take(key)
        if connection is not None:
            try:
                return self._over(connection, asking, key)
            except (ConnectionError, http.client.RemoteDisconnected):  # it had ended meanwhile
                connection.close()
        return self._over(self._connect(asking), asking, key)

    def _connect(self, asking: Asking) -> http.client.HTTPConnection:
        connection, _, _ = connect(asking.parts, asking.context, self._patience.connect)
        try:
            connection.connect()
        except BaseException:
            connection.close()
            raise
        connection.sock = PatientSocket(connection.sock, self._patience)
        return connection

    def _over(self, connection: http.client.HTTPConnection, asking: Asking, key: Key) -> Answer:
        try:
            _, path, more = connect(asking.parts, asking.context, 0)
            body = urlencode(asking.form).encode() if asking.form is not None else None
            kind = {"Content-Type": "application/x-www-form-urlencoded"} if body is not None else {}
            headers = {**_HEADERS, **kind, **asking.headers, **more}
            connection.request(asking.method, path, body, headers)
            return self._answer(connection, asking, key)
        except BaseException:
            connection.close()
            raise

    def _answer(self, connection: http.client.HTTPConnection, asking: Asking, key: Key) -> Answer:
        patient = connection.sock  # http.client lets go of it when the server will close
        assert isinstance(patient, PatientSocket)
        response = connection.getresponse()
        names = {name.lower(): value for name, value in response.getheaders()}
        answer = Answer(asking.parts.geturl(), response.status, names)
        if asking.limit is None and response.status < 300:
            patient.streams()
            answer.stream = response
            answer.close = partial(self._done, connection, response, key)
            return answer
        patient.whole_by(self._patience.stall)
        answer.body = _read(response, asking.limit if response.status < 300 else None)
        self._done(connection, response, key)
        return answer

    def _take(self, key: Key) -> http.client.HTTPConnection | None:
        with self._lock:
            self._forget_old()
            for number in reversed(range(len(self._idle))):
                if self._idle[number][0] == key:
                    return self._idle.pop(number)[2]
        return None

    def _forget_old(self) -> None:
        while self._idle and (self._patience.clock() - self._idle[0][1] >= IDLE or len(self._idle) > KEPT):
            self._idle.pop(0)[2].close()

    def _done(self, connection: http.client.HTTPConnection, response: http.client.HTTPResponse, key: Key) -> None:
        """Keep the connection when the answer was read to its end and the server keeps it too."""
        if not response.isclosed() or connection.sock is None:
            response.close()
            connection.close()
            return
        with self._lock:
            self._idle.append((key, self._patience.clock(), connection))
            self._forget_old()


def _read(response: http.client.HTTPResponse, limit: int | None) -> bytes:
    """A body of at most `limit` bytes; of an error (None) as much as may be worth reading."""
    body = response.read(ERROR_LIMIT if limit is None else limit + 1)
    if limit is not None and len(body) > limit:
        raise HostError(f"cannot read the registry's answer: it has more than {limit} bytes")
    if limit is not None and response.length:
        raise http.client.IncompleteRead(body, response.length)
    return body
