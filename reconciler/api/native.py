"""The native questions: is it alive, what runs, what is left to do, what has happened.

Pure functions from a question to JSON data. A plan is rendered as text and as names of steps, never as the values
inside the steps: those hold environments and commands.
"""

from __future__ import annotations

from reconciler.api.question import Answer, Json, Question, RefusalError
from reconciler.core.retrospect import listing, show
from reconciler.core.status import Event, project
from reconciler.core.steps import Task
from reconciler.core.why import UnknownNameError, why
from reconciler.core.work import doing


def health(question: Question) -> Json:
    """`/healthz`: the daemon answers, and so it lives; converged or not is told, but is no illness."""
    snapshot = question.snapshot
    return {"alive": True, "converged": snapshot.plan.converged, "generation": snapshot.generation, "at": snapshot.at}


def status(question: Question) -> object:
    """`/v1/status`: `core.status.Status` as it is."""
    return project(question.snapshot)


def plan(question: Question) -> Json:
    """`/v1/plan`: the text that the `plan` command prints, and the same by task."""
    plan = question.snapshot.plan
    return {
        "at": question.snapshot.at,
        "converged": plan.converged,
        "text": str(plan).splitlines(),
        "tasks": [_task(task) for task in plan.tasks],
        "waits": [
            {"key": wait.key, "code": wait.code, "reason": wait.reason, "until": wait.until} for wait in plan.waits
        ],
    }


def _task(task: Task) -> Json:
    steps = [{"kind": type(step).__name__, "text": str(step)} for step in task.steps]
    return {"key": task.key, "code": doing(task), "cause": task.cause, "steps": steps}


def event(event: Event) -> Json:
    """One line of `/v1/events`."""
    return {
        "sequence": event.sequence,
        "at": event.at,
        "kind": event.kind,
        "name": event.name,
        "action": event.action,
        "message": event.message,
        "container": event.container,
        "attributes": dict(event.attributes),
    }


def reasons(question: Question) -> object:
    """`/v1/why/APP` and `/v1/why/APP/SERVICE`: `core.why.Why` as it is."""
    try:
        return why(question.snapshot, question.path["app"], question.path.get("service", ""))
    except UnknownNameError as error:
        raise RefusalError(404, str(error)) from None


def history(question: Question) -> Json:
    """`/v1/history?app=APP`: what the flight recorder tells, oldest first."""
    try:
        return {"entries": listing(question.history(), question.query.get("app", ""))}
    except UnknownNameError as error:
        raise RefusalError(404, str(error)) from None


def revision(question: Question) -> object:
    """`/v1/history/APP/REVISION`: what was in force, `core.retrospect.Shown` as it is."""
    try:
        return show(question.history(), question.path["app"], question.path["revision"])
    except UnknownNameError as error:
        raise RefusalError(404, str(error)) from None


ANSWERS: dict[str, Answer] = {
    "/healthz": health,
    "/v1/status": status,
    "/v1/plan": plan,
    "/v1/history": history,
    "/v1/history/{app}/{revision}": revision,
    "/v1/why/{app}": reasons,
    "/v1/why/{app}/{service}": reasons,
}
