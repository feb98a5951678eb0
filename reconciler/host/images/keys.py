"""Public keys, and whether they made a signature. The only home of `cryptography`.

Imported when a policy asks for signatures and not before, for the library is large.
"""

from __future__ import annotations

from collections.abc import Callable

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from reconciler.core.trust import Verify


def verifier(pem: bytes) -> Verify:
    """What tells whether a signature over a payload was made with the key in `pem`. Raises ValueError."""
    try:
        key = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError("it is no public key in PEM form") from None
    if isinstance(key, Ed25519PublicKey):
        return lambda signature, payload: _good(lambda: key.verify(signature, payload))
    if isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1):
        return lambda signature, payload: _good(lambda: key.verify(signature, payload, ECDSA(SHA256())))
    raise ValueError("it is neither an ECDSA P-256 nor an Ed25519 key")


def _good(check: Callable[[], None]) -> bool:
    try:
        check()
    except InvalidSignature:
        return False
    return True
