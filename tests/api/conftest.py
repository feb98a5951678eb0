"""A real server on a real socket, with a feed made by hand behind it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path

import pytest

from reconciler.api.server import Server, serve
from reconciler.settings import Settings
from tests.api.feed import EVENTS, SNAPSHOT, FakeFeed


class Client(HTTPConnection):
    """The standard library's HTTP over a Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=10)
        self.path = path

    def connect(self) -> None:
        self.sock = connect(self.path)

    def ask(self, target: str, method: str = "GET", **headers: str) -> HTTPResponse:
        self.request(method, target, headers={key.replace("_", "-"): value for key, value in headers.items()})
        return self.getresponse()


def connect(path: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(10)
    connection.connect(str(path))
    return connection


@dataclass
class Api:
    feed: FakeFeed
    server: Server
    path: Path

    def client(self) -> Client:
        return Client(self.path)

    def raw(self, text: bytes) -> bytes:
        """Everything that comes back until the server closes."""
        with connect(self.path) as connection:
            connection.sendall(text)
            return b"".join(iter(lambda: connection.recv(65536), b""))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(run=tmp_path / "run", specs=tmp_path / "specs", socket_group="no-such-group")


@pytest.fixture
def api(settings: Settings) -> Iterator[Api]:
    feed = FakeFeed(SNAPSHOT, EVENTS)
    server = serve(feed, settings)
    server.start()
    yield Api(feed, server, settings.socket)
    server.stop()
