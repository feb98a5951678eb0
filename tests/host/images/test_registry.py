"""The registry protocol by vector (RELIABILITY §1.5), against a server that misbehaves as told."""

from __future__ import annotations

import email.utils
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from reconciler.errors import HostError
from reconciler.host.images.store import ImageStore
from reconciler.settings import Settings
from tests.host.images.builder import INDEX, MANIFEST, digest
from tests.host.images.scripted import Asked, Reply, Server, one_file

pytestmark = [pytest.mark.root, pytest.mark.host]


@pytest.fixture
def server() -> Iterator[Server]:
    with Server().running() as made:
        yield made


@pytest.fixture
def other() -> Iterator[Server]:
    """Another host, as far as credentials are concerned: another port."""
    with Server().running() as made:
        yield made


class Pull:
    """A store that notes how long it would have slept."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.slept: list[float] = []
        self.store = ImageStore(Settings(state=state, registry_auth=state / "auth.json"), sleep=self.slept.append)
        self.store.recover()

    def __call__(self, reference: str) -> str:
        """The manifest's digest."""
        self.store.pull(reference, lambda _: None)
        return self.store.seen()[reference].digest

    def refusal(self, reference: str) -> str:
        with pytest.raises(HostError) as caught:
            self.store.pull(reference, lambda _: None)
        text = str(caught.value)
        assert text.startswith("cannot ")
        assert "\n" not in text
        assert not self.store.seen()
        return text


@pytest.fixture
def pull(tmp_path: Path) -> Pull:
    return Pull(tmp_path / "state")


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


# --- manifests ------------------------------------------------------------------------------------------------------

Change = Callable[[dict[str, Any]], Any]


def _with(**changes: Any) -> Change:
    return lambda manifest: {**manifest, **changes}


def _layer(**changes: Any) -> Change:
    return lambda manifest: {**manifest, "layers": [{**manifest["layers"][0], **changes}]}


