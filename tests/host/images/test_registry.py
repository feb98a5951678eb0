"""The registry protocol by vector (RELIABILITY §1.5), against a server that misbehaves as told."""

from __future__ import annotations

import email.utils
import os
from collections.abc import Callable

import pytest

from tests.host.images.builder import digest
from tests.host.images.pulling import Pull
from tests.host.images.scripted import Asked, Reply, Server, one_file

pytestmark = [pytest.mark.root, pytest.mark.host]


def token_server(server: Server, realm: Server, answer: bytes, good: str = "t0ken") -> None:
    """`server` asks for a token of `realm`, which gives `answer`."""
    challenge = f'Bearer realm="http://{realm.host}/token",service="reg, istry",scope="repository:app:pull"'

    def script(asked: Asked) -> Reply | None:
        if asked.path == "/v2/" or asked.headers.get("authorization") == f"Bearer {good}":
            return None
        return Reply(b"{}", 401, {"WWW-Authenticate": challenge})

    server.script = script
    realm.script = lambda asked: Reply(answer) if asked.path.startswith("/token") else None


# --- tokens ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        b'{"token": "t0ken"}',
        b'{"access_token": "t0ken", "expires_in": 0}',
        b'{"token": "t0ken", "access_token": "other", "expires_in": -5}',
        b'{"token": "t0ken", "expires_in": 300, "issued_at": "0001-01-01T00:00:00Z"}',
        b'{"token": "t0ken", "expires_in": "soon"}',
    ],
)
def test_anonymous_tokens(answer: bytes, server: Server, other: Server, pull: Pull) -> None:
    """R-01: one token serves the manifest, the config and the layers."""
    wanted = server.image([one_file("a"), one_file("b")])
    token_server(server, other, answer)
    assert pull(f"{server.host}/app:1") == wanted
    assert other.paths("/token") == ["/token?service=reg%2C+istry&scope=repository%3Aapp%3Apull"]


def test_a_token_that_does_not_help_is_tried_once(server: Server, other: Server, pull: Pull) -> None:
    """R-02."""
    server.image([one_file()])
    token_server(server, other, b'{"token": "wrong"}')
    assert "refuses it to those who have not logged in" in pull.refusal(f"{server.host}/app:1")
    assert len(server.paths("manifests")) == 2
    assert pull.slept == []


def test_a_token_that_ends_in_the_middle(server: Server, other: Server, pull: Pull) -> None:
    """R-06: a new token, and nothing fetched twice."""
    layers = [one_file("a", os.urandom(300_000)), one_file("b")]
    wanted = server.image(layers)
    token_server(server, other, b'{"token": "t0ken"}')
    first = server.script
    cut: list[Asked] = []

    def script(asked: Asked) -> Reply | None:
        if digest(layers[0]) in asked.path and not cut:
            cut.append(asked)
            token_server(server, other, b'{"token": "second"}', "second")
            return Reply(layers[0], cut=100_000)
        return first(asked) if not cut else server.script(asked)

    server.script = script
    assert pull(f"{server.host}/app:1") == wanted
    ranges = [asked.headers.get("range") for asked in server.asked if digest(layers[0]) in asked.path]
    assert ranges[0] is None
    assert set(ranges[1:]) == {"bytes=100000-"}


@pytest.mark.parametrize(
    ("header", "why"),
    [
        ("", "asks for a user, and nobody has logged in there"),
        ('Basic realm="x"', "asks for a user, and nobody has logged in there"),
        ("Bearer", "its token server '' is not a web address"),
        ('Bearer realm="http://127.0.0.1/token', "its token server '' is not a web address"),
        ('Bearer realm="file:///etc/passwd"', "is not a web address"),
        ('Bearer realm="http://user:secret@127.0.0.1/"', "is not a web address"),
        ('Bearer realm="http://169.254.169.254/latest"', "is a private address"),
        ('Bearer realm="http://10.0.0.1/token"', "is a private address"),
        ("Digest " + "a" * 20000, "asks for a user, and nobody has logged in there"),
    ],
)
def test_challenges_that_lead_nowhere(header: str, why: str, server: Server, pull: Pull) -> None:
    """R-03, R-04."""
    server.image([one_file()])
    server.script = lambda asked: (
        Reply(status=401, headers={"WWW-Authenticate": header}) if "mani" in asked.path else None
    )
    assert why in pull.refusal(f"{server.host}/app:1")


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"<html>", "did not answer with JSON"),
        (b'{"token": ""}', "gave no token"),
        (b'{"token": "a\\r\\nX-Evil: 1"}', "gave no token"),
        (b"[]", "gave no token"),
        (b" " * (2 << 20), "it has more than 1048576 bytes"),
    ],
)
def test_token_answers_that_are_none(answer: bytes, why: str, server: Server, other: Server, pull: Pull) -> None:
    """R-05."""
    server.image([one_file()])
    token_server(server, other, answer)
    assert why in pull.refusal(f"{server.host}/app:1")


