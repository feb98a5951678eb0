"""Connections in the very moment in which the ruleset is replaced: none may fall between the old and the new one."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from reconciler.core.ruleset import Published
from tests.host.network.conftest import HOST, World

pytestmark = pytest.mark.root

REPLACEMENTS = 500  # each one cost a connection in one of 50 cases, while there was a way to lose one

SERVER = """
import socket
server = socket.create_server(("", 80), backlog=4096)
print(flush=True)
while True:
    server.accept()[0].close()
"""
# Ends when its input does. A connection is reset, so that no port stays taken.
VISITOR = """
import json, select, socket, struct, sys
made, failures = 0, []
print(flush=True)
while made % 100 or not select.select([0], [], [], 0)[0]:
    visitor = socket.socket()
    visitor.settimeout(10)
    visitor.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    try:
        visitor.connect((sys.argv[1], 8080))
    except OSError as error:
        failures.append(str(error))
    visitor.close()
    made += 1
print(json.dumps([made, failures]))
"""


@contextmanager
def running(namespace: Path, program: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A process of its own in the namespace, which does not wait for the test's threads."""
    words = ["nsenter", f"--net={namespace}", sys.executable, "-c", program, *arguments]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            yield process
        finally:
            process.kill()


def test_no_connection_is_refused_while_the_ruleset_is_replaced(world: World) -> None:
    world.plug_outside()
    world.network("shop")
    world.container("shop", 2)
    server = Published(port=8080, targets=((world.address("shop", 2), 80),))
    # Nine behind one port need a chain that eight do not need, so all is replaced when they come and when they go.
    crowd = Published(port=9000, targets=tuple((world.address("shop", number), 9000) for number in range(20, 29)))
    world.publish(server)
    with running(world.pin("shop", 2), SERVER), running(world.outside, VISITOR, HOST) as visitor:
        for turn in range(REPLACEMENTS):
            world.publish(server, *[crowd][: turn % 2])
        made, failures = json.loads(visitor.communicate()[0])
    print(f"{made} connections during {REPLACEMENTS} replacements, {len(failures)} failed")
    assert failures == []
    assert made > REPLACEMENTS
