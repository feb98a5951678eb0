"""HTTP to registries: whom to believe, redirects by hand, short bounded retries; without credentials of its own.

Knows nothing of images; called by `registry`. Longer retries than these belong to the queue.
"""

from __future__ import annotations

import email.utils
import http.client
import ssl
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar
from urllib.parse import SplitResult, urljoin, urlsplit

from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt

from reconciler.errors import HostError
from reconciler.host.images.exchange import ERROR_LIMIT, Answer, Asking, Exchange
from reconciler.host.images.hosts import Trust
from reconciler.host.images.mirrors import NotHereError
from reconciler.host.images.patience import Patience, patience
from reconciler.host.images.route import is_loopback
from reconciler.settings import Settings

ATTEMPTS = 5
MIRROR_ATTEMPTS = 2  # of what somebody else has too
LONGEST_WAIT = 60.0  # seconds; a registry that asks for more is left to the queue
REDIRECTS = 10
AGAIN = frozenset({408, 429, 500, 502, 503, 504})
_MOVED = frozenset({301, 302, 303, 307, 308})
_SECRET = frozenset({"authorization", "cookie", "proxy-authorization"})

Result = TypeVar("Result")
Sleep = Callable[[float], None]


class TryAgainError(HostError):
    """No proper answer; the same request may work in a moment. `after` is what Retry-After asks, in seconds."""

    fault = "unreachable"

    def __init__(self, message: str, after: float | None = None) -> None:
        super().__init__(message)
        self.after = after


def retrying(sleep: Sleep, attempts: int = ATTEMPTS) -> Retrying:
    """The policy for everything short: a few attempts, as far apart as the registry asks or a little more each."""
    return Retrying(
        stop=stop_after_attempt(attempts),
        wait=_wait,
        retry=retry_if_exception_type(TryAgainError),
        sleep=sleep,
        reraise=True,
    )


def _wait(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    if isinstance(error, TryAgainError) and error.after is not None:
        return error.after
    return float(min(0.2 * 2**state.attempt_number, LONGEST_WAIT))


def refuse_status(answer: Answer, what: str, now: float) -> HostError:
    """The error for a status that is no success: worth another attempt, or not."""
    meaning = http.client.responses.get(answer.status, "")
    why = f"cannot {what}: {urlsplit(answer.url).hostname} answered {answer.status} {meaning}".strip()
    if answer.status == 404:
        return NotHereError(why + said(answer.body))
    if answer.status not in AGAIN:
        return HostError(why + said(answer.body)).blamed("denied" if answer.status in {401, 403} else "other")
    after = parse_retry_after(answer.headers.get("retry-after", ""), now)
    if after is not None and after > LONGEST_WAIT:
        return HostError(f"{why} and asks to wait {after:.0f} s").blamed("unreachable")
    return TryAgainError(why + said(answer.body), after)


def reason(error: Exception) -> str:
    """Why, short and on one line; it may quote what somebody sent."""
    text = " ".join(str(error).split()) or type(error).__name__
    return ascii(text)[1:-1][:200]


def said(body: bytes) -> str:
    """A registry's own words, short and on one line."""
    text = " ".join(body[:400].decode("utf-8", "replace").split())
    return f": {ascii(text)[1:-1][:200]}" if text else ""


def parse_retry_after(text: str, now: float) -> float | None:
    """Seconds to wait by a Retry-After header of either form; None when there is none that can be read."""
    if text.isascii() and text.isdigit() and len(text) < 10:
        return float(text)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - now)
    except (ValueError, TypeError, OverflowError):
        return None


def redirected(url: str, location: str, headers: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """Where to go on and with which headers: nothing secret goes to another scheme, host or port."""
    try:
        target = urljoin(url, location)
        old, new = urlsplit(url), urlsplit(target)
        same = _origin(old) == _origin(new)
    except ValueError:
        raise HostError(f"cannot follow the redirect of {_place(urlsplit(url))}: its target is no address") from None
    if new.scheme not in {"http", "https"} or not new.hostname or "@" in new.netloc or "%" in new.netloc:
        raise HostError(f"cannot follow the redirect of {_place(old)}: its target is no web address")
    if (old.scheme, new.scheme) == ("https", "http"):
        raise HostError(f"cannot follow the redirect of {_place(old)} to {_place(new)}: it leaves TLS")
    kept = {name: value for name, value in headers.items() if same or name.lower() not in _SECRET}
    return target, kept


def _origin(parts: SplitResult) -> tuple[str, str | None, int]:
    return parts.scheme, parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)


def _place(parts: SplitResult) -> str:
    """Host and path for a message; never the query, in which object stores carry signatures."""
    return f"{parts.hostname}{parts.path[:80]}"


