"""The two ways by which a stranger's bytes come in, and what must hold whatever they are.

`layer`: through the confined child, into a directory; `manifest`: every reader of small documents and headers. What
does not hold is an AssertionError, and so is any error that is not a refusal in one line.
"""

from __future__ import annotations

import gzip
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import urlsplit

from reconciler.errors import HostError
from reconciler.host.images.auth import parse_challenges, parse_token, token_request
from reconciler.host.images.config import read_config
from reconciler.host.images.documents import (
    INDEXES,
    Platform,
    choose,
    media_type_of,
    read_index,
    read_json,
    read_manifest,
)
from reconciler.host.images.hosts import parse_hosts
from reconciler.host.images.overlay import Limits
from reconciler.host.images.resolve import check_limits
from reconciler.host.images.trust import read_signatures
from reconciler.host.images.unpacker import Unpacker
from reconciler.settings import ImageLimits
from tests.fuzz import mutate
from tests.host.images.builder import CONFIG, INDEX, LAYER, MANIFEST
from tests.host.images.frame import Frame, describe
from tests.host.images.test_unpack import PACKERS, REFUSED, TAKEN, is_tar

Target = Callable[[bytes], None]
Make = Callable[[Random], bytes]

# --- layers ----------------------------------------------------------------------------------------------------------

LAYERS: Sequence[bytes] = [blob for blob, _ in [*TAKEN.values(), *REFUSED.values()] if len(blob) < 1 << 20]
TARS: Sequence[bytes] = [blob for blob in LAYERS if is_tar(blob)]
LIMITS = Limits(entries=500, implied=300, size=8 << 20, ratio=100, ratio_from=1 << 20)


@contextmanager
def layer() -> Iterator[Target]:
    """Unpack it: nothing beside it changes, and what is taken is what its list says."""
    with Unpacker("fuzz", LIMITS) as unpacker, tempfile.TemporaryDirectory() as top:
        yield lambda blob: _unpack(unpacker, Path(top), blob)


def _unpack(unpacker: Unpacker, top: Path, blob: bytes) -> None:
    with tempfile.TemporaryDirectory(dir=top) as place:
        frame = Frame(Path(place) / "frame", unpacker)
        frame.prepare()
        try:
            frame.unpack(blob)
        except HostError as error:
            _check_refusal(str(error))
            return
        assert unpacker.verify(frame.root) == ()
        for name, text in describe(frame.root).items():
            assert "trusted.overlay" not in text.replace("trusted.overlay.opaque=y", ""), name


def _check_refusal(text: str) -> None:
    assert "\n" not in text, text
    assert text.isprintable(), text
    assert len(text) < 4000, text
    assert "has a mistake" not in text, text
    assert "process died" not in text, text


def make_layer(random: Random) -> bytes:
    """A changed layer, packed in some way."""
    blob = random.choice(TARS) if random.random() < 0.8 else random.choice(LAYERS)
    if random.random() < 0.7 and blob in TARS:
        with suppress(OSError, EOFError):
            blob = gzip.decompress(blob)
        return random.choice(list(PACKERS.values()))(mutate.tar_of(blob, TARS, random))
    return mutate.bytes_of(blob, random)


# --- documents and headers -------------------------------------------------------------------------------------------

DIGESTS = ["sha256:" + letter * 64 for letter in "abcdef"]
HOST = Platform("linux", "amd64")
DOCUMENTS: Sequence[Any] = (
    {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {"mediaType": CONFIG, "digest": DIGESTS[0], "size": 100},
        "layers": [{"mediaType": LAYER + "+gzip", "digest": digest, "size": 9} for digest in DIGESTS[1:4]],
        "annotations": {"a": "b"},
    },
    {
        "schemaVersion": 2,
        "mediaType": INDEX,
        "manifests": [
            {"mediaType": MANIFEST, "digest": DIGESTS[at], "size": 7, "platform": {"os": "linux", "architecture": name}}
            for at, name in enumerate(("amd64", "arm64", "unknown"))
        ],
    },
    {
        "architecture": "amd64",
        "os": "linux",
        "created": "2026-01-01T00:00:00Z",
        "config": {
            "Env": ["PATH=/bin", "A=b"], "Cmd": ["sh"], "Entrypoint": ["/e"], "User": "app:app", "WorkingDir": "/srv",
            "Volumes": {"/data": {}}, "ExposedPorts": {"80/tcp": {}}, "Labels": {"a": "b"}, "StopSignal": "SIGTERM",
            "Healthcheck": {"Test": ["CMD", "x"], "Interval": 1000000000},
        },
        "rootfs": {"type": "layers", "diff_ids": DIGESTS[1:4]},
        "history": [{"created": "2026-01-01T00:00:00Z", "empty_layer": True}],
    },
    {"layers": [{"mediaType": "application/vnd.dev.cosign.simplesigning.v1+json", "digest": DIGESTS[0], "size": 9,
                 "annotations": {"dev.cosignproject.cosign/signature": "AAAA"}}]},
    {"token": "abc", "access_token": "abc", "expires_in": 300, "issued_at": "2026-01-01T00:00:00Z"},
)  # fmt: skip
TEXTS: Sequence[bytes] = (
    b'Bearer realm="https://auth.example/token",service="registry.example",scope="repository:a/b:pull"',
    b'Basic realm="x", Bearer realm="https://a/t"',
    b'server = "https://r.example"\n[host."https://m.example"]\ncapabilities = ["pull"]\nclient = [["a", "b"]]\n',
)


def _image(text: bytes) -> None:
    document = read_json(text)
    if media_type_of(document, "") in INDEXES:
        choose(read_index(document), HOST)
    else:
        check_limits(len(text), read_manifest(document), ImageLimits())


def _challenge(text: bytes) -> None:
    for challenge in parse_challenges(text.decode("latin-1")):
        asked = token_request(challenge, "repository:a:pull", "https://r.example")
        assert urlsplit(asked.realm).scheme == "https"


READERS: Sequence[Callable[[bytes], object]] = (
    _image,
    _challenge,
    lambda text: read_config(text, HOST),
    read_signatures,
    parse_token,
    lambda text: parse_hosts(text, "r.example", Path("/certs")),
)


def manifest(text: bytes) -> None:
    """Every reader reads it or refuses it in a line."""
    for read in READERS:
        try:
            read(text)
        except ValueError as error:
            _check_refusal(str(error))


@contextmanager
def documents() -> Iterator[Target]:
    """`manifest` as a target."""
    yield manifest


def make_document(random: Random) -> bytes:
    """A changed document or header."""
    if random.random() < 0.2:
        return mutate.bytes_of(random.choice(TEXTS), random)
    return mutate.json_of(random.choice(DOCUMENTS), random)


TARGETS = {"layer": (layer, make_layer), "manifest": (documents, make_document)}
