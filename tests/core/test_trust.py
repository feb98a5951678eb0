"""Which rule is for an image, and which signature is believed: every vector that must not get through."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.trust import (
    PAYLOAD_LIMIT,
    TYPE,
    Decision,
    Policy,
    Rule,
    Signature,
    check_scope,
    holds,
    judge,
    refusal,
    rule_for,
    scopes,
)

A, B = f"sha256:{'a' * 64}", f"sha256:{'b' * 64}"
APP = "registry.example:5000/team/app:1"


def payload(digest: str = A, name: str = "registry.example:5000/team/app", **changes: Any) -> bytes:
    critical = {"identity": {"docker-reference": name}, "image": {"docker-manifest-digest": digest}, "type": TYPE}
    return json.dumps({"critical": critical | changes, "optional": None}).encode()


def verify(signature: bytes, text: bytes) -> bool:
    """Stands for a key: a signature is the text behind the key's name."""
    return signature == b"good " + text


def signed(text: bytes, key: bytes = b"good ") -> Signature:
    return Signature(text, key + text)


def verdict(*signatures: Signature) -> str:
    return judge(signatures, A, APP, verify)


# --- signatures --------------------------------------------------------------------------------------------------


def test_the_right_key_over_the_right_text() -> None:
    assert verdict(signed(payload())) == ""


def test_a_name_with_a_tag_is_one_of_the_repository() -> None:
    assert verdict(signed(payload(name=f"{APP}2"))) == ""


def test_no_signature() -> None:
    assert verdict() == "there is no signature"


def test_another_key() -> None:
    assert verdict(signed(payload(), b"evil ")) == "it is signed by another key"


def test_the_right_key_over_another_image() -> None:
    assert verdict(signed(payload(B))) == f"another image is signed, {B}"


def test_the_right_key_over_another_repository() -> None:
    assert verdict(signed(payload(name="registry.example:5000/other/app"))) == (
        "it is signed as registry.example:5000/other/app"
    )
    assert verdict(signed(payload(name="registry.example/team/app"))) == "it is signed as registry.example/team/app"


def test_a_changed_text() -> None:
    good = signed(payload(B))
    assert verdict(Signature(payload(A), good.signature)) == "it is signed by another key"


@pytest.mark.parametrize("others", [[signed(payload(), b"evil ")], [signed(payload(B))], [signed(b"{")]])
def test_one_good_one_of_two_is_enough_in_either_order(others: list[Signature]) -> None:
    assert verdict(*others, signed(payload())) == verdict(signed(payload()), *others) == ""


@pytest.mark.parametrize(
    "text",
    [
        b"", b"{", b"[]", b"5", b"\xff", b"[" * 50_000,
        payload().replace(b'"optional"', b'"extra"'),
        payload(extra=1),
        payload(type="atomic container signature"),
        payload(identity={"docker-reference": APP, "more": 1}),
        payload(identity={}),
        payload(identity={"docker-reference": 5}),
        payload(identity="x"),
        payload(image={"docker-manifest-digest": A, "Docker-manifest-digest": B}),
        payload(image={"docker-manifest-digest": [A]}),
        payload(name="NOT A NAME"),
        b'{"critical": 5}',
        payload().replace(b'"type"', b'"identity": {}, "type"'),  # a key stands twice
        payload().replace(b'{"docker-manifest-digest"', b'{"docker-manifest-digest": "x", "docker-manifest-digest"'),
    ],
)  # fmt: skip
def test_a_signed_text_that_is_not_exactly_one(text: bytes) -> None:
    assert verdict(signed(text)).startswith("what was signed cannot be read: ")


def test_a_text_of_five_mebibytes_is_not_even_verified() -> None:
    def never(_signature: bytes, _text: bytes) -> bool:
        raise AssertionError

    large = Signature(b" " * (5 << 20), b"")
    assert judge([large], A, APP, never) == f"a signed text has more than {PAYLOAD_LIMIT} bytes"


@given(st.binary(max_size=200))
def test_nothing_unsigned_is_read(text: bytes) -> None:
    assert verdict(Signature(text, b"")) == "it is signed by another key"


@given(st.recursive(st.none() | st.text() | st.integers(), lambda inner: st.dictionaries(st.text(), inner)))
def test_nothing_else_is_believed(value: object) -> None:
    assert verdict(signed(json.dumps(value).encode()))


# --- rules -------------------------------------------------------------------------------------------------------


def test_the_scopes_of_an_image_from_the_narrowest() -> None:
    assert scopes(f"{APP}@{A}") == (
        f"{APP}@{A}",
        f"registry.example:5000/team/app@{A}",
        APP,
        "registry.example:5000/team/app",
        "registry.example:5000/team",
        "registry.example:5000",
        "default",
    )
    assert scopes("oci:/srv/images/app:1") == (
        "oci:/srv/images/app:1", "oci:/srv/images/app", "oci:/srv/images", "oci:/srv", "oci:/", "default",
    )  # fmt: skip


@pytest.mark.parametrize("scope", scopes(APP))
def test_the_narrowest_rule_wins(scope: str) -> None:
    rules = dict.fromkeys(scopes(APP)[scopes(APP).index(scope) :], Rule("reject")) | {scope: Rule("signed", "/key")}
    assert rule_for(rules, APP) == (scope, Rule("signed", "/key"))


def test_a_rule_is_for_whole_names() -> None:
    rules = {"registry.example:5000/te": Rule("reject"), "registry.example": Rule("reject")}
    assert rule_for(rules, APP) == ("default", Rule())


@pytest.mark.parametrize(
    ("policy", "reference", "why"),
    [
        ("accept", APP, ""),
        ("signed", APP, ""),
        ("reject", f"{APP}@{A}", "the policy for default is reject"),
        (
            "require-digest", APP,
            "the policy for default asks for a digest; write @sha256:… behind it, or run `reconciler lock`",
        ),
        ("require-digest", f"{APP}@{A}", ""),
    ],
)  # fmt: skip
def test_what_is_refused_before_anybody_is_asked(policy: Policy, reference: str, why: str) -> None:
    assert refusal({"default": Rule(policy)}, reference) == why


@pytest.mark.parametrize(
    ("rule", "decision", "allowed"),
    [
        (Rule(), Decision(), True),
        (Rule(), Decision("signed", "id", A), True),
        (Rule("reject"), Decision(), False),
        (Rule("require-digest"), Decision("require-digest"), False),  # the reference has no digest
        (Rule("signed", "key"), Decision(), False),
        (Rule("signed", "key"), Decision("signed", "id", A), True),
        (Rule("signed", "other"), Decision("signed", "id", A), False),
        (Rule("signed", "lost"), Decision("signed", "", A), False),
    ],
)
def test_a_policy_that_changes_looks_at_what_is_here(rule: Rule, decision: Decision, allowed: bool) -> None:
    ids = {"key": "id", "other": "id2", "lost": ""}
    assert holds({"default": rule}, APP, decision, ids.__getitem__) is allowed


@pytest.mark.parametrize(
    "scope",
    ["default", "docker.io", "localhost:5000", "docker.io/library", APP, f"{APP}@{A}", "[::1]:5000/a", "oci:/srv"],
)
def test_scopes(scope: str) -> None:
    assert check_scope(scope) == scope


@pytest.mark.parametrize(
    "scope",
    ["", "nginx", "library/nginx", "Default", "docker.io/Library", "oci:srv", "*.io", "a b.io", "index.docker.io"],
)
def test_what_is_no_scope(scope: str) -> None:
    with pytest.raises(ValueError, match=r"is no scope|write docker\.io"):
        check_scope(scope)
