"""What an ended task makes the daemon read again: no less than it changed, and no more."""

from __future__ import annotations

import pytest

from reconciler.core.names import CONTAINER, IMAGES, LINKS, RULES, touched
from reconciler.core.steps import (
    ApplyRuleset,
    CleanContainer,
    ConnectContainer,
    DisconnectContainer,
    PullImage,
    RemoveContainer,
    RemoveNetwork,
    RemoveRuleset,
    StartContainer,
    Step,
    StopContainer,
    Task,
)

OWN = CONTAINER + "id"


@pytest.mark.parametrize(
    ("steps", "names"),
    [
        ((PullImage("web:1"),), {IMAGES}),
        ((RemoveNetwork("shop", "rc-1"),), {LINKS}),
        ((ApplyRuleset("", ""),), {RULES}),
        ((RemoveRuleset(),), {RULES}),
        ((StartContainer("id", "web", 0, 0),), {OWN}),
        ((StopContainer("id", "web", "SIGTERM"),), {OWN}),
        ((ConnectContainer("id", "web", ()), StartContainer("id", "web", 0, 0)), {OWN, LINKS}),
        (
            (CleanContainer("id", "web"), DisconnectContainer("id", "web"), RemoveContainer("id", "web")),
            {OWN, LINKS},
        ),
    ],
)
def test_a_task_touches_what_its_steps_change(steps: tuple[Step, ...], names: set[str]) -> None:
    assert touched(Task("key", "cause", steps)) == names
