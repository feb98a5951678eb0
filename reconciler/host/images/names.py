"""What a reference meant when its registry was last asked: one small record for each, and what it is read back from.

Pure. `store` writes it when an image is whole, and again whenever the registry was asked and had nothing new.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from reconciler.core.reference import image_key
from reconciler.core.trust import Decision


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """`digest` is the chosen manifest's, `named` that behind the reference, of an index where there is one.

    `platform` is what was asked for, "" for the host's own; `checked_at` in seconds since the epoch; `trust` is why
    the image was let in.
    """

    reference: str
    digest: str
    platform: str = ""
    named: str = ""
    checked_at: float = 0.0
    trust: Decision = field(default_factory=Decision)

    @property
    def key(self) -> str:
        """What the image is known by."""
        return image_key(self.reference, self.platform)

    def record(self) -> Mapping[str, object]:
        """As it is written down."""
        return asdict(self)


def read_named(record: Mapping[str, object]) -> Named:
    """Read it back; an older or a damaged record lacks what was never asked."""
    when = record.get("checked_at")
    return Named(
        reference=_text(record.get("reference")),
        digest=_text(record.get("digest")),
        platform=_text(record.get("platform")),
        named=_text(record.get("named")),
        checked_at=float(when) if isinstance(when, int | float) else 0.0,
        trust=_decision(record.get("trust")),
    )


def _decision(value: object) -> Decision:
    found = value if isinstance(value, dict) else {}
    return Decision(_text(found.get("policy")) or "accept", _text(found.get("key")), _text(found.get("digest")))


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
