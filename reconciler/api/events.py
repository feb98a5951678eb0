"""The two streams of events: the native one as JSON lines, and the Docker one with since, until and filters.

Both replay what the feed still keeps and then, when asked to, follow. The mapping of one event is pure and stands
in `native` and `docker.events`.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from reconciler.api import native as plain
from reconciler.api.docker import events as view
from reconciler.api.docker.filters import parse
from reconciler.api.question import Question, encode
from reconciler.api.stream import Doorbell
from reconciler.core.status import Feed

Endpoint = Callable[[Request], Awaitable[Response]]


def native(feed: Feed, doorbell: Doorbell) -> Endpoint:
    """`/v1/events?after=N&follow=1`: events with a sequence above N, one JSON object on each line."""

    async def endpoint(request: Request) -> Response:
        question = _question(feed, request)
        after = int(question.number("after") or 0)
        if not question.flag("follow"):
            kept = b"".join(encode(plain.event(event)) for event in feed.events(after))
            return Response(kept, media_type="application/x-ndjson")

        async def lines() -> AsyncIterator[bytes]:
            async for event in doorbell.follow(after):
                yield encode(plain.event(event))

        return StreamingResponse(lines(), media_type="application/x-ndjson")

    return endpoint


def docker(feed: Feed, doorbell: Doorbell) -> Endpoint:
    """`/events`: as dockerd; without `since` only what is to come, without `until` without end."""

    async def endpoint(request: Request) -> Response:
        question = _question(feed, request)
        filters = parse(question.query.get("filters", ""), view.FILTERS)
        since, until = question.number("since"), question.number("until")
        kept = feed.events(0)
        after = kept[-1].sequence if kept and since is None else 0

        async def lines() -> AsyncIterator[bytes]:
            async for event in doorbell.follow(after, None if until is None else until - question.now):
                shown = view.shown(event, feed.current())
                if event.at >= (since or 0) and shown and view.accepts(shown, filters):
                    yield encode(shown)

        return StreamingResponse(lines(), media_type="application/json")

    return endpoint


def _question(feed: Feed, request: Request) -> Question:
    return Question(snapshot=feed.current(), now=time.time(), query=request.query_params)
