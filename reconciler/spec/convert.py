"""The Compose model to the document: what needs several values at once, variables from files, and names.

Relative paths become absolute here, against the spec's folder. Mistakes go into the report.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal, TypeVar, cast

from reconciler.core.document import (
    Dependency,
    NetworkDeclaration,
    Service,
    Step,
    VolumeDeclaration,
)
from reconciler.core.health import INHERITED, Healthcheck
from reconciler.core.model import PullPolicy, Resources, Restart
from reconciler.core.networking import Pairs
from reconciler.core.reference import canonical
from reconciler.core.starting import Hook, Hooks
from reconciler.core.updates import Updates
from reconciler.errors import SpecError
from reconciler.spec import compose, dotenv, healthcheck, starting, units, updating
from reconciler.spec.files import Files
from reconciler.spec.mounts import mounts
from reconciler.spec.networking import Connector
from reconciler.spec.ports import bounded, ports
from reconciler.spec.report import Report
from reconciler.spec.tree import Path

_Number = TypeVar("_Number", int, float)


@dataclass(frozen=True, slots=True)
class Converter:
    """Turns the parts of one valid model into parts of a document."""

    report: Report
    files: Files
    variables: Mapping[str, str]

    def services(self, model: compose.Compose, networks: Mapping[str, NetworkDeclaration]) -> tuple[Service, ...]:
        """All services, in the order of the file, and then all jobs."""
        if not bounded(self.report, model):
            return ()
        connector = Connector(self.report, networks)
        services = [self._service(model, name, connector) for name in model.services]
        return (*services, *(self._job(model, name, connector) for name in model.jobs))

    def volumes(self, model: compose.Compose) -> tuple[VolumeDeclaration, ...]:
        """The declared volumes."""
        return tuple(
            VolumeDeclaration(
                key=key,
                name=entry.name,
                external=entry.external,
                exclusive=entry.exclusive,
                labels=_labels(entry.labels),
                at=self.report.tree.key_at(("volumes", key)),
            )
            for key, entry in model.volumes.items()
        )

    def _service(self, model: compose.Compose, name: str, connector: Connector) -> Service:
        entry, path = model.services[name], ("services", name)
        shared = self._workload(model, path, entry, connector)
        return replace(
            shared,
            pre_start=tuple(self._steps(entry, shared.image, path)),
            hooks=Hooks(post_start=self._hooks(entry.post_start), pre_stop=self._hooks(entry.pre_stop)),
            restart=_restart(entry.restart),
            resources=self._resources(entry, entry.deploy.resources.limits, path),
            replicas=entry.deploy.replicas,
            updates=_updates(entry),
        )

    def _job(self, model: compose.Compose, name: str, connector: Connector) -> Service:
        entry, path = model.jobs[name], ("jobs", name)
        if name in model.services:
            self.report.add(path, "a service has that name")
        return replace(self._workload(model, path, entry, connector), schedule=entry.triggers.value(entry.history))

    def _workload(
        self, model: compose.Compose, path: tuple[str, str], entry: compose.Workload, connector: Connector
    ) -> Service:
        image = ""
        with self.report.at((*path, "image")):
            image = canonical(entry.image, self.files.folder)
        return Service(
            name=path[1],
            image=image,
            command=entry.command,
            entrypoint=entry.entrypoint,
            environment=self._environment(entry, path),
            labels=_labels(entry.labels),
            working_dir=entry.working_dir,
            user=entry.user,
            mounts=mounts(self.report, path, entry, model.volumes, self.files.folder),
            ports=tuple(ports(self.report, path, entry)),
            networking=connector.networking(path, entry),
            depends_on=tuple(self._dependencies(entry, (*path, "depends_on"))),
            healthcheck=_healthcheck(entry.healthcheck),
            cap_add=tuple(sorted(set(entry.cap_add))),
            cap_drop=tuple(sorted(set(entry.cap_drop))),
            read_only=entry.read_only,
            init=entry.init,
            stop_signal=entry.stop_signal,
            stop_grace_period=entry.stop_grace_period,
            platform=entry.platform,
            pull_policy=_pull_policy(entry.pull_policy),
            resources=self._resources(entry, updating.Limits(), path),
            at=self.report.tree.key_at(path),
        )

    def _dependencies(self, entry: compose.Workload, path: Path) -> Iterator[Dependency]:
        """In the order of the file, which has them as a list or as a mapping."""
        for index, (service, needed) in enumerate(entry.depends_on.items()):
            place = (*path, service) if (*path, service) in self.report.tree.values else (*path, index)
            at = self.report.tree.key_at(place)
            yield Dependency(
                service=service, condition=needed.condition, required=needed.required, restart=needed.restart, at=at
            )

    def _steps(self, entry: compose.Service, image: str, path: Path) -> Iterator[Step]:
        own = self._environment(entry, path) if entry.pre_start else ()
        for index, step in enumerate(entry.pre_start):
            with self.report.at((*path, "pre_start", index, "image")):
                yield Step(
                    image=canonical(step.image, self.files.folder) if step.image else image,
                    command=step.command,
                    user=step.user,
                    working_dir=step.working_dir,
                    environment=tuple(sorted((dict(own) | self._known(step.environment)).items())),
                    per_replica=step.per_replica,
                )

    def _hooks(self, entries: tuple[starting.Hook, ...]) -> tuple[Hook, ...]:
        return tuple(
            Hook(
                command=entry.command or (),
                user=entry.user,
                working_dir=entry.working_dir,
                environment=tuple(sorted(self._known(entry.environment).items())),
            )
            for entry in entries
        )

    def _environment(self, entry: compose.Workload, path: Path) -> Pairs:
        """`env_file` first, in order, then `environment`."""
        found: dict[str, str] = {}
        for index, file in enumerate(entry.env_file):
            found |= self._env_file(file, (*path, "env_file", index))
        return tuple(sorted((found | self._known(entry.environment)).items()))

    def _known(self, environment: Mapping[str, str | None]) -> dict[str, str]:
        """A name without a value is looked up in `.env`; what is not there is left out."""
        found = {name: self.variables.get(name) if value is None else value for name, value in environment.items()}
        return {name: value for name, value in found.items() if value is not None}

    def _env_file(self, file: compose.EnvFile, path: Path) -> Mapping[str, str]:
        try:
            text = self.files.text(file.path)
            return dotenv.variables(self.files.shown(file.path), text, self.variables)
        except FileNotFoundError:
            if file.required:
                self.report.add(path, f"there is no file '{file.path}' beside the spec")
        except (OSError, ValueError) as error:
            self.report.add(path, f"'{file.path}' cannot be read: {self.files.why(error)}")
        except SpecError as error:
            self.report.problems.extend(error.problems)
        return {}

    def _resources(self, entry: compose.Workload, limits: updating.Limits, path: Path) -> Resources:
        return Resources(
            memory=self._one(path, ("mem_limit", entry.mem_limit), ("memory", limits.memory)) or None,
            cpus=self._one(path, ("cpus", entry.cpus), ("cpus", limits.cpus)) or None,
            pids=_pids(self._one(path, ("pids_limit", entry.pids_limit), ("pids", limits.pids))),
        )

    def _one(self, path: Path, own: tuple[str, _Number | None], deploy: tuple[str, _Number | None]) -> _Number | None:
        """A limit that can be written in two places must be the same in both."""
        if own[1] is not None and deploy[1] is not None and own[1] != deploy[1]:
            self.report.add((*path, own[0]), f"'deploy.resources.limits.{deploy[0]}' says something else")
        return own[1] if own[1] is not None else deploy[1]


def _healthcheck(entry: starting.Healthcheck | None) -> Healthcheck | None:
    if entry is None:
        return None
    asked = INHERITED if entry.test is None else healthcheck.test(entry.test)
    return Healthcheck(
        test=None if entry.disable else asked,
        interval=entry.interval,
        timeout=entry.timeout,
        retries=entry.retries,
        start_period=entry.start_period,
        start_interval=entry.start_interval,
    )


def _updates(entry: compose.Service) -> Updates:
    return Updates(
        config=entry.deploy.update_config.value(), back=entry.deploy.rollback_config.value(), drain=entry.drain
    )


def _labels(labels: Mapping[str, str | None]) -> Pairs:
    return tuple(sorted((key, value or "") for key, value in labels.items()))


def _pids(limit: int | None) -> int | None:
    """In Docker 0 and -1 both mean unlimited; here that is -1."""
    return -1 if limit is not None and limit <= 0 else limit


def _pull_policy(text: str) -> PullPolicy:
    match {"daily": "every_1d", "weekly": "every_1w", "if_not_present": "missing"}.get(text, text):
        case "missing" | "always" | "never" as when:
            return PullPolicy(when=when)
        case every:
            return PullPolicy(when="every", interval=units.duration(every.removeprefix("every_")))


def _restart(text: str) -> Restart:
    policy, _, retries = text.partition(":")
    known = cast('Literal["no", "always", "on-failure", "unless-stopped"]', policy)
    return Restart(policy=known, max_retries=int(retries or 0))
