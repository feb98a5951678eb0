"""`why`: ask the daemon why an app is not as its spec says, and print what it answers. Decides nothing."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from urllib.parse import quote

from reconciler.cli import codes, render
from reconciler.cli.status import Answer, UnreachableError, ask
from reconciler.core.durations import compact
from reconciler.settings import Settings

_COLOURS = {True: "red", False: "yellow"}


def why(settings: Settings, arguments: argparse.Namespace) -> int:
    """Print the answer. The exit status says whether all is well. Raises RefusedError when there is no such app."""
    app, _, service = arguments.name.partition("/")
    target = "/v1/why/" + "/".join(quote(part, safe="") for part in (app, service) if part)
    try:
        answer = ask(settings.socket, target)
    except UnreachableError as error:
        print(error, file=sys.stderr)
        return codes.UNREACHABLE
    shown = lines(answer, time.time(), render.coloured(sys.stdout))
    print(json.dumps(answer, indent=2) if arguments.json else "\n".join(shown))
    return codes.OK if answer["converged"] else codes.DIFFERENT


def lines(answer: Answer, now: float, colours: bool) -> list[str]:
    """The answer for a person."""
    name = "/".join(filter(None, (answer["app"], answer["service"])))
    if answer["converged"]:
        since = _ago(answer["since"], now)
        head = f"{name}: {render.colour('converged', 'green', colours)}{since}"
    else:
        head = f"{name}: {render.colour('not converged', 'yellow', colours)}{_ago(answer['since'], now)}"
    return [head, *(line for cause in answer["causes"] for line in _cause(cause, now, colours))]


def _cause(cause: Answer, now: float, colours: bool) -> Iterator[str]:
    code = render.colour(cause["code"], _COLOURS[cause["failures"] > 0], colours)
    yield ""
    yield f"{code}  {render.clean(cause['key'])}{_ago(cause['since'], now)}"
    yield f"  {render.clean(cause['message'])}"
    if cause["failures"]:
        yield f"  failed {cause['failures']} {'time' if cause['failures'] == 1 else 'times'} in a row"
    if cause["retry_at"] is not None:
        yield f"  next look: in {compact(max(0.0, cause['retry_at'] - now))}"
    yield f"  what to do: {cause['advice']}"


def _ago(since: float | None, now: float) -> str:
    return "" if since is None else f", for {compact(max(0.0, now - since))}"
