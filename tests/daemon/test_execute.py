"""Each step is one port call; the first failure ends its task and is a sentence."""

from __future__ import annotations

import pytest

from reconciler.core.model import Volume, container_id, revision
from reconciler.core.networking import Network
from reconciler.core.steps import (
    ApplyRuleset,
    CleanContainer,
    ConnectContainer,
    CreateContainer,
    CreateNetwork,
    CreateVolume,
    DisconnectContainer,
    KillContainer,
    MountContainer,
    PullImage,
    RemoveContainer,
    RemoveNetwork,
    RemoveRuleset,
    RotateLog,
    StartContainer,
    Step,
    StopContainer,
    Task,
)
from reconciler.daemon.execute import execute
from tests.core.worlds import WEB, container
from tests.fakes import FakeHost, image

WANTED = container()
ID = container_id(WANTED, image(WEB).digest, 1.0)
NAME = WANTED.name
LIFE: tuple[tuple[Step, str], ...] = (
    (PullImage(WEB), f"pull {WEB}"),
    (CreateNetwork(Network(name="shop_default", app="shop", spec="s"), "rc-1", "10.0.0.1/24"), "network shop_default"),
    (CreateVolume(Volume(name="data", app="shop", spec="s")), "volume data"),
    (CreateContainer(ID, WANTED, revision(WANTED, "d"), image(WEB), "10.0.0.2", "10.0.0.1/24"), f"create {NAME}"),
    (MountContainer(ID, NAME), f"mount {NAME}"),
    (ConnectContainer(ID, NAME, "rc-1", "10.0.0.2", "10.0.0.1/24"), "connect"),
    (StartContainer(ID, NAME, 0, 0), f"start {NAME}"),
    (RotateLog(ID, NAME), "rotate"),
    (ApplyRuleset("table", "1 port"), "apply"),
    (StopContainer(ID, NAME, "SIGTERM"), f"stop {NAME}"),
    (KillContainer(ID, NAME), f"kill {NAME}"),
    (CleanContainer(ID, NAME), f"clean {NAME}"),
    (DisconnectContainer(ID, NAME), "disconnect"),
    (RemoveContainer(ID, NAME), f"remove {NAME}"),
    (RemoveNetwork("shop_default", "rc-1"), "remove network shop_default"),
    (RemoveRuleset(), "remove table"),
)


def test_every_step_is_one_call() -> None:
    host = FakeHost()
    task = Task("all", "a whole life", tuple(step for step, _ in LIFE))
    assert execute(task, host.ports(), lambda _: None) == ""
    assert host.calls == [call for _, call in LIFE]


def test_the_first_failure_ends_the_task() -> None:
    host = FakeHost(fault=lambda: True)
    error = execute(Task("t", "c", (PullImage(WEB), PullImage("b"))), host.ports(), lambda _: None)
    assert error == f"cannot pull {WEB}: injected before"
    assert host.calls == [f"pull {WEB}"]


def test_a_bug_is_a_sentence_too(caplog: pytest.LogCaptureFixture) -> None:
    error = execute(Task("t", "c", (StartContainer("nowhere", NAME, 0, 0),)), FakeHost().ports(), lambda _: None)
    assert error.startswith("cannot start container shop-web-1 nowhere: unexpected IllegalCallError")
    assert "Traceback" not in caplog.text
