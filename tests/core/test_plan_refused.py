"""Golden plans of updates to what cannot be made or started here: it does not pass the gate."""

from __future__ import annotations

import pytest

from reconciler.core.model import Dead
from tests.core.hosts import host, made
from tests.core.test_plan_rollout import NEW, OLD, digest_of, good_of, new, old
from tests.core.worlds import desired

REFUSED = {"refused": {digest_of(NEW): "no such program"}}


@pytest.mark.parametrize("made_already", [True, False])
def test_what_cannot_be_started_does_not_pass_either(made_already: bool) -> None:
    dead = (new(state=Dead()),) if made_already else ()
    found = str(made(desired(NEW), host(old(), *dead, **REFUSED)))
    assert (
        f"quarantine revision {digest_of(NEW)[:12]} of shop-web-1 (it could not be started: no such program)" in found
    )
    assert "start container" not in found
    gone = str(made(desired(NEW), host(*dead, good={OLD.name: good_of(OLD)}, **REFUSED)))
    assert "could not be started" in gone, "after stop-first there is only what is remembered"


def test_what_cannot_be_started_is_tried_on_where_nothing_better_is_known() -> None:
    assert "start container" in str(made(desired(NEW), host(new(state=Dead()), **REFUSED)))
    assert "create container" in str(made(desired(NEW), host(**REFUSED)))


def test_a_refusal_says_nothing_of_one_that_runs_by_now() -> None:
    assert "quarantine" not in str(made(desired(NEW), host(old(), new(), **REFUSED)))


def test_a_refusal_is_forgotten_when_nobody_wants_that_any_more() -> None:
    found = str(made(desired(OLD), host(old(), **REFUSED)))
    assert f"revisions: forget {digest_of(NEW)[:12]} (nothing wants them)" in found
    assert "forget" not in str(made(desired(NEW), host(old(), **REFUSED)))
