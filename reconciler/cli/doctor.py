"""`doctor`: whether this host is fit, and what to do about it.

Asks (`host.inspect`), has it judged (`core.fitness`), prints. Decides nothing itself.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict

from reconciler.cli import codes, render
from reconciler.core.fitness import Finding, is_fit, judge
from reconciler.host.inspect import inspect
from reconciler.settings import Settings

_COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}


def doctor(settings: Settings, arguments: argparse.Namespace) -> int:
    """Print every finding. The exit status says whether the daemon can do its work here."""
    findings = judge(inspect(settings))
    fit = is_fit(findings)
    if arguments.json:
        print(json.dumps({"fit": fit, "findings": [asdict(finding) for finding in findings]}, indent=2))
    else:
        print("\n".join(lines(findings, render.coloured(sys.stdout))))
    return codes.OK if fit else codes.FAILURE


def lines(findings: Sequence[Finding], colours: bool) -> list[str]:
    """The table, then what to do, then the verdict."""
    rows = [(finding.verdict, finding.name, finding.found) for finding in findings]
    tints = [(_COLOURS[finding.verdict], "", "") for finding in findings]
    text = render.table(("", "WHAT", "FOUND"), rows, tints if colours else ())
    advised = [finding for finding in findings if finding.advice]
    if advised:
        text += ["", "What to do:"]
        text += [render.clean(f"- {finding.name}: {finding.advice}") for finding in advised]
    fit = is_fit(tuple(findings))
    verdict = render.colour("This host is fit.", "green", colours)
    return [*text, "", verdict if fit else render.colour("This host is not fit.", "red", colours)]