MANIFESTS: dict[str, tuple[Change, str]] = {
    "R-10 path as digest": (_layer(digest="sha256:../../x"), "is not a SHA-256 digest"),
    "R-10 upper case": (_layer(digest="sha256:" + "A" * 64), "is not a SHA-256 digest"),
    "R-10 63 digits": (_layer(digest="sha256:" + "a" * 63), "is not a SHA-256 digest"),
    "R-10 65 digits": (_layer(digest="sha256:" + "a" * 65), "is not a SHA-256 digest"),
    "R-10 newline": (_layer(digest="sha256:" + "a" * 64 + "\n"), "is not a SHA-256 digest"),
    "R-10 md5": (_layer(digest="md5:" + "a" * 32), "is not a SHA-256 digest"),
    "R-10 sha512": (_layer(digest="sha512:" + "a" * 128), "is not a SHA-256 digest"),
    "R-10 empty": (_layer(digest=""), "is not a SHA-256 digest"),
    "R-10 number": (_layer(digest=5), "is not a SHA-256 digest"),
    "R-10 unicode digits": (_layer(digest="sha256:" + "\uff11" * 64), "is not a SHA-256 digest"),
    "R-13 size -1": (_layer(size=-1), "size -1 of a descriptor is not possible"),
    "R-13 size 2**63": (_layer(size=2**63), "is not possible"),
    "R-13 size 1.5": (_layer(size=1.5), "size 1.5 of a descriptor is not possible"),
    "R-13 size as text": (_layer(size="5"), "size 5 of a descriptor is not possible"),
    "R-13 size true": (_layer(size=True), "size True of a descriptor is not possible"),
    "R-13 one byte more": (
        lambda m: {**m, "layers": [{**m["layers"][0], "size": m["layers"][0]["size"] + 1}]},
        "broke off at byte",
    ),
    "R-13 one byte fewer": (
        lambda m: {**m, "layers": [{**m["layers"][0], "size": m["layers"][0]["size"] - 1}]},
        "it has more than the announced",
    ),
    "R-20 both at once": (_with(manifests=[]), "it is a manifest and an index at once"),
    "R-21 another type inside": (_with(mediaType=INDEX), "was announced as"),
    "R-21 type is no text": (_with(mediaType=5), "it is of type '5'"),
    "R-22 keys differ in case": (_with(Layers=[]), "two keys differ in case only"),
    "R-22 key twice": (lambda _: b'{"schemaVersion": 2, "layers": [], "layers": []}', "a key stands twice"),
    "R-24 schema 1": (_with(schemaVersion=1), "Docker schema 1 is not supported"),
    "R-24 fsLayers": (_with(fsLayers=[]), "Docker schema 1 is not supported"),
    "schema 3": (_with(schemaVersion=3), "schemaVersion is not 2"),
    "R-26 artifact": (_with(artifactType="application/vnd.example"), "it is not a runnable image"),
    "R-26 helm chart": (
        lambda m: {**m, "config": {**m["config"], "mediaType": "application/vnd.cncf.helm.config.v1+json"}},
        "it is not a runnable image: its config is 'application/vnd.cncf.helm.config.v1+json'",
    ),
    "R-26 encrypted layer": (
        _layer(mediaType="application/vnd.oci.image.layer.v1.tar+gzip+encrypted"),
        "is not supported",
    ),
    "R-27 no layers": (_with(layers=[]), "it has no layers"),
    "R-27 no list of layers": (_with(layers=None), "it has no layers"),
    "R-27 500 layers": (lambda m: {**m, "layers": m["layers"] * 500}, "it has 500 layers, and overlayfs mounts 128"),
    "U-49 more layers than diffIDs": (
        lambda m: {**m, "layers": m["layers"] * 2},
        "its manifest has 2 layers, its config 1",
    ),
    "no config": (_with(config=None), "a descriptor is not an object"),
    "config without type": (lambda m: {**m, "config": {"digest": "x"}}, "a descriptor has no media type"),
    "config missing": (
        lambda m: {**m, "config": {**m["config"], "digest": "sha256:" + "0" * 64}},
        "answered 404 Not Found",
    ),
    "layer missing": (_layer(digest="sha256:" + "0" * 64), "answered 404 Not Found"),
    "not JSON": (lambda _: b"{", "it is not JSON"),
    "R-50 a web page": (lambda _: b"<html>Please log in</html>", "it is not JSON"),
    "a list": (lambda _: b"[]", "it is not a JSON object"),
    "nested": (lambda _: b'{"a":' * 100_000, "it is nested too deeply"),
    "nested lists": (lambda _: b'{"a":' + b"[" * 70 + b"]" * 70 + b"}", "it is nested too deeply"),
    "NaN": (lambda _: b'{"schemaVersion": NaN}', "NaN is not JSON"),
    "5000 digits": (lambda _: b'{"schemaVersion": ' + b"1" * 5000 + b"}", "it is not JSON"),
    "UTF-16": (lambda _: '{"schemaVersion": 2}'.encode("utf-16"), "it is not JSON"),
    "BOM": (lambda _: b'\xef\xbb\xbf{"schemaVersion": 2}', "it is not JSON"),
    "R-40 5 MiB": (lambda _: b" " * (5 << 20), "it has more than 4194304 bytes"),
}


@pytest.mark.parametrize("name", MANIFESTS)
def test_manifests_that_are_refused(name: str, server: Server, pull: Pull) -> None:
    change, why = MANIFESTS[name]
    server.manifest(change(server.image_manifest([one_file()])))
    assert why in pull.refusal(f"{server.host}/app:1")


def test_the_digest_of_the_header_counts(server: Server, pull: Pull) -> None:
    """R-12."""
    server.image([one_file()])
    reply = server.content["/v2/app/manifests/1"]
    server.content["/v2/app/manifests/1"] = Reply(
        reply.body, headers={**reply.headers, "Docker-Content-Digest": digest(b"")}
    )
    assert "was asked for, and sha256:" in pull.refusal(f"{server.host}/app:1")


def test_by_digest_only_that_content_is_taken(server: Server, pull: Pull) -> None:
    """R-12, R-51: everything after the first answer goes by digest."""
    wanted = server.image([one_file("a")])
    assert pull(f"{server.host}/app@{wanted}") == wanted
    server.content[f"/v2/app/manifests/{wanted}"] = Reply(b"{}", headers={"Content-Type": MANIFEST})
    with pytest.raises(HostError, match="was asked for, and sha256:"):
        pull.store.pull(f"{server.host}/app:2@{wanted}", lambda _: None)


