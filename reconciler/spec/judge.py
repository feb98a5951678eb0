"""A tree to a valid Compose model, or to one sentence for each mistake. Only here are pydantic's errors read."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from reconciler.core.document import Place
from reconciler.errors import Problem
from reconciler.spec.compose import MODELS, Compose, shape
from reconciler.spec.forms import FormError
from reconciler.spec.report import Report, subject
from reconciler.spec.tree import Path, Tree

_WANTED: Final = {
    "string_type": "it must be a text",
    "bool_type": "it must be true or false",
    "int_type": "it must be a whole number",
    "tuple_type": "it must be a list",
    "dict_type": "it must be a mapping",
    "model_type": "it must be a mapping",
    "model_attributes_type": "it must be a mapping",
}


def judge(report: Report) -> Compose | None:
    """The document in the report's tree; None when it cannot be used, and then the report says why."""
    try:
        return Compose.model_validate(report.tree.data)
    except ValidationError as error:
        known = {(problem.line, problem.column) for problem in report.problems}
        for details in error.errors(include_url=False):
            problem = _problem(report.name, report.tree, details)
            if (problem.line, problem.column) not in known:
                report.problems.append(problem)
        return None


def _problem(name: str, tree: Tree, details: ErrorDetails) -> Problem:
    path: Path = tuple(part for part in details["loc"] if part != "[key]")
    kind = details["type"]
    wrong_key = len(path) < len(details["loc"])
    cause = details.get("ctx", {}).get("error")
    if isinstance(cause, FormError):
        path = (*path, *cause.at)
    place = tree.key_at(path) if wrong_key or kind == "extra_forbidden" else tree.value_at(path)
    if kind == "missing":
        place = _place_of_missing(tree, path[:-1])
    return Problem(name, *place, f"cannot use {_where(tree, path, kind)}: {_why(path, details)}")


def _place_of_missing(tree: Tree, path: Path) -> Place:
    return tree.key_at(path) if path else Place(1, 1)


def _where(tree: Tree, path: Path, kind: str) -> str:
    return subject(path[:-1] if kind == "missing" else _written(tree, path, kind))


def _written(tree: Tree, path: Path, kind: str) -> Path:
    """The part of `path` that the user wrote; the rest comes from expanding a short form."""
    while path and kind != "extra_forbidden" and path not in tree.values:
        path = path[:-1]
    return path


def _why(path: Path, details: ErrorDetails) -> str:
    kind, context = details["type"], details.get("ctx", {})
    if kind == "extra_forbidden":
        return _refusal(path)
    if kind == "missing":
        return f"it needs '{path[-1]}'"
    if kind == "literal_error":
        return f"it must be {context['expected']}"
    if kind == "value_error":
        return str(context["error"])
    return f"{_WANTED.get(kind, details['msg'])}, not {_kind_of(details['input'])}{_advice(kind, details['input'])}"


def _kind_of(value: object) -> str:
    if value is None:
        return "empty"
    if isinstance(value, bool):
        return "a boolean"
    names = {str: "a text", int: "a number", float: "a decimal number", list: "a list", dict: "a mapping"}
    return names.get(type(value), f"a {type(value).__name__}")


def _advice(kind: str, value: object) -> str:
    scalar = isinstance(value, bool | int | float)
    return "; put it in quotes" if kind == "string_type" and scalar else ""


def _refusal(path: Path) -> str:
    model = MODELS[shape(path[:-1])]
    key = str(path[-1])
    if key in model.refused:
        return model.refused[key]
    near = get_close_matches(key, [*sorted(model.written()), *model.refused], 1)
    return "no such key" + (f"; did you mean '{near[0]}'?" if near else "")
