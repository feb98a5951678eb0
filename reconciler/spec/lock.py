"""The text of a lock file to the digests in it. Strict: whatever is not understood is a problem with its place."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from reconciler.core.reference import canonical, moves
from reconciler.errors import Problem, SpecError
from reconciler.spec import toml
from reconciler.spec.tree import Tree, decode

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def parse(name: str, text: bytes) -> Mapping[str, str]:
    """The digest of each tag. `name` is the path that errors show. Raises SpecError with all problems."""
    tree = toml.load(name, decode(name, text))
    assert isinstance(tree.data, dict), "TOML is always a table"
    problems = tuple(_problems(name, tree, tree.data))
    if problems:
        raise SpecError(*problems)
    return dict(tree.data.get("images", {}))


def _problems(name: str, tree: Tree, data: dict[str, object]) -> Iterator[Problem]:
    for key in data:
        if key != "images":
            yield Problem(name, *tree.key_at((key,)), f"cannot use '{key}': a lock has nothing but 'images'")
    listed = data.get("images", {})
    if not isinstance(listed, dict):
        yield Problem(name, *tree.value_at(("images",)), "cannot use 'images': it must be a table")
        return
    for reference, digest in listed.items():
        path = ("images", reference)
        if not _is_tag(reference):
            why = "write a complete tag, as in docker.io/library/nginx:1.27"
            yield Problem(name, *tree.key_at(path), f"cannot use '{reference}': {why}")
        elif not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
            yield Problem(name, *tree.value_at(path), f"cannot lock '{reference}': its digest must be sha256:…")


def _is_tag(reference: str) -> bool:
    try:
        return canonical(reference) == reference and moves(reference)
    except ValueError:
        return False
