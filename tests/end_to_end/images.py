"""Real programs of the distribution, put into images: nginx, redis and a busybox that sleeps.

Binary and shared libraries come from this machine, as `ldd` lists them. The images together have what images have in
real life: several layers, whiteouts, an opaque folder, users without rights, a declared volume, a stop signal.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from examples.build_image import Entry, busybox, file, folder, layer, opaque, whiteout, write_layout

REDIS_USER = 999

NGINX_CONF = """
daemon off;
error_log stderr;
pid /tmp/nginx.pid;
events {}
http {
  access_log /dev/stdout;
  client_body_temp_path /tmp/body; proxy_temp_path /tmp/proxy; fastcgi_temp_path /tmp/fastcgi;
  uwsgi_temp_path /tmp/uwsgi; scgi_temp_path /tmp/scgi;
  default_type text/plain;
  server {
    listen 8080;
    root /srv/www;
    location = /who { return 200 "$hostname\\n"; }
  }
}
"""


def program(name: str, installed_as: str) -> list[Entry]:
    """The program `name`, installed at `installed_as`, with every library that it loads."""
    binary = shutil.which(name)
    assert binary, f"cannot put {name} into an image: it is not installed here"
    listed = subprocess.run(["ldd", binary], capture_output=True, text=True, check=True).stdout
    libraries = re.findall(r"(/\S+) \(0x", listed)
    return [
        file(installed_as, Path(binary).read_bytes(), 0o755),
        *(file(path.removeprefix("/"), Path(path).read_bytes(), 0o755) for path in libraries),
    ]


def system(*users: str) -> list[Entry]:
    """busybox, and a user of number 999 or 101 for each name."""
    numbers = {"redis": REDIS_USER, "web": 101}
    entries = {entry.path: entry for entry in busybox()}
    for path, line in (("etc/passwd", "{0}:x:{1}:{1}::/:/bin/false\n"), ("etc/group", "{0}:x:{1}:\n")):
        added = "".join(line.format(user, numbers[user]) for user in users)
        entries[path] = replace(entries[path], content=entries[path].content + added.encode())
    return list(entries.values())


def web(page: str) -> tuple[list[bytes], dict[str, object]]:
    """nginx as user `web` with a static page; layers that hide files of the layers below them."""
    base = system("web")
    server = [
        *program("nginx", "usr/sbin/nginx"),
        *(folder(path) for path in ("etc/nginx", "srv", "srv/www", "srv/www/old", "var/log", "var/log/nginx")),
        folder("var/lib", 0o755),
        file("etc/nginx/nginx.conf", NGINX_CONF),
        file("srv/www/index.html", "the page of the layer below\n"),
        file("srv/www/secret.txt", "hidden by a whiteout\n"),
        file("srv/www/old/forgotten.txt", "hidden by an opaque folder\n"),
    ]
    site = [
        whiteout("srv/www/secret.txt"),
        folder("srv/www/old"),
        opaque("srv/www/old"),
        file("srv/www/old/kept.txt", "of the upper layer\n"),
        file("srv/www/index.html", f"{page}\n"),
    ]
    config: dict[str, object] = {
        "User": "web",
        "Env": ["PATH=/usr/sbin:/bin"],
        "Entrypoint": ["/usr/sbin/nginx"],
        "Cmd": ["-c", "/etc/nginx/nginx.conf"],
        "ExposedPorts": {"8080/tcp": {}},
        "StopSignal": "SIGQUIT",
    }
    return _layers(base, server, site), config


def redis() -> tuple[list[bytes], dict[str, object]]:
    """redis as a user of its own, with a declared volume that belongs to that user."""
    config: dict[str, object] = {
        "User": "redis",
        "Env": ["PATH=/usr/bin:/bin"],
        "Entrypoint": ["/usr/bin/redis-server"],
        "Cmd": ["--bind", "0.0.0.0", "--protected-mode", "no", "--dir", "/data", "--appendonly", "yes"],
        "WorkingDir": "/data",
        "Volumes": {"/data": {}},
        "ExposedPorts": {"6379/tcp": {}},
    }
    server = [*program("redis-server", "usr/bin/redis-server"), folder("data", 0o750, REDIS_USER)]
    return _layers(system("redis"), server), config


def sleeper() -> tuple[list[bytes], dict[str, object]]:
    """busybox that does nothing, and ends at once when it is asked to."""
    command = ["/bin/sh", "-c", "trap 'exit 0' TERM; while :; do sleep 3600 & wait $!; done"]
    return _layers(system()), {"Env": ["PATH=/bin"], "Cmd": command}


def build(directory: Path) -> dict[str, Path]:
    """All images as OCI layouts with the tag `latest`: repository and tag -> layout."""
    made = {"web:1": web("one"), "web:2": web("two"), "redis:7": redis(), "sleeper:1": sleeper()}
    for name, (layers, config) in made.items():
        write_layout(directory / name.replace(":", "-"), layers, config)
    return {name: directory / name.replace(":", "-") for name in made}


def _layers(*contents: Iterable[Entry]) -> list[bytes]:
    return [layer(entries) for entries in contents]
