"""Logins: the files and helpers that hold them, and that no password goes where it should not."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.errors import HostError
from reconciler.host.images.credentials import (
    Credential,
    Credentials,
    auth_files,
    candidates,
    normal,
    parse_auth_file,
    parse_helper,
)
from reconciler.host.images.store import ImageStore
from reconciler.settings import Settings
from tests.host.images.builder import Member, build_layout
from tests.host.images.registries import push, running_registry
from tests.host.images.scripted import Asked, Reply, Server, one_file

CANARY = "s3cret-canary"
HASH = "$2b$04$abcdefghijklmnopqrstuuMW7rijBXKQMxQs6A55XYLyzdzLF4c5S"  # bcrypt of the canary


def auth(user: str, secret: str) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{user}:{secret}".encode()).decode()}


def write(path: Path, **document: Any) -> Path:
    path.write_text(json.dumps(document))
    return path


def no_run(argv: Sequence[str], **_: object) -> str:
    raise AssertionError(argv)


# --- files ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("https://index.docker.io/v1/", "docker.io"),
        ("docker.io", "docker.io"),
        ("registry-1.docker.io", "docker.io"),
        ("https://ghcr.io", "ghcr.io"),
        ("http://localhost:5000/v2/", "localhost:5000"),
        ("quay.io/org/app", "quay.io/org/app"),
    ],
)
def test_keys(key: str, expected: str) -> None:
    assert normal(key) == expected


def test_the_longest_namespace_wins(tmp_path: Path) -> None:
    auths = {"quay.io": auth("host", "1"), "quay.io/org": auth("org", "2"), "quay.io/org/app": auth("app", "3")}
    logins = Credentials([write(tmp_path / "auth.json", auths=auths)], no_run)
    found = {name: logins.find("quay.io", name) for name in ("x", "org/x", "org/app")}
    assert {name: login and login.user for name, login in found.items()} == {
        "x": "host",
        "org/x": "org",
        "org/app": "app",
    }
    assert logins.find("ghcr.io", "x") is None
    assert list(candidates("h", "a/b")) == ["h/a/b", "h/a", "h"]


def test_the_first_file_that_knows_the_registry_counts(tmp_path: Path) -> None:
    first = write(tmp_path / "1", auths={"a": auth("first", "x")})
    second = write(tmp_path / "2", auths={"a": auth("second", "x"), "b": {"username": "other", "password": "p"}})
    logins = Credentials([tmp_path / "none", first, second, tmp_path / "1" / "x"], no_run)
    assert logins.find("a", "r") == Credential("first", "x", False, str(first))
    assert logins.find("b", "r") == Credential("other", "p", False, str(second))


def test_identity_tokens(tmp_path: Path) -> None:
    path = write(tmp_path / "f", auths={"a": {**auth("me", ""), "identitytoken": "long"}})
    assert Credentials([path], no_run).find("a", "r") == Credential("me", "long", True, str(path))


def test_a_password_with_colons_and_other_bytes(tmp_path: Path) -> None:
    login = Credentials([write(tmp_path / "f", auths={"a": auth("ü", "a:b:ü")})], no_run).find("a", "r")
    assert login
    assert base64.b64decode(login.basic.removeprefix("Basic ")).decode() == "ü:a:b:ü"


def test_where_logins_are() -> None:
    files = auth_files(Path("/own"), Path("/root"))
    assert [str(path) for path in files] == [
        "/own",
        "/run/containers/0/auth.json",
        "/root/.config/containers/auth.json",
        "/root/.docker/config.json",
    ]
    assert auth_files(None, Path("/root")) == files[1:]


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"5", b"\xff"])
def test_a_damaged_file_is_named(text: bytes, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(text)
    with pytest.raises(HostError, match=r"cannot read logins from .*/f: it is not"):
        Credentials([tmp_path / "f"], no_run).find("a", "r")


ANY = st.recursive(
    st.none() | st.integers() | st.text(max_size=6),
    lambda inner: st.dictionaries(st.text(max_size=6), inner, max_size=3),
)


@given(st.dictionaries(st.sampled_from(["auths", "credHelpers", "credsStore", "x"]), ANY))
def test_any_file_is_read(document: dict[str, Any]) -> None:
    assert parse_auth_file(json.dumps(document).encode(), "f").source == "f"


@given(st.binary(max_size=60))
def test_any_bytes_are_a_file_or_refused(text: bytes) -> None:
    with suppress(ValueError):
        parse_auth_file(text, "f")


def test_no_secret_is_shown() -> None:
    assert CANARY not in repr(Credential("me", CANARY, False, "f"))


# --- helpers -------------------------------------------------------------------------------------------------------


class Helper:
    """Stands for host.run; notes what was asked of it."""

    def __init__(self, answer: str | HostError) -> None:
        self.answer = answer
        self.asked: list[tuple[list[str], object]] = []

    def __call__(self, argv: Sequence[str], *, input: object, **_: object) -> str:
        self.asked.append((list(argv), input))
        if isinstance(self.answer, HostError):
            raise self.answer
        return self.answer


def test_helpers_and_the_store(tmp_path: Path) -> None:
    path = write(
        tmp_path / "f", credHelpers={"gcr.io": "gcloud"}, credsStore="pass", auths={"quay.io": auth("me", "x")}
    )
    helper = Helper('{"ServerURL": "x", "Username": "_json_key", "Secret": "s"}')
    logins = Credentials([path], helper)
    assert logins.find("gcr.io", "a") == Credential("_json_key", "s", False, "docker-credential-gcloud")
    assert logins.find("docker.io", "a") == Credential("_json_key", "s", False, "docker-credential-pass")
    login = logins.find("quay.io", "a")
    assert login
    assert login.user == "me"
    assert helper.asked == [
        (["docker-credential-gcloud", "get"], "gcr.io"),
        (["docker-credential-pass", "get"], "https://index.docker.io/v1/"),
    ]


def test_a_helper_that_gives_an_identity_token() -> None:
    assert parse_helper('{"Username": "<token>", "Secret": "t"}', "h") == Credential("<token>", "t", True, "h")


def test_a_helper_that_knows_nothing(tmp_path: Path) -> None:
    path = write(tmp_path / "f", credsStore="pass")
    error = HostError("cannot run docker-credential-pass get: credentials not found in native keychain")
    assert Credentials([path], Helper(error)).find("a", "r") is None
    assert Credentials([path], Helper("{}")).find("a", "r") is None


@pytest.mark.parametrize(
    ("helper", "answer", "why"),
    [
        ("../../bin/sh", "", "is no name of a program"),
        ("", "", ""),
        ("x y", "", "is no name of a program"),
        ("pass", "not json", "cannot ask docker-credential-pass for a: it printed no JSON"),
        ("pass", HostError("cannot run docker-credential-pass get: no such program"), "no such program"),
    ],
)
def test_helpers_that_fail(helper: str, answer: str | HostError, why: str, tmp_path: Path) -> None:
    logins = Credentials([write(tmp_path / "f", credHelpers={"a": helper})], Helper(answer))
    if not helper:
        assert logins.find("a", "r") is None
        return
    with pytest.raises(HostError, match=why):
        logins.find("a", "r")


# --- over the wire ---------------------------------------------------------------------------------------------------


@pytest.fixture
def server() -> Iterator[Server]:
    with Server().running() as made:
        yield made


@pytest.fixture
def other() -> Iterator[Server]:
    with Server().running() as made:
        yield made


def pull(tmp_path: Path, reference: str, *hosts: str, **entry: str) -> None:
    """Pull with a login for `hosts`."""
    file = write(tmp_path / "auth.json", auths={host: entry or auth("me", CANARY) for host in hosts})
    store = ImageStore(Settings(state=tmp_path / "state", registry_auth=file), sleep=lambda _: None)
    store.recover()
    store.pull(reference, lambda _: None)


def basic(user: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{CANARY}".encode()).decode()


@pytest.mark.root
@pytest.mark.host
def test_a_real_registry_with_accounts(tmp_path: Path) -> None:
    build_layout(tmp_path / "layout", "1", [[Member("a", b"x")]])
    tmp_path.joinpath("htpasswd").write_text(f"me:{HASH}\n")
    accounts = {"htpasswd": {"realm": "test", "path": str(tmp_path / "htpasswd")}}
    with running_registry(tmp_path / "registry", auth=accounts) as host:
        push(tmp_path / "layout", "1", f"{host}/app:1", f"--dest-creds=me:{CANARY}")
        pull(tmp_path, f"{host}/app:1", host)
        with pytest.raises(HostError, match="asks for a user, and nobody has logged in there"):
            pull(tmp_path, f"{host}/app:1")
        with pytest.raises(HostError, match=r"refuses it to you of .*auth\.json") as caught:
            pull(tmp_path, f"{host}/app:1", host, **auth("you", CANARY))
        assert CANARY not in str(caught.value)


def guarded(server: Server, realm: Server, token: str = "t0ken") -> list[Asked]:
    """`server` wants a token of `realm`; the requests for one."""
    asked: list[Asked] = []

    def script(request: Asked) -> Reply | None:
        if request.path == "/v2/" or request.headers.get("authorization") == f"Bearer {token}":
            return None
        return Reply(b"{}", 401, {"WWW-Authenticate": f'Bearer realm="http://{realm.host}/token",service="reg"'})

    def give(request: Asked) -> Reply:
        asked.append(request)
        return Reply(json.dumps({"access_token": token}).encode())

    server.script, realm.script = script, give
    return asked


@pytest.mark.root
@pytest.mark.host
def test_a_password_goes_to_the_token_server(tmp_path: Path, server: Server, other: Server) -> None:
    server.image([one_file()])
    asked = guarded(server, other)
    pull(tmp_path, f"{server.host}/app:1", server.host)
    (request,) = asked
    assert request.headers["authorization"] == basic("me")
    assert not any("Basic" in item.headers.get("authorization", "") for item in server.asked)


@pytest.mark.root
@pytest.mark.host
def test_an_identity_token_is_posted(tmp_path: Path, server: Server, other: Server) -> None:
    server.image([one_file()])
    asked = guarded(server, other)
    pull(tmp_path, f"{server.host}/app:1", server.host, identitytoken=CANARY)
    (request,) = asked
    assert request.path == "/token"
    assert parse_qs(request.body.decode()) == {
        "grant_type": ["refresh_token"],
        "refresh_token": [CANARY],
        "service": ["reg"],
        "scope": ["repository:app:pull"],
        "client_id": ["reconciler"],
    }


@pytest.mark.root
@pytest.mark.host
def test_no_password_follows_a_redirect(tmp_path: Path, server: Server, other: Server) -> None:
    """T-9: of the registry, of its token server, of its blobs."""
    layer = one_file()
    server.image([layer])
    other.content["/blob"] = Reply(layer)

    def script(asked: Asked) -> Reply | None:
        if asked.path == "/v2/":
            return None
        if "authorization" not in asked.headers:
            return Reply(b"", 401, {"WWW-Authenticate": "Basic realm=x"})
        return Reply(b"", 302, {"Location": f"http://{other.host}/blob"}) if "/blobs/" in asked.path else None

    server.script = script
    with pytest.raises(HostError, match="was asked for"):  # the config is a blob too, and other.host has another
        pull(tmp_path, f"{server.host}/app:1", server.host)
    assert other.asked
    assert not any("authorization" in asked.headers for asked in other.asked)
