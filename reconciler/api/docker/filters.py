"""Docker's `filters` parameter: JSON in one of two forms, closed lists of keys, and how values match.

Pure. Within one key any value may match, except for `label`, where all must; between keys all must (moby
api/types/filters). A key that the noun does not know is refused, as dockerd refuses it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from reconciler.api.question import RefusalError

Filters = Mapping[str, tuple[str, ...]]
Item = TypeVar("Item")
Test = Callable[[Item, str], bool]

_PATTERN = re.compile(r"[\\*+?()\[\]{}|^$]")


def parse(text: str, known: Iterable[str]) -> Filters:
    """`{"label":["a=b"]}` or `{"label":{"a=b":true}}` as key -> values. Raises RefusalError (400)."""
    if not text:
        return {}
    try:
        given = json.loads(text)
    except (ValueError, RecursionError):
        raise RefusalError(400, "invalid filter") from None
    if not isinstance(given, dict):
        raise RefusalError(400, "invalid filter")
    for key in given:
        if key not in known:
            raise RefusalError(400, f"invalid filter '{key}'")
    return {key: _values(values) for key, values in given.items()}


def _values(given: object) -> tuple[str, ...]:
    if isinstance(given, dict):
        given = [value for value, wanted in given.items() if wanted]
    if not isinstance(given, list) or not all(isinstance(value, str) for value in given):
        raise RefusalError(400, "invalid filter")
    return tuple(given)


def accepts(item: Item, filters: Filters, tests: Mapping[str, Test[Item]]) -> bool:
    """Whether `item` passes; `tests` has one test for each key."""
    return all(
        (all if key == "label" else any)(tests[key](item, value) for value in values)
        for key, values in filters.items()
        if values
    )


def label(labels: Mapping[str, str], wanted: str) -> bool:
    """`key` tests presence, `key=value` equality."""
    key, equals, value = wanted.partition("=")
    return key in labels and (not equals or labels[key] == value)


def name(name: str, wanted: str) -> bool:
    """Part of a name, with `^` and `$` for its ends, with or without the slash that Docker puts before names.

    Docker takes any regular expression here, in an engine of linear time; Python's is not, and a pattern that runs
    away would hold the whole daemon. So other patterns are refused.
    """
    text = wanted.replace("/?", "", 1)
    start, end = text.startswith("^"), text.endswith("$")
    literal = text.removeprefix("^").removesuffix("$").removeprefix("/")
    if _PATTERN.search(literal):
        raise RefusalError(400, "cannot use the filter name: of patterns only ^ and $ are understood")
    if start:
        return name == literal if end else name.startswith(literal)
    return name.endswith(literal) if end else literal in name
