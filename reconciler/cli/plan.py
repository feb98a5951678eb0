"""`reconciler plan`: prints what the daemon would do now, with the cause of each step. Changes nothing."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time

from reconciler.cli import codes
from reconciler.core.names import EVERYTHING, LISTENERS
from reconciler.core.plan import plan as make_plan
from reconciler.core.removal import noted
from reconciler.core.steps import Plan
from reconciler.daemon import wire
from reconciler.daemon.loop import meaning
from reconciler.errors import HostError, SpecError
from reconciler.settings import Settings


def plan(settings: Settings, arguments: argparse.Namespace) -> int:
    """Print the plan; the exit code says whether there is anything to do."""
    if os.geteuid() != 0:
        raise HostError("cannot look at the host: that needs root; `reconciler check` looks at spec files without")
    specs = wire.specs(settings)()
    observed = wire.adapters(settings).observer.look(frozenset({EVERYTHING, LISTENERS}))
    desired = meaning(specs, observed)
    now = time.time()
    policy = wire.policy(settings)
    found = make_plan(desired, noted(desired, observed, policy.max_removal, now), now, policy)
    print(json.dumps(as_data(found), indent=2) if arguments.json else str(found) or "nothing to do")
    invalid = [document for document in specs.documents.values() if isinstance(document, SpecError)]
    for problem in (problem for error in invalid for problem in error.problems):
        print(problem, file=sys.stderr)
    if invalid or desired.held:
        return codes.INVALID
    return codes.OK if found.converged else codes.DIFFERENT


def as_data(found: Plan) -> dict[str, object]:
    """The plan as JSON data."""
    return {
        "converged": found.converged,
        "tasks": [
            {"key": task.key, "cause": task.cause, "steps": [str(step) for step in task.steps]} for task in found.tasks
        ],
        "waits": [
            {"key": wait.key, "code": wait.code, "reason": wait.reason, "until": wait.until} for wait in found.waits
        ],
    }