# --- redirects ----------------------------------------------------------------------------------------------------


def test_blobs_may_be_elsewhere_but_credentials_stay(server: Server, other: Server, pull: Pull) -> None:
    """R-30, R-31: the token goes to the registry only."""
    layer = one_file()
    wanted = server.image([layer])
    token_server(server, server, b'{"token": "t0ken"}')
    before = server.script
    other.content["/cdn?sig=1"] = Reply(layer)

    def script(asked: Asked) -> Reply | None:
        if asked.path.startswith("/token"):
            return Reply(b'{"token": "t0ken"}')
        denied = before(asked)
        if digest(layer) in asked.path and denied is None:
            return Reply(status=307, headers={"Location": f"http://{other.host}/cdn?sig=1", "Set-Cookie": "a=b"})
        return denied

    server.script = script
    assert pull(f"{server.host}/app:1") == wanted
    (request,) = other.asked
    assert not {"authorization", "cookie"} & set(request.headers)
    assert not any("cookie" in asked.headers for asked in server.asked)


@pytest.mark.parametrize(
    ("location", "why"),
    [
        ("file:///etc/passwd", "its target is no web address"),
        ("http://user:pass@127.0.0.1:1/", "its target is no web address"),
        ("http://[fe80::1%25eth0]/x", "its target is no"),
        ("http://[broken", "its target is no address"),
        ("", "there are more than 10"),
    ],
)
def test_redirects_that_are_not_followed(location: str, why: str, server: Server, pull: Pull) -> None:
    """R-31."""
    layer = one_file()
    server.image([layer])
    server.script = lambda asked: (
        Reply(status=307, headers={"Location": location or asked.path}) if digest(layer) in asked.path else None
    )
    text = pull.refusal(f"{server.host}/app:1")
    assert why in text
    assert "pass@" not in text


# --- failures on the way -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_busy_registry_is_asked_again(status: int, server: Server, pull: Pull) -> None:
    """R-42."""
    wanted = server.image([one_file()])
    failed: list[Asked] = []

    def script(asked: Asked) -> Reply | None:
        if asked.path == "/v2/" or len(failed) == 2:
            return None
        failed.append(asked)
        return Reply(b"busy", status)

    server.script = script
    assert pull(f"{server.host}/app:1") == wanted
    assert pull.slept == [0.4, 0.8]


def test_a_registry_that_stays_busy_is_left_to_the_queue(server: Server, pull: Pull) -> None:
    server.script = lambda asked: Reply(b"try\nlater\x1b[1m", 503) if asked.path != "/v2/" else None
    text = pull.refusal(f"{server.host}/app:1")
    assert text == f"cannot pull {server.host}/app:1: 127.0.0.1 answered 503 Service Unavailable: try later\\x1b[1m"
    assert len(pull.slept) == 4


@pytest.mark.parametrize(
    ("header", "waits"),
    [("2", [2.0]), ("0", [0.0]), ("junk", [0.4]), ("", [0.4]), ("Wed, 21 Oct 2015 07:28:00 GMT", [0.0])],
)
def test_retry_after(header: str, waits: list[float], server: Server, pull: Pull) -> None:
    """R-41."""
    wanted = server.image([one_file()])
    failed: list[Asked] = []

    def script(asked: Asked) -> Reply | None:
        if asked.path == "/v2/" or failed:
            return None
        failed.append(asked)
        return Reply(status=429, headers={"Retry-After": header})

    server.script = script
    assert pull(f"{server.host}/app:1") == wanted
    assert pull.slept == waits


