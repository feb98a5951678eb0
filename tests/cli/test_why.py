"""`why` against a real socket: golden text, exit status, JSON, and what it says to who asks for the wrong thing."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.__main__ import main
from reconciler.api.question import encode
from reconciler.cli.why import lines
from reconciler.core.reasons import Since
from reconciler.core.status import Snapshot
from reconciler.core.why import why
from tests.api.conftest import Api
from tests.api.feed import NOW, SNAPSHOT
from tests.cli.test_status import CALM

Capture = pytest.CaptureFixture[str]
WELL = replace(SNAPSHOT, plan=replace(SNAPSHOT.plan, tasks=(), waits=()), outcomes={}, since=Since({}, {"shop": NOW}))
ILL = replace(
    SNAPSHOT,
    since=Since({("container:shop-worker-1", "crash-loop"): NOW - 90, ("container:shop-lost-1", "starting"): NOW - 1}),
    outcomes={
        key: replace(outcome, key="container:shop-lost-1", error="cannot start it\x1b[2J", retry_at=NOW + 4)
        for key, outcome in zip(("container:shop-lost-1",), SNAPSHOT.outcomes.values(), strict=True)
    },
)


def ask(api: Api, *words: str) -> int:
    return main(["why", "--run-directory", str(api.path.parent), *words])


def text(snapshot: Snapshot, app: str, service: str = "") -> str:
    answer = json.loads(encode(why(snapshot, app, service)))
    return "\n".join(lines(answer, NOW, colours=False))


def test_golden_text() -> None:
    assert text(ILL, "shop") == (
        "shop: not converged, for 90s\n"
        "\n"
        "step-failed  container:shop-lost-1\n"
        "  cannot start it [2J\n"
        "  failed 2 times in a row\n"
        "  next look: in 4s\n"
        "  what to do: Do what the error says.\n"
        "\n"
        "crash-loop  container:shop-worker-1, for 90s\n"
        "  it ended 3 times in a row\n"
        "  next look: in 8s\n"
        "  what to do: Read its last lines with `reconciler show APP@REVISION`, and change the spec or the image."
    )


def test_golden_text_of_one_service() -> None:
    assert text(ILL, "shop", "worker").startswith("shop/worker: not converged, for 90s\n\ncrash-loop  ")
    assert text(ILL, "shop", "web") == "shop/web: converged"


def test_golden_text_when_all_is_well() -> None:
    assert text(WELL, "shop") == "shop: converged, for 0s"


def test_well_is_0_and_not_well_is_4(api: Api, capsys: Capture) -> None:
    assert ask(api, "shop") == 4
    assert ask(api, "shop/worker", "--json") == 4
    printed = capsys.readouterr().out
    assert json.loads(printed[printed.index("{") :])["causes"][0]["code"] == "crash-loop"
    api.feed.snapshot = CALM
    assert ask(api, "shop") == 0


def test_an_unknown_name_is_one_sentence(api: Api, capsys: Capture) -> None:
    assert ask(api, "shpo") == 1
    assert ask(api, "shop/wörker") == 1
    assert capsys.readouterr().err == (
        "cannot find app 'shpo': no spec declares it; did you mean 'shop'?\n"
        "cannot find service 'wörker' of app 'shop': there is none; did you mean 'worker'?\n"
    )


def test_without_a_daemon_it_says_so(tmp_path: Path, capsys: Capture) -> None:
    assert main(["why", "--run-directory", str(tmp_path), "shop"]) == 5
    assert "none runs there; start it with `reconciler run`" in capsys.readouterr().err
