"""Rules that a machine can check, each a test: lint, format, types, layers, sizes, and what must not be committed."""

from __future__ import annotations

import ast
import contextlib
import re
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
SOURCES = sorted((CHECKOUT / "reconciler").rglob("*.py"))
TESTS = sorted((CHECKOUT / "tests").rglob("*.py"))
EXAMPLES = sorted((CHECKOUT / "examples").rglob("*.py"))

COMMANDS = {
    "lint": ("ruff", "check", "--no-cache", "."),
    "format": ("ruff", "format", "--no-cache", "--check", "."),
    "types": ("mypy",),
    "layers": ("lint-imports", "--no-cache"),
}


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS.keys())
@pytest.mark.timeout(600)
def test_clean(command: tuple[str, ...]) -> None:
    done = subprocess.run(
        [BIN / command[0], *command[1:]], cwd=CHECKOUT, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


# --- sizes -------------------------------------------------------------------------------------------------------


def test_files_are_at_most_400_lines() -> None:
    long = {_name(path): len(_lines(path)) for path in (*SOURCES, *TESTS, *EXAMPLES) if len(_lines(path)) > 400}
    assert not long


def test_functions_are_at_most_50_lines() -> None:
    long = {where: length for where, length in _functions((*SOURCES, *TESTS, *EXAMPLES)) if length > 50}
    assert not long


def test_functions_are_short_on_the_whole() -> None:
    lengths = sorted(length for _, length in _functions(SOURCES))
    assert statistics.median(lengths) <= 10
    assert lengths[len(lengths) * 9 // 10] <= 30


def test_modules_open_with_what_they_are_for() -> None:
    silent = [_name(path) for path in (*SOURCES, *TESTS, *EXAMPLES) if _lines(path) and not _docstring(path)]
    assert not silent


def test_modules_are_not_named_after_nothing() -> None:
    vague = re.compile(r"(manager|helper|util)s?\b|common|misc")
    assert not [_name(path) for path in SOURCES if vague.search(path.stem)]


# --- what must not be committed ------------------------------------------------------------------------------------


def _committed() -> Iterator[Path]:
    argv = ["git", "-c", "safe.directory=*", "ls-files", "-z"]  # root may test somebody else's clone
    listed = subprocess.run(argv, cwd=CHECKOUT, capture_output=True, text=True, check=True)
    return (CHECKOUT / name for name in listed.stdout.split("\0") if name)


def test_no_file_names_a_machine_or_leaves_work_undone() -> None:
    """Paths of somebody's machine, package indexes in locks, and notes to oneself."""
    forbidden = re.compile(
        r"(?<![\w.])/(work|opt/[a-z]*venv|home/\w+|Users/\w+)/"
        r"|^--(extra-)?index-url|^--find-links|\b(T[O]DO|F[I]XME|X[X]X)\b",
        re.MULTILINE,
    )
    found = {}
    for path in _committed():
        text = path.read_bytes().decode(errors="ignore") if path.is_file() else ""
        if hit := forbidden.search(text):
            found[_name(path)] = hit.group()
    assert not found


def test_locks_name_a_digest_for_every_requirement() -> None:
    for lock in (CHECKOUT / "requirements").glob("*.txt"):
        wanted = re.split(r"\n(?=\S)", lock.read_text().strip())
        loose = [entry for entry in wanted if not entry.startswith("#") and "--hash=sha256:" not in entry]
        assert not loose, lock


def test_test_lock_is_the_run_lock_and_more() -> None:
    pins = [
        set(re.findall(r"^(\S+==\S+)", (CHECKOUT / "requirements" / name).read_text(), re.MULTILINE))
        for name in ("run.txt", "test.txt")
    ]
    assert pins[0] <= pins[1]


# --- reading -------------------------------------------------------------------------------------------------------


def _name(path: Path) -> str:
    return str(path.relative_to(CHECKOUT))


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines()


def _tree(path: Path) -> ast.Module:
    """Python 3.11 cannot parse in two threads at once, and a traceback that another one prints parses (gh-106905)."""
    with contextlib.suppress(SystemError):
        return ast.parse(path.read_text())
    return ast.parse(path.read_text())


def _docstring(path: Path) -> str | None:
    return ast.get_docstring(_tree(path))


def _functions(paths: tuple[Path, ...] | list[Path]) -> Iterator[tuple[str, int]]:
    for path in paths:
        for node in ast.walk(_tree(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield f"{_name(path)}:{node.name}", (node.end_lineno or node.lineno) - node.lineno + 1
