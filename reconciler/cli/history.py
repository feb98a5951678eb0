"""`history`: what the flight recorder tells, as a table on a terminal and plain columns in a pipe. Decides nothing.

Asks the daemon over its socket; where none runs, whoever may read the state directory gets the same from the files.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from urllib.parse import quote

from reconciler.cli import codes, render
from reconciler.cli.status import Answer, UnreachableError, ask
from reconciler.core.history import History
from reconciler.core.retrospect import SHORT
from reconciler.settings import Settings

_COLOURS = {"quarantined": "red", "ended": "red", "replaced": "yellow", "revised": "blue", "made": "green"}


def history(settings: Settings, arguments: argparse.Namespace) -> int:
    """Print the table. Raises ReconcilerError for an app of which nothing is recorded."""
    from reconciler.core.retrospect import listing

    target = f"/v1/history?app={quote(arguments.app)}" if arguments.app else "/v1/history"
    try:
        answer = answered(settings, target, lambda kept: {"entries": listing(kept, arguments.app)})
    except UnreachableError as error:
        print(error, file=sys.stderr)
        return codes.UNREACHABLE
    shown = lines(answer, render.coloured(sys.stdout))
    print(json.dumps(answer, indent=2) if arguments.json else "\n".join(shown))
    return codes.OK


def answered(settings: Settings, target: str, otherwise: Callable[[History], object]) -> Answer:
    """What the daemon answers to `target`, or what `otherwise` makes of the files. Raises UnreachableError."""
    try:
        return ask(settings.socket, target)
    except UnreachableError:
        if not os.access(settings.state / "history", os.R_OK | os.X_OK):
            raise
    from reconciler.api.question import encode
    from reconciler.host.history import HistoryFiles

    found: Answer = json.loads(encode(otherwise(HistoryFiles(settings).read())))
    return found


def lines(answer: Answer, colours: bool) -> list[str]:
    """The table for a person."""
    rows = answer["entries"]
    if not rows:
        return ["nothing is recorded yet"]
    cells = [(moment(row["at"]), row["name"], row["what"], row["revision"][:SHORT], row["detail"]) for row in rows]
    tints = [["grey", "", _COLOURS.get(row["what"], ""), "grey", ""] for row in rows]
    return render.table(("TIME", "NAME", "WHAT", "REVISION", "WHY"), cells, tints if colours else ())


def moment(at: float) -> str:
    """When, in the time of this place."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))
