"""Our grammar of references against two others: one written from the published rules, and Go's, as skopeo has it."""

from __future__ import annotations

import re
import subprocess

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from reconciler.core.reference import parse
from tests.core.reference_oracle import read

SHA = "sha256:" + "0123456789abcdef" * 4
PIECES = st.sampled_from(
    ["a", "b1", "A", "-", "--", "_", "__", "___", ".", "..", "/", ":", "@", "localhost", "r.example", "index.docker.io",
     "docker.io", "5000", "[::1]", "[", "]", SHA, SHA[:-1], SHA.upper(), "sha512:" + "ab" * 64, "md5:" + "ab" * 16,
     "latest", " ", "\n", "ä", "\u0661", "x" * 127, "0123456789abcdef" * 4, "library"]
)  # fmt: skip
LIKE = st.lists(PIECES, min_size=1, max_size=9).map("".join)
NAMES = st.from_regex(
    r"([a-z0-9]+([.-][a-z0-9]+)?(:[0-9]{1,5})?/)?[a-z0-9]+((\.|_|__|-{1,3})[a-z0-9]+)?(/[a-z]+)?(:[A-Za-z0-9_.-]{1,9})?",
    fullmatch=True,
)


def ours(text: str) -> tuple[str, str, str, str] | None:
    try:
        found = parse(text)
    except ValueError:
        return None
    return found.host, found.repository, found.tag, found.digest


@given(LIKE | NAMES | st.text("aA0.:/@-_[]", max_size=40))
@settings(max_examples=1500, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@example("0123456789abcdef" * 4)
@example("a/" * 126 + "abc")
@example("a/" * 127 + "abc")
@example("nginx\n")
@example("[::1]:5000/a")
@example("index.docker.io/a")
def test_as_the_published_rules_say(text: str) -> None:
    assert ours(text) == read(text)


def by_skopeo(text: str) -> str | None:
    """The host that skopeo would ask, None when it is no reference for it; there is no network to ask in."""
    argv = ["unshare", "--user", "--net", "skopeo", "inspect", "--raw", f"docker://{text}"]
    said = subprocess.run(argv, capture_output=True, check=False).stderr.decode()
    refusals = ("invalid reference format", "cannot specify 64-byte hexadecimal strings", "must not be more than 255")
    if any(refusal in said for refusal in refusals):
        return None
    found = re.search(r"pinging container registry ([^ ]+): ", said)
    assert found or "both a tag and digest" in said, said
    return found[1] if found else "?"


@pytest.mark.host
@given(LIKE | NAMES)
@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@example("0123456789abcdef" * 4)
@example("User/repo")
@example("x" * 254)
@example(f"nginx:1@{SHA}")
@example("localhost/a")
def test_as_skopeo_says(text: str) -> None:
    """Debian's is of 2022, when an address in brackets was no host yet; a NUL cannot be said to a program."""
    if "[" in text or "sha512" in text:
        return
    theirs, found = by_skopeo(text), ours(text)
    assert (found is None) == (theirs is None), text
    if found is not None and theirs not in {None, "?"}:
        assert theirs == ("registry-1.docker.io" if found[0] == "docker.io" else found[0])
