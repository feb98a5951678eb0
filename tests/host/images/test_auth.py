"""Challenges, tokens, redirects and waiting times: the pure half of the registry protocol."""

from __future__ import annotations

from contextlib import suppress
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.errors import HostError
from reconciler.host.images.auth import Challenge, Tokens, parse_challenges, parse_token, token_request
from reconciler.host.images.route import is_loopback
from reconciler.host.images.transport import parse_retry_after, redirected


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", ()),
        ("Basic", (Challenge("basic", {}),)),
        ('Bearer realm="https://a/t",service="s"', (Challenge("bearer", {"realm": "https://a/t", "service": "s"}),)),
        (
            'BEARER Realm = "https://a/t" , scope="repository:a:pull,push" ,service=reg',
            (Challenge("bearer", {"realm": "https://a/t", "scope": "repository:a:pull,push", "service": "reg"}),),
        ),
        (
            'Basic realm="x", Bearer realm="https://a/t"',
            (Challenge("basic", {"realm": "x"}), Challenge("bearer", {"realm": "https://a/t"})),
        ),
        ('Bearer realm="a\\"b"', (Challenge("bearer", {"realm": 'a"b'}),)),
        ('Bearer realm="first",realm="second"', (Challenge("bearer", {"realm": "first"}),)),
        ('Bearer realm="unbalanced', (Challenge("bearer", {}),)),
    ],
)
def test_challenges(header: str, expected: tuple[Challenge, ...]) -> None:
    assert parse_challenges(header) == expected


@given(st.text(max_size=300))
def test_any_header_is_read(header: str) -> None:
    for challenge in parse_challenges(header):
        assert challenge.scheme == challenge.scheme.lower()


@given(st.text(alphabet='Bearer realm="http://x/,= \\\t', max_size=300), st.sampled_from(["http://r", "https://r"]))
def test_any_challenge_leads_to_an_address_or_a_refusal(header: str, registry: str) -> None:
    for challenge in parse_challenges(header):
        with suppress(ValueError):
            assert token_request(challenge, "repository:a:pull", registry).url.startswith("http")


def test_where_to_ask_for_a_token() -> None:
    bearer = Challenge("bearer", {"realm": "https://auth.example/token?a=b", "service": "reg"})
    assert token_request(bearer, "repository:x/y:pull", "https://r").url == (
        "https://auth.example/token?a=b&service=reg&scope=repository%3Ax%2Fy%3Apull"
    )


@pytest.mark.parametrize(
    ("realm", "why"),
    [
        ("http://auth.example/token", "is not reached by TLS"),
        ("https://169.254.169.254/latest", "is a private address"),
        ("https://[fe80::1]/", "is a private address"),
        ("https://192.168.1.1/", "is a private address"),
        ("ftp://auth.example/", "is not a web address"),
        ("https://user@auth.example/", "is not a web address"),
        ("", "is not a web address"),
    ],
)
def test_where_no_token_is_asked_for(realm: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        token_request(Challenge("bearer", {"realm": realm}), "s", "https://registry.example")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"token": "a"}', ("a", 60.0)),
        (b'{"access_token": "b", "expires_in": 300}', ("b", 300.0)),
        (b'{"token": "a", "expires_in": 0}', ("a", 60.0)),
        (b'{"token": "a", "expires_in": -1}', ("a", 60.0)),
        (b'{"token": "a", "expires_in": true}', ("a", 60.0)),
        (b'{"token": "a", "expires_in": 1e99}', ("a", 60.0)),
    ],
)
def test_tokens_are_read(body: bytes, expected: tuple[str, float]) -> None:
    assert parse_token(body) == expected


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"token": 5}', b'{"token": "a b"}', b'{"token": "a\\nb"}', b"[" * 99999]
)
def test_what_is_no_token(body: bytes) -> None:
    with pytest.raises(ValueError, match="its token server"):
        parse_token(body)


def test_a_token_is_kept_until_shortly_before_its_end() -> None:
    now = 100.0
    tokens = Tokens(lambda: now)
    tokens.keep("a", "Bearer x", 60)
    assert tokens.get("b") is None
    now = 149.0
    assert tokens.get("a") == "Bearer x"
    now = 151.0
    assert tokens.get("a") is None
    tokens.keep("a", "Bearer y", 6)
    tokens.drop("a")
    assert tokens.get("a") is None


SECRETS = {"Authorization": "Bearer x", "Range": "bytes=5-"}


@pytest.mark.parametrize(
    ("location", "target", "kept"),
    [
        ("/other", "https://r.example/other", True),
        ("https://r.example:443/x", "https://r.example:443/x", True),
        ("https://R.EXAMPLE/x", "https://R.EXAMPLE/x", True),
        ("https://cdn.example/x?sig=1", "https://cdn.example/x?sig=1", False),
        ("https://r.example:444/x", "https://r.example:444/x", False),
        ("//cdn.example/x", "https://cdn.example/x", False),
        ("https://sub.r.example/x", "https://sub.r.example/x", False),
    ],
)
def test_redirects(location: str, target: str, kept: bool) -> None:
    url, headers = redirected("https://r.example/v2/a", location, SECRETS)
    assert url == target
    assert headers == (SECRETS if kept else {"Range": "bytes=5-"})


@pytest.mark.parametrize(
    "location", ["http://r.example/x", "file:///x", "https://u:p@r.example/", "https://[::1%25lo]/"]
)
def test_redirects_that_are_refused(location: str) -> None:
    with pytest.raises(HostError, match=r"cannot follow the redirect of r\.example/v2/a"):
        redirected("https://r.example/v2/a?secret=1", location, SECRETS)


@given(st.text(max_size=60))
def test_no_redirect_leaks_a_secret(location: str) -> None:
    with suppress(HostError):
        url, headers = redirected("https://r.example/v2/a", location, SECRETS)
        assert "Authorization" not in headers or urlsplit(url).netloc.lower() in {"r.example", "r.example:443"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2", 2.0),
        ("0", 0.0),
        ("", None),
        ("-1", None),
        ("1.5", None),
        ("\u0662", None),
        ("soon", None),
        ("Thu, 01 Jan 1970 00:16:50 GMT", 10.0),
        ("Thu, 01 Jan 1970 00:16:00 GMT", 0.0),
        ("Thu, 99 Jan 1970 00:16:00 GMT", None),
    ],
)
def test_retry_after(text: str, expected: float | None) -> None:
    assert parse_retry_after(text, 1000.0) == expected


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", True),
        ("localhost:5000", True),
        ("127.0.0.1:5000", True),
        ("127.9.9.9", True),
        ("[::1]:5000", True),
        ("[::1]", True),
        ("10.0.0.1:5000", False),
        ("localhost.example", False),
        ("registry.example:5000", False),
    ],
)
def test_loopback(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected
