"""What the tests of `resolve` share: documents in few words."""

from __future__ import annotations

from dataclasses import replace

from reconciler.core.document import (
    AUTOMATIC,
    Connection,
    Dependency,
    Document,
    NetworkDeclaration,
    Networking,
    Place,
    PortMapping,
    Service,
)
from reconciler.core.model import Desired
from reconciler.core.networking import Attachment, Network
from reconciler.core.resolve import resolve

NOBODY: frozenset[str] = frozenset()


def service(name: str = "web", ports: tuple[PortMapping, ...] = (), needs: tuple[str, ...] = ()) -> Service:
    depends_on = tuple(Dependency(service=need, at=Place(7, 8)) for need in needs)
    return Service(name=name, image="docker.io/library/a:1", ports=ports, depends_on=depends_on)


def spec(path: str, *services: Service, name: str = "") -> Document:
    networks = (NetworkDeclaration(key="default"),)
    return Document(path=path, name=name, at=Place(1, 1), services=services or (service(),), networks=networks)


def published(number: int | None, host_ip: str = "", line: int = 5) -> PortMapping:
    ports = (number, number) if number else AUTOMATIC
    return PortMapping(target=80, published=ports, host_ip=host_ip, at=Place(line, 9))


def joined(*keys: str, **fields: object) -> Networking:
    """The networks of these keys; `fields` are those of each attachment."""
    attachments = (replace(Attachment(network=key), **fields) for key in keys)  # type: ignore[arg-type] # of Attachment
    return Networking(connections=tuple(Connection(attachment=each, at=Place(6, 7)) for each in attachments))


def declared(key: str, name: str = "", external: bool = False, **fields: object) -> NetworkDeclaration:
    network = replace(Network(name=name, app="", spec=""), **fields)  # type: ignore[arg-type] # of Network
    return NetworkDeclaration(key=key, network=network, external=external, at=Place(9, 3))


def resolved(*documents: Document, established: frozenset[str] = NOBODY) -> Desired:
    return resolve({document.path: document for document in documents}, established)
