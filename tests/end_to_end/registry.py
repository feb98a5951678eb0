"""A real registry, `docker-registry` of the distribution, in a network of its own: HTTP and HTTPS, one storage."""

from __future__ import annotations

import http.client
import subprocess
from pathlib import Path

from tests.end_to_end import images
from tests.end_to_end.namespaces import Namespaces, until

ADDRESS = "10.99.0.1"
NAME = "registry.test"
HTTP, HTTPS = 5000, 5443

CONFIG = """
version: 0.1
log: {{level: warn, accesslog: {{disabled: true}}}}
storage: {{filesystem: {{rootdirectory: {storage}}}, delete: {{enabled: true}}}}
http: {{addr: "{address}:{port}"{tls}}}
"""


class Registry:
    """Serves the images of `images.build` on both ports. `http` and `https` begin references; `ca` is to be trusted."""

    http = f"{ADDRESS}:{HTTP}"
    https = f"{NAME}:{HTTPS}"

    def __init__(self, network: Namespaces, directory: Path) -> None:
        self._network = network
        self._directory = directory
        self._servers: list[subprocess.Popen[bytes]] = []
        self.ca = directory / "ca.pem"
        self.log = directory / "registry.log"
        network.run("ip", "address", "add", f"{ADDRESS}/32", "dev", "lo")
        self._certificate()
        self.start()
        self._layouts = images.build(directory / "images")
        for name, layout in self._layouts.items():
            self.push(layout, name)

    def start(self) -> None:
        """Start both servers and wait until they answer."""
        tls = f", tls: {{certificate: {self._directory}/server.pem, key: {self._directory}/server.key}}"
        self._serve(HTTP, "")
        self._serve(HTTPS, tls)
        until(self._answers, f"the registry answers, see {self.log}")

    def stop(self) -> None:
        """End both servers; what was pushed stays."""
        for server in self._servers:
            server.kill()
            server.wait()
        self._servers.clear()

    def tag(self, image: str, name: str) -> None:
        """Let the repository and tag `name` be the image that was pushed as `image`."""
        self.push(self._layouts[image], name)

    def push(self, layout: Path, name: str) -> None:
        """Copy the image `layout` to the repository and tag `name`."""
        target = f"docker://{self.http}/{name}"
        self._network.run(
            "skopeo", "--insecure-policy", "copy", "--quiet", "--dest-tls-verify=false", f"oci:{layout}:latest", target
        )

    def _serve(self, port: int, tls: str) -> None:
        config = self._directory / f"registry-{port}.yml"
        config.write_text(CONFIG.format(storage=self._directory / "storage", address=ADDRESS, port=port, tls=tls))
        with self.log.open("ab") as log:
            argv = self._network.enter("setpriv", "--pdeathsig", "KILL", "docker-registry", "serve", config)
            self._servers.append(subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT))

    def _answers(self) -> bool:
        self._network.connect(ADDRESS, HTTPS).close()
        connection = http.client.HTTPConnection(ADDRESS)
        connection.sock = self._network.connect(ADDRESS, HTTP)
        connection.request("GET", "/v2/")
        return connection.getresponse().status == 200

    def _certificate(self) -> None:
        """An authority of our own, and a certificate of it for the registry's name and address."""
        where = self._directory
        (where / "names").write_text(f"subjectAltName=DNS:{NAME},IP:{ADDRESS}\n")
        new = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
        for command in (
            f"req -x509 {new} -subj /CN=authority -keyout ca.key -out {self.ca}",
            f"req {new} -subj /CN={NAME} -keyout server.key -out server.csr",
            f"x509 -req -in server.csr -CA {self.ca} -CAkey ca.key -CAcreateserial -extfile names -out server.pem",
        ):
            argv = ["openssl", *command.split()]
            done = subprocess.run(argv, cwd=where, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
