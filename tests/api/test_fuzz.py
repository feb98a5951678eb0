"""Any path, any query, any bytes: always an answer from the closed list, and the next reader is served."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.api import docker, native
from reconciler.api.server import serve
from reconciler.settings import Settings
from tests.api.conftest import Client, connect
from tests.api.feed import EVENTS, SECRET, SNAPSHOT, FakeFeed

ANSWERS = {200, 400, 403, 404, 405, 413, 431, 501, 503}
NOUNS = ["containers", "images", "networks", "volumes", "json", "v1", "v1.44", "status", "_ping", "events", "..", ".",
         "", "shop-web-1", "logs", "archive", "system", "df", "swarm", "exec"]  # fmt: skip
KEYS = ["all", "limit", "filters", "since", "until", "after", "size"]

segments = st.sampled_from(NOUNS) | st.text(max_size=8)
paths = st.one_of(
    st.lists(segments, max_size=5).map(lambda parts: "/" + "/".join(parts)),
    st.sampled_from([*native.ANSWERS, *docker.ANSWERS]).flatmap(
        lambda route: st.text(max_size=9).map(lambda id: route.replace("{id}", id).replace("{id:path}", id))
    ),
)
values = st.one_of(
    st.text(max_size=9), st.integers().map(str), st.floats().map(str),
    st.dictionaries(st.sampled_from(["name", "label", "status", "id", "x"]), st.lists(st.text(max_size=5)))
    .map(json.dumps),
)  # fmt: skip
queries = st.dictionaries(st.sampled_from(KEYS), values, max_size=3)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    own = Settings(run=tmp_path_factory.mktemp("run"))
    server = serve(FakeFeed(SNAPSHOT, EVENTS), own)
    server.start()
    yield own.socket
    server.stop()


@settings(max_examples=300, deadline=None)
@given(paths, queries)
def test_any_request_gets_an_answer_and_no_secret(path: Path, target: str, query: dict[str, str]) -> None:
    query = {**query, "until": "1"}  # so that streams end
    asked = quote(target, safe="/") + "?" + "&".join(f"{key}={quote(value)}" for key, value in query.items())
    client = Client(path)
    response = client.ask(asked)
    body = response.read()
    client.close()
    assert response.status in ANSWERS
    assert SECRET.encode() not in body
    if response.headers["Content-Type"] == "application/json" and response.status != 200:
        assert list(json.loads(body)) == ["message"]
        assert body.count(b"\n") == 1


HEADERS = [b"Host: x", b"Content-Length: 3", b"Connection: close", b"Transfer-Encoding: chunked", b"Upgrade: h2c", b""]
lines = st.sampled_from([b"GET /_ping HTTP/1.1", *HEADERS, b"3\r\nabc", b"0\r\n"]).map(lambda line: line + b"\r\n")


@settings(max_examples=200, deadline=None)
@given(st.lists(lines | st.binary(max_size=40), max_size=8).map(b"".join))
def test_any_bytes_leave_the_next_reader_served(path: Path, text: bytes) -> None:
    with connect(path) as connection:
        connection.sendall(text)
    client = Client(path)
    assert client.ask("/_ping").read() == b"OK"
    client.close()
