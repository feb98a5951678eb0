"""Keys that begin with `x-`: ours, and those that were meant to be ours. All others are ignored, as in Compose."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from typing import Final

from reconciler.errors import Problem
from reconciler.spec.compose import MODELS, shape
from reconciler.spec.report import KINDS, subject
from reconciler.spec.tree import Path, Tree

_OURS: Final = {
    key: [path for path, model in MODELS.items() if key in model.written()]
    for key in sorted({key for model in MODELS.values() for key in model.written() if key.startswith("x-")})
}


def doubtful(name: str, tree: Tree) -> Iterator[Problem]:
    """A remark on every `x-` key that is ignored though it looks like one of ours."""
    for path, place in tree.keys.items():
        key = path[-1]
        if not isinstance(key, str) or not key.startswith("x-"):
            continue
        where = shape(path[:-1])
        why = _why(key, where) if where in MODELS else ""
        if why:
            yield Problem(name, *place, f"{subject(path)} is ignored; {why}")


def _why(key: str, where: Path) -> str:
    if key in _OURS:
        places = dict.fromkeys(map(_place, _OURS[key]))
        return "" if where in _OURS[key] else f"it means something at {' and '.join(places)} only"
    near = get_close_matches(key, _OURS, 1, 0.8)
    return f"did you mean '{near[0]}'?" if near else ""


def _place(where: Path) -> str:
    return f"an entry of '{where[-2]}'" if where[-2] not in KINDS else f"a {KINDS[str(where[-2])]}"
