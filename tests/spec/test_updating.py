"""`deploy.update_config` and `rollback_config`, `x-drain` and `x-exclusive`: what is written is what is meant."""

from __future__ import annotations

import pytest

from reconciler.core.expand import expand
from reconciler.core.updates import UpdateConfig, Updates
from tests.spec.parsing import document, service


def test_without_a_word_it_is_automatic_and_goes_back() -> None:
    updates = service("init: true").updates
    assert (updates.config.order, updates.config.failure_action) == ("", "rollback")
    assert (updates.config.parallelism, updates.config.monitor, updates.drain) == (1, 5.0, 10.0)


def test_everything_that_can_be_said() -> None:
    found = service(
        "deploy:\n"
        "      update_config: {order: start-first, parallelism: '2', delay: 5s, monitor: 1m, failure_action: pause,"
        " max_failure_ratio: 0.25}\n"
        "      rollback_config: {order: stop-first, parallelism: 0, delay: 0s, monitor: 1s, failure_action: continue}\n"
        "    x-drain: 90s"
    ).updates
    assert found == Updates(
        config=UpdateConfig(
            order="start-first", parallelism=2, delay=5.0, monitor=60.0, failure_action="pause", max_failure_ratio=0.25
        ),
        back=UpdateConfig(order="stop-first", parallelism=0, monitor=1.0, failure_action="continue"),
        drain=90.0,
    )


@pytest.mark.parametrize(("text", "exclusive"), [("", None), ("x-exclusive: true", True), ("x-exclusive: no", False)])
def test_whether_a_volume_is_exclusive(text: str, exclusive: bool | None) -> None:
    found = document(f"services: {{web: {{image: web, volumes: ['data:/data']}}}}\nvolumes: {{data: {{{text}}}}}\n")
    assert found.volumes[0].exclusive is exclusive
    assert expand("app.yaml", found).volumes[0].exclusive is exclusive


@pytest.mark.parametrize(
    ("services", "why"),
    [
        ("web: {image: web, volumes: ['data:/data'], deploy: {replicas: 2}}", "2 replicas use it"),
        ("a: {image: web, volumes: ['data:/data']}, b: {image: web, volumes: ['data:/data']}", "'a' uses it"),
    ],
)
def test_two_cannot_have_what_is_exclusive(services: str, why: str) -> None:
    found = expand("app.yaml", document(f"services: {{{services}}}\nvolumes: {{data: {{x-exclusive: true}}}}\n"))
    assert [str(problem).partition(": it is ")[2] for problem in found.problems] == [f"exclusive, and {why}"]
