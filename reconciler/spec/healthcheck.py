"""`healthcheck.test` of a spec: Compose's forms, and the two tests that the daemon does itself. Pure.

Whatever is wrong is a FormError at its word. Used by `compose`, which judges, and by `convert`.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import SplitResult, urlsplit

from reconciler.core.health import CommandTest, HttpTest, TcpTest, Test
from reconciler.spec.forms import FormError

_KINDS: Final = "NONE, CMD, CMD-SHELL, HTTP or TCP"
_HOST = re.compile(r"[A-Za-z0-9.-]{0,253}", re.ASCII)
_PATH = re.compile(r"[!-~]{1,2000}", re.ASCII)


def listed(value: object) -> object:
    """A text is a command for the shell, as in Compose."""
    return ["CMD-SHELL", value] if isinstance(value, str) else value


def test(words: tuple[str, ...]) -> Test | None:
    """What `words` ask; None for NONE."""
    kind, *rest = words or ("",)
    match kind, rest:
        case "NONE", []:
            return None
        case "CMD", [_, *_]:
            return CommandTest(argv=tuple(rest))
        case "CMD-SHELL", [str(text)] if text:
            return CommandTest(argv=("/bin/sh", "-c", text))
        case "HTTP", [url]:
            return _http(url)
        case "TCP", [port]:
            return TcpTest(port=_port(port))
        case "NONE" | "CMD" | "CMD-SHELL" | "HTTP" | "TCP", _:
            raise FormError(_usage(kind))
        case _:
            raise FormError(f"a test begins with {_KINDS}" + (f", not '{kind}'" if kind else ""))


def checked(words: tuple[str, ...]) -> tuple[str, ...]:
    """`words`, when they are a test."""
    test(words)
    return words


def _usage(kind: str) -> str:
    return {
        "NONE": "nothing goes behind NONE",
        "CMD": "behind CMD goes a program and its arguments",
        "CMD-SHELL": "behind CMD-SHELL goes one text for the shell",
        "HTTP": 'behind HTTP goes one address, as in ["HTTP", "http://:8080/healthz"]',
        "TCP": 'behind TCP goes one port, as in ["TCP", "5432"]',
    }[kind]


def _http(url: str) -> HttpTest:
    parts, port = _split(url)
    if parts.scheme == "https":
        raise FormError("it asks without TLS; write http, or a command that asks", 1)
    if parts.scheme != "http" or parts.fragment or "@" in parts.netloc or port == 0:
        raise FormError(_usage("HTTP"), 1)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if not _PATH.fullmatch(path) or not _HOST.fullmatch(parts.hostname or ""):
        raise FormError("it may hold printable ASCII only, without blanks", 1)
    return HttpTest(port=port or 80, path=path, host=parts.hostname or "")


def _split(url: str) -> tuple[SplitResult, int | None]:
    if any(not "!" <= letter <= "~" for letter in url):  # urlsplit drops some of them
        raise FormError("it may hold printable ASCII only, without blanks", 1)
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise FormError(_usage("HTTP"), 1) from None
    return parts, port


def _port(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,5}", text, re.ASCII) or not 1 <= int(text) <= 65535:
        raise FormError("a port is a number from 1 to 65535", 1)
    return int(text)
