"""Asks for what `core.trust` judges: the keys of the policy, and the signatures that lie beside an image.

Called by `store`, before any layer is fetched. Cosign keeps the signatures of the image sha256:HEX under the tag
`sha256-HEX.sig` of the same repository: a manifest whose layers are the signed texts. Source: SIGNATURE_SPEC.md.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path

from reconciler.core.reference import Reference, is_local, parse
from reconciler.core.trust import PAYLOAD_LIMIT, Decision, Rule, Signature, Verify, holds, judge, refusal, rule_for
from reconciler.errors import HostError
from reconciler.host.images.documents import Descriptor, read_descriptor, read_json
from reconciler.host.images.resolve import Source
from reconciler.settings import TrustRule

SIGNATURES = 64  # beside one image
KIND = "application/vnd.dev.cosign.simplesigning.v1+json"
ANNOTATION = "dev.cosignproject.cosign/signature"
_PEM = re.compile(rb"-----BEGIN PUBLIC KEY-----\s+([A-Za-z0-9+/=\s]+)-----END PUBLIC KEY-----")

Sources = Callable[[str], Sequence[Source]]  # where to ask for a reference


class Trust:
    """The policy of one host."""

    def __init__(self, rules: Collection[TrustRule], sources: Sources) -> None:
        self._rules: Mapping[str, Rule] = {
            rule.scope: Rule(rule.policy, str(rule.key) if rule.key else "") for rule in rules
        }
        self._sources = sources
        self._ids: dict[str, str] = {}

    def admit(self, reference: str) -> None:
        """Raises HostError when `reference` may not even be asked for."""
        if why := refusal(self._rules, reference):
            raise HostError(f"cannot pull {reference}: {why}").blamed("distrusted")

    def decide(self, reference: str, digests: Collection[str]) -> Decision:
        """Why the image `reference` may be used. `digests`: what it names, and the manifest chosen from that.

        Raises HostError when it may not.
        """
        scope, rule = rule_for(self._rules, reference)
        if rule.policy != "signed":
            return Decision(rule.policy)
        try:
            verify = self._verifier(rule.key)
            reasons = []
            for digest in dict.fromkeys(digests):
                why = judge(self._signatures(reference, digest), digest, reference, verify)
                if not why:
                    return Decision("signed", self.key_id(rule.key), digest)
                reasons.append(why)
        except (HostError, ValueError) as error:
            reasons = [str(error)]
        raise HostError(
            f"cannot trust {reference}: the policy for {scope} asks for a signature by {rule.key}: {reasons[0]}"
        ).blamed("distrusted")

    def holds(self, reference: str, decision: Decision) -> bool:
        """Whether an image that was let in by `decision` would be today."""
        try:
            return holds(self._rules, reference, decision, self.key_id)
        except ValueError:  # the record is damaged
            return False

    def key_id(self, path: str) -> str:
        """SHA-256 of the public key at `path`, "" when it cannot be read."""
        if path not in self._ids:
            try:
                found = _PEM.search(Path(path).read_bytes())
                der = base64.b64decode(found[1]) if found else b""
            except (OSError, binascii.Error):
                return ""
            self._ids[path] = f"sha256:{hashlib.sha256(der).hexdigest()}" if der else ""
        return self._ids[path]

    def _verifier(self, path: str) -> Verify:
        from reconciler.host.images import keys  # noqa: PLC0415 - large, and needed by few

        try:
            return keys.verifier(Path(path).read_bytes())
        except OSError as error:
            raise ValueError(f"the key cannot be read: {error.strerror}") from None
        except ValueError as error:
            raise ValueError(f"the key cannot be used: {error}") from None

    def _signatures(self, reference: str, digest: str) -> list[Signature]:
        """Those beside `digest`, from the first place that has some."""
        if is_local(reference):
            raise ValueError("what lies on disk has no signatures")
        image = parse(reference)
        beside = Reference(image.host, image.repository, digest.replace(":", "-") + ".sig")
        errors = []
        for source in self._sources(str(beside)):
            try:
                return list(_read(source))
            except HostError as error:
                errors.append(error)
        raise errors[0]


def _read(source: Source) -> Iterator[Signature]:
    for descriptor, signature in read_signatures(source.top()[1]):
        yield Signature(source.document(descriptor), signature)


def read_signatures(text: bytes) -> list[tuple[Descriptor, bytes]]:
    """The signed texts that a manifest of signatures lists, each with its signature. Raises ValueError."""
    listed = read_json(text).get("layers")
    if not isinstance(listed, list) or len(listed) > SIGNATURES:
        raise ValueError(f"the signatures are no list of at most {SIGNATURES}")
    return [_signature(entry) for entry in listed if isinstance(entry, dict) and entry.get("mediaType") == KIND]


def _signature(entry: Mapping[str, object]) -> tuple[Descriptor, bytes]:
    descriptor, notes = read_descriptor(entry), entry.get("annotations")
    signature = notes.get(ANNOTATION) if isinstance(notes, dict) else None
    if descriptor.size > PAYLOAD_LIMIT:
        raise ValueError(f"a signed text has more than {PAYLOAD_LIMIT} bytes")
    if not isinstance(signature, str):
        raise ValueError("a signed text has no signature")
    try:
        return descriptor, base64.b64decode(signature, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("a signature is not in Base64") from None
