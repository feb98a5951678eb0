"""A registry that does what a test says: plain HTTP on loopback, one answer per path or a function of the request."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.host.images.builder import CONFIG, LAYER, MANIFEST, Member, config_bytes, digest, layer_type, packed, tar


@dataclass
class Reply:
    """What the server sends. `cut` breaks the connection after so many bytes of the body."""

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: int | None = None
    length: int | None = None  # Content-Length, when it is to lie


@dataclass
class Asked:
    """A request as it came."""

    path: str
    headers: Mapping[str, str]
    body: bytes = b""
    method: str = "GET"


Script = Callable[[Asked], Reply | None]


class Server:
    """Serves `content` by path; `script` is asked first, and every request is kept in `asked`."""

    def __init__(self) -> None:
        self.content: dict[str, Reply] = {"/v2/": Reply(b"{}")}
        self.script: Script = lambda _: None
        self.asked: list[Asked] = []
        self._http = _Listener(("127.0.0.1", 0), _handler(self))
        self.host = f"127.0.0.1:{self._http.server_port}"

    def answer(self, asked: Asked) -> Reply:
        self.asked.append(asked)
        return self.script(asked) or self.content.get(asked.path) or Reply(b'{"errors":[{"code":"NOT_FOUND"}]}', 404)

    def paths(self, part: str) -> list[str]:
        return [asked.path for asked in self.asked if part in asked.path]

    def blob(self, content: bytes, repository: str = "app") -> dict[str, Any]:
        """Serve a blob; its digest and size."""
        self.content[f"/v2/{repository}/blobs/{digest(content)}"] = Reply(content)
        return {"digest": digest(content), "size": len(content)}

    def manifest(self, document: Any, tag: str = "1", kind: str = MANIFEST, repository: str = "app") -> str:
        """Serve a manifest or index by tag and digest; its digest."""
        text = document if isinstance(document, bytes) else json.dumps(document).encode()
        reply = Reply(text, headers={"Content-Type": kind} if kind else {})
        self.content[f"/v2/{repository}/manifests/{tag}"] = reply
        self.content[f"/v2/{repository}/manifests/{digest(text)}"] = reply
        return digest(text)

    def image(self, layers: Sequence[bytes], config: Mapping[str, Any] | None = None, tag: str = "1") -> str:
        """Serve a whole image; the digest of its manifest."""
        return self.manifest(self.image_manifest(layers, config), tag)

    def image_manifest(
        self, layers: Sequence[bytes], config: Mapping[str, Any] | None = None, architecture: str = "amd64"
    ) -> dict[str, Any]:
        """Serve config and layers; the manifest that fits them."""
        text = config_bytes(layers, config or {}, architecture)
        return {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": {"mediaType": CONFIG, **self.blob(text)},
            "layers": [{"mediaType": layer_type(layer), **self.blob(layer)} for layer in layers],
        }

    @contextmanager
    def running(self) -> Iterator[Server]:
        thread = threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._http.shutdown()
            self._http.server_close()
            thread.join()


class _Listener(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up in the middle is what many tests are about."""


def _handler(server: Server) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_POST(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            sent = self.rfile.read(int(headers.get("content-length", 0)))
            reply = server.answer(Asked(self.path, headers, sent, self.command))
            body = b"" if self.command == "HEAD" else reply.body if reply.cut is None else reply.body[: reply.cut]
            try:
                self.send_response(reply.status)
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(reply.body) if reply.length is None else reply.length))
                self.end_headers()
                self.wfile.write(body)
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True
            if reply.cut is not None or reply.length is not None:
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    return Handler


def one_file(name: str = "file", content: bytes = b"x") -> bytes:
    """A gzip layer with one file."""
    return packed(tar(Member(name, content)))


__all__ = ["LAYER", "Asked", "Reply", "Server", "one_file"]
