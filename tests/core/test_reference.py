"""Image references against the published grammar and Docker's completion of short names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.reference import Layout, Reference, canonical, layout, parse

SHA = "sha256:" + "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("text", "full"),
    [
        ("nginx", "docker.io/library/nginx:latest"),
        ("nginx:1.27", "docker.io/library/nginx:1.27"),
        ("library/nginx", "docker.io/library/nginx:latest"),
        ("grafana/loki", "docker.io/grafana/loki:latest"),
        ("docker.io/nginx", "docker.io/library/nginx:latest"),
        ("index.docker.io/nginx", "docker.io/library/nginx:latest"),
        ("quay.io/a/b/c:x", "quay.io/a/b/c:x"),
        ("localhost/a", "localhost/a:latest"),
        ("localhost:5000/a", "localhost:5000/a:latest"),
        ("127.0.0.1:5000/a:1", "127.0.0.1:5000/a:1"),
        ("[::1]:5000/a", "[::1]:5000/a:latest"),
        ("Registry.Example/a", "Registry.Example/a:latest"),
        (f"nginx@{SHA}", f"docker.io/library/nginx@{SHA}"),
        (f"nginx:1@{SHA}", f"docker.io/library/nginx:1@{SHA}"),
        ("a__b.c-d---e", "docker.io/library/a__b.c-d---e:latest"),
        ("a:B_.-c", "docker.io/library/a:B_.-c"),
        ("oci:images/a", "oci:/srv/images/a:latest"),
        ("oci:../a:1", "oci:/a:1"),
        ("oci:/x/./y:1", "oci:/x/y:1"),
    ],
)
def test_canonical(text: str, full: str) -> None:
    assert canonical(text, "/srv") == full
    assert canonical(full, "/elsewhere") == full


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "a b", "Nginx", "user/Repo", "User/repo", "a//b", "/a", "a/", "a:", "a:-x", "a@", "a@sha256:12",
        "a..b", "a___b", "-a", "a-", "a:" + "x" * 129, "https://a.b/c", "a" * 256, "a\n", "ä",
        f"a@{SHA.upper()}", "a:1:2", "oci:", "oci:a:b:c", "oci:a:", "oci:\0", f"a@md5:{'0' * 32}", "a.b:port/c",
    ],
)  # fmt: skip
def test_refused_with_a_reason(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no (image reference|OCI layout)"):
        canonical(text)


@pytest.mark.parametrize("kind", ["oci-archive", "docker-archive"])
def test_an_archive_that_is_named_as_skopeo_does_is_told_how(kind: str) -> None:
    """The tag is enough here; skopeo wants the whole name."""
    with pytest.raises(ValueError, match=f"is no archive of an image: write {kind}:PATH or {kind}:PATH:TAG"):
        canonical(f"{kind}:/a.tar:app:1")


def test_parts() -> None:
    assert parse(f"ghcr.io/o/r:t@{SHA}") == Reference("ghcr.io", "o/r", "t", SHA)
    assert parse(f"a@{SHA}").tag == ""
    assert layout("oci:x:t", "/y") == Layout("/y/x", "t")


PART = st.from_regex(r"[a-z0-9]+((\.|_|__|-{1,3})[a-z0-9]+){0,2}", fullmatch=True)
TAG = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}", fullmatch=True)
HOST = st.from_regex(r"[a-z0-9]{1,5}\.[a-z]{2,4}(:[0-9]{1,5})?", fullmatch=True)


@given(HOST, st.lists(PART, min_size=1, max_size=4), TAG, st.sampled_from(["", SHA]))
def test_what_the_grammar_makes_is_read_part_by_part(host: str, parts: list[str], tag: str, digest: str) -> None:
    repository = "/".join(parts)
    text = f"{host}/{repository}:{tag}" + (f"@{digest}" if digest else "")
    assert parse(text) == Reference(host, repository, tag, digest)
    assert str(parse(text)) == text


@given(st.text() | st.text("aZ0.:/@-_[]", max_size=30))
def test_canonical_is_stable(text: str) -> None:
    try:
        full = canonical(text)
    except ValueError:
        return
    assert canonical(full) == full