@pytest.mark.parametrize("header", ["86400", email.utils.formatdate(4_000_000_000)])
def test_a_long_wait_is_left_to_the_queue(header: str, server: Server, pull: Pull) -> None:
    server.script = lambda asked: Reply(status=429, headers={"Retry-After": header}) if asked.path != "/v2/" else None
    assert "and asks to wait" in pull.refusal(f"{server.host}/app:1")
    assert pull.slept == []


@pytest.mark.parametrize("cut", [0, 1, 150_000, -1])
def test_a_broken_transfer_is_taken_up_where_it_broke(cut: int, server: Server, pull: Pull) -> None:
    """R-44."""
    layer = one_file("a", os.urandom(300_000))
    wanted = server.image([layer])
    cut %= len(layer)
    tries: list[Asked] = []

    def script(asked: Asked) -> Reply | None:
        if digest(layer) not in asked.path:
            return None
        tries.append(asked)
        start = asked.headers.get("range", "").removeprefix("bytes=").removesuffix("-")
        if not start:
            return Reply(layer, cut=cut if len(tries) == 1 else None)
        part = layer[int(start) :]
        return Reply(part, 206, {"Content-Range": f"bytes {start}-{len(layer) - 1}/{len(layer)}"})

    server.script = script
    assert pull(f"{server.host}/app:1") == wanted
    assert [asked.headers.get("range") for asked in tries] == [None, f"bytes={cut}-" if cut else None]


def test_a_server_without_ranges_starts_again_and_nothing_is_unpacked_twice(server: Server, pull: Pull) -> None:
    layer = one_file("a", os.urandom(300_000))
    wanted = server.image([layer])
    tries: list[Asked] = []

    def script(asked: Asked) -> Reply | None:
        if digest(layer) not in asked.path:
            return None
        tries.append(asked)
        return Reply(layer, cut=200_000 if len(tries) == 1 else 250_000 if len(tries) == 2 else None)

    server.script = script
    assert pull(f"{server.host}/app:1") == wanted
    assert len(tries) == 3


@pytest.mark.parametrize("span", ["bytes 0-299/300", "junk", "", "bytes 5-"])
def test_another_part_than_asked_for_is_refused(span: str, server: Server, pull: Pull) -> None:
    layer = one_file("a", os.urandom(300_000))
    server.image([layer])
    server.script = lambda asked: (
        None
        if digest(layer) not in asked.path
        else Reply(layer[9:], 206, {"Content-Range": span})
        if "range" in asked.headers
        else Reply(layer, cut=100_000)
    )
    assert "the registry sent another part" in pull.refusal(f"{server.host}/app:1")


@pytest.mark.parametrize(
    "change", [lambda blob: blob[:-1] + b"?", lambda blob: blob + b"more", lambda blob: blob.swapcase()]
)
def test_another_blob_than_asked_for_is_refused(change: Callable[[bytes], bytes], server: Server, pull: Pull) -> None:
    """R-13, R-45: nothing of it is ever visible."""
    layer = one_file("a", os.urandom(300_000))
    server.image([layer])
    server.content[f"/v2/app/blobs/{digest(layer)}"] = Reply(change(layer))
    assert "cannot unpack layer" in pull.refusal(f"{server.host}/app:1")
    assert not [path for part in ("layers", "tmp", "images") for path in (pull.state / "images" / part).iterdir()]


def test_swapped_layers_are_refused(server: Server, pull: Pull) -> None:
    """U-49."""
    manifest = server.image_manifest([one_file("a"), one_file("b")])
    manifest["layers"].reverse()
    server.manifest(manifest)
    assert "it has the diffID sha256:" in pull.refusal(f"{server.host}/app:1")


def test_a_registry_that_is_not_there(pull: Pull) -> None:
    assert "Connection refused" in pull.refusal("127.0.0.1:1/app:1")


def test_an_image_that_is_not_there(server: Server, pull: Pull) -> None:
    assert "answered 404 Not Found" in pull.refusal(f"{server.host}/app:nope")


def test_a_finished_layer_is_not_fetched_again(server: Server, pull: Pull) -> None:
    """F-032: after a pull that failed at its second layer."""
    first, second = one_file("a"), one_file("b")
    wanted = server.image([first, second])
    reply = server.content.pop(f"/v2/app/blobs/{digest(second)}")
    pull.refusal(f"{server.host}/app:1")
    server.content[f"/v2/app/blobs/{digest(second)}"] = reply
    assert pull(f"{server.host}/app:1") == wanted
    assert len(server.paths(digest(first))) == 1