def test_foreign_urls_and_embedded_data_are_ignored(server: Server, other: Server, pull: Pull) -> None:
    """R-23, R-30."""
    manifest = server.image_manifest([one_file()])
    manifest["layers"][0] |= {"urls": [f"http://{other.host}/layer", "file:///etc/passwd"], "data": "AAAA"}
    wanted = server.manifest(manifest)
    assert pull(f"{server.host}/app:1") == wanted
    assert other.asked == []


def test_a_manifest_without_a_type_of_its_own(server: Server, pull: Pull) -> None:
    """R-21: OCI manifests need not say what they are."""
    manifest = server.image_manifest([one_file()])
    del manifest["mediaType"]
    wanted = server.manifest(manifest)
    assert pull(f"{server.host}/app:1") == wanted


def test_the_same_layer_forty_times_is_fetched_and_mounted_once(server: Server, pull: Pull) -> None:
    """R-27: overlayfs takes no layer twice."""
    layer = one_file()
    server.image([layer] * 40)
    pull(f"{server.host}/app:1")
    assert len(server.paths(digest(layer))) == 1
    assert len(pull.store.lower(pull.store.seen()[f"{server.host}/app:1"])[1]) == 1


# --- indexes ---------------------------------------------------------------------------------------------------------


def entry(server: Server, manifest: dict[str, Any], **platform: str) -> dict[str, Any]:
    text = json.dumps(manifest).encode()
    found = {"mediaType": MANIFEST, "digest": server.manifest(text, "by-index"), "size": len(text)}
    return {**found, "platform": platform} if platform else found


def index(*entries: dict[str, Any]) -> dict[str, Any]:
    return {"schemaVersion": 2, "mediaType": INDEX, "manifests": list(entries)}


def test_the_platform_is_chosen_and_attestations_are_skipped(server: Server, pull: Pull) -> None:
    """R-25."""
    ours = server.image_manifest([one_file("ours")])
    attestation = {
        **entry(server, ours, os="unknown", architecture="unknown"),
        "annotations": {"vnd.docker.reference.type": "attestation-manifest"},
    }
    arm = entry(
        server,
        server.image_manifest([one_file("arm")], architecture="arm64"),
        os="linux",
        architecture="arm64",
        variant="v8",
    )
    chosen = entry(server, ours, os="linux", architecture="amd64")
    server.manifest(index(attestation, arm, chosen), kind=INDEX)
    assert pull(f"{server.host}/app:1") == chosen["digest"]


def test_an_index_without_our_platform_says_what_it_has(server: Server, pull: Pull) -> None:
    image = server.image_manifest([one_file()])
    server.manifest(
        index(
            entry(server, image, os="linux", architecture="arm64"),
            entry(server, image, os="windows", architecture="amd64"),
        ),
        kind=INDEX,
    )
    assert "there is none for linux/amd64; there is linux/arm64, windows/amd64" in pull.refusal(f"{server.host}/app:1")


def test_an_index_of_indexes_has_an_end(server: Server, pull: Pull) -> None:
    image = server.image_manifest([one_file()])
    inner = index(entry(server, image, os="linux", architecture="amd64"))
    for depth in range(4):
        text = json.dumps(inner).encode()
        found = {"mediaType": INDEX, "digest": server.manifest(text, f"d{depth}", INDEX), "size": len(text)}
        inner = index({**found, "platform": {"os": "linux", "architecture": "amd64"}})
    assert pull(f"{server.host}/app:d1")
    server.manifest(inner, kind=INDEX)
    other = Pull(pull.state / "other")
    assert "an index lists an index that lists an index" in other.refusal(f"{server.host}/app:d3")


def test_an_index_with_too_many_entries(server: Server, pull: Pull) -> None:
    image = entry(server, server.image_manifest([one_file()]), os="linux", architecture="amd64")
    server.manifest(index(*[image] * 1001), kind=INDEX)
    assert "it lists 1001 manifests" in pull.refusal(f"{server.host}/app:1")


def test_an_image_for_another_machine(server: Server, pull: Pull) -> None:
    """C-13."""
    server.manifest(server.image_manifest([one_file()], architecture="s390x"))
    assert "the image is for linux/s390x, the host is linux/amd64" in pull.refusal(f"{server.host}/app:1")


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
