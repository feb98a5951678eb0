"""Debian's docker-registry on a loopback port, plain or with TLS and accounts, filled by skopeo."""

from __future__ import annotations

import json
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running_registry(folder: Path, **extra: Any) -> Iterator[str]:
    """A registry with its data in `folder`; gives host:port. `extra` goes into its configuration (http, auth)."""
    folder.mkdir(parents=True)
    host = f"127.0.0.1:{free_port()}"
    config = {
        "version": "0.1",
        "log": {"level": "warn"},
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}},
        **extra,
        "http": {"addr": host, **extra.get("http", {})},
    }
    (folder / "config.yml").write_text(json.dumps(config))  # JSON is YAML
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            ["docker-registry", "serve", str(folder / "config.yml")], stdout=log, stderr=log, stdin=subprocess.DEVNULL
        )
    try:
        wait_for_port(host, server, folder / "log")
        yield host
    finally:
        server.terminate()
        server.wait(10)


def wait_for_port(host: str, server: subprocess.Popen[bytes], log: Path) -> None:
    """Until `host` accepts connections."""
    name, _, port = host.rpartition(":")
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        assert server.poll() is None, log.read_text()
        with socket.socket() as probe:
            if probe.connect_ex((name, int(port))) == 0:
                return
        time.sleep(0.02)
    raise AssertionError(log.read_text())


def push(layout: Path, tag: str, target: str, *options: str) -> None:
    """Copy an image of a layout into a registry with skopeo."""
    argv = ["skopeo", "--insecure-policy", "copy", "--quiet", "--dest-tls-verify=false", *options]
    done = subprocess.run([*argv, f"oci:{layout}:{tag}", f"docker://{target}"], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
