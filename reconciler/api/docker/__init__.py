"""The Docker Engine API, as much of it as can be answered by looking: API 1.44, read only.

One module per noun, each a set of pure functions from a question to the JSON that a Docker client expects. The
shapes are those of recorded engines; what could tell a secret (environment values, arguments of commands, paths
of the host) is left empty where the shape needs the key and left out where it does not.
"""

from __future__ import annotations

from reconciler.api.docker import containers, images, networks, system, volumes
from reconciler.api.question import Answer

ANSWERS: dict[str, Answer] = {
    "/version": system.version,
    "/info": system.info,
    "/containers/json": containers.listing,
    "/containers/{id}/json": containers.inspection,
    "/images/json": images.listing,
    "/images/{id:path}/json": images.inspection,
    "/networks": networks.listing,
    "/networks/{id}": networks.inspection,
    "/volumes": volumes.listing,
    "/volumes/{id}": volumes.inspection,
    "/plugins": system.plugins,
}
