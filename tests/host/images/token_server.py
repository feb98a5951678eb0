"""A token server as registries name one in their challenges: JSON Web Tokens that a real docker-registry believes.

Source: the distribution project's token specification and its `auth: token` (the chain of the key in `x5c`).
"""

from __future__ import annotations

import base64
import datetime
import json
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as generate_rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from tests.host.images.scripted import Asked, Reply, Server

ISSUER, SERVICE = "test-issuer", "test registry"
HOUR = 3600.0

Key = EllipticCurvePrivateKey | RSAPrivateKey


def new_key(algorithm: str) -> Key:
    """For ES256 or RS256."""
    return generate_private_key(SECP256R1()) if algorithm == "ES256" else generate_rsa(65537, 2048)


@dataclass
class TokenServer:
    """Answers on `server`; `users` by name, `refreshing` by identity token."""

    server: Server
    folder: Path
    algorithm: str = "ES256"
    users: dict[str, str] = field(default_factory=dict)
    refreshing: dict[str, str] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)  # who, for what

    def __post_init__(self) -> None:
        self._key = new_key(self.algorithm)
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "tokens")])
        now = datetime.datetime.now(datetime.UTC)
        day = datetime.timedelta(1)
        draft = x509.CertificateBuilder(
            name, name, self._key.public_key(), x509.random_serial_number(), now - day, now + day
        )
        self._certificate = draft.sign(self._key, SHA256())
        (self.folder / "tokens.pem").write_bytes(self._certificate.public_bytes(Encoding.PEM))
        self.server.script = self._answer

    def settings(self) -> dict[str, object]:
        """The part `auth` of the registry's configuration."""
        return {
            "token": {
                "realm": f"http://{self.server.host}/token",
                "service": SERVICE,
                "issuer": ISSUER,
                "rootcertbundle": str(self.folder / "tokens.pem"),
            }
        }

    def _answer(self, asked: Asked) -> Reply:
        query = parse_qs(asked.body.decode() if asked.method == "POST" else urlsplit(asked.path).query)
        user = self._user(asked, query)
        if user is None:
            return Reply(b'{"details": "incorrect username or password"}', 401)
        assert query["service"] == [SERVICE]
        scope = query.get("scope", [""])[0]
        self.asked.append((user, scope))
        return Reply(json.dumps({"token": self._token(user, scope), "expires_in": 300}).encode())

    def _user(self, asked: Asked, query: dict[str, list[str]]) -> str | None:
        if asked.method == "POST":
            assert query["grant_type"] == ["refresh_token"]
            return self.refreshing.get(query["refresh_token"][0])
        scheme, _, secret = asked.headers.get("authorization", "").partition(" ")
        if not scheme:
            return ""
        name, _, password = base64.b64decode(secret).decode().partition(":")
        return name if scheme == "Basic" and self.users.get(name) == password else None

    def _token(self, user: str, scope: str) -> str:
        now = datetime.datetime.now(datetime.UTC).timestamp()
        chain = base64.b64encode(self._certificate.public_bytes(Encoding.DER)).decode()
        kind, _, rest = scope.partition(":")
        name, _, actions = rest.rpartition(":")
        access = [{"type": kind, "name": name, "actions": actions.split(",") if user else []}] if scope else []
        claims = {"iss": ISSUER, "sub": user, "aud": SERVICE, "jti": "1", "access": access}
        times = {"iat": int(now - HOUR), "nbf": int(now - HOUR), "exp": int(now + HOUR)}
        head = _packed({"typ": "JWT", "alg": self.algorithm, "x5c": [chain]})
        text = f"{head}.{_packed({**claims, **times})}"
        return f"{text}.{_base64(self._sign(text.encode()))}"

    def _sign(self, text: bytes) -> bytes:
        if isinstance(self._key, RSAPrivateKey):
            return self._key.sign(text, PKCS1v15(), SHA256())
        first, second = decode_dss_signature(self._key.sign(text, ECDSA(SHA256())))
        return first.to_bytes(32, "big") + second.to_bytes(32, "big")


def _packed(value: dict[str, object]) -> str:
    return _base64(json.dumps(value).encode())


def _base64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")
