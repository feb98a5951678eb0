"""Who answers at all: several asked at once, the silent ones found within the time given."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest

from reconciler.host.question import question, silent
from tests.host.network.questions import NOERROR, A, Answer, parse
from tests.host.network.questions import question as spelled


@pytest.fixture
def port() -> Iterator[int]:
    """127.0.0.1 answers each second question, 127.0.0.2 none, and at 127.0.0.3 nobody listens."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server, socket.socket(type=socket.SOCK_DGRAM) as deaf:
        server.bind(("127.0.0.1", 0))
        deaf.bind(("127.0.0.2", server.getsockname()[1]))
        thread = threading.Thread(target=_answer, args=(server,))
        thread.start()
        yield server.getsockname()[1]
        with suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)
        thread.join()


def _answer(server: socket.socket) -> None:
    asked = 0
    while True:
        message, client = server.recvfrom(512)
        if not message:
            return
        asked += 1
        if asked % 2 == 0:
            server.sendto(message, client)


def test_the_silent_are_told_from_those_that_answer_though_a_question_was_lost(port: int) -> None:
    assert silent(["127.0.0.1", "127.0.0.2", "127.0.0.3"], 0.6, port) == {"127.0.0.2", "127.0.0.3"}


def test_an_address_that_cannot_be_reached_is_silent(port: int) -> None:
    assert silent(["240.0.0.1", "fe80::1"], 0.01, port) == {"240.0.0.1", "fe80::1"}


def test_nobody_asked_nobody_silent() -> None:
    assert silent([], 60.0) == frozenset()


def test_the_question_is_one_of_dns() -> None:
    assert question(4711) == spelled("alive", A)
    assert parse(question(1)) == Answer(NOERROR)
