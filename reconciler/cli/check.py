"""`reconciler check FILE…`: says whether spec files are right. Needs no root and no daemon, touches nothing."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from reconciler.cli import codes
from reconciler.core.document import Document
from reconciler.core.resolve import resolve
from reconciler.errors import Problem, SpecError
from reconciler.settings import Settings
from reconciler.sources.files import Files
from reconciler.spec.parse import parse


def check(_settings: Settings, arguments: argparse.Namespace) -> int:
    """Print every problem as `file:line:column: cannot …`, then a line of summary."""
    found = {name: _read(Path(name)) for name in arguments.files}
    problems = [str(entry) for entry in found.values() if isinstance(entry, SpecError)]
    if not problems:
        problems = sorted(set(resolve(found, frozenset()).held.values()))
    for problem in problems:
        print(problem, file=sys.stderr)
    if problems:
        return codes.INVALID
    services = sum(len(entry.services) for entry in found.values() if isinstance(entry, Document))
    print(f"{len(found)} {'file is' if len(found) == 1 else 'files are'} right: {services} services")
    return codes.OK


def _read(path: Path) -> Document | SpecError:
    files = Files()
    try:
        return parse(str(path), files.read(str(path)), _beside(path, files), str(path.parent.absolute()))
    except SpecError as error:
        return error
    except (OSError, ValueError) as error:
        why = error.strerror or str(error) if isinstance(error, OSError) else str(error)
        return SpecError(Problem(str(path), 1, 1, f"cannot read the file: {why}"))


def _beside(path: Path, files: Files) -> Callable[[str], bytes]:
    return lambda name: files.read(str(path.parent / name))
