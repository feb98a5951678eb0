"""What every contender can do, so that the measures need not know which one they have before them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from tests.bench import kernel
from tests.bench.cell import Cell, process_cpu
from tests.bench.probe import wait_until, wait_until_answered, wait_until_said
from tests.bench.workload import Workload


@dataclass(frozen=True, slots=True)
class Look:
    """One convergence that finds nothing to do; `wall` is None where it cannot be told from outside."""

    cpu: float
    wall: float | None


class Contender(ABC):
    """An engine in its cell. Use as a context manager: entering starts the engine and gives it the image."""

    name: str
    agent: Sequence[str] = ("tests.bench.agent",)
    kept = 0  # containers that stay while others come and go
    idles = False  # whether something of the engine stays that could use CPU when nothing is to do
    agent_counts = False  # the agent is the engine itself
    engine = ""  # the word by which the engine's own process is known; "" when it has none
    environment: dict[str, str] = {}  # noqa: RUF012 - a constant of each class

    def __init__(self, folder: Path, workload: Workload) -> None:
        self.folder = folder / self.name
        self.workload = workload
        self.failed = False
        self.folder.mkdir(parents=True)

    def __enter__(self) -> Contender:
        with ExitStack() as stack:
            self.cell = stack.enter_context(Cell(self.name, list(self.agent), self.environment))
            visitor = ThreadPoolExecutor(1, initializer=kernel.setns, initargs=(self.cell.network,))
            self._visitor = stack.enter_context(visitor)
            self.prepare()
            self._open = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def prepare(self) -> None:  # noqa: B027 - the floor needs nothing
        """Start the engine, and give it the image."""

    @abstractmethod
    def up(self, ports: dict[str, int]) -> None:
        """Declare containers by name, each with its port on 127.0.0.1; may return before they run."""

    @abstractmethod
    def down(self, names: list[str]) -> None:
        """Take them back; may return before they are gone."""

    def again(self) -> Look | None:
        """Converge once more with nothing changed; None for an engine that has no such thing."""
        return None

    def leftovers(self) -> int:
        """What the engine still keeps of containers that it removed, beside processes and mounts."""
        return 0

    def last_words(self) -> str:
        """The end of the engine's log, for when it failed."""
        log = self.folder / "log"
        return log.read_text(errors="replace")[-1500:] if log.is_file() else ""

    def engine_cpu(self) -> float:
        """CPU seconds of the engine's own process, without its children."""
        return sum(process_cpu(pid) for pid in self.cell.processes() if self.engine in self.cell.words(pid))

    def wait_up(self, ports: dict[str, int]) -> None:
        """Until every port answers, asked from inside the cell's network, on the bench's own time."""
        self._visitor.submit(wait_until_answered, list(ports.values())).result()

    def wait_said(self, port: int, words: str) -> None:
        """Until whoever answers at the port says this."""
        self._visitor.submit(wait_until_said, port, words).result()

    def wait_back(self, name: str, port: int, killed: int) -> None:
        """Until another process than `killed` is there, and its port answers.

        The port is not asked before: docker's proxy would ask the network for an address that is gone, and the
        kernel then repeats that question only once a second, which is no fault of docker's.
        """
        wait_until(lambda: self.cell.servers().get(name, killed) != killed, f"{name} to come back")
        self.wait_up({name: port})

    def wait_down(self) -> None:
        """Until no process, no mount and no record of a container is left."""
        wait_until(self._is_empty, "everything to be gone")

    def _is_empty(self) -> bool:
        return self.cell.overlays() == len(self.cell.servers()) == self.kept and self.leftovers() == 0
