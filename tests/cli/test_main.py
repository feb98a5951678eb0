"""Verb in, exit status out: which number for which ending, and what is printed."""

from __future__ import annotations

import argparse
import subprocess
import sys
from importlib import import_module
from types import ModuleType

import pytest

from reconciler.__main__ import main
from reconciler.cli.parser import build_parser
from reconciler.errors import HostError, Problem, SpecError
from reconciler.settings import Settings

Patch = pytest.MonkeyPatch
Capture = pytest.CaptureFixture[str]


def verb(monkeypatch: Patch, name: str, ending: BaseException | int) -> list[tuple[Settings, argparse.Namespace]]:
    """Put a verb in place that ends so; what it was called with."""
    calls = []

    def act(settings: Settings, arguments: argparse.Namespace) -> int:
        calls.append((settings, arguments))
        if isinstance(ending, BaseException):
            raise ending
        return ending

    module = ModuleType(f"reconciler.cli.{name}")
    setattr(module, name, act)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return calls


@pytest.mark.parametrize(
    ("ending", "code", "printed"),
    [
        (0, 0, ""),
        (4, 4, ""),
        (HostError("cannot start x: the disk is full"), 1, "cannot start x: the disk is full\n"),
        (
            SpecError(Problem("a.yaml", 1, 2, "cannot read x"), Problem("b.yaml", 3, 4, "cannot read y")),
            3,
            "a.yaml:1:2: cannot read x\nb.yaml:3:4: cannot read y\n",
        ),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_how_a_verb_ends(
    monkeypatch: Patch, capsys: Capture, ending: BaseException | int, code: int, printed: str
) -> None:
    verb(monkeypatch, "plan", ending)
    assert main(["plan"]) == code
    assert capsys.readouterr().err == printed


def test_a_mistake_of_ours_is_a_sentence_unless_asked_for_more(monkeypatch: Patch, capsys: Capture) -> None:
    verb(monkeypatch, "plan", ZeroDivisionError("oops"))
    monkeypatch.delenv("RECONCILER_DEBUG", raising=False)
    assert main(["plan"]) == 1
    printed = capsys.readouterr().err
    assert printed.startswith("cannot finish plan: ZeroDivisionError: oops;")
    assert "RECONCILER_DEBUG=1" in printed
    assert "Traceback" not in printed
    monkeypatch.setenv("RECONCILER_DEBUG", "1")
    with pytest.raises(ZeroDivisionError):
        main(["plan"])


def test_a_directory_is_the_specs(monkeypatch: Patch) -> None:
    calls = verb(monkeypatch, "run", 0)
    assert main(["run", "/srv/demo", "--once", "--instance", "demo"]) == 0
    ((settings, arguments),) = calls
    assert (str(settings.specs), settings.instance, arguments.once) == ("/srv/demo", "demo", True)


def test_a_setting_that_cannot_be_meant_is_wrong_usage(monkeypatch: Patch, capsys: Capture) -> None:
    calls = verb(monkeypatch, "run", 0)
    assert main(["run", "--workers", "many"]) == 2
    assert capsys.readouterr().err == "cannot use --workers: it must be a whole number from 1 to 64\n"
    assert calls == []


@pytest.mark.parametrize(
    "words", [[], ["fly"], ["status", "--colour"], ["check"], ["status", "x"], ["run", "--work", "1"]]
)
def test_wrong_usage_is_2(words: list[str]) -> None:
    with pytest.raises(SystemExit) as ending:
        main(words)
    assert ending.value.code == 2


@pytest.mark.parametrize("name", ["run", "plan", "check", "status", "doctor", "down"])
def test_every_verb_explains_itself(name: str, capsys: Capture) -> None:
    with pytest.raises(SystemExit) as ending:
        main([name, "--help"])
    text = capsys.readouterr().out
    assert ending.value.code == 0
    assert "exit status" in text
    assert "--specs DIR" in text
    assert max(map(len, text.splitlines())) <= 100


def test_the_verbs_are_told_at_once() -> None:
    text = build_parser().format_help()
    for name in ("run", "plan", "check", "status", "doctor", "down"):
        assert f"\n    {name} " in text


def test_a_pipe_that_closes_is_no_mistake() -> None:
    argv = [
        sys.executable,
        "-c",
        "from reconciler.__main__ import main; import sys; sys.exit(main(['doctor', '--json']))",
    ]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 1


def test_status_starts_with_few_imports() -> None:
    code = "import reconciler.__main__, reconciler.cli.status, sys; print(' '.join(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    heavy = {"pydantic", "uvicorn", "starlette", "rich", "asyncio", "http.client", "email", "yaml", "subprocess", "ssl",
             "logging", "tomllib", "reconciler.core.model", "reconciler.core.status"}  # fmt: skip
    assert heavy & set(loaded) == set()
    assert len(loaded) < 112


@pytest.mark.parametrize("name", ["run", "plan", "check", "status", "doctor", "down"])
def test_every_verb_of_the_parser_has_its_function(name: str) -> None:
    assert callable(getattr(import_module(f"reconciler.cli.{name}"), name))
