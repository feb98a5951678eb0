"""Signatures as cosign leaves them beside an image, with real keys: who gets in, who does not, and what is noted."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, SECP384R1, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as generate_ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from reconciler.core.trust import TYPE
from reconciler.errors import HostError
from reconciler.host.images.keys import verifier
from reconciler.host.images.store import ImageStore
from reconciler.host.images.trust import ANNOTATION, KIND, SIGNATURES, read_signatures
from reconciler.settings import Settings, TrustPolicy, TrustRule
from tests.host.images.builder import CONFIG, INDEX, MANIFEST, build_layout
from tests.host.images.scripted import Reply, Server, one_file

pytestmark = pytest.mark.root

Key = EllipticCurvePrivateKey | Ed25519PrivateKey
NEW_KEYS: dict[str, Callable[[], Key]] = {
    "ecdsa": lambda: generate_ec(SECP256R1()),
    "ed25519": Ed25519PrivateKey.generate,
}


def sign(key: Key, text: bytes) -> bytes:
    return key.sign(text) if isinstance(key, Ed25519PrivateKey) else key.sign(text, ECDSA(SHA256()))


def public(key: Key) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def payload(digest: str, name: str) -> bytes:
    critical = {"identity": {"docker-reference": name}, "image": {"docker-manifest-digest": digest}, "type": TYPE}
    return json.dumps({"critical": critical, "optional": None}).encode()


def attach(server: Server, digest: str, *signed: tuple[bytes, bytes]) -> None:
    """Put signatures (text, signature) beside the image `digest`."""
    layers = [
        {
            "mediaType": KIND,
            **server.blob(text),
            "annotations": {ANNOTATION: base64.b64encode(signature).decode()},
        }
        for text, signature in signed
    ]
    config = {"mediaType": CONFIG, **server.blob(b"{}")}
    document = {"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers}
    server.manifest(document, f"{digest.replace(':', '-')}.sig")


class Place:
    """A registry with one image, and a store that asks for signatures by `key`."""

    def __init__(self, server: Server, folder: Path, key: Key) -> None:
        self.server = server
        self.reference = f"{server.host}/app:1"
        self.name = f"{server.host}/app"
        self.digest = server.image([one_file()])
        self.key = key
        (folder / "key.pub").write_bytes(public(key))
        rule = TrustRule(scope=server.host, policy="signed", key=folder / "key.pub")
        self.settings = Settings(state=folder / "state", trust=(rule,))
        self.store = self.open(self.settings)

    def open(self, settings: Settings) -> ImageStore:
        store = ImageStore(settings, sleep=lambda _: None)
        store.recover()
        return store

    def sign(self, digest: str = "", name: str = "", key: Key | None = None) -> tuple[bytes, bytes]:
        text = payload(digest or self.digest, name or self.name)
        return text, sign(key or self.key, text)

    def refusal(self) -> str:
        """Why it is not pulled; nothing of it may have been fetched or kept."""
        self.server.asked.clear()
        with pytest.raises(HostError, match="cannot trust") as caught:
            self.store.pull(self.reference, lambda _: None)
        assert self.store.seen() == {}
        layers = {entry["digest"] for entry in json.loads(self.server.content["/v2/app/manifests/1"].body)["layers"]}
        assert not [asked.path for asked in self.server.asked if asked.path.rpartition("/")[2] in layers]
        return str(caught.value)


@pytest.fixture
def server() -> Iterator[Server]:
    with Server().running() as made:
        yield made


@pytest.fixture(params=sorted(NEW_KEYS))
def place(request: pytest.FixtureRequest, server: Server, tmp_path: Path) -> Place:
    return Place(server, tmp_path, NEW_KEYS[request.param]())


def test_a_signed_image_is_pulled_and_the_decision_kept(place: Place) -> None:
    attach(place.server, place.digest, place.sign())
    place.store.pull(place.reference, lambda _: None)
    assert place.store.seen()[place.reference].digest == place.digest
    (record,) = [json.loads(path.read_bytes()) for path in (place.settings.images / "references").iterdir()]
    assert record["trust"]["policy"] == "signed"
    assert record["trust"]["digest"] == place.digest
    assert record["trust"]["key"].startswith("sha256:")
    assert place.open(place.settings).seen() == place.store.seen()


def test_without_a_signature(place: Place) -> None:
    why = place.refusal()
    assert f"the policy for {place.server.host} asks for a signature by {place.settings.trust[0].key}: " in why
    assert "answered 404" in why


def test_by_another_key(place: Place) -> None:
    attach(place.server, place.digest, place.sign(key=generate_ec(SECP256R1())))
    assert place.refusal().endswith("it is signed by another key")


def test_of_another_image(place: Place) -> None:
    other = f"sha256:{'0' * 64}"
    attach(place.server, place.digest, place.sign(other))
    assert place.refusal().endswith(f"another image is signed, {other}")


def test_as_another_repository(place: Place) -> None:
    attach(place.server, place.digest, place.sign(name=f"{place.server.host}/other"))
    assert place.refusal().endswith(f"it is signed as {place.server.host}/other")


def test_one_good_signature_of_two(place: Place) -> None:
    attach(place.server, place.digest, place.sign(key=generate_ec(SECP256R1())), place.sign())
    place.store.pull(place.reference, lambda _: None)
    assert place.reference in place.store.seen()


def test_a_signature_over_something_large(place: Place) -> None:
    text = b" " * (5 << 20)
    attach(place.server, place.digest, (text, sign(place.key, text)))
    assert place.refusal().endswith("a signed text has more than 65536 bytes")


def test_a_manifest_of_signatures_of_five_mebibytes(place: Place) -> None:
    tag = f"{place.digest.replace(':', '-')}.sig"
    place.server.content[f"/v2/app/manifests/{tag}"] = Reply(b" " * (5 << 20), headers={"Content-Type": MANIFEST})
    assert "more than 4194304 bytes" in place.refusal()


@pytest.mark.parametrize("key", ["no key", "", None])
def test_a_key_that_cannot_be_used(place: Place, key: str | None) -> None:
    attach(place.server, place.digest, place.sign())
    path = place.settings.trust[0].key
    assert path is not None
    path.unlink() if key is None else path.write_text(key)
    assert "the key cannot be" in place.refusal()


def test_an_index_may_be_signed_instead_of_its_manifests(place: Place) -> None:
    text = place.server.content["/v2/app/manifests/1"].body
    platform = {"os": "linux", "architecture": "amd64"}
    entry = {"mediaType": MANIFEST, "digest": place.digest, "size": len(text), "platform": platform}
    index = place.server.manifest({"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]}, kind=INDEX)
    attach(place.server, index, place.sign(index))
    place.store.pull(place.reference, lambda _: None)
    assert place.store.seen()[place.reference].digest == place.digest


def test_what_lies_on_disk_is_not_signed(place: Place, tmp_path: Path) -> None:
    build_layout(tmp_path / "layout", "1", [one_file()])
    store = place.open(replace(place.settings, trust=(replace(place.settings.trust[0], scope="default"),)))
    with pytest.raises(HostError, match="what lies on disk has no signatures"):
        store.pull(f"oci:{tmp_path}/layout:1", lambda _: None)


@pytest.mark.parametrize(("policy", "allowed"), [("accept", True), ("reject", False), ("require-digest", False)])
def test_a_policy_that_changes_is_about_what_is_here_too(place: Place, policy: TrustPolicy, allowed: bool) -> None:
    attach(place.server, place.digest, place.sign())
    place.store.pull(place.reference, lambda _: None)
    again = place.open(replace(place.settings, trust=(TrustRule(scope="default", policy=policy),)))
    assert (place.reference in again.seen()) is allowed
    if not allowed:
        place.server.asked.clear()
        with pytest.raises(HostError, match=f"cannot pull {place.reference}: the policy for default"):
            again.pull(place.reference, lambda _: None)
        assert not place.server.asked


def test_another_key_asks_for_another_signature(place: Place, tmp_path: Path) -> None:
    attach(place.server, place.digest, place.sign())
    place.store.pull(place.reference, lambda _: None)
    second = generate_ec(SECP256R1())
    (tmp_path / "two.pub").write_bytes(public(second))
    rule = replace(place.settings.trust[0], key=tmp_path / "two.pub")
    again = place.open(replace(place.settings, trust=(rule,)))
    assert again.seen() == {}
    attach(place.server, place.digest, place.sign(), place.sign(key=second))
    again.pull(place.reference, lambda _: None)
    assert place.reference in again.seen()


def test_other_kinds_of_keys_are_refused() -> None:
    with pytest.raises(ValueError, match="neither an ECDSA P-256 nor an Ed25519 key"):
        verifier(public(generate_ec(SECP384R1())))


@pytest.mark.parametrize(
    ("layers", "why"),
    [
        (5, "no list"),
        ([{}] * (SIGNATURES + 1), "no list of at most 64"),
        ([{"mediaType": KIND, "digest": f"sha256:{'a' * 64}", "size": 5}], "has no signature"),
        ([{"mediaType": KIND, "digest": f"sha256:{'a' * 64}", "size": 5, "annotations": 5}], "has no signature"),
        (
            [{"mediaType": KIND, "digest": f"sha256:{'a' * 64}", "size": 5, "annotations": {ANNOTATION: "?"}}],
            "not in Base64",
        ),
        ([{"mediaType": KIND, "digest": "x", "size": 5}], "not a SHA-256 digest"),
    ],
)
def test_a_manifest_of_signatures_is_read_strictly(layers: object, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        read_signatures(json.dumps({"layers": layers}).encode())


def test_other_things_beside_an_image_are_no_signatures() -> None:
    assert read_signatures(json.dumps({"layers": [{"mediaType": "text/plain"}, 5]}).encode()) == []
