"""TLS (R-47): only with a certificate that we trust; plain HTTP and unverified TLS only where it is allowed."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.errors import HostError
from reconciler.host.images.store import ImageStore
from reconciler.settings import Settings
from tests.host.images.builder import Member, build_layout
from tests.host.images.registries import push, running_registry
from tests.host.images.scripted import Reply, Server

pytestmark = [pytest.mark.root, pytest.mark.host]

PASSWORD = "let-me-in"
PASSWORD_HASH = "$2b$04$abcdefghijklmnopqrstuudxA/1BY5FxPYA69jUrJOJFmTyoe9T1a"  # crypt(3), bcrypt


def openssl(*argv: str | Path) -> None:
    subprocess.run(["openssl", *argv], check=True, capture_output=True)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ca.pem, and server.pem for 127.0.0.1, other.pem for another host, client.pem for a client; each with its .key."""
    made = tmp_path_factory.mktemp("tls")
    key: list[str | Path] = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=test"]
    openssl("req", "-x509", *key, "-keyout", made / "ca.key", "-out", made / "ca.pem", "-days", "2")
    for name, use in (
        ("server", "subjectAltName=IP:127.0.0.1"),
        ("other", "subjectAltName=DNS:other.example"),
        ("client", "extendedKeyUsage=clientAuth"),
    ):
        openssl("req", *key, "-keyout", made / f"{name}.key", "-out", made / f"{name}.csr")
        (made / "ext").write_text(f"{use}\n")
        signed: list[str | Path] = ["-CA", made / "ca.pem", "-CAkey", made / "ca.key", "-CAcreateserial", "-days", "2"]
        extended: list[str | Path] = ["-extfile", made / "ext", "-out", made / f"{name}.pem"]
        openssl("x509", "-req", "-in", made / f"{name}.csr", *signed, *extended)
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


@pytest.fixture
def careful_registry(certificates: Path, tmp_path: Path) -> Iterator[str]:
    """A registry that lets in only who has a certificate of our authority."""
    tls = {
        "certificate": str(certificates / "server.pem"),
        "key": str(certificates / "server.key"),
        "clientcas": [str(certificates / "ca.pem")],
    }
    with running_registry(tmp_path / "registry", http={"tls": tls}) as host:
        build_layout(tmp_path / "layout", "1", [[Member("a", b"x")]])
        pair = tmp_path / "skopeo"
        pair.mkdir()
        for name, kind in (("client.pem", "client.cert"), ("client.key", "client.key")):
            shutil.copy(certificates / name, pair / kind)
        push(tmp_path / "layout", "1", f"{host}/app:1", f"--dest-cert-dir={pair}")
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


@pytest.mark.parametrize("named", ["other"], indirect=True)
@pytest.mark.parametrize("insecure", ["127.0.0.1:1", "other.example"])
def test_another_registry_named_as_insecure_helps_nobody(tls_registry: str, insecure: str, tmp_path: Path) -> None:
    with pytest.raises(HostError, match="CERTIFICATE_VERIFY_FAILED"):
        pull(tmp_path / "state", tls_registry, insecure_registries=(insecure,))


# --- certificates in containerd's folder -----------------------------------------------------------------------------


def lay(folder: Path, host: str, text: str) -> Path:
    """A hosts.toml for `host`; the folder."""
    (folder / host).mkdir(parents=True)
    (folder / host / "hosts.toml").write_text(text)
    return folder


@pytest.mark.parametrize("named", ["server"], indirect=True)
@pytest.mark.parametrize("form", ["server", "host", "relative"])
def test_an_authority_in_hosts_toml(tls_registry: str, form: str, certificates: Path, tmp_path: Path) -> None:
    """At the top of the file, for one host of it, and relative to it."""
    ca = f'ca = "{certificates / "ca.pem"}"'
    text = {
        "server": f'server = "https://{tls_registry}"\n{ca}',
        "host": f'[host."https://{tls_registry}"]\n{ca}',
        "relative": f'server = "https://{tls_registry}"\nca = ["own.pem"]',
    }[form]
    folder = lay(tmp_path / "certs.d", tls_registry, text)
    shutil.copy(certificates / "ca.pem", folder / tls_registry / "own.pem")
    pull(tmp_path / "state", tls_registry, registry_hosts=folder)


@pytest.mark.parametrize("named", ["other"], indirect=True)
def test_hosts_toml_may_say_not_to_verify(tls_registry: str, tmp_path: Path) -> None:
    text = f'server = "https://{tls_registry}"\nskip_verify = true'
    pull(tmp_path / "state", tls_registry, registry_hosts=lay(tmp_path / "certs.d", tls_registry, text))


@pytest.mark.parametrize("named", ["server"], indirect=True)
def test_a_mirror_with_an_authority_of_its_own(tls_registry: str, certificates: Path, tmp_path: Path) -> None:
    """The registry itself is nowhere; its mirror serves by TLS."""
    text = f'[host."https://{tls_registry}"]\nca = "{certificates / "ca.pem"}"'
    folder = lay(tmp_path / "certs.d", "127.0.0.1:1", text)
    pull(tmp_path / "state", "127.0.0.1:1", registry_hosts=folder)


