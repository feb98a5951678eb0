"""One image in a registry or in a mirror of it, by the distribution protocol v2; every digest is checked.

A source for `store`, beside `layout`. Answers challenges, and takes up a broken transfer where it broke off.
"""

from __future__ import annotations

import http.client
import os
import re
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass

from tenacity import Retrying

from reconciler.core.reference import Reference
from reconciler.errors import HostError
from reconciler.host.images.auth import (
    TOKEN_LIMIT,
    Challenge,
    TokenRequest,
    Tokens,
    parse_challenges,
    parse_token,
    token_request,
)
from reconciler.host.images.credentials import Credential, Credentials
from reconciler.host.images.documents import DOCUMENT_LIMIT, INDEXES, MANIFESTS, Descriptor, digest_of, is_digest
from reconciler.host.images.exchange import Answer
from reconciler.host.images.hosts import Endpoint
from reconciler.host.images.mirrors import NotHereError
from reconciler.host.images.transport import (
    ATTEMPTS,
    MIRROR_ATTEMPTS,
    Transport,
    TryAgainError,
    reason,
    refuse_status,
    retrying,
    said,
)

CHUNK = 1 << 18
BASIC_LIFE = 300.0  # seconds after which a login is read again
_ACCEPT = ", ".join(sorted(MANIFESTS | INDEXES))
_RANGE = re.compile(r"bytes ([0-9]{1,18})-[0-9]{1,18}/(?:[0-9]{1,18}|\*)")

Advance = Callable[[int], None]
Request = Callable[[Mapping[str, str]], Answer]


@dataclass(frozen=True, slots=True)
class Access:
    """What all registries of one daemon share."""

    transport: Transport
    tokens: Tokens
    logins: Credentials


class Registry:
    """The repository of one reference at one endpoint."""

    def __init__(self, access: Access, endpoint: Endpoint, reference: Reference) -> None:
        self._transport = access.transport
        self._tokens = access.tokens
        self._logins = access.logins
        self._endpoint = endpoint
        self._reference = reference
        self._host = endpoint.host
        # a login belongs to a host: that of the registry is not shown to a mirror
        self._login = endpoint.host if endpoint.mirrors else reference.host
        if endpoint.trust is not None:
            access.transport.trust(endpoint.host, endpoint.trust)
        self._scope = f"repository:{reference.repository}:pull"

    @property
    def mirror(self) -> str:
        """What this mirror is known by; "" for the registry itself."""
        return self._host if self._endpoint.mirrors else ""

    def top(self) -> tuple[str, bytes]:
        """Type and text of the manifest or index that the reference names."""
        self._may_ask()
        return self._manifest(self._reference.digest or self._reference.tag, self._reference.digest)

    def current_digest(self) -> str:
        """What the tag names now, by HEAD, which counts against no limit; by GET where HEAD tells nothing.

        Asked once, for the queue asks again.
        """
        self._may_ask()
        url = self._url(f"manifests/{self._reference.tag}")
        answer = self._authorized(
            url, lambda more: self._transport.head(url, {"Accept": _ACCEPT, **more}), 200, 404, 405, 501
        )
        told = answer.headers.get("docker-content-digest", "")
        return told if answer.status == 200 and is_digest(told) else digest_of(self.top()[1])

    def _may_ask(self) -> None:
        if not self._reference.digest and not self._endpoint.resolve:
            raise NotHereError(f"cannot {self._what}: the mirror {self._host} is not asked what a tag means")

    def document(self, descriptor: Descriptor) -> bytes:
        """A manifest or config by its digest, checked."""
        if descriptor.media_type in MANIFESTS | INDEXES:
            return self._manifest(descriptor.digest, descriptor.digest)[1]
        answer = self._ask(f"blobs/{descriptor.digest}", {})
        return _checked(answer.body, descriptor.digest, self._what)

    def send(self, layer: Descriptor, sink: int, advance: Advance) -> None:
        """Write the blob of `layer` into the descriptor `sink`; `advance` hears of every piece, in bytes."""
        transfer = _Transfer(layer, sink, advance)
        self._retrying()(self._transfer, transfer)

    @property
    def _what(self) -> str:
        return f"pull {self._reference}" + (f" from its mirror {self._host}" if self._endpoint.mirrors else "")

    def _url(self, path: str) -> str:
        base = self._endpoint.base or f"{self._transport.base(self._host)}/v2"
        self._transport.refuse_plain(base)
        asked = f"?ns={self._endpoint.mirrors}" if self._endpoint.mirrors else ""
        return f"{base}/{self._reference.repository}/{path}{asked}"

    def _manifest(self, wanted: str, digest: str) -> tuple[str, bytes]:
        answer = self._ask(f"manifests/{wanted}", {"Accept": _ACCEPT})
        digest = digest or answer.headers.get("docker-content-digest", "")
        body = _checked(answer.body, digest, self._what) if digest else answer.body
        return answer.headers.get("content-type", "").partition(";")[0].strip(), body

    def _ask(self, path: str, headers: Mapping[str, str]) -> Answer:
        def ask() -> Answer:
            url = self._url(path)
            return self._authorized(
                url, lambda more: self._transport.get(url, {**headers, **more}, DOCUMENT_LIMIT), 200
            )

        return self._retrying()(ask)

    def _retrying(self) -> Retrying:
        return retrying(self._transport.sleep, MIRROR_ATTEMPTS if self.mirror else ATTEMPTS)

    # --- authorization ---------------------------------------------------------------------------------------------

    def _authorized(self, url: str, request: Request, *good: int) -> Answer:
        """The answer to `request`, given the chance to prove who we are once."""
        kept = self._tokens.get(self._key)
        answer = request({"Authorization": kept} if kept else {})
        if answer.status == 401:
            answer.close()
            self._tokens.drop(self._key)
            login = self._logins.find(self._login, self._reference.repository)
            challenge = answer.headers.get("www-authenticate", "")
            answer = request({"Authorization": self._authorization(url, challenge, login)})
            if answer.status in {401, 403}:
                answer.close()
                who = f"{login.user} of {login.source}" if login else "those who have not logged in"
                why = f"cannot {self._what}: {self._host} refuses it to {who}" + said(answer.body)
                raise HostError(why).blamed("denied")
        if answer.status in good:
            return answer
        answer.close()
        raise refuse_status(answer, self._what, time.time())

    @property
    def _key(self) -> str:
        return f"{self._host} {self._scope}"

    def _authorization(self, url: str, header: str, login: Credential | None) -> str:
        challenges = {challenge.scheme: challenge for challenge in reversed(parse_challenges(header))}
        if bearer := challenges.get("bearer"):
            value, life = self._token(url, bearer, login)
        elif login and "basic" in challenges and not login.identity:
            value, life = self._secret(url, login).basic, BASIC_LIFE
        else:
            why = f"cannot {self._what}: {self._host} asks for a user, and nobody has logged in there"
            raise HostError(why).blamed("denied")
        self._tokens.keep(self._key, value, life)
        return value

    def _secret(self, url: str, login: Credential) -> Credential:
        """`login`, when it may go to `url`."""
        if not self._transport.may_carry_secrets(url):
            raise HostError(f"cannot {self._what}: the login from {login.source} is not sent without TLS")
        return login

    def _token(self, url: str, challenge: Challenge, login: Credential | None) -> tuple[str, float]:
        try:
            answer = self._ask_token(token_request(challenge, self._scope, url), login)
            if answer.status != 200:
                raise refuse_status(answer, self._what + (f" as {login.user}" if login else ""), time.time())
            token, life = parse_token(answer.body)
        except ValueError as error:
            raise HostError(f"cannot {self._what}: {error}") from None
        return f"Bearer {token}", life

    def _ask_token(self, request: TokenRequest, login: Credential | None) -> Answer:
        if login is None:
            return self._transport.get(request.url, {}, TOKEN_LIMIT)
        login = self._secret(request.realm, login)
        if login.identity:
            return self._transport.post(request.realm, request.form(login.secret), TOKEN_LIMIT)
        return self._transport.get(request.url, {"Authorization": login.basic}, TOKEN_LIMIT)

    # --- blobs -------------------------------------------------------------------------------------------------------

    def _transfer(self, transfer: _Transfer) -> None:
        url = self._url(f"blobs/{transfer.layer.digest}")
        span = {"Range": f"bytes={transfer.done}-"} if transfer.done else {}
        answer = self._authorized(url, lambda more: self._transport.open(url, {**span, **more}), 200, 206)
        with closing(answer):
            transfer.take(answer, self._what)


