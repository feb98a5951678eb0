"""The Compose model to the document: what needs several values at once, variables from files, and names.

Relative paths become absolute here, against the spec's folder. Mistakes go into the report.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, TypeVar, cast

from reconciler.core.document import (
    Dependency,
    NetworkDeclaration,
    PortMapping,
    Service,
    VolumeDeclaration,
)
from reconciler.core.model import PullPolicy, Resources, Restart
from reconciler.core.networking import Pairs
from reconciler.core.reference import canonical
from reconciler.errors import SpecError
from reconciler.spec import compose, dotenv, units
from reconciler.spec.files import Files
from reconciler.spec.mounts import mounts
from reconciler.spec.report import Report
from reconciler.spec.tree import Path

_Number = TypeVar("_Number", int, float)


@dataclass(frozen=True, slots=True)
class Converter:
    """Turns the parts of one valid model into parts of a document."""

    report: Report
    files: Files
    variables: Mapping[str, str]

    def services(self, model: compose.Compose) -> tuple[Service, ...]:
        """All services, in the order of the file."""
        return tuple(self._service(model, name, ("services", name)) for name in model.services)

    def networks(self, model: compose.Compose) -> tuple[NetworkDeclaration, ...]:
        """The declared networks, and the default one if it is not among them."""
        declared = {"default": compose.Network(), **model.networks}
        return tuple(
            NetworkDeclaration(
                key=key,
                name=entry.name,
                labels=_labels(entry.labels),
                at=self.report.tree.key_at(("networks", key)),
            )
            for key, entry in declared.items()
        )

    def volumes(self, model: compose.Compose) -> tuple[VolumeDeclaration, ...]:
        """The declared volumes."""
        return tuple(
            VolumeDeclaration(
                key=key,
                name=entry.name,
                external=entry.external,
                labels=_labels(entry.labels),
                at=self.report.tree.key_at(("volumes", key)),
            )
            for key, entry in model.volumes.items()
        )

    def _service(self, model: compose.Compose, name: str, path: Path) -> Service:
        entry = model.services[name]
        image = ""
        with self.report.at((*path, "image")):
            image = canonical(entry.image, self.files.folder)
        return Service(
            name=name,
            image=image,
            command=entry.command,
            entrypoint=entry.entrypoint,
            environment=self._environment(entry, path),
            labels=_labels(entry.labels),
            working_dir=entry.working_dir,
            user=entry.user,
            hostname=entry.hostname,
            mounts=mounts(self.report, path, entry, model.volumes, self.files.folder),
            ports=tuple(self._ports(entry, path)),
            network=self._network(model, entry, path),
            depends_on=tuple(
                Dependency(service=service, at=self.report.tree.value_at((*path, "depends_on", index)))
                for index, service in enumerate(entry.depends_on)
            ),
            cap_add=tuple(sorted(set(entry.cap_add))),
            cap_drop=tuple(sorted(set(entry.cap_drop))),
            read_only=entry.read_only,
            init=entry.init,
            stop_signal=entry.stop_signal,
            stop_grace_period=entry.stop_grace_period,
            restart=_restart(entry.restart),
            platform=entry.platform,
            pull_policy=_pull_policy(entry.pull_policy),
            resources=self._resources(entry, path),
            replicas=entry.deploy.replicas,
            at=self.report.tree.key_at(path),
        )

    def _environment(self, entry: compose.Service, path: Path) -> Pairs:
        """`env_file` first, in order, then `environment`; a name without a value is looked up in `.env`."""
        found: dict[str, str] = {}
        for index, file in enumerate(entry.env_file):
            found |= self._env_file(file, (*path, "env_file", index))
        for name, value in entry.environment.items():
            known = self.variables.get(name) if value is None else value
            if known is not None:
                found[name] = known
        return tuple(sorted(found.items()))

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

    def _ports(self, entry: compose.Service, path: Path) -> Iterator[PortMapping]:
        for index, port in enumerate(entry.ports):
            at = (*path, "ports", index)
            first, last = port.target
            published = port.published
            if published and published[1] - published[0] != last - first:
                self.report.add(at, "the ranges of host ports and container ports must be equally long")
                continue
            for offset in range(last - first + 1):
                yield PortMapping(
                    target=first + offset,
                    published=published[0] + offset if published else None,
                    protocol=port.protocol,
                    host_ip=port.host_ip,
                    at=self.report.tree.value_at(at),
                )

    def _network(self, model: compose.Compose, entry: compose.Service, path: Path) -> str:
        names = list(entry.networks) or ["default"]
        if len(names) > 1:
            self.report.add((*path, "networks"), "more than one network for a service is not supported yet")
        for index, name in enumerate(names):
            if name != "default" and name not in model.networks:
                at: Path = (*path, "networks", index)
                at = at if at in self.report.tree.values else (*path, "networks", name)
                self.report.add(at, f"network '{name}' is not declared; add it to the top-level 'networks'")
        return names[0]

    def _resources(self, entry: compose.Service, path: Path) -> Resources:
        limits = entry.deploy.resources.limits
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
