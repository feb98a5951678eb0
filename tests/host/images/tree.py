"""Everything about a tree as JSON: `python -m tests.host.images.tree` in it; hard links by the first name of a file."""

from __future__ import annotations

import json
import os
from pathlib import Path

from tests.host.images.frame import describe


def tree(root: Path) -> dict[str, str]:
    """Path -> type, mode, owner, content or target, attributes, time, and which other path is the same file."""
    found = describe(root, times=True)
    first: dict[tuple[int, int], str] = {}
    for name in sorted(found):
        status = os.lstat(os.fsencode(root) + b"/" + name.encode("latin-1"))
        same = first.setdefault((status.st_dev, status.st_ino), name)
        found[name] += f" = {same}" if same != name else ""
    return found


if __name__ == "__main__":
    print(json.dumps(tree(Path())))