class Transport:
    """Connections of one daemon to all registries. Safe for threads."""

    def __init__(self, settings: Settings, sleep: Sleep = time.sleep, waits: Patience | None = None) -> None:
        self.sleep = sleep
        self._exchange = Exchange(waits or patience(settings.image_limits))
        self._insecure = frozenset(settings.insecure_registries)
        self._verified = ssl.create_default_context()
        if settings.registry_ca is not None:
            _authority(self._verified, settings.registry_ca)
        self._unverified = ssl.create_default_context()
        self._unverified.check_hostname = False
        self._unverified.verify_mode = ssl.CERT_NONE
        self._trusts: dict[str, ssl.SSLContext] = {}
        self._bases: dict[str, str] = {}

    def base(self, host: str) -> str:
        """`https://host`, or `http://host` for one that may be insecure and does not speak TLS."""
        if host not in self._insecure and not is_loopback(host):
            return f"https://{host}"
        if host not in self._bases:
            self._bases[host] = self._probe(host)
        return self._bases[host]

    def _probe(self, host: str) -> str:
        """What `host` speaks. Raises TryAgainError when it does not listen, or its certificate or ours is not good."""
        try:
            self.get(f"https://{host}/v2/", {}, ERROR_LIMIT)
        except TryAgainError as error:
            if "CERTIFICATE" in str(error).upper():  # one of the two is not good enough; it does speak TLS
                raise
            self.get(f"http://{host}/v2/", {}, ERROR_LIMIT)
            return f"http://{host}"
        return f"https://{host}"

    def _context(self, parts: SplitResult) -> ssl.SSLContext:
        if parts.netloc in self._trusts:
            return self._trusts[parts.netloc]
        named = parts.netloc in self._insecure or parts.hostname in self._insecure
        return self._unverified if named else self._verified

    def trust(self, host: str, trust: Trust) -> None:
        """From now on speak TLS with `host` by these certificates. Raises HostError when they cannot be read."""
        if host in self._trusts:
            return
        context = ssl.create_default_context()
        try:
            for path in trust.authorities:
                _authority(context, path)
            if trust.client:
                context.load_cert_chain(*trust.client)
        except (OSError, ssl.SSLError) as error:
            raise HostError(f"cannot read the certificates for {host}: {error}") from None
        if not trust.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        self._trusts[host] = context

    def refuse_plain(self, url: str) -> None:
        """Raise HostError when `url` is plain HTTP to a host for which nobody has allowed that."""
        if not self.may_carry_secrets(url):
            host = urlsplit(url).netloc
            raise HostError(f"cannot ask {host} without TLS: name it in insecure_registries if that is meant")

    # --- documents -------------------------------------------------------------------------------------------

    def get(self, url: str, headers: Mapping[str, str], limit: int) -> Answer:
        """The answer with at most `limit` bytes of body, after redirects. Raises HostError or TryAgainError."""
        return self._follow(url, headers, lambda target, kept: self._ask(target, limit, headers=kept))

    def head(self, url: str, headers: Mapping[str, str]) -> Answer:
        """The answer without its body, after redirects."""
        return self._follow(url, headers, lambda target, kept: self._ask(target, 0, headers=kept, method="HEAD"))

    def post(self, url: str, form: Mapping[str, str], limit: int) -> Answer:
        """The answer to a form; a redirect is an answer, since a form may hold secrets."""
        return self._ask(url, limit, headers={}, method="POST", form=form)

    def may_carry_secrets(self, url: str) -> bool:
        """Whether passwords may go there: over TLS, or where an operator allows less."""
        parts = urlsplit(url)
        return parts.scheme == "https" or parts.netloc in self._insecure or is_loopback(parts.netloc)

    # --- blobs -----------------------------------------------------------------------------------------------

    def open(self, url: str, headers: Mapping[str, str]) -> Answer:
        """The answer with its body still to be read; the caller closes it."""
        return self._follow(url, headers, lambda target, kept: self._ask(target, headers=kept))

    def _ask(
        self,
        url: str,
        limit: int | None = None,
        *,
        headers: Mapping[str, str],
        method: str = "GET",
        form: Mapping[str, str] | None = None,
    ) -> Answer:
        parts = urlsplit(url)
        try:
            return self._exchange.ask(Asking(parts, self._context(parts), headers, method, form, limit))
        except (OSError, http.client.HTTPException, UnicodeError) as error:
            raise TryAgainError(f"cannot ask {_place(parts)}: {reason(error)}") from error

    def _follow(self, url: str, headers: Mapping[str, str], send: Callable[[str, Mapping[str, str]], Answer]) -> Answer:
        for _ in range(REDIRECTS + 1):
            answer = send(url, headers)
            if answer.status not in _MOVED or "location" not in answer.headers:
                return answer
            answer.close()
            url, headers = redirected(url, answer.headers["location"], headers)
        raise HostError(f"cannot follow the redirects of {_place(urlsplit(url))}: there are more than {REDIRECTS}")


def _authority(context: ssl.SSLContext, path: Path) -> None:
    try:
        context.load_verify_locations(path)
    except OSError as error:
        raise HostError(f"cannot read the certificates in {path}: {error.strerror or error}") from None
