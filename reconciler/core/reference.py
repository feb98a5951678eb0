"""Image references: `nginx`, `ghcr.io/org/app:1.2@sha256:…`, as the distribution project defines them.

Pure text in, a value out; nothing here asks a registry. `oci:` and other local forms are not references.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

HUB = "docker.io"

_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_LABEL = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_HOST = rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?"
_REFERENCE = re.compile(
    rf"(?:(?P<host>{_HOST})/)?(?P<path>{_COMPONENT}(?:/{_COMPONENT})*)"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}))?"
    r"(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)


@dataclass(frozen=True, slots=True)
class Reference:
    """Where an image is: registry host (with port), repository, and tag or digest or both. The digest decides."""

    host: str
    repository: str
    tag: str
    digest: str = ""

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        return f"{self.host}/{self.repository}{tag}" + (f"@{self.digest}" if self.digest else "")


def parse(text: str) -> Reference:
    """`text` in full, with Docker Hub, `library/` and `latest` filled in. Raises ValueError with the reason."""
    found = _REFERENCE.fullmatch(text)
    if found is None:
        raise ValueError(f"cannot read image reference {text!r}: it is not [host/]name[:tag][@sha256:digest]")
    host, path = _split_host(found["host"], found["path"])
    if len(path) > 255 - len(host):
        raise ValueError(f"cannot read image reference {text[:60]!r}: it is longer than 255 characters")
    return Reference(host, path, found["tag"] or ("" if found["digest"] else "latest"), found["digest"] or "")


def _split_host(host: str | None, path: str) -> tuple[str, str]:
    if host and not ("." in host or ":" in host or host == "localhost" or host.lower() != host):
        host, path = None, f"{host}/{path}"
    if host in {None, "index.docker.io", HUB}:
        return HUB, path if "/" in path else f"library/{path}"
    assert host is not None
    return host, path
