"""One document to what it wants on the host, before other specs are looked at: full names, replicas, own mistakes.

Pure and kept per document, so that a document that did not change costs nothing. Cross-file rules are in `resolve`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from posixpath import basename, dirname, splitext

from reconciler.core.document import Document, NetworkDeclaration, Place, PortMapping, Service, Step, VolumeDeclaration
from reconciler.core.health import Healthcheck
from reconciler.core.joining import declared
from reconciler.core.model import Container, Mount, PullPolicy, Restart, Volume, VolumeMount, revision
from reconciler.core.networking import Attachment, Network, Pairs
from reconciler.core.starting import Dependency, Hooks
from reconciler.errors import Problem

FOLDER_SPECS = ("compose.yaml", "compose.yml", "compose.toml", "docker-compose.yaml", "docker-compose.yml")


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A port of the host that a service wants."""

    service: str
    mapping: PortMapping


@dataclass(frozen=True, slots=True, kw_only=True)
class Join:
    """A service in a network, by its full name. Which app declares an external one, nobody knows here."""

    service: str
    attachment: Attachment
    external: bool
    at: Place


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class App:
    """What one document wants. The containers' ports are not in them yet, because other apps may be in the way."""

    name: str
    spec: str
    at: Place
    containers: tuple[Container, ...] = ()
    networks: tuple[tuple[Network, Place], ...] = ()  # also those that only other apps join
    joins: tuple[Join, ...] = ()
    volumes: tuple[Volume, ...] = ()
    claims: tuple[Claim, ...] = ()
    problems: tuple[Problem, ...] = ()


def app_name(spec: str, document: Document) -> str:
    """`name:`, else the file's stem, else, for a `compose.yaml`, the name of its folder."""
    if document.name:
        return document.name
    folder = basename(dirname(spec))
    return folder if folder and basename(spec) in FOLDER_SPECS else splitext(basename(spec))[0]


@lru_cache(maxsize=4096)
def expand(spec: str, document: Document) -> App:
    """What `document`, read from `spec` (its path below the specs directory), wants."""
    name = app_name(spec, document)
    problems = tuple(_problems(name, document))
    if problems:
        return App(name=name, spec=spec, at=document.at, problems=problems)
    app = _Expander(name, spec, document).app()
    return replace(app, problems=tuple(_twice(app, document)))


