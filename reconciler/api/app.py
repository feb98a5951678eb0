"""The closed table of routes, and the door in front of it.

Only GET and HEAD, only the paths that stand here; no path ever reaches a file. An answer is a pure function of a
question (`native`, `docker`); this puts answers behind routes and gives what they refuse a status and a sentence.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Awaitable, Callable

from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from reconciler import __version__
from reconciler.api import docker, events, native
from reconciler.api.docker.system import API_MINIMUM, API_VERSION
from reconciler.api.question import Answer, Question, RefusalError, encode
from reconciler.api.refusals import refusal
from reconciler.api.stream import Doorbell
from reconciler.core.status import Feed, Snapshot
from reconciler.settings import Settings

log = logging.getLogger(__name__)

Endpoint = Callable[[Request], Awaitable[Response]]

_PREFIX = re.compile(r"/v1\.(\d{1,3})(?=/)")
_OLDEST_PREFIX = 21  # libnss-docker still says /v1.21; nothing that we serve differs by version
_MOST_HEADERS = 100
_TOLD = 4  # different answers of a route kept for a second, so that many pollers cost little more than one
_HEADERS = {
    "Api-Version": API_VERSION,
    "Docker-Experimental": "false",
    "Ostype": "linux",
    "Server": f"reconciler/{__version__} (linux)",
}
_PING = {"Cache-Control": "no-cache, no-store, must-revalidate", "Pragma": "no-cache", "Swarm": "inactive"}


def application(feed: Feed, settings: Settings, doorbell: Doorbell) -> ASGIApp:
    """Everything that the socket answers."""
    routes = [Route(path, _endpoint(feed, answer)) for path, answer in {**native.ANSWERS, **docker.ANSWERS}.items()]
    routes += [
        Route("/_ping", _ping),
        Route("/v1/events", events.native(feed, doorbell)),
        Route("/events", events.docker(feed, doorbell)),
    ]

    async def unknown(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        served = error.status_code == 405
        return _refused(refusal(request.method, request.url.path, served, feed.current(), settings))

    async def refused(_: Request, error: Exception) -> Response:
        assert isinstance(error, RefusalError)
        return _refused(error)

    async def broken(request: Request, error: Exception) -> Response:
        log.error("cannot answer %s: %r", request.url.path, error)
        return _refused(RefusalError(500, "cannot answer: the daemon made a mistake, and its log says which"))

    app = Starlette(
        routes=routes, exception_handlers={HTTPException: unknown, RefusalError: refused, Exception: broken}
    )
    app.router.redirect_slashes = False
    return Door(app)


class Door:
    """Looks at every request before the routes do, at its body and its version, and marks every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        body = _has_body(scope)

        async def mark(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(_HEADERS)
                if body:
                    headers["Connection"] = "close"  # what is left unread must not be taken for the next request
            await send(message)

        no = _turned_away(scope, body)
        inner = _unversioned(scope)
        await (self._app if no is None else _refused(no))(inner, receive, mark)


def _has_body(scope: Scope) -> bool:
    headers = Headers(scope=scope)
    return "transfer-encoding" in headers or headers.get("content-length", "0") != "0"


def _turned_away(scope: Scope, body: bool) -> RefusalError | None:
    """Why a request is refused before its path is looked at."""
    prefix = _PREFIX.match(scope["path"])
    if prefix and int(prefix[1]) < _OLDEST_PREFIX:
        return RefusalError(
            400,
            f"client version 1.{int(prefix[1])} is too old. Minimum supported API version is {API_MINIMUM}, "
            "please upgrade your client to a newer version",
        )
    if len(scope["headers"]) > _MOST_HEADERS:
        return RefusalError(431, f"cannot read more than {_MOST_HEADERS} headers")
    if body and scope["method"] in {"GET", "HEAD"}:
        return RefusalError(413, "cannot take a request body: this socket only answers questions")
    return None


def _unversioned(scope: Scope) -> Scope:
    return {**scope, "path": _PREFIX.sub("", scope["path"], count=1)} if _PREFIX.match(scope["path"]) else scope


def _endpoint(feed: Feed, answer: Answer) -> Endpoint:
    told: dict[str, bytes] = {}
    moment: tuple[Snapshot, int] | None = None

    async def endpoint(request: Request) -> Response:
        nonlocal moment
        snapshot, now = feed.current(), time.time()
        if moment is None or moment[0] is not snapshot or moment[1] != int(now) or len(told) >= _TOLD:
            told.clear()
            moment = snapshot, int(now)
        asked = f"{request.path_params}?{request.url.query}"
        if asked not in told:
            question = Question(
                snapshot=snapshot,
                now=now,
                path=request.path_params,
                query=request.query_params,
                history=feed.history,
            )
            told[asked] = encode(answer(question))
        return Response(told[asked], media_type="application/json")

    return endpoint


async def _ping(_: Request) -> Response:
    return Response("OK", media_type="text/plain", headers=_PING)


def _refused(no: RefusalError) -> Response:
    headers = {"Allow": "GET, HEAD"} if no.status == 405 else None
    return Response(encode({"message": str(no)}), no.status, headers, "application/json")
