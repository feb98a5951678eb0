"""Proxies of the environment (R-49): documents and blobs take the same way."""

from __future__ import annotations

import base64
import http.client
import os
import ssl
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from reconciler.errors import HostError
from reconciler.host.images.route import connect, proxy_for
from reconciler.host.images.store import ImageStore
from reconciler.settings import Settings
from tests.host.images.scripted import Asked, Reply, Server, one_file

NAME = "registry.invalid:5000"


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "no_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def server() -> Iterator[Server]:
    with Server().running() as made:
        yield made


@pytest.mark.parametrize(
    ("url", "proxy"),
    [
        ("https://r.example/v2/", "http://secure:3128"),
        ("http://r.example/v2/", "http://plain:3128"),
        ("http://r.internal/v2/", ""),
        ("http://127.0.0.1:5000/v2/", ""),
        ("http://localhost/v2/", ""),
        ("http://[::1]:5000/v2/", ""),
    ],
)
def test_which_proxy(url: str, proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://secure:3128")
    monkeypatch.setenv("http_proxy", "plain:3128")
    monkeypatch.setenv("no_proxy", ".internal")
    assert proxy_for(urlsplit(url)) == proxy


def test_tls_goes_through_a_tunnel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://me:pass%20word@proxy:3128")
    connection, path, headers = connect(urlsplit("https://r.example/v2/x?y=z"), ssl.create_default_context(), 5)
    assert isinstance(connection, http.client.HTTPSConnection)
    assert (connection.host, connection.port, path, headers) == ("proxy", 3128, "/v2/x?y=z", {})


@pytest.mark.root
@pytest.mark.host
def test_a_pull_through_a_proxy(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = server.image([one_file("a", os.urandom(5000))])
    monkeypatch.setenv("http_proxy", f"http://me:secret@{server.host}")
    server.script = lambda asked: server.content.get(asked.path.removeprefix(f"http://{NAME}"))
    store = ImageStore(Settings(state=tmp_path, insecure_registries=(NAME,)), sleep=lambda _: None)
    store.recover()
    store.pull(f"{NAME}/app:1", lambda _: None)
    assert store.seen()[f"{NAME}/app:1"].digest == wanted
    assert {asked.headers["proxy-authorization"] for asked in server.asked} == {
        "Basic " + base64.b64encode(b"me:secret").decode()
    }
    assert all(asked.path.startswith(f"http://{NAME}/v2/") for asked in server.asked)


@pytest.mark.root
@pytest.mark.host
def test_a_proxy_that_wants_a_login(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", f"http://{server.host}")

    def refuse(_: Asked) -> Reply:
        return Reply(b"who are you", 407, {"Proxy-Authenticate": "Basic realm=x"})

    server.script = refuse
    store = ImageStore(Settings(state=tmp_path, insecure_registries=(NAME,)), sleep=lambda _: None)
    store.recover()
    with pytest.raises(HostError, match="answered 407 Proxy Authentication Required"):
        store.pull(f"{NAME}/app:1", lambda _: None)
    assert not any("authorization" in asked.headers for asked in server.asked)
