"""`show`: one revision of an app, what differed, and what came of it. Decides nothing."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from urllib.parse import quote

from reconciler.cli import codes, render
from reconciler.cli.history import answered, moment
from reconciler.cli.status import Answer, UnreachableError
from reconciler.core.facts import Difference
from reconciler.core.retrospect import SHORT
from reconciler.core.retrospect import show as found
from reconciler.settings import Settings


def show(settings: Settings, arguments: argparse.Namespace) -> int:
    """Print the revision. Raises ReconcilerError when there is none, or several."""
    app, _, revision = arguments.name.partition("@")
    target = f"/v1/history/{quote(app, safe='')}/{quote(revision, safe='')}"
    if not app or not revision:
        print(f"cannot show {arguments.name}: write APP@REVISION, as `reconciler history` prints it", file=sys.stderr)
        return codes.USAGE
    try:
        answer = answered(settings, target, lambda kept: found(kept, app, revision))
    except UnreachableError as error:
        print(error, file=sys.stderr)
        return codes.UNREACHABLE
    print(json.dumps(answer, indent=2) if arguments.json else "\n".join(map(render.clean, lines(answer))))
    return codes.OK


def lines(answer: Answer) -> list[str]:
    """The revision for a person."""
    return [*_head(answer), *_services(answer), *(line for one in answer["instances"] for line in _instance(one))]


def _head(answer: Answer) -> Iterator[str]:
    yield f"{answer['app']}@{answer['revision'][:SHORT]}"
    until = moment(answer["until"]) if answer["until"] else "now"
    yield f"  in force: {moment(answer['at'])} to {until}"
    if answer["successor"]:
        yield f"  then: {answer['app']}@{answer['successor'][:SHORT]}"
    if answer["before"]:
        yield f"  before: {answer['app']}@{answer['before'][:SHORT]}"
    if not answer["services"]:
        yield "  no spec declares the app any more"


def _services(answer: Answer) -> Iterator[str]:
    for service in answer["services"]:
        yield ""
        yield f"service {service['name']} ({len(service['revisions'])} of {service['image']}, {service['digest']})"
        for name, value in service["spec"]:
            yield f"  {name}: {value or '(not shown)'}"
        if service["changed"]:
            yield "  differs from before:"
            yield from (f"    {_difference(one)}" for one in service["changed"])
    for name in answer["left"]:
        yield ""
        yield f"service {name} is no longer declared"


def _instance(one: Answer) -> Iterator[str]:
    yield ""
    yield f"container {one['name']} {one['id'][:SHORT]} of revision {one['revision'][:SHORT]}"
    yield f"  made: {moment(one['at'])}" + (f" ({one['cause']})" if one["cause"] else "")
    if one["before"]:
        yield f"  instead of: {one['before'][:SHORT]} of revision {one['before_revision'][:SHORT]}"
    if one["fault"]:
        yield f"  quarantined: it {one['fault']}"
    for act in one["acts"]:
        yield f"  {moment(act['at'])} {act['key']} ({act['cause']})"
        yield from (f"    {step}" for step in act["plan"])
        if act["error"]:
            yield f"    failed: {act['error']}"
    for end in one["ends"]:
        asked = ", as it was told to" if end["asked"] else ""
        yield f"  {moment(end['at'])} ended with code {end['code']}{' out of memory' if end['oom'] else ''}{asked}"
    if one["output"]:
        yield "  its last lines:"
        yield from (f"    {line}" for line in one["output"])
    if one["gone"] is not None:
        yield f"  gone: {moment(one['gone'])}"


def _difference(one: Answer) -> str:
    return str(Difference(one["name"], one["before"], one["after"]))