@pytest.mark.parametrize("named", ["server"], indirect=True)
def test_a_mirror_with_a_bad_certificate_is_passed_over_and_told(
    tls_registry: str, certificates: Path, tmp_path: Path
) -> None:
    with running_registry(tmp_path / "good") as good:
        push(tmp_path / "layout", "1", f"{good}/app:1")
        text = f'server = "http://{good}"\n[host."https://{tls_registry}"]\n'
        settings = Settings(state=tmp_path / "state", registry_hosts=lay(tmp_path / "certs.d", good, text))
        store = ImageStore(settings, sleep=lambda _: None)
        store.recover()
        store.pull(f"{good}/app:1", lambda _: None)
    assert "CERTIFICATE_VERIFY_FAILED" in store.mirrors()[tls_registry]


def test_a_client_certificate_by_hosts_toml(careful_registry: str, certificates: Path, tmp_path: Path) -> None:
    pair = f'[["{certificates / "client.pem"}", "{certificates / "client.key"}"]]'
    text = f'server = "https://{careful_registry}"\nca = "{certificates / "ca.pem"}"\nclient = {pair}'
    pull(tmp_path / "state", careful_registry, registry_hosts=lay(tmp_path / "certs.d", careful_registry, text))


def test_a_client_certificate_as_docker_lays_it(careful_registry: str, certificates: Path, tmp_path: Path) -> None:
    place = tmp_path / "certs.d" / careful_registry
    place.mkdir(parents=True)
    for name, laid in (("ca.pem", "ca.crt"), ("client.pem", "client.cert"), ("client.key", "client.key")):
        shutil.copy(certificates / name, place / laid)
    pull(tmp_path / "state", careful_registry, registry_hosts=tmp_path / "certs.d")


def test_without_a_client_certificate(careful_registry: str, certificates: Path, tmp_path: Path) -> None:
    with pytest.raises(HostError, match=r"cannot ask 127\.0\.0\.1/v2/.*: .*(?i:certificate)"):
        pull(tmp_path / "state", careful_registry, registry_ca=certificates / "ca.pem")


# --- accounts and redirects ------------------------------------------------------------------------------------------


def test_tls_and_an_account(certificates: Path, tmp_path: Path) -> None:
    """Basic authentication by htpasswd; who has no login, or another one, is told in a line."""
    (tmp_path / "htpasswd").write_text("me:" + PASSWORD_HASH + "\n")
    tls = {"certificate": str(certificates / "server.pem"), "key": str(certificates / "server.key")}
    auth = {"htpasswd": {"realm": "x", "path": str(tmp_path / "htpasswd")}}
    with running_registry(tmp_path / "registry", http={"tls": tls}, auth=auth) as host:
        build_layout(tmp_path / "layout", "1", [[Member("a", b"x")]])
        push(tmp_path / "layout", "1", f"{host}/app:1", f"--dest-creds=me:{PASSWORD}")
        ca = certificates / "ca.pem"
        with pytest.raises(HostError, match="nobody has logged in there"):
            pull(tmp_path / "state", host, registry_ca=ca)
        for password, good in (("wrong-canary", False), (PASSWORD, True)):
            login = base64.b64encode(f"me:{password}".encode()).decode()
            (tmp_path / "auth.json").write_text(json.dumps({"auths": {host: {"auth": login}}}))
            if good:
                pull(tmp_path / "state", host, registry_ca=ca, registry_auth=tmp_path / "auth.json")
            else:
                with pytest.raises(HostError, match=f"refuses it to me of {tmp_path}") as caught:
                    pull(tmp_path / "state", host, registry_ca=ca, registry_auth=tmp_path / "auth.json")
                assert "canary" not in str(caught.value)


def test_what_a_redirect_leads_to_sees_no_credentials(certificates: Path, server: Server, tmp_path: Path) -> None:
    """The real registry redirects its blobs to a second server, as with object stores."""
    (tmp_path / "htpasswd").write_text("me:" + PASSWORD_HASH + "\n")
    auth = {"htpasswd": {"realm": "x", "path": str(tmp_path / "htpasswd")}}
    redirect = [{"name": "redirect", "options": {"baseurl": f"http://{server.host}"}}]
    data = tmp_path / "registry" / "data"
    with running_registry(tmp_path / "registry", auth=auth, middleware={"storage": redirect}) as host:
        build_layout(tmp_path / "layout", "1", [[Member("a", b"x")]])
        push(tmp_path / "layout", "1", f"{host}/app:1", f"--dest-creds=me:{PASSWORD}")
        server.script = lambda asked: Reply((data / asked.path.lstrip("/")).read_bytes())
        login = base64.b64encode(f"me:{PASSWORD}".encode()).decode()
        (tmp_path / "auth.json").write_text(json.dumps({"auths": {host: {"auth": login}}}))
        pull(tmp_path / "state", host, registry_auth=tmp_path / "auth.json")
    assert len(server.paths("/blobs/")) == 2  # config and layer
    assert not any({"authorization", "cookie"} & set(asked.headers) for asked in server.asked)
