"""Image references: what an `image` value names. Text in, value out.

Follows the grammar of distribution/reference and Docker's way of completing short names: `nginx` is
`docker.io/library/nginx:latest`. What lies on disk is named
`oci:PATH[:TAG]`, `oci-archive:PATH[:TAG]` or `docker-archive:PATH[:TAG]`; see `layout`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from posixpath import join, normpath

HUB = "docker.io"

_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_HOST = rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?"
_REFERENCE = re.compile(
    rf"(?:(?P<host>{_HOST})/)?(?P<repository>{_PART}(?:/{_PART})*)"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}))?",
    re.ASCII,
)
_IDENTIFIER = re.compile(r"[0-9a-f]{64}")
_LAYOUT = re.compile(
    r"(?P<kind>oci|oci-archive|docker-archive):(?P<path>[^:\0]+)(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}))?",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Reference:
    """A complete reference. `tag` is "" only when there is a digest, `digest` is "" when there is only a tag."""

    host: str
    repository: str
    tag: str
    digest: str = ""

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.host}/{self.repository}{tag}{digest}"


@dataclass(frozen=True, slots=True)
class Layout:
    """An image in an OCI image layout on disk. `tag` is the annotation org.opencontainers.image.ref.name."""

    path: str
    tag: str
    kind: str = "oci"

    def __str__(self) -> str:
        return f"{self.kind}:{self.path}:{self.tag}"


def parse(text: str) -> Reference:
    """Read a reference to a registry, completed as Docker does. Raises ValueError with the reason."""
    found = _REFERENCE.fullmatch(text)
    if not found or _IDENTIFIER.fullmatch(text):
        raise ValueError(_why(text))
    host, repository = found["host"] or "", found["repository"]
    if host and not _is_host(host):
        if host != host.lower():
            raise ValueError(f"'{text}' is no image reference: the repository must be in lower case")
        host, repository = "", f"{host}/{repository}"
    host = HUB if host in ("", "index.docker.io") else host
    if host == HUB and "/" not in repository:
        repository = f"library/{repository}"
    if len(f"{host}/{repository}") > 255:
        raise ValueError(f"'{text[:40]}…' is no image reference: it is longer than 255 characters")
    digest = found["digest"] or ""
    return Reference(host, repository, found["tag"] or ("" if digest else "latest"), digest)


def layout(text: str, folder: str = "/") -> Layout:
    """Read `oci:PATH[:TAG]`; a relative path counts from `folder`, and the tag is `latest` when none is given."""
    found = _LAYOUT.fullmatch(text)
    if not found:
        kind = text.partition(":")[0]
        what = "OCI layout" if kind == "oci" else "archive of an image"
        raise ValueError(f"'{text}' is no {what}: write {kind}:PATH or {kind}:PATH:TAG")
    return Layout(normpath(join(folder, found["path"])), found["tag"] or "latest", found["kind"])


def is_local(text: str) -> bool:
    """Whether `text` names a layout or an archive on disk rather than a registry."""
    return text.startswith(("oci:", "oci-archive:", "docker-archive:"))


def canonical(text: str, folder: str = "/") -> str:
    """Either kind of reference in its one form."""
    return str(layout(text, folder) if is_local(text) else parse(text))


def moves(text: str) -> bool:
    """Whether the canonical reference `text` is a tag in a registry, which may name another image tomorrow."""
    return "@" not in text and not is_local(text)


def _is_host(text: str) -> bool:
    """Docker's rule for the first part: a host has a dot or a colon, or is localhost."""
    return "." in text or ":" in text or text == "localhost"


def _why(text: str) -> str:
    if _IDENTIFIER.fullmatch(text):
        return f"'{text}' is no image reference: 64 hexadecimal digits are the id of an image, not its name"
    if text != text.lower() and _REFERENCE.fullmatch(text.lower()):
        return f"'{text}' is no image reference: the repository must be in lower case"
    return f"'{text}' is no image reference: write HOST/REPOSITORY:TAG, as in docker.io/library/nginx:1.27"


def image_key(reference: str, platform: str) -> str:
    """What an image in the store is known by: one reference may stand for several platforms."""
    return f"{reference} ({platform})" if platform else reference
