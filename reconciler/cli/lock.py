"""`reconciler lock`: writes down which digest each tag of the specs stands for. Asks registries, changes no host."""

from __future__ import annotations

import argparse
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from reconciler.cli import codes, render
from reconciler.cli.settings import SettingsError
from reconciler.core import lock as locks
from reconciler.core.model import Desired
from reconciler.core.resolve import resolve
from reconciler.daemon import wire
from reconciler.errors import HostError, SpecError
from reconciler.settings import Settings
from reconciler.sources import lockfile

AT_ONCE = 8  # questions to registries
SHORT = len("sha256:") + 12


def lock(settings: Settings, arguments: argparse.Namespace) -> int:
    """Lock what is not locked yet, and with `--update` what is; print the difference, then write it."""
    specs = wire.specs(settings)()
    if specs.unavailable:
        raise HostError(specs.unavailable)
    invalid = [entry for entry in specs.documents.values() if isinstance(entry, SpecError)]
    if invalid:
        raise SpecError(*(problem for error in invalid for problem in error.problems))
    if specs.lock.problem:
        print(f"{specs.lock.problem}\nmend the lock or remove it first", file=sys.stderr)
        return codes.INVALID
    desired = resolve(specs.documents, frozenset())
    if desired.held:
        print("\n".join(sorted(set(desired.held.values()))), file=sys.stderr)
        return codes.INVALID
    old = specs.lock.digests or {}
    new = _new(settings, desired, old, arguments.update)
    return _finish(settings.specs / locks.NAME, old, new, arguments.dry_run)


def _new(settings: Settings, desired: Desired, old: locks.Digests, update: list[str] | None) -> dict[str, str]:
    wanted = locks.tags(desired)
    unknown = sorted(set(update or ()) - {container.app for container in desired.containers.values()})
    if unknown:
        raise SettingsError(f"cannot update {unknown[0]}: no spec declares an app of that name")
    ask = locks.to_ask(wanted, old, update)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = dict(zip(ask, pool.map(wire.registries(settings), ask), strict=True))
    return {reference: answers.get(reference) or old[reference] for reference in wanted}


def _finish(path: Path, old: locks.Digests, new: locks.Digests, only_show: bool) -> int:
    changes = locks.difference(old, new)
    if not changes:
        print(f"nothing to change: {len(new)} tags are locked")
        return codes.OK
    rows = [(change.reference, _short(change.old), _short(change.new)) for change in changes]
    print("\n".join(render.table(("REFERENCE", "OLD", "NEW"), rows)))
    if only_show:
        print(f"{path} was not written")
        return codes.DIFFERENT
    try:
        lockfile.write(path, new)
    except OSError as error:
        raise HostError(f"cannot write {path}: {error.strerror}") from None
    print(f"{path} is written: {len(new)} tags are locked")
    return codes.OK


def _short(digest: str) -> str:
    return digest[:SHORT] or "-"
