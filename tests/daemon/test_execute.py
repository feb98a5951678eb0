"""Each step is one port call; the first failure ends its task and is a sentence."""

from __future__ import annotations

import errno

import pytest

from reconciler.core.model import Volume, container_id, revision
from reconciler.core.networking import Joint, Network, Resolver
from reconciler.core.steps import (
    ApplyRuleset,
    CleanContainer,
    ConnectContainer,
    CreateContainer,
    CreateNetwork,
    CreateVolume,
    DisconnectContainer,
    GuardRoutes,
    KillContainer,
    MountContainer,
    PullImage,
    RemoveContainer,
    RemoveNetwork,
    RemoveRuleset,
    ResolveNames,
    RotateLog,
    ServeNames,
    StartContainer,
    Step,
    StopContainer,
    StopNames,
    Task,
    WriteNames,
)
from reconciler.daemon.execute import execute
from reconciler.errors import Failure, Fault, HostError, failure
from tests.core.worlds import WEB, container, endpoint
from tests.fakes import FakeHost, image

WANTED = container()
ID = container_id(WANTED, image(WEB).digest, 1.0)
NAME = WANTED.name
NETWORK = Network(name="shop_default", app="shop", spec="s")
END = endpoint(NETWORK, "10.0.0.2/24", "rc-1")
RESOLVER = Resolver(name="shop_default", bridge="rc-1", addresses=("10.0.0.1",), networks=("shop_default",))
LIFE: tuple[tuple[Step, str], ...] = (
    (PullImage(WEB), f"pull {WEB}"),
    (CreateNetwork(NETWORK, "rc-1", "10.0.0.1/24"), "network shop_default"),
    (CreateVolume(Volume(name="data", app="shop", spec="s")), "volume data"),
    (CreateContainer(ID, WANTED, revision(WANTED, "d"), image(WEB), Joint(endpoints=(END,))), f"create {NAME}"),
    (MountContainer(ID, NAME), f"mount {NAME}"),
    (ConnectContainer(ID, NAME, (END,)), "connect"),
    (StartContainer(ID, NAME, 0, 0), f"start {NAME}"),
    (RotateLog(ID, NAME), "rotate"),
    (ApplyRuleset("table", "1 port"), "apply"),
    (GuardRoutes(("10.0.0.0/24",)), "guard"),
    (ServeNames(RESOLVER), "serve shop_default"),
    (WriteNames("shop_default", ((ID, "10.0.0.2 web"),)), "names of shop_default"),
    (ResolveNames(("example.org",)), "resolve"),
    (StopNames("shop_default"), "stop serving shop_default"),
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
    assert execute(task, host.ports(), lambda _: None) is None
    assert host.calls == [call for _, call in LIFE]


def test_the_first_failure_ends_the_task() -> None:
    host = FakeHost(fault=lambda: True)
    error = execute(Task("t", "c", (PullImage(WEB), PullImage("b"))), host.ports(), lambda _: None)
    assert error == Failure(f"cannot pull {WEB}: injected before")
    assert host.calls == [f"pull {WEB}"]


def test_a_bug_is_a_sentence_too(caplog: pytest.LogCaptureFixture) -> None:
    error = execute(Task("t", "c", (StartContainer("nowhere", NAME, 0, 0),)), FakeHost().ports(), lambda _: None)
    assert error
    assert error.message.startswith("cannot start container shop-web-1 nowhere: unexpected IllegalCallError")
    assert "Traceback" not in caplog.text


def full() -> HostError:
    error = HostError("cannot write it")
    error.__cause__ = OSError(errno.ENOSPC, "No space left on device")
    return error


@pytest.mark.parametrize(
    ("error", "fault"),
    [(HostError("cannot"), "other"), (HostError("cannot").blamed("denied"), "denied"), (full(), "full")],
)
def test_what_went_wrong_is_kept_beside_the_sentence(error: HostError, fault: Fault) -> None:
    assert failure(error) == Failure(str(error), fault)
