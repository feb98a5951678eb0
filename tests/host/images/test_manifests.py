"""Manifests and indexes by vector (RELIABILITY §1.5), from a server that misbehaves as told."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from reconciler.errors import HostError
from tests.host.images.builder import INDEX, MANIFEST, digest
from tests.host.images.pulling import Pull
from tests.host.images.scripted import Reply, Server, one_file

pytestmark = [pytest.mark.root, pytest.mark.host]


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
    "R-13 size as text": (_layer(size="5"), "size '5' of a descriptor is not possible"),
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
