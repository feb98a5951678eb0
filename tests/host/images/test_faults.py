"""What a program is told of a pull that failed: the same for each way in which it can."""

from __future__ import annotations

import pytest

from reconciler.errors import Fault
from reconciler.host.images.exchange import Answer
from reconciler.host.images.mirrors import NotHereError
from reconciler.host.images.transport import TryAgainError, refuse_status


@pytest.mark.parametrize(
    ("status", "headers", "fault"),
    [
        (401, {}, "denied"),
        (403, {}, "denied"),
        (404, {}, "absent"),
        (418, {}, "other"),
        (429, {"retry-after": "3600"}, "unreachable"),
        (503, {}, "unreachable"),
    ],
)
def test_the_answer_of_a_registry_says_what_went_wrong(status: int, headers: dict[str, str], fault: Fault) -> None:
    answer = Answer("https://registry.example/v2/", status, headers, b"")
    assert refuse_status(answer, "pull it", 0.0).fault == fault


def test_errors_that_have_a_class_say_it_by_that() -> None:
    assert (TryAgainError("cannot").fault, NotHereError("cannot").fault) == ("unreachable", "absent")
