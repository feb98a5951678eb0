"""Values as the data that digests are made of. What equals its default is left out, so that a field that is new in a
release changes no digest of an old one. Used by `model` for revisions.
"""

from __future__ import annotations

from dataclasses import MISSING, Field, fields, is_dataclass
from types import UnionType


def canonical(value: object, named: UnionType | tuple[type, ...] = ()) -> object:
    """`value` as JSON data, without what equals its default; those that are `named` with the name of their class."""
    if is_dataclass(value) and not isinstance(value, type):
        kept = {
            entry.name: canonical(getattr(value, entry.name), named)
            for entry in fields(value)
            if not _is_default(value, entry)
        }
        return {"kind": type(value).__name__, **kept} if isinstance(value, named) else kept
    if isinstance(value, tuple):
        return [canonical(item, named) for item in value]
    return value


def _is_default(value: object, entry: Field[object]) -> bool:
    default = entry.default
    if default is MISSING and entry.default_factory is not MISSING:
        default = entry.default_factory()
    return bool(getattr(value, entry.name) == default)
