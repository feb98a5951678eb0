"""Who we are to a registry: the files that `docker login` and `podman login` write, and their helper programs.

Files are read when a registry asks for a user, never before, so that a login counts at once. What is secret is in
no message and in no `repr`. Sources: Docker's config.json, containers-auth.json(5), the credential helper protocol.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from reconciler.core.reference import HUB
from reconciler.errors import HostError
from reconciler.host.run import run

FILE_LIMIT = 1 << 20
HELPER_SECONDS = 30.0
HUB_KEY = "https://index.docker.io/v1/"
_HELPER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_IDENTITY = "<token>"  # the user name by which a helper says that the secret is an identity token


@dataclass(frozen=True, slots=True)
class Credential:
    """A user and a password, or an identity token; `source` says where it came from."""

    user: str
    secret: str = field(repr=False)
    identity: bool
    source: str

    @property
    def basic(self) -> str:
        """As RFC 7617 writes it."""
        return "Basic " + base64.b64encode(f"{self.user}:{self.secret}".encode()).decode()


@dataclass(frozen=True, slots=True)
class AuthFile:
    """What one file says, by host or host/namespace."""

    source: str
    auths: Mapping[str, Credential]
    helpers: Mapping[str, str]
    store: str = ""


def auth_files(own: Path | None, home: Path) -> tuple[Path, ...]:
    """Where logins may be, the first that knows the registry counts."""
    known = (
        Path("/run/containers/0/auth.json"),
        home / ".config" / "containers" / "auth.json",
        home / ".docker" / "config.json",
    )
    return (own, *known) if own else known


# --- reading -------------------------------------------------------------------------------------------------------


def parse_auth_file(text: bytes, source: str) -> AuthFile:
    """One file of either kind. Raises ValueError."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError("it is not JSON") from None
    if not isinstance(document, dict):
        raise ValueError("it is not a JSON object")
    auths = {
        normal(key): found
        for key, value in _object(document.get("auths")).items()
        if (found := _credential(_object(value), source))
    }
    helpers = {normal(key): str(value) for key, value in _object(document.get("credHelpers")).items()}
    store = document.get("credsStore")
    return AuthFile(source, auths, helpers, store if isinstance(store, str) else "")


def _object(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def _credential(entry: Mapping[str, object], source: str) -> Credential | None:
    token = entry.get("identitytoken")
    user, secret = _decode(entry.get("auth"))
    if isinstance(token, str) and token:
        return Credential(user or _IDENTITY, token, True, source)
    user, secret = str(entry.get("username") or user), str(entry.get("password") or secret)
    return Credential(user, secret, False, source) if user else None


def _decode(value: object) -> tuple[str, str]:
    try:
        user, _, secret = base64.b64decode(str(value or "").encode()).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError, UnicodeEncodeError):
        return "", ""
    return user, secret.rstrip("\0")


def parse_helper(text: str, source: str) -> Credential | None:
    """What a helper printed: `{"ServerURL": …, "Username": …, "Secret": …}`. Raises ValueError."""
    try:
        answer = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError("it printed no JSON") from None
    user, secret = (str(_object(answer).get(key) or "") for key in ("Username", "Secret"))
    return Credential(user, secret, user == _IDENTITY, source) if secret else None


def normal(key: str) -> str:
    """`https://index.docker.io/v1/`, `docker.io` and the like as one key; paths of namespaces stay."""
    host = key.partition("://")[2] or key
    host = re.sub(r"/v[12]/?$", "", host).rstrip("/")
    return HUB if host in {"index.docker.io", "registry-1.docker.io"} else host


def candidates(host: str, repository: str) -> Iterator[str]:
    """Keys under which a login for this repository may stand, the most special first."""
    parts = repository.split("/")
    for count in range(len(parts), 0, -1):
        yield "/".join([host, *parts[:count]])
    yield host


# --- asking --------------------------------------------------------------------------------------------------------

Run = Callable[..., str]


class Credentials:
    """The logins of this host. Safe for threads: keeps nothing."""

    def __init__(self, files: Sequence[Path], run: Run = run) -> None:
        self._files = files
        self._run = run

    def find(self, host: str, repository: str) -> Credential | None:
        """The login for a repository, None when nobody has logged in. Raises HostError when one cannot be read."""
        for path in self._files:
            found = self._in_file(path, host, repository)
            if found:
                return found
        return None

    def _in_file(self, path: Path, host: str, repository: str) -> Credential | None:
        try:
            with path.open("rb") as file:
                auth = parse_auth_file(file.read(FILE_LIMIT), str(path))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError) as error:
            raise HostError(f"cannot read logins from {path}: {getattr(error, 'strerror', None) or error}") from None
        if helper := auth.helpers.get(host):
            return self._ask(helper, host)
        return next((auth.auths[key] for key in candidates(host, repository) if key in auth.auths), None) or (
            self._ask(auth.store, host) if auth.store else None
        )

    def _ask(self, helper: str, host: str) -> Credential | None:
        program = f"docker-credential-{helper}"
        if not _HELPER.fullmatch(helper):
            raise HostError(f"cannot ask a credential helper for {host}: {helper[:40]!r} is no name of a program")
        try:
            text = self._run(
                [program, "get"],
                input=HUB_KEY if host == HUB else host,
                timeout=HELPER_SECONDS,
                env={"HOME": os.environ.get("HOME", "/root")},
            )
        except HostError as error:
            if "credentials not found" in str(error):
                return None
            raise
        try:
            return parse_helper(text, program)
        except ValueError as error:
            raise HostError(f"cannot ask {program} for {host}: {error}") from None
