"""What a registry asks before it answers: challenges read, tokens fetched and kept.

Sources: RFC 9110 §11.6.1 for the header, the distribution project's token specification for the rest. Knows
nothing of images; called by `registry`.
"""

from __future__ import annotations

import ipaddress
import json
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit

TOKEN_LIMIT = 1 << 20
DEFAULT_LIFE = 60.0  # seconds, when the token server does not say
EARLY = 10.0  # seconds before its end in which a token is not used any more
HEADER_LIMIT = 16 * 1024

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105 (RFC 9110's word for a word)
_PARAMETER = re.compile(rf'\s*({_TOKEN})\s*=\s*(?:"((?:[^"\\]|\\.)*)"|({_TOKEN}))\s*(?:,|$)')
_SCHEME = re.compile(rf"[\s,]*({_TOKEN})(?:\s+|$)")
_BEARER = re.compile(r"[\x21-\x7e]+")


@dataclass(frozen=True, slots=True)
class Challenge:
    """One scheme of a WWW-Authenticate header; scheme and names in lower case."""

    scheme: str
    parameters: Mapping[str, str]


def parse_challenges(header: str) -> tuple[Challenge, ...]:
    """The challenges of one header; what cannot be read ends the list."""
    found: list[Challenge] = []
    rest = header[:HEADER_LIMIT]
    while scheme := _SCHEME.match(rest):
        rest = rest[scheme.end() :]
        parameters: dict[str, str] = {}
        while pair := _PARAMETER.match(rest):
            quoted = re.sub(r"\\(.)", r"\1", pair[2]) if pair[2] is not None else pair[3]
            parameters.setdefault(pair[1].lower(), quoted)
            rest = rest[pair.end() :]
        found.append(Challenge(scheme[1].lower(), parameters))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """Where a token is to be had, for whom and for what."""

    realm: str
    service: str
    scope: str

    @property
    def url(self) -> str:
        """As a GET asks for it: anonymously, or with a password in the header."""
        query = {"service": self.service} if self.service else {}
        return f"{self.realm}{'&' if '?' in self.realm else '?'}{urlencode({**query, 'scope': self.scope})}"

    def form(self, identity: str) -> dict[str, str]:
        """As a POST asks for it, with an identity token (OAuth 2 refresh token)."""
        asked = {"service": self.service, "scope": self.scope, "client_id": "reconciler"}
        return {"grant_type": "refresh_token", "refresh_token": identity, **asked}


def token_request(challenge: Challenge, scope: str, registry: str) -> TokenRequest:
    """What to ask the token server. Raises ValueError when the realm is no place to send anything to.

    `registry` is the URL that was asked, `scope` what we want when the challenge does not say.
    """
    realm = challenge.parameters.get("realm", "")
    parts, asked = urlsplit(realm), urlsplit(registry)
    if parts.scheme not in {"http", "https"} or not parts.hostname or "@" in parts.netloc:
        raise ValueError(f"its token server {realm[:80]!r} is not a web address")
    if parts.scheme == "http" and asked.scheme == "https":
        raise ValueError(f"its token server {realm[:80]!r} is not reached by TLS")
    if parts.hostname != asked.hostname and _is_private(parts.hostname):
        raise ValueError(f"its token server {realm[:80]!r} is a private address")
    parameters = challenge.parameters
    return TokenRequest(realm, parameters.get("service", ""), parameters.get("scope") or scope)


def _is_private(host: str) -> bool:
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return False


def parse_token(body: bytes) -> tuple[str, float]:
    """The token and its life in seconds. Raises ValueError."""
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        raise ValueError("its token server did not answer with JSON") from None
    token = (answer.get("token") or answer.get("access_token")) if isinstance(answer, dict) else None
    if not isinstance(token, str) or _BEARER.fullmatch(token) is None:
        raise ValueError("its token server gave no token")
    life = answer.get("expires_in")
    usable = isinstance(life, int | float) and not isinstance(life, bool) and 0 < life < 1e9
    return token, float(life) if usable else DEFAULT_LIFE


class Tokens:
    """Tokens by key until shortly before they end. Safe for threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: dict[str, tuple[str, float]] = {}

    def get(self, key: str) -> str | None:
        """The authorization that was kept under `key`, if it is still good."""
        with self._lock:
            value, end = self._kept.get(key, ("", 0.0))
        return value if value and self._clock() < end else None

    def keep(self, key: str, value: str, life: float) -> None:
        """Keep `value` for `life` seconds, less a margin."""
        with self._lock:
            self._kept[key] = (value, self._clock() + max(life - EARLY, life / 2))

    def drop(self, key: str) -> None:
        """Forget what the registry no longer takes."""
        with self._lock:
            self._kept.pop(key, None)
