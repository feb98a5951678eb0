"""`reconciler check FILE…`: says whether specs are right. Needs no root and no daemon, touches nothing."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from reconciler.cli import codes
from reconciler.core.document import Document
from reconciler.core.resolve import resolve
from reconciler.errors import HostError, Problem, SpecError
from reconciler.settings import Settings
from reconciler.sources.files import Files
from reconciler.sources.specs import Specs
from reconciler.spec.parse import parse

Found = dict[str, Document | SpecError]


def check(_settings: Settings, arguments: argparse.Namespace) -> int:
    """Print every problem as `file:line:column: cannot …`, and remarks, then a line of summary."""
    found: Found = {}
    for name in arguments.files:
        found |= _folder(Path(name)) if Path(name).is_dir() else {name: _read(Path(name))}
    documents = [entry for entry in found.values() if isinstance(entry, Document)]
    problems = [str(entry) for entry in found.values() if isinstance(entry, SpecError)]
    if not problems:
        problems = sorted(set(resolve(found, frozenset()).held.values()))
    for line in (*(warning for document in documents for warning in document.warnings), *problems):
        print(line, file=sys.stderr)
    if problems:
        return codes.INVALID
    services = sum(len(document.services) for document in documents)
    files = "1 file is" if len(found) == 1 else f"{len(found)} files are"
    print(f"{files} right: {services} {'service' if services == 1 else 'services'}")
    return codes.OK


def _folder(folder: Path) -> Found:
    """What the daemon would read of the directory, by paths as they were asked for."""
    read, unavailable = Specs(folder).load()
    if unavailable:
        raise HostError(unavailable)
    return {str(folder / path): _seen_from(folder, entry) for path, entry in read.items()}


def _seen_from(folder: Path, entry: Document | SpecError) -> Document | SpecError:
    def moved(problem: Problem) -> Problem:
        return replace(problem, file=str(folder / problem.file))

    if isinstance(entry, SpecError):
        return SpecError(*map(moved, entry.problems))
    return replace(entry, path=str(folder / entry.path), warnings=tuple(map(moved, entry.warnings)))


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
