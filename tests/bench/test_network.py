"""That the contenders of T9 make the same thing: a link for each container, and nothing when they are gone."""

from __future__ import annotations

import json
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.bench.network import Place
from tests.bench.network_floor import Floor
from tests.bench.network_ours import Adapters
from tests.bench.pull import leave_network


def count_links() -> int:
    return len(socket.if_nameindex())


def elements(family: str, table: str, name: str) -> int:
    argv = ["nft", "--json", "list", "map", family, table, name]
    said = json.loads(subprocess.run(argv, capture_output=True, check=True).stdout)
    return len(said["nftables"][-1]["map"].get("elem", ()))


@pytest.mark.root
@pytest.mark.parametrize(
    ("kind", "published"),
    [(Adapters, ("inet", "reconciler-bench", "doors4_at")), (Floor, ("ip", "floor", "ports"))],
)
def test_networks_come_and_go(kind: type[Adapters | Floor], published: tuple[str, str, str], tmp_path: Path) -> None:
    with ThreadPoolExecutor(1, initializer=leave_network) as thread:
        contender = thread.submit(lambda: kind(tmp_path)).result()
        links = thread.submit(count_links).result()
        place = Place(contender, thread, links)
        for size in (1, 3):
            wall, cpu = place.timed(lambda size=size: contender.up(size))  # type: ignore[misc] # of this turn
            assert wall > 0
            assert cpu > 0
            assert thread.submit(elements, *published).result() == size
            place.timed(contender.down)
            assert thread.submit(elements, *published).result() == 0
            place.settle()
            assert thread.submit(count_links).result() == links
        place.timed(lambda: contender.publish(5))
        place.timed(contender.change)
        assert thread.submit(elements, *published).result() == 5
