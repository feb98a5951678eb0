"""Token authentication on the good path: the real docker-registry, and a token server whose tokens it believes."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from reconciler.core.reference import parse
from reconciler.errors import HostError
from reconciler.host.images.auth import Tokens
from reconciler.host.images.credentials import Credentials
from reconciler.host.images.hosts import Endpoint
from reconciler.host.images.registry import Access, Registry
from reconciler.host.images.store import ImageStore
from reconciler.host.images.transport import Transport
from reconciler.settings import Settings
from tests.host.images.builder import Member, build_layout
from tests.host.images.registries import push, running_registry
from tests.host.images.scripted import Server
from tests.host.images.token_server import TokenServer

pytestmark = [pytest.mark.root, pytest.mark.host]

SCOPE = "repository:some/app:pull"
PASSWORD, IDENTITY = "pass word:of-canary", "identity-of-canary"


@dataclass
class Place:
    """A registry with an image of three layers, who gives tokens for it, and a login file."""

    host: str
    tokens: TokenServer
    wanted: str
    folder: Path

    def pull(self, login: dict[str, str] | None) -> None:
        """With a store of its own, and nothing in its memory."""
        store = self.store(login)
        store.pull(f"{self.host}/some/app:1", lambda _: None)
        assert store.seen()[f"{self.host}/some/app:1"].digest == self.wanted

    def store(self, login: dict[str, str] | None) -> ImageStore:
        auths = {self.host: login} if login is not None else {}
        (self.folder / "auth.json").write_text(json.dumps({"auths": auths}))
        made = ImageStore(
            Settings(state=self.folder / "state", registry_auth=self.folder / "auth.json"), sleep=lambda _: None
        )
        made.recover()
        return made


def basic(user: str, password: str) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}


@pytest.fixture(params=["ES256", "RS256"])
def place(request: pytest.FixtureRequest, server: Server, tmp_path: Path) -> Iterator[Place]:
    tokens = TokenServer(server, tmp_path, request.param, {"me": PASSWORD}, {IDENTITY: "me"})
    with running_registry(tmp_path / "registry", auth=tokens.settings()) as host:
        wanted = build_layout(tmp_path / "layout", "1", [[Member(name, b"x")] for name in "abc"])
        push(tmp_path / "layout", "1", f"{host}/some/app:1", f"--dest-creds=me:{PASSWORD}")
        tokens.asked.clear()
        yield Place(host, tokens, wanted, tmp_path)


def test_a_password_gives_a_token_and_one_token_serves_all(place: Place) -> None:
    place.pull(basic("me", PASSWORD))
    assert place.tokens.asked == [("me", SCOPE)]


def test_an_identity_token_gives_a_token(place: Place) -> None:
    place.pull({"identitytoken": IDENTITY, "auth": base64.b64encode(b"<token>:").decode()})
    assert place.tokens.asked == [("me", SCOPE)]


def test_a_token_that_has_ended_is_fetched_again(place: Place) -> None:
    """The token server says that it lasts 300 seconds."""
    now = 1000.0
    (place.folder / "auth.json").write_text(json.dumps({"auths": {place.host: basic("me", PASSWORD)}}))
    logins = Credentials((place.folder / "auth.json",))
    access = Access(Transport(Settings()), Tokens(lambda: now), logins)
    image = Registry(access, Endpoint(place.host), parse(f"{place.host}/some/app:1"))
    for later, count in ((0.0, 1), (280.0, 1), (20.0, 2), (10.0, 2)):
        now += later
        assert image.current_digest() == place.wanted
        assert len(place.tokens.asked) == count


def test_a_token_is_kept_from_one_pull_to_the_next(place: Place) -> None:
    store = place.store(basic("me", PASSWORD))
    store.pull(f"{place.host}/some/app:1", lambda _: None)
    assert store.current_digest(f"{place.host}/some/app:1") == place.wanted
    store.pull(f"{place.host}/some/app:1", lambda _: None)
    assert len(place.tokens.asked) == 1


@pytest.mark.parametrize(
    ("login", "why"),
    [
        (None, "refuses it to those who have not logged in"),
        (basic("me", "wrong"), "answered 401 Unauthorized"),
        ({"identitytoken": "wrong", "auth": base64.b64encode(b"<token>:").decode()}, "answered 401 Unauthorized"),
    ],
    ids=["nobody", "another password", "another identity"],
)
def test_who_is_not_let_in_is_told_in_one_line(login: dict[str, str] | None, why: str, place: Place) -> None:
    with pytest.raises(HostError, match=why) as caught:
        place.pull(login)
    assert "\n" not in str(caught.value)
    assert "wrong" not in str(caught.value)
