"""The lock's text, strictly: what is written is read again, and every mistake has its place."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.errors import SpecError
from reconciler.sources.lockfile import render
from reconciler.spec.lock import parse

A = f"sha256:{'a' * 64}"
WEB = "docker.io/library/web:1"
DIGESTS = st.text("0123456789abcdef", min_size=64, max_size=64).map(lambda hexes: f"sha256:{hexes}")
TAGS = st.from_regex(r"[a-z]{1,8}(\.example)(:[0-9]{2,4})?/[a-z]{1,8}:[A-Za-z0-9][A-Za-z0-9._-]{0,9}", fullmatch=True)


@given(st.dictionaries(TAGS, DIGESTS))
def test_what_is_written_is_read(digests: dict[str, str]) -> None:
    assert parse("reconciler.lock", render(digests).encode()) == digests


def test_the_text_is_sorted_and_says_what_it_is() -> None:
    text = render({"docker.io/library/web:2": A, WEB: A})
    assert text.startswith("# What each tag of the specs beside this file stands for")
    assert text.splitlines()[2:] == ["[images]", f'"{WEB}" = "{A}"', f'"docker.io/library/web:2" = "{A}"']


@pytest.mark.parametrize("text", ["", "# nothing\n", "[images]\n"])
def test_an_empty_lock_is_one(text: str) -> None:
    assert parse("reconciler.lock", text.encode()) == {}


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("images = 5", "1:10: cannot use 'images': it must be a table"),
        ("[image]\n", "1:2: cannot use 'image': a lock has nothing but 'images'"),
        ('[images]\nweb = "x"', "2:1: cannot use 'web': write a complete tag, as in docker.io/library/nginx:1.27"),
        (f'[images]\n"{WEB}@{A}" = "{A}"', f"2:1: cannot use '{WEB}@{A}': write a complete tag"),
        ('[images]\n"oci:/a:1" = "x"', "2:1: cannot use 'oci:/a:1': write a complete tag"),
        ('[images]\n"B ad" = "x"', "2:1: cannot use 'B ad': write a complete tag"),
        (f'[images]\n"{WEB}" = "md5:1"', f"2:29: cannot lock '{WEB}': its digest must be sha256:…"),
        (f'[images]\n"{WEB}" = 1', f"2:29: cannot lock '{WEB}': its digest must be sha256:…"),
        (f'[images]\n"{WEB}" = ""\n"{WEB}" = ""', "3:31: cannot read TOML"),
        ("[images", "1:8: cannot read TOML"),
        ("\xff", "1:1: cannot read"),
    ],
)
def test_a_mistake_has_its_place(text: str, error: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse("reconciler.lock", text.encode("latin-1") if text == "\xff" else text.encode())
    assert str(caught.value).splitlines()[0].startswith(f"reconciler.lock:{error}")