class _Transfer:
    """A blob on its way, over as many connections as it takes."""

    def __init__(self, layer: Descriptor, sink: int, advance: Advance) -> None:
        self.layer = layer
        self.done = 0
        self._sink = sink
        self._advance = advance

    def take(self, answer: Answer, what: str) -> None:
        """What this answer brings. Raises TryAgainError when it ends too early."""
        stream = answer.stream
        assert stream is not None
        skip = self._skip(answer, what)
        buffer = bytearray(CHUNK)
        view = memoryview(buffer)
        while count := _fill(stream, buffer, what):
            piece = view[min(skip, count) : count]
            skip -= count - len(piece)
            self._write(piece)
            self.done += len(piece)
            self._advance(len(piece))
        if self.done < self.layer.size:
            raise TryAgainError(f"cannot {what}: the transfer of {self.layer.digest} broke off at byte {self.done}")

    def _skip(self, answer: Answer, what: str) -> int:
        """How many bytes at the start of the answer we already have."""
        if answer.status == 200:
            return self.done
        found = _RANGE.fullmatch(answer.headers.get("content-range", ""))
        if found is None or int(found[1]) != self.done:
            raise HostError(f"cannot {what}: the registry sent another part of {self.layer.digest} than was asked for")
        return 0

    def _write(self, piece: memoryview) -> None:
        while piece:
            piece = piece[os.write(self._sink, piece) :]


def _fill(stream: http.client.HTTPResponse, buffer: bytearray, what: str) -> int:
    try:
        return stream.readinto(buffer)
    except (OSError, http.client.HTTPException) as error:
        raise TryAgainError(f"cannot {what}: the connection broke: {reason(error)}") from error


def _checked(body: bytes, digest: str, what: str) -> bytes:
    found = digest_of(body)
    if found != digest:
        raise HostError(f"cannot {what}: {digest[:80]!r} was asked for, and {found} came")
    return body
