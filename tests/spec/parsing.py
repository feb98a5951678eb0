"""What the tests of `spec` share: parsing a text without any files but those that are given."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from reconciler.core.document import Document, Service
from reconciler.errors import SpecError
from reconciler.spec.parse import parse

HEAD = "services:\n  web:\n    image: nginx\n    "


def document(text: str, name: str = "app.yaml", **files: str) -> Document:
    """The document in `text`; keyword `env` is `.env`, and `x` is the file `x.env`."""
    return parse(name, text.encode(), reader(files), "/srv/app")


def service(fragment: str, **files: str) -> Service:
    """The one service with `fragment` as further keys."""
    return document(HEAD + fragment + "\n", **files).services[0]


def errors(text: str | bytes, name: str = "app.yaml", **files: str) -> list[str]:
    """The lines of the error that parsing `text` must raise."""
    with pytest.raises(SpecError) as caught:
        parse(name, text if isinstance(text, bytes) else text.encode(), reader(files), "/srv/app")
    assert str(caught.value).splitlines() == [str(problem) for problem in caught.value.problems]
    return str(caught.value).splitlines()


class reader:  # noqa: N801, a function with state
    """Reads the files that are given, and says as the kernel does that there is no other."""

    def __init__(self, files: Mapping[str, str]) -> None:
        self.files = {".env" if key == "env" else f"{key}.env": text for key, text in files.items()}

    def __call__(self, path: str) -> bytes:
        if path not in self.files:
            raise FileNotFoundError(2, "No such file or directory", path)
        return self.files[path].encode()


def refusal(read: Callable[[], object]) -> SpecError | ValueError | None:
    """The error that `read` ends with, if it does; any other exception is a bug and comes through."""
    try:
        read()
    except (SpecError, ValueError) as error:
        return error
    return None
