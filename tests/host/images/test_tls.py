"""TLS (R-47): only with a certificate that we trust; plain HTTP and unverified TLS only where it is allowed."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.errors import HostError
from reconciler.host.images.store import ImageStore
from reconciler.settings import Settings
from tests.host.images.builder import Member, build_layout
from tests.host.images.registries import push, running_registry

pytestmark = [pytest.mark.root, pytest.mark.host]


def openssl(*argv: str | Path) -> None:
    subprocess.run(["openssl", *argv], check=True, capture_output=True)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ca.pem, and server.pem for 127.0.0.1, other.pem for another host; all with server.key."""
    made = tmp_path_factory.mktemp("tls")
    key: list[str | Path] = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=test"]
    openssl("req", "-x509", *key, "-keyout", made / "ca.key", "-out", made / "ca.pem", "-days", "2")
    for name, host in (("server", "IP:127.0.0.1"), ("other", "DNS:other.example")):
        openssl("req", *key, "-keyout", made / f"{name}.key", "-out", made / f"{name}.csr")
        (made / "ext").write_text(f"subjectAltName={host}\n")
        signed: list[str | Path] = [
            "-CA",
            made / "ca.pem",
            "-CAkey",
            made / "ca.key",
            "-CAcreateserial",
            "-days",
            "2",
            "-extfile",
            made / "ext",
        ]
        openssl("x509", "-req", "-in", made / f"{name}.csr", *signed, "-out", made / f"{name}.pem")
    return made


@pytest.fixture(params=["server", "other"])
def named(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def tls_registry(named: str, certificates: Path, tmp_path: Path) -> Iterator[str]:
    """A registry with one image, whose certificate is for the host `named` stands for."""
    tls = {"tls": {"certificate": str(certificates / f"{named}.pem"), "key": str(certificates / f"{named}.key")}}
    with running_registry(tmp_path / "registry", http=tls) as host:
        build_layout(tmp_path / "layout", "1", [[Member("a", b"x")]])
        push(tmp_path / "layout", "1", f"{host}/app:1")
        yield host


def pull(state: Path, host: str, **settings: object) -> None:
    store = ImageStore(Settings(state=state, **settings), sleep=lambda _: None)  # type: ignore[arg-type]
    store.recover()
    store.pull(f"{host}/app:1", lambda _: None)
    assert store.seen()


@pytest.mark.parametrize("named", ["server"], indirect=True)
def test_with_our_own_ca(tls_registry: str, certificates: Path, tmp_path: Path) -> None:
    pull(tmp_path / "state", tls_registry, registry_ca=certificates / "ca.pem")


@pytest.mark.parametrize("named", ["server"], indirect=True)
def test_a_certificate_that_nobody_vouches_for(tls_registry: str, tmp_path: Path) -> None:
    with pytest.raises(HostError, match="CERTIFICATE_VERIFY_FAILED"):
        pull(tmp_path / "state", tls_registry)


@pytest.mark.parametrize("named", ["other"], indirect=True)
def test_a_certificate_of_another_host(tls_registry: str, certificates: Path, tmp_path: Path) -> None:
    with pytest.raises(HostError, match="CERTIFICATE_VERIFY_FAILED"):
        pull(tmp_path / "state", tls_registry, registry_ca=certificates / "ca.pem")


@pytest.mark.parametrize("named", ["other"], indirect=True)
def test_a_registry_named_as_insecure(tls_registry: str, tmp_path: Path) -> None:
    pull(tmp_path / "state", tls_registry, insecure_registries=(tls_registry,))
