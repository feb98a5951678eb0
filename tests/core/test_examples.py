"""The plan of each example beside it: every step from an empty host to a converged one.

`python -m tests.core.test_examples` writes them anew. The examples stand in a folder of a fixed name, and time stands
still, so that identities, which follow from both, are the same everywhere.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from reconciler.core.model import Desired
from reconciler.core.plan import plan
from reconciler.core.resolve import resolve
from reconciler.core.scene import Policy
from reconciler.core.steps import Plan
from reconciler.daemon.execute import execute
from reconciler.spec.parse import parse
from tests.fakes import FakeHost

EXAMPLES = Path(__file__).parents[2] / "examples"
SPECS = sorted(
    str(path.relative_to(EXAMPLES)) for ending in ("*.toml", "*.yaml") for path in EXAMPLES.glob(f"**/{ending}")
)
PLACE = Path("/etc/reconciler/specs")
NOW = 1_800_000_000.0
LOOKS = 30


def golden(spec: str) -> Path:
    """`web.toml` has `web.plan`, `gitea/compose.yaml` has `gitea.plan`."""
    path = Path(spec)
    return EXAMPLES / f"{path.parent.name or path.stem}.plan"


def desired(spec: str) -> Desired:
    folder = (EXAMPLES / spec).parent
    document = parse(
        spec, (EXAMPLES / spec).read_bytes(), lambda name: (folder / name).read_bytes(), str((PLACE / spec).parent)
    )
    return resolve({spec: document}, frozenset())


def plans(spec: str) -> str:
    """The plan of each look, with an empty line between two, until there is nothing left to do."""
    wanted, host, shown = desired(spec), FakeHost(), list[str]()
    host.now = NOW
    for _ in range(LOOKS):
        found = plan(wanted, host.observe(), host.now, Policy())
        if found.converged:
            return "\n\n".join(shown) + "\n"
        shown.append(str(found))
        _act(found, host)
        host.answer_probes()
    raise AssertionError(f"{spec} does not converge:\n{shown[-1]}")


def _act(found: Plan, host: FakeHost) -> None:
    for task in found.tasks:
        error = execute(task, host.ports(), lambda _: None)
        assert not error, error


def test_there_are_ten() -> None:
    assert len(SPECS) == 10


@pytest.mark.parametrize("spec", SPECS)
def test_example_is_planned_as_the_file_beside_it_says(spec: str) -> None:
    assert plans(spec) == golden(spec).read_text()


if __name__ == "__main__":
    for each in SPECS:
        golden(each).write_text(plans(each))