# --- full names, replicas ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Expander:
    name: str
    spec: str
    document: Document

    def app(self) -> App:
        services = [service for service in self.document.services if service.replicas]
        return App(
            name=self.name,
            spec=self.spec,
            at=self.document.at,
            containers=tuple(container for service in services for container in self._with_steps(service)),
            networks=tuple((self._network(entry), entry.at) for entry in self.document.networks if not entry.external),
            joins=tuple(join for service in services for join in self._joins(service)),
            volumes=tuple(self._volumes()),
            claims=tuple(
                Claim(service=service.name, mapping=mapping)
                for service in self.document.services
                for mapping in service.ports
            ),
        )

    def _network(self, entry: NetworkDeclaration) -> Network:
        full = entry.network.name or (entry.key if entry.external else f"{self.name}_{entry.key}")
        return replace(entry.network, name=full, app=self.name, spec=self.spec)

    def _joins(self, service: Service) -> Iterator[Join]:
        """An external network's own declaration says nothing of itself: it is in another spec."""
        entries = {entry.key: entry for entry in self.document.networks}
        for connection in service.networking.connections:
            entry = entries[connection.attachment.network]
            network = self._network(entry)
            attachment = replace(
                connection.attachment,
                network=network.name,
                declared="" if entry.external else declared(network),
            )
            yield Join(service=service.name, attachment=attachment, external=entry.external, at=connection.at)

    def _volumes(self) -> Iterator[Volume]:
        mounts = (mount for service in self.document.services for mount in service.mounts)
        used = {mount.volume for mount in mounts if isinstance(mount, VolumeMount)}
        for entry in self.document.volumes:
            if entry.key in used:
                name = self._volume_name(entry)
                yield Volume(
                    name=name,
                    app=self.name,
                    spec=self.spec,
                    external=entry.external,
                    exclusive=entry.exclusive,
                    labels=entry.labels,
                )

    def _volume_name(self, entry: VolumeDeclaration) -> str:
        return entry.name or (entry.key if entry.external else f"{self.name}_{entry.key}")

    def _mounts(self, service: Service) -> tuple[Mount, ...]:
        names = {entry.key: self._volume_name(entry) for entry in self.document.volumes}
        named = (_named(mount, names) for mount in service.mounts)
        return tuple(sorted(named, key=lambda mount: mount.target))

    def _replicas(self, service: Service) -> Iterator[Container]:
        first = self._connected(self._container(service), service)
        for replica in range(1, service.replicas + 1):
            yield replace(first, name=f"{self.name}-{service.name}-{replica}", replica=replica)

    def _with_steps(self, service: Service) -> Iterator[Container]:
        """Its replicas, each with what is run before it: the same containers for all of them, or some of its own."""
        steps: dict[str, Container] = {}
        for main in self._replicas(service):
            before: Pairs = ()
            for number, step in enumerate(service.pre_start, 1):
                own = replace(_prepared(main, number, step), steps=before)
                shared = steps.setdefault(own.name, own)
                before = (*before, (shared.name, revision(shared, "")))
            yield replace(main, steps=before)
        yield from steps.values()

    def _container(self, service: Service) -> Container:
        return Container(
            name="",
            app=self.name,
            service=service.name,
            replica=0,
            spec=self.spec,
            image=service.image,
            command=service.command,
            entrypoint=service.entrypoint,
            environment=service.environment,
            labels=service.labels,
            working_dir=service.working_dir,
            user=service.user,
            mounts=self._mounts(service),
            cap_add=service.cap_add,
            cap_drop=service.cap_drop,
            read_only=service.read_only,
            init=service.init,
            stop_signal=service.stop_signal,
            stop_grace_period=service.stop_grace_period,
            restart=service.restart,
            resources=service.resources,
            depends_on=_dependencies(service),
            healthcheck=service.healthcheck,
            hooks=service.hooks,
            platform=service.platform,
            pull_policy=service.pull_policy,
            updates=service.updates,
            schedule=service.schedule,
        )

    def _connected(self, container: Container, service: Service) -> Container:
        """With its networks. Who uses the network of one that uses another's uses that one's."""
        services = {entry.name: entry for entry in self.document.services}
        owner = service
        while owner.networking.shares:
            owner = services[owner.networking.shares.service]
        host = owner.networking.host_network
        return replace(
            container,
            networks=tuple(join.attachment for join in self._joins(service)),
            host_network=host,
            shares="" if host or owner is service else f"{self.name}-{owner.name}-1",
            depends_on=_with_owner(container.depends_on, owner.name if owner is not service else ""),
            hostname=service.networking.hostname,
            domainname=service.networking.domainname,
            dns=service.networking.dns,
            dns_search=service.networking.dns_search,
            dns_opt=service.networking.dns_opt,
            extra_hosts=service.networking.extra_hosts,
            sysctls=service.networking.sysctls,
            expose=service.networking.expose,
            egress=service.networking.egress,
        )


def _prepared(main: Container, number: int, step: Step) -> Container:
    """The container of a step: as the service's, but for what it says itself and what only one of them can have."""
    same, replica = step.image == main.image, main.replica if step.per_replica else 1
    service = f"{main.service}-pre-start-{number}"
    return replace(
        main,
        name=f"{main.app}-{service}-{replica}",
        service=service,
        replica=replica,
        prepares=main.service,
        image=step.image,
        entrypoint=None,
        command=step.command,
        environment=step.environment,
        user=step.user or (main.user if same else ""),
        working_dir=step.working_dir or main.working_dir,
        networks=tuple(
            replace(attachment, aliases=(), ipv4_address="", ipv6_address="", mac_address="")
            for attachment in main.networks
        ),
        hostname="",
        ports=(),
        expose=(),
        healthcheck=Healthcheck(test=None),
        hooks=Hooks(),
        restart=Restart(policy="on-failure"),
        pull_policy=main.pull_policy if same and main.pull_policy.when != "always" else PullPolicy(),
    )


def _dependencies(service: Service) -> tuple[Dependency, ...]:
    """One for each service, as `depends_on` says where that says it."""
    found = {
        entry.service: Dependency(
            service=entry.service, condition=entry.condition, required=entry.required, restart=entry.restart
        )
        for entry in reversed(service.needs)
    }
    return tuple(sorted(found.values()))


def _with_owner(depends_on: tuple[Dependency, ...], owner: str) -> tuple[Dependency, ...]:
    """Also on the service whose network it uses, "" for its own."""
    if not owner or any(entry.service == owner for entry in depends_on):
        return depends_on
    return tuple(sorted((*depends_on, Dependency(service=owner))))


def _named(mount: Mount, volumes: dict[str, str]) -> Mount:
    return replace(mount, volume=volumes[mount.volume]) if isinstance(mount, VolumeMount) else mount


