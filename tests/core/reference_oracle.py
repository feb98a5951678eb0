"""References read another way: by the rules of distribution/reference as its documentation publishes them.

Shares nothing with `reconciler.core.reference`: a name is taken apart by hand, from left to right, and each piece is
held against its production of the grammar. Source: distribution/reference, reference.go (the grammar in its comment)
and normalize.go (Docker's way of completing short names).
"""

from __future__ import annotations

import string

LOWER = set(string.ascii_lowercase + string.digits)
ALNUM = set(string.ascii_letters + string.digits)
SIZES = {"sha256": 64, "sha512": 128}


def read(text: str) -> tuple[str, str, str, str] | None:
    """Host, repository, tag and digest, None for what is no reference."""
    if len(text) == 64 and set(text) <= set("0123456789abcdef"):
        return None  # normalize.go: it would be taken for an identifier
    rest, at, digest = text.partition("@")
    if at and not _is_digest(digest):
        return None
    host, rest = _split(rest)
    if host and not _is_host(host):
        return None
    repository, colon, tag = rest.partition(":")
    if (colon and not _is_tag(tag)) or not all(map(_is_component, repository.split("/"))):
        return None
    host = "docker.io" if host in {"", "index.docker.io"} else host
    if host == "docker.io" and "/" not in repository:
        repository = f"library/{repository}"
    if len(f"{host}/{repository}") > 255:
        return None
    return host, repository, tag or ("" if digest else "latest"), digest


def _split(text: str) -> tuple[str, str]:
    """What is before the first slash is a host when it has a dot or a colon, or is localhost."""
    first, slash, rest = text.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        return first, rest
    return "", text


def _is_host(text: str) -> bool:
    if text.startswith("["):
        address, end, port = text[1:].partition("]")
        good = bool(end) and bool(address) and set(address) <= set("0123456789abcdefABCDEF:")
        return good and (not port or (port[0] == ":" and _is_port(port[1:])))
    name, colon, port = text.partition(":")
    return all(map(_is_label, name.split("."))) and (not colon or _is_port(port))


def _is_label(text: str) -> bool:
    return bool(text) and text[0] in ALNUM and text[-1] in ALNUM and set(text) <= ALNUM | {"-"}


def _is_port(text: str) -> bool:
    return bool(text) and set(text) <= set(string.digits)


def _is_component(text: str) -> bool:
    """alpha-numeric (separator alpha-numeric)*; a separator is one dot, one or two underscores, or dashes."""
    if not text or text[0] not in LOWER or text[-1] not in LOWER:
        return False
    separators = filter(None, "".join("0" if letter in LOWER else letter for letter in text).split("0"))
    return all(found in {".", "_", "__"} or set(found) == {"-"} for found in separators)


def _is_tag(text: str) -> bool:
    return bool(text) and len(text) <= 128 and text[0] in ALNUM | {"_"} and set(text) <= ALNUM | set("_.-")


def _is_digest(text: str) -> bool:
    algorithm, _, value = text.partition(":")
    return len(value) == SIZES.get(algorithm, -1) and set(value) <= set("0123456789abcdef")
