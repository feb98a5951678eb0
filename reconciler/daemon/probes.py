"""Asks containers whether they are well, in a thread of its own, and says when that changed.

HTTP and TCP are asked without a process and without waiting: one selector, sockets that do not block. Commands run in
a few threads beside. What an answer means and when to ask again is in `rounds`; what follows from it decides `plan`.
`wire` makes it, `loop` tells it after each look who runs.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import assert_never

from reconciler.core.health import CommandTest, Health, HttpTest, TcpTest
from reconciler.core.model import SeenContainer
from reconciler.core.names import CONTAINER
from reconciler.core.probing import Target, Where, targets
from reconciler.daemon.questions import Answer, Question, request, why
from reconciler.daemon.rounds import Moment, Rounds

COMMANDS = 8  # that run at the same time
LONGEST_SLEEP = 60.0
STOP_TIME = 1.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ways:
    """What probes act through. `note` says False when the run is over; `connect` begins without waiting."""

    note: Callable[[str, float, Health], bool]
    command: Callable[[str, tuple[str, ...], float], Answer]
    connect: Callable[[Where, int], socket.socket]
    ring: Callable[[str], None]


def moment() -> Moment:
    """Now."""
    return Moment(wall=time.time(), steady=time.monotonic())


@dataclass(slots=True)
class Probes:
    """The thread and what it knows; `look` and `stop` are called from others, and so is `start`."""

    ways: Ways
    clock: Callable[[], Moment] = moment
    _rounds: Rounds = field(default_factory=Rounds)
    _questions: dict[int, Question] = field(default_factory=dict)  # by descriptor
    _commands: deque[Target] = field(default_factory=deque)
    _running: int = 0
    _answers: queue.SimpleQueue[tuple[Target, Answer]] = field(default_factory=queue.SimpleQueue)
    _told: queue.SimpleQueue[Mapping[str, Target]] = field(default_factory=queue.SimpleQueue)
    _last: Mapping[str, Target] = field(default_factory=dict)
    _bell: int = field(default_factory=lambda: os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK))
    _selector: selectors.EpollSelector = field(default_factory=selectors.EpollSelector)
    _thread: threading.Thread | None = None
    _stopping: bool = False

    def __post_init__(self) -> None:
        """Listen to the bell."""
        self._selector.register(self._bell, selectors.EVENT_READ)

    def start(self) -> None:
        """Begin to ask."""
        self._thread = threading.Thread(target=self._run, name="probes", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ask no more."""
        self._stopping = True
        os.eventfd_write(self._bell, 1)
        if self._thread is not None:
            self._thread.join(STOP_TIME)

    def look(self, containers: Mapping[str, SeenContainer]) -> None:
        """Who runs now; called after each look at the host."""
        found = targets(containers)
        if found != self._last:
            self._last = found
            self._told.put(found)
            os.eventfd_write(self._bell, 1)

    # --- the thread ------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._stopping:
            try:
                self.turn(self._timeout())
            except Exception as error:  # one container's oddity must not leave all others unasked
                log.warning("cannot ask for health: unexpected %r; this is a bug in reconciler", error)
                time.sleep(1.0)

    def turn(self, timeout: float) -> None:
        """Wait for what comes next, at most so long, and do it."""
        for key, _ in self._selector.select(timeout):
            if key.fd in self._questions:
                self._go_on(self._questions[key.fd])
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._bell)
        now = self.clock()
        while not self._told.empty():
            self._rounds.take(self._told.get(), now)
        while not self._answers.empty():
            self._running -= 1
            self._hear(*self._answers.get())
        for question in [entry for entry in self._questions.values() if entry.deadline <= now.steady]:
            self._close(question, (False, f"it did not answer within {question.target.check.timeout:g} s"))
        for target in self._rounds.due(now):
            self._ask(target, now)
        self._run_commands()

    def _timeout(self) -> float:
        due = [self._rounds.next_at, *(question.deadline for question in self._questions.values())]
        soonest = min((at for at in due if at is not None), default=None)
        return LONGEST_SLEEP if soonest is None else min(LONGEST_SLEEP, max(0.0, soonest - self.clock().steady))

    def _ask(self, target: Target, now: Moment) -> None:
        test = target.check.test
        match test:
            case CommandTest():
                self._commands.append(target)
            case HttpTest() | TcpTest():
                self._connect(target, test, now)
            case None:
                return
            case _:
                assert_never(test)

    def _hear(self, target: Target, answer: Answer) -> None:
        health = self._rounds.answer(target, answer, self.clock())
        if health is not None and self.ways.note(target.id, target.since, health):
            self.ways.ring(CONTAINER + target.id)

    # --- sockets ---------------------------------------------------------------------------------------------

    def _connect(self, target: Target, test: HttpTest | TcpTest, now: Moment) -> None:
        try:
            connection = self.ways.connect(target.where, test.port)
        except OSError as error:
            self._hear(target, (False, why(error)))
            return
        said = request(test, target.where.address)
        self._questions[connection.fileno()] = Question(target, connection, now.steady + target.check.timeout, said)
        self._selector.register(connection, selectors.EVENT_WRITE)

    def _go_on(self, question: Question) -> None:
        speaking = not question.listening
        answer = question.go_on()
        if answer is not None:
            self._close(question, answer)
        elif speaking and question.listening:
            self._selector.modify(question.socket, selectors.EVENT_READ)

    def _close(self, question: Question, answer: Answer) -> None:
        self._selector.unregister(question.socket)
        del self._questions[question.socket.fileno()]
        question.socket.close()
        self._hear(question.target, answer)

    # --- commands --------------------------------------------------------------------------------------------

    def _run_commands(self) -> None:
        while self._commands and self._running < COMMANDS:
            self._running += 1
            work = self._commands.popleft()
            threading.Thread(target=self._command, args=(work,), name="command", daemon=True).start()

    def _command(self, target: Target) -> None:
        """In a thread of its own: the queue and the bell are the only way back."""
        assert isinstance(target.check.test, CommandTest)
        answer = self.ways.command(target.id, target.check.test.argv, target.check.timeout)
        self._answers.put((target, answer))
        os.eventfd_write(self._bell, 1)
