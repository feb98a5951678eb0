"""Whether an image may be used: which rule is for it, and whether a signature says what the rule asks for. Pure.

Rules follow containers-policy.json(5): the most specific scope wins. Signatures are cosign's (SIGNATURE_SPEC.md): a
"simple signing" payload, signed as it is. A payload is read only after its signature is good. `host.images.trust` asks.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from posixpath import dirname
from typing import Literal

from reconciler.core.reference import is_local, parse

DEFAULT = "default"
PAYLOAD_LIMIT = 64 * 1024  # bytes; cosign writes some 300
TYPE = "cosign container image signature"

Policy = Literal["accept", "reject", "require-digest", "signed"]
Verify = Callable[[bytes, bytes], bool]  # signature, payload

_SCOPE = re.compile(
    r"(?P<host>(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\])(?::[0-9]+)?)(?:/[a-z0-9._-]+)*"
    r"(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(?:@sha256:[0-9a-f]{64})?",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Rule:
    """What is asked of the images of one scope. `key` is the path of the public key, for `signed` only."""

    policy: Policy = "accept"
    key: str = ""


@dataclass(frozen=True, slots=True)
class Decision:
    """Why an image was let in: the policy, and for `signed` the id of the key and the digest that it signed."""

    policy: str = "accept"
    key: str = ""
    digest: str = ""


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature as it was found; nothing of it is believed yet."""

    payload: bytes
    signature: bytes


def check_scope(text: str) -> str:
    """`text` when it can be a scope; raises ValueError with the reason."""
    if text == DEFAULT or (is_local(text) and text.partition(":")[2].startswith("/")):
        return text
    found = _SCOPE.fullmatch(text)
    host = found["host"] if found else ""
    if not ("." in host or ":" in host or host == "localhost"):
        raise ValueError(f"'{text}' is no scope; write default, a host, or a complete name such as docker.io/library")
    if host == "index.docker.io":
        raise ValueError("write docker.io for index.docker.io")
    return text


def scopes(reference: str) -> tuple[str, ...]:
    """Every scope that the canonical `reference` belongs to, the most specific first."""
    if is_local(reference):
        kind, _, path = reference.partition(":")
        paths = [path.rpartition(":")[0]]
        while len(paths[-1]) > 1:
            paths.append(dirname(paths[-1]))
        return (reference, *(f"{kind}:{path}" for path in paths), DEFAULT)
    found = parse(reference)
    names = [f"{found.host}/{found.repository}"]
    while "/" in names[-1]:
        names.append(names[-1].rpartition("/")[0])
    tagged = [f"{names[0]}:{found.tag}"] * bool(found.tag)
    pinned = [f"{names[0]}@{found.digest}"] * bool(found.digest)
    return tuple(dict.fromkeys((reference, *pinned, *tagged, *names, DEFAULT)))


def rule_for(rules: Mapping[str, Rule], reference: str) -> tuple[str, Rule]:
    """The rule for `reference`, and its scope. Without any, everything is accepted."""
    return next(((scope, rules[scope]) for scope in scopes(reference) if scope in rules), (DEFAULT, Rule()))


def refusal(rules: Mapping[str, Rule], reference: str) -> str:
    """Why `reference` may not even be asked for; else ""."""
    scope, rule = rule_for(rules, reference)
    if rule.policy == "reject":
        return f"the policy for {scope} is reject"
    if rule.policy == "require-digest" and "@" not in reference:
        return f"the policy for {scope} asks for a digest; write @sha256:… behind it, or run `reconciler lock`"
    return ""


def holds(rules: Mapping[str, Rule], reference: str, decision: Decision, key: Callable[[str], str]) -> bool:
    """Whether an image that was let in by `decision` would be today. `key` gives the id of the key at a path."""
    _, rule = rule_for(rules, reference)
    if rule.policy == "signed":
        return decision.policy == "signed" and decision.key == key(rule.key) != ""
    return not refusal(rules, reference)


def judge(signatures: Iterable[Signature], digest: str, reference: str, verify: Verify) -> str:
    """Why none of `signatures` says that `reference` is `digest`; "" when one does."""
    why = "there is no signature"
    for found in signatures:
        if len(found.payload) > PAYLOAD_LIMIT:
            why = f"a signed text has more than {PAYLOAD_LIMIT} bytes"
        elif not verify(found.signature, found.payload):
            why = "it is signed by another key"
        else:
            try:
                why = _objection(found.payload, digest, reference)
            except (ValueError, RecursionError) as error:
                why = f"what was signed cannot be read: {error}"
            if not why:
                return ""
    return why


def _objection(payload: bytes, digest: str, reference: str) -> str:
    """What the payload says otherwise. Raises ValueError when it is not exactly a simple signing payload."""
    whole = _members(json.loads(payload, object_pairs_hook=_unique), {"critical"}, {"optional"})
    critical = _members(whole["critical"], {"identity", "image", "type"})
    identity = _members(critical["identity"], {"docker-reference"})["docker-reference"]
    signed = _members(critical["image"], {"docker-manifest-digest"})["docker-manifest-digest"]
    if critical["type"] != TYPE:
        raise ValueError("it is not of cosign's type")
    if not isinstance(identity, str) or not isinstance(signed, str):
        raise ValueError("name and digest must be texts")
    if signed != digest:
        return f"another image is signed, {signed[:80]}"
    name, wanted = parse(identity), parse(reference)
    if (name.host, name.repository) != (wanted.host, wanted.repository):
        return f"it is signed as {name.host}/{name.repository}"
    return ""


def _members(value: object, needed: Collection[str], allowed: Collection[str] = ()) -> dict[str, object]:
    if not isinstance(value, dict) or not set(needed) <= value.keys() <= {*needed, *allowed}:
        raise ValueError(f"it must have exactly {', '.join(sorted(needed))}")
    return value


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found
