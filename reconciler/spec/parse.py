"""One spec: text to document. The stages, in order, and nothing else.

text -> tree with places -> variables filled in -> judged by the models -> converted. Pure but for `read`, which gets
the files beside the spec.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from reconciler.core.document import Document
from reconciler.errors import Problem, SpecError
from reconciler.spec import dotenv, toml, yaml
from reconciler.spec.convert import Converter
from reconciler.spec.extensions import doubtful
from reconciler.spec.files import Files
from reconciler.spec.fill import fill
from reconciler.spec.judge import judge
from reconciler.spec.networks import networks
from reconciler.spec.report import Report
from reconciler.spec.tree import Tree, decode


def parse(name: str, text: bytes, read: Callable[[str], bytes], folder: str = "/") -> Document:
    """Read one spec.

    `name` is the path that errors show; its ending says TOML or YAML. `read` returns the bytes of a file given
    relative to the spec's folder, or raises FileNotFoundError, another OSError, or ValueError with the reason.
    `folder` is the absolute folder against which relative paths count. Raises SpecError with all problems that
    could be found.
    """
    files = Files(name, folder, read)
    tree = _tree(name, decode(name, text))
    variables = _variables(files)
    filled, problems, warnings = fill(name, tree, variables)
    report = Report(name, filled, list(problems))
    model = judge(report)
    report.close()
    assert model, "a model that cannot be used left a problem in the report"
    converter = Converter(report, files, variables)
    declared = networks(report, model, folder)
    document = Document(
        path=name,
        name=model.name,
        at=filled.value_at(("name",)),
        services=converter.services(model, declared),
        networks=tuple(declared.values()),
        volumes=converter.volumes(model),
        files=tuple(files.asked),
        warnings=(*warnings, *doubtful(name, filled)),
    )
    report.close()
    return document


def _tree(name: str, text: str) -> Tree:
    tree = toml.load(name, text) if name.endswith(".toml") else yaml.load(name, text)
    if not tree.data:
        raise SpecError(Problem(name, 1, 1, "cannot use the spec: it is empty"))
    return tree


def _variables(files: Files) -> Mapping[str, str]:
    """The variables of `.env` beside the spec; the daemon's own environment takes no part."""
    try:
        return dotenv.variables(files.shown(".env"), files.text(".env"), {})
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise SpecError(Problem(files.shown(".env"), 1, 1, f"cannot read the file: {files.why(error)}")) from None