# --- a document's own mistakes -----------------------------------------------------------------------------------


def _problems(app: str, document: Document) -> Iterator[Problem]:
    yield from _name_problems(app, document)
    services = {service.name: service for service in document.services}
    for service in document.services:
        for dependency in service.needs:
            if dependency.service in services and services[dependency.service].schedule:
                why = f"'{dependency.service}' is a job, which runs at its own times"
                yield _problem(document, dependency.at, f"'{dependency.key}' of {service}", why)
            if dependency.service not in services and dependency.required:
                why = f"there is no service '{dependency.service}' in this app"
                yield _problem(document, dependency.at, f"'{dependency.key}' of {service}", why)
        yield from _never_asked(document, service, services)
        shares = service.networking.shares
        if shares and shares.service in services and not services[shares.service].replicas:
            why = f"service '{shares.service}' has no container; it has 0 replicas"
            yield _problem(document, shares.at, f"'network_mode' of {service}", why)
    yield from _exclusive(document)
    yield from _cycles(document, services)


def _never_asked(document: Document, service: Service, services: dict[str, Service]) -> Iterator[Problem]:
    for dependency in service.needs:
        check = services[dependency.service].healthcheck if dependency.service in services else None
        if dependency.condition == "service_healthy" and check is not None and check.test is None:
            why = f"service '{dependency.service}' is never healthy, as it has no test"
            yield _problem(document, dependency.at, f"'{dependency.key}' of {service}", why)


def _exclusive(document: Document) -> Iterator[Problem]:
    """What only one container may use."""
    volumes = {entry.key for entry in document.volumes if entry.exclusive}
    users: dict[str, str] = {}
    for service in document.services if volumes else ():
        for volume in {mount.volume for mount in service.mounts if isinstance(mount, VolumeMount)} & volumes:
            if service.replicas > 1 or (service.replicas and volume in users):
                who = f"{service.replicas} replicas use it" if service.replicas > 1 else f"'{users[volume]}' uses it"
                what = f"volume '{volume}' in {service}"
                yield _problem(document, service.at, what, f"it is exclusive, and {who}")
            elif service.replicas:
                users[volume] = service.name


def _twice(app: App, document: Document) -> Iterator[Problem]:
    """Two keys may stand for one network, but a service joins it once."""
    for service in {join.service: None for join in app.joins}:
        joined: set[str] = set()
        for join in (join for join in app.joins if join.service == service):
            name = join.attachment.network
            if name in joined:
                why = f"it joins network '{name}' twice, by different keys"
                yield _problem(document, join.at, f"'networks' of service '{service}'", why)
            joined.add(name)


def _problem(document: Document, at: Place, subject: str, why: str) -> Problem:
    return Problem(document.path, *at, f"cannot use {subject}: {why}")


def _name_problems(app: str, document: Document) -> Iterator[Problem]:
    allowed = "abcdefghijklmnopqrstuvwxyz0123456789"
    plain = app[:1] in allowed and all(letter in allowed + "_-" for letter in app)
    if not app or not plain or len(app) > 63:
        why = "use lower-case letters, digits, '_' and '-', at most 63; rename the file or set 'name'"
        yield _problem(document, document.at, f"'{app}' as the app's name", why)


def _cycles(document: Document, services: dict[str, Service]) -> Iterator[Problem]:
    """One problem per cycle."""
    left = _prune(services)
    while left:
        circle = _circle(left)
        first = services[circle[0]]
        edge = next(entry for entry in first.needs if entry.service == circle[1])
        why = f"it depends on itself: {' -> '.join(circle)}"
        yield _problem(document, edge.at, f"'{edge.key}' of {first}", why)
        left = _prune({name: service for name, service in left.items() if name not in circle})


def _prune(services: dict[str, Service]) -> dict[str, Service]:
    """Without what depends on nothing that is left, again and again: what stays is in a cycle, or needs one."""
    left = services
    while len(kept := {name: service for name, service in left.items() if _needs(service, left)}) < len(left):
        left = kept
    return left


def _needs(service: Service, left: dict[str, Service]) -> list[str]:
    return [entry.service for entry in service.needs if entry.service in left]


def _circle(left: dict[str, Service]) -> list[str]:
    """Names along a cycle, the first one again at the end. Every service in `left` needs another one in it."""
    seen: list[str] = []
    name = min(left)
    while name not in seen:
        seen.append(name)
        name = _needs(left[name], left)[0]
    return [*seen[seen.index(name) :], name]
