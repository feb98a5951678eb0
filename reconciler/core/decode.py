"""JSON data back to frozen dataclasses: the inverse of `dataclasses.asdict`, for the values that records keep.

Pure, and strict about what it is given: a record is read from disk, where anything may stand. Called by `record`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import lru_cache
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

T = TypeVar("T")


def decode(kind: type[T], value: object) -> T:
    """`value` as a `kind`: a dataclass, tuple, Literal, optional or plain type. Raises TypeError, ValueError, KeyError.

    What a dataclass has a default for may be missing; what it does not know is passed over.
    """
    return cast("T", _decode(kind, value))


def _decode(kind: Any, value: object) -> object:
    if is_dataclass(kind):
        return _dataclass(cast("type", kind), value)
    origin = get_origin(kind)
    if origin is tuple:
        return _tuple(get_args(kind), value)
    if origin is Literal:
        if value not in get_args(kind):
            raise ValueError(f"{value!r} is none of {get_args(kind)}")
        return value
    if origin in (UnionType, Union):
        return _union(get_args(kind), value)
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        raise TypeError(f"{value!r} is not {kind}")
    return value


def _dataclass(kind: type, value: object) -> object:
    if not isinstance(value, Mapping):
        raise TypeError(f"{value!r} is not a {kind.__name__}")
    given = {name: _decode(hint, value[name]) for name, hint, needed in _fields(kind) if needed or name in value}
    return kind(**given)


@lru_cache(maxsize=64)  # finding out takes longer than decoding
def _fields(kind: type) -> tuple[tuple[str, Any, bool], ...]:
    hints = get_type_hints(kind)
    return tuple((entry.name, hints[entry.name], _needed(entry)) for entry in fields(kind))


def _needed(entry: Field[Any]) -> bool:
    return entry.default is MISSING and entry.default_factory is MISSING


def _tuple(kinds: tuple[Any, ...], value: object) -> tuple[object, ...]:
    if not isinstance(value, list | tuple):
        raise TypeError(f"{value!r} is not a list")
    if kinds[-1] is Ellipsis:
        return tuple(_decode(kinds[0], item) for item in value)
    return tuple(_decode(kind, item) for kind, item in zip(kinds, value, strict=True))


def _union(kinds: tuple[Any, ...], value: object) -> object:
    """The first that fits; None stands for nothing but None."""
    for kind in kinds:
        try:
            return None if kind is NoneType and value is None else _decode(kind, value)
        except (TypeError, ValueError, KeyError):
            continue
    raise TypeError(f"{value!r} is none of {kinds}")
