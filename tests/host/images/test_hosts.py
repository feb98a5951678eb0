"""Mirrors: which places are asked in which order, with whose certificates, and what becomes of a bad one (R-46)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.errors import HostError
from reconciler.host.images.hosts import Endpoint, Trust, endpoints, laid_certificates, named, parse_hosts
from reconciler.host.images.store import ImageStore
from reconciler.host.images.transport import Transport
from reconciler.settings import Settings
from tests.host.images.builder import digest
from tests.host.images.scripted import Reply, Server, one_file
from tests.host.images.test_credentials import CANARY, auth, write

PLACE = Path("/certs/docker.io")
NOWHERE = Path("/nonexistent")

HOSTS = b"""
server = "https://registry-1.docker.io"

[host."https://mirror.example"]
  capabilities = ["pull", "resolve"]

[host."http://10.0.0.5:5000"]
  capabilities = ["pull"]
  skip_verify = true

[host."https://cache.example/v2/docker"]
  override_path = true
  ca = "ca.pem"
  client = [["client.pem", "client.key"]]

[host."https://push.example"]
  capabilities = ["push"]
"""


def test_hosts_toml() -> None:
    assert parse_hosts(HOSTS, "docker.io", PLACE) == (
        Endpoint("mirror.example", "https://mirror.example/v2", "docker.io"),
        Endpoint("10.0.0.5:5000", "http://10.0.0.5:5000/v2", "docker.io", False, Trust(verify=False)),
        Endpoint(
            "cache.example",
            "https://cache.example/v2/docker",
            "docker.io",
            True,
            Trust(True, (PLACE / "ca.pem",), (PLACE / "client.pem", PLACE / "client.key")),
        ),
        Endpoint("registry-1.docker.io", "https://registry-1.docker.io/v2", ""),
    )


def test_a_server_of_its_own() -> None:
    (only,) = parse_hosts(b'server = "https://other.example/prefix/"\nca = ["/a.pem"]', "r.example", PLACE)
    assert only == Endpoint(
        "other.example", "https://other.example/prefix/v2", "r.example", True, Trust(authorities=(Path("/a.pem"),))
    )
    assert parse_hosts(b"", "r.example", PLACE) == (Endpoint("r.example", "https://r.example/v2"),)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"server = ", "it is not TOML"),
        (b"\xff", "it is not TOML"),
        (b"host = 5", "host is not a table"),
        (b'[host]\n"https://a" = 5', "https://a is not a table"),
        (b'[host."ftp://a"]', "'ftp://a' is not a web address"),
        (b'[host."https://u:p@a"]', "is not a web address"),
        (b'[host."https://a"]\ncapabilities = 5', "capabilities is not text"),
        (b'[host."https://a"]\nca = [5]', "ca is not text"),
        (b'[host."https://a"]\nclient = [["a", "b", "c"]]', "client is not a certificate and its key"),
    ],
)
def test_hosts_toml_that_is_refused(text: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse_hosts(text, "r.example", PLACE)


@given(st.text(max_size=80))
def test_any_hosts_toml_is_read_or_refused(text: str) -> None:
    with suppress(ValueError):
        assert parse_hosts(text.encode("utf-8", "replace"), "r.example", PLACE)


def test_without_anything_the_registry_itself() -> None:
    assert endpoints("r.example", (), NOWHERE) == (Endpoint("r.example"),)
    assert endpoints("docker.io", ("other=x",), NOWHERE) == (Endpoint("registry-1.docker.io"),)


def test_our_own_mirrors_come_first() -> None:
    assert endpoints("docker.io", ("docker.io=m.example", "docker.io=https://n.example/p/"), NOWHERE) == (
        Endpoint("m.example", "", "docker.io"),
        Endpoint("n.example", "https://n.example/p/v2", "docker.io"),
        Endpoint("registry-1.docker.io"),
    )


@pytest.mark.parametrize("name", ["r.example:5000", "r.example_5000_", "_default"])
def test_names_of_the_folder(name: str, tmp_path: Path) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / "hosts.toml").write_text('[host."https://m.example"]')
    first, last = endpoints("r.example:5000", (), tmp_path)
    assert (first.host, last.host) == ("m.example", "r.example:5000")


def test_which_registries_are_named(tmp_path: Path) -> None:
    for name in ("r.example:5000", "s.example_5001_", "docker.io", "_default"):
        (tmp_path / name).mkdir()
    (tmp_path / "a_file").touch()
    assert named(("docker.io=m", "q.example=n", "q.example=o"), tmp_path) == (
        "docker.io",
        "q.example",
        "r.example:5000",
        "s.example:5001",
    )
    assert named((), NOWHERE) == ()


def test_certificates_as_docker_lays_them(tmp_path: Path) -> None:
    place = tmp_path / "r.example"
    place.mkdir()
    for name in ("ca.crt", "me.cert", "me.key"):
        (place / name).touch()
    trust = Trust(True, (place / "ca.crt",), (place / "me.cert", place / "me.key"))
    assert endpoints("r.example", (), tmp_path) == (Endpoint("r.example", trust=trust),)
    with pytest.raises(ValueError, match=r"me\.cert has no me\.key beside it"):
        laid_certificates([place / "me.cert"])
    (place / "me.key").unlink()
    with pytest.raises(HostError, match=r"cannot read .*r\.example: me\.cert has no me\.key"):
        endpoints("r.example", (), tmp_path)


# --- over the wire ---------------------------------------------------------------------------------------------------


@pytest.fixture
def server() -> Iterator[Server]:
    with Server().running() as made:
        yield made


@pytest.fixture
def mirror() -> Iterator[Server]:
    with Server().running() as made:
        yield made


def pull(tmp_path: Path, reference: str, *mirrors: str, **settings: object) -> str:
    store = ImageStore(
        Settings(state=tmp_path / "state", registry_mirrors=mirrors, **settings),  # type: ignore[arg-type]
        sleep=lambda _: None,
    )
    store.recover()
    store.pull(reference, lambda _: None)
    return store.seen()[reference].digest


@pytest.mark.root
@pytest.mark.host
def test_a_good_mirror_saves_the_registry_every_question(tmp_path: Path, server: Server, mirror: Server) -> None:
    for place in (server, mirror):
        wanted = place.image([one_file()])
    mirror.content = {f"{path}?ns={server.host}": reply for path, reply in mirror.content.items()} | mirror.content
    assert pull(tmp_path, f"{server.host}/app:1", f"{server.host}={mirror.host}") == wanted
    assert server.asked == []


@pytest.mark.root
@pytest.mark.host
def test_bad_mirrors_are_passed_over(tmp_path: Path, server: Server, mirror: Server) -> None:
    """One that is dead, one without the image, one with other content under the digest; then the registry."""
    layer = one_file("a", os.urandom(5000))
    wanted = server.image([layer])
    for path, reply in server.content.items():
        other = Reply(bytes(len(layer))) if digest(layer) in path else reply
        mirror.content[f"{path}?ns={server.host}"] = other
    empty = f"{server.host}={mirror.host}/empty"
    mirrors = (f"{server.host}=127.0.0.1:1", empty.replace("=", "=http://", 1), f"{server.host}={mirror.host}")
    assert pull(tmp_path, f"{server.host}/app:1", *mirrors) == wanted
    assert len(server.paths(digest(layer))) == 1
    assert server.paths("manifests") == []


@pytest.mark.root
@pytest.mark.host
def test_the_login_for_a_registry_is_not_shown_to_its_mirror(tmp_path: Path, server: Server, mirror: Server) -> None:
    wanted = server.image([one_file()])
    mirror.script = lambda _: Reply(b"", 401, {"WWW-Authenticate": "Basic realm=x"})
    login = write(tmp_path / "auth.json", auths={server.host: auth("me", CANARY)})
    assert pull(tmp_path, f"{server.host}/app:1", f"{server.host}={mirror.host}", registry_auth=login) == wanted
    assert mirror.asked
    assert not any("authorization" in asked.headers for asked in mirror.asked)


@pytest.mark.root
@pytest.mark.host
def test_a_mirror_that_may_not_resolve_is_asked_for_digests_only(
    tmp_path: Path, server: Server, mirror: Server
) -> None:
    layer = one_file("a", os.urandom(5000))
    wanted = server.image([layer])
    for path, reply in server.content.items():
        mirror.content[f"{path}?ns={server.host}"] = reply
    place = tmp_path / "certs" / server.host
    place.mkdir(parents=True)
    (place / "hosts.toml").write_text(
        f'server = "http://{server.host}"\n[host."http://{mirror.host}"]\ncapabilities = ["pull"]'
    )
    assert pull(tmp_path, f"{server.host}/app:1", registry_hosts=tmp_path / "certs") == wanted
    assert not [path for path in server.paths(digest(layer)) if "blobs" in path]
    assert mirror.paths("manifests/1") == []


@pytest.mark.parametrize("url", ["https://m.example/v2", "http://127.0.0.1:5000/v2", "http://named:5000/v2"])
def test_where_plain_http_is_spoken(url: str) -> None:
    Transport(Settings(insecure_registries=("named:5000",))).refuse_plain(url)


@pytest.mark.parametrize("url", ["http://m.example/v2", "http://named:5001/v2", "http://10.0.0.1/v2"])
def test_where_it_is_not(url: str) -> None:
    with pytest.raises(HostError, match=r"cannot ask .* without TLS: name it in insecure_registries"):
        Transport(Settings(insecure_registries=("named:5000",))).refuse_plain(url)


def test_certificates_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(HostError, match=r"cannot read the certificates in .*none\.pem: No such file"):
        Transport(Settings()).trust("m.example", Trust(authorities=(tmp_path / "none.pem",)))
