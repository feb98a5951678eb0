"""Signatures made by another tool, kept by a real registry: openssl signs, skopeo pushes, docker-registry serves.

The layout is cosign's, as its SIGNATURE_SPEC publishes it: beside an image, under the tag `sha256-HEX.sig`, a manifest
whose layers are the signed texts ("simple signing"), each with its signature in an annotation.
"""

from __future__ import annotations

import base64
import json
import subprocess
from pathlib import Path

import pytest

from reconciler.errors import HostError
from reconciler.host.images.store import ImageStore
from reconciler.settings import Settings, TrustRule
from tests.host.images.builder import MANIFEST, Member, build_layout, put
from tests.host.images.registries import push

pytestmark = [pytest.mark.root, pytest.mark.host]

NEW_KEY = {
    "ecdsa": ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
    "ed25519": ["-algorithm", "ED25519"],
}


def openssl(*argv: str | Path) -> None:
    subprocess.run(["openssl", *argv], check=True, capture_output=True)


def signature(kind: str, key: Path, text: bytes) -> bytes:
    """As cosign makes it: ECDSA in DER over SHA-256, or Ed25519 over the text itself."""
    payload, made = key.with_suffix(".text"), key.with_suffix(".sig")
    payload.write_bytes(text)
    if kind == "ecdsa":
        openssl("dgst", "-sha256", "-sign", key, "-out", made, payload)
    else:
        openssl("pkeyutl", "-sign", "-inkey", key, "-rawin", "-in", payload, "-out", made)
    return made.read_bytes()


def simple_signing(digest: str, repository: str) -> bytes:
    """Word for word what `cosign sign` writes: no space behind commas and colons, `optional` null."""
    return (
        f'{{"critical":{{"identity":{{"docker-reference":"{repository}"}},'
        f'"image":{{"docker-manifest-digest":"{digest}"}},"type":"cosign container image signature"}},"optional":null}}'
    ).encode()


def sign(kind: str, key: Path, registry: str, digest: str, folder: Path) -> None:
    """Put a signature beside the image `digest` of `registry`/app."""
    text = simple_signing(digest, f"{registry}/app")
    note = {"dev.cosignproject.cosign/signature": base64.b64encode(signature(kind, key, text)).decode()}
    config = {"architecture": "", "created": "0001-01-01T00:00:00Z", "history": [{}], "os": "",
              "rootfs": {"type": "layers", "diff_ids": []}, "config": {}}  # fmt: skip
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", **put(folder, json.dumps(config).encode())},
        "layers": [
            {
                "mediaType": "application/vnd.dev.cosign.simplesigning.v1+json",
                **put(folder, text),
                "annotations": note,
            }
        ],
    }
    entry = {"mediaType": MANIFEST, **put(folder, json.dumps(manifest).encode())}
    entry["annotations"] = {"org.opencontainers.image.ref.name": "signature"}
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    push(folder, "signature", f"{registry}/app:{digest.replace(':', '-')}.sig")


@pytest.fixture(params=NEW_KEY)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def key(kind: str, tmp_path: Path) -> Path:
    """A private key, and beside it the public one."""
    made = tmp_path / "signer.key"
    openssl("genpkey", *NEW_KEY[kind], "-out", made)
    openssl("pkey", "-in", made, "-pubout", "-out", tmp_path / "signer.pub")
    return made


@pytest.fixture
def digest(registry: str, tmp_path: Path) -> str:
    """An image in the registry."""
    made = build_layout(tmp_path / "layout", "1", [[Member("a", b"x")]])
    push(tmp_path / "layout", "1", f"{registry}/app:1")
    return made


def pull(registry: str, folder: Path) -> str:
    rule = TrustRule(scope=registry, policy="signed", key=folder / "signer.pub")
    store = ImageStore(Settings(state=folder / "state", trust=(rule,)), sleep=lambda _: None)
    store.recover()
    store.pull(f"{registry}/app:1", lambda _: None)
    return store.seen()[f"{registry}/app:1"].digest


def test_what_openssl_signed_is_let_in(kind: str, key: Path, registry: str, digest: str, tmp_path: Path) -> None:
    with pytest.raises(HostError, match="cannot trust"):
        pull(registry, tmp_path)
    sign(kind, key, registry, digest, tmp_path / "signature")
    assert pull(registry, tmp_path) == digest


def test_what_another_key_signed_is_not(kind: str, key: Path, registry: str, digest: str, tmp_path: Path) -> None:
    other = tmp_path / "other.key"
    openssl("genpkey", *NEW_KEY[kind], "-out", other)
    sign(kind, other, registry, digest, tmp_path / "signature")
    with pytest.raises(HostError, match="it is signed by another key"):
        pull(registry, tmp_path)
