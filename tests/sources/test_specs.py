"""Documents of a directory: parsed once, kept while their files are the same, and remembered when they break."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from reconciler.core.document import Document
from reconciler.core.lock import Lock
from reconciler.core.tombstones import Tombstones
from reconciler.errors import SpecError
from reconciler.sources import specs as module
from reconciler.sources.specs import Specs
from reconciler.spec.parse import parse as parse_spec

GOOD = "services:\n  web:\n    image: a\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = tmp_path / "specs"
    made.mkdir()
    return made


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    seen: list[str] = []

    def parse(name: str, *rest: object) -> Document:
        seen.append(name)
        return parse_spec(name, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "parse", parse)
    return seen


def test_nothing_is_parsed_twice(root: Path, parsed: list[str]) -> None:
    (root / "a.yaml").write_text(GOOD)
    (root / "b.toml").write_text("services.web.image = 5\n")
    specs = Specs(root)
    first, _ = specs.load()
    assert isinstance(first["a.yaml"], Document)
    assert isinstance(first["b.toml"], SpecError)
    (root / "c.yaml").write_text(GOOD)
    second, _ = specs.load()
    assert second["a.yaml"] is first["a.yaml"]
    assert second["b.toml"] is first["b.toml"]
    assert parsed == ["a.yaml", "b.toml", "c.yaml"]


def test_a_changed_file_is_parsed_again(root: Path) -> None:
    (root / "a.yaml").write_text(GOOD)
    specs = Specs(root)
    specs.load()
    (root / "a.yaml").write_text(GOOD.replace("image: a", "image: b"))
    document = specs.load()[0]["a.yaml"]
    assert isinstance(document, Document)
    assert document.services[0].image == "docker.io/library/b:latest"


def environment(specs: Specs, path: str) -> dict[str, str]:
    document = specs.load()[0][path]
    assert isinstance(document, Document)
    return dict(document.services[0].environment)


def test_files_beside_a_spec_count_as_part_of_it(root: Path, parsed: list[str]) -> None:
    (root / "blog").mkdir()
    (root / "blog" / "compose.yaml").write_text(
        GOOD + "    env_file: [{path: x.env, required: false}]\n    environment: {A: $A}\n"
    )
    (root / ".env").write_text("A=of the root\n")
    specs = Specs(root)
    assert environment(specs, "blog/compose.yaml") == {"A": ""}
    (root / "blog" / ".env").write_text("A=1\n")
    assert environment(specs, "blog/compose.yaml") == {"A": "1"}
    (root / "blog" / "x.env").write_text("B=2\n")
    assert environment(specs, "blog/compose.yaml") == {"A": "1", "B": "2"}
    (root / "blog" / "x.env").write_text("B=3\n")
    assert environment(specs, "blog/compose.yaml") == {"A": "1", "B": "3"}
    (root / "blog" / "x.env").unlink()
    assert environment(specs, "blog/compose.yaml") == {"A": "1"}
    assert len(parsed) == 5


def test_a_broken_spec_becomes_good_when_the_file_beside_it_comes(root: Path) -> None:
    (root / "a.yaml").write_text(GOOD + "    env_file: x.env\n")
    specs = Specs(root)
    assert "there is no file 'x.env' beside the spec" in str(specs.load()[0]["a.yaml"])
    (root / "x.env").write_text("A=1\n")
    assert environment(specs, "a.yaml") == {"A": "1"}


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("/dev/zero", "it is not a regular file"),
        ("folder", "it is not a regular file"),
        ("loop", "Too many levels of symbolic links"),
    ],
)
def test_a_file_beside_that_cannot_be_read_is_one_line(root: Path, name: str, why: str) -> None:
    (root / "folder").mkdir()
    (root / "loop").symlink_to("loop")
    (root / "a.yaml").write_text(GOOD + f'    env_file: "{name}"\n')
    found = str(Specs(root).load()[0]["a.yaml"])
    assert found == f"a.yaml:4:15: cannot use 'env_file[0]' of service 'web': '{name}' cannot be read: {why}"


def test_an_env_that_cannot_be_read_is_one_line(root: Path) -> None:
    (root / ".env").mkdir()
    (root / "a.yaml").write_text(GOOD)
    assert str(Specs(root).load()[0]["a.yaml"]) == ".env:1:1: cannot read the file: it is not a regular file"


def test_bind_sources_count_from_the_folder_of_the_spec(root: Path) -> None:
    (root / "blog").mkdir()
    (root / "blog" / "compose.yaml").write_text(GOOD + "    volumes: ['./site:/site']\n")
    document = Specs(root).load()[0]["blog/compose.yaml"]
    assert isinstance(document, Document)
    assert document.services[0].mounts[0].source == str(root / "blog" / "site")  # type: ignore[union-attr]


def test_the_app_of_a_spec_that_breaks_is_remembered(root: Path) -> None:
    (root / "a.yaml").write_text("name: shop\n" + GOOD)
    (root / "b.yaml").write_text(GOOD)
    specs = Specs(root)
    specs.load()
    (root / "a.yaml").write_text("name: sho")
    (root / "b.yaml").unlink()
    loaded, unavailable = specs.load()
    assert isinstance(loaded["a.yaml"], SpecError)
    assert (specs.apps, unavailable) == ({"a.yaml": "shop"}, "")


def test_a_spec_that_becomes_unreadable_is_held_with_its_app(root: Path) -> None:
    (root / "a.yaml").write_text("name: shop\n" + GOOD)
    specs = Specs(root)
    specs.load()
    (root / "a.yaml").unlink()
    (root / "a.yaml").mkdir()
    assert str(specs.load()[0]["a.yaml"]) == "a.yaml:1:1: cannot read the file: it is not a regular file"
    assert specs.apps == {"a.yaml": "shop"}


def test_a_missing_root_keeps_the_last_specs_in_force(root: Path) -> None:
    (root / "a.yaml").write_text(GOOD)
    specs = Specs(root)
    first, _ = specs.load()
    shutil.rmtree(root)
    assert specs.load() == (first, f"cannot read the specs directory '{root}': No such file or directory")
    root.mkdir()
    assert specs.load() == ({}, "")


def test_a_root_that_never_was_there(tmp_path: Path) -> None:
    loaded, unavailable = Specs(tmp_path / "specs").load()
    assert loaded == {}
    assert unavailable.startswith("cannot read the specs directory")


def test_a_relative_root(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "a.yaml").write_text(GOOD + "    volumes: ['./site:/site']\n")
    monkeypatch.chdir(root.parent)
    document = Specs(Path("specs")).load()[0]["a.yaml"]
    assert isinstance(document, Document)
    assert document.services[0].mounts[0].source == str(root / "site")  # type: ignore[union-attr]


A, B = f"sha256:{'a' * 64}", f"sha256:{'b' * 64}"


def lock_text(digest: str) -> str:
    return f'[images]\n"docker.io/library/a:latest" = "{digest}"\n'


def replace_lock(root: Path, text: str) -> None:
    (root / ".new").write_text(text)
    (root / ".new").rename(root / "reconciler.lock")


def test_the_lock_is_read_with_the_specs_and_is_none_itself(root: Path) -> None:
    (root / "a.yaml").write_text(GOOD)
    specs = Specs(root)
    specs.load()
    assert specs.lock == Lock()
    replace_lock(root, lock_text(A))
    documents, _ = specs.load()
    assert set(documents) == {"a.yaml"}
    assert specs.lock == Lock({"docker.io/library/a:latest": A})
    replace_lock(root, lock_text(B))
    specs.load()
    assert specs.lock.digests == {"docker.io/library/a:latest": B}
    (root / "reconciler.lock").unlink()
    specs.load()
    assert specs.lock == Lock()


@pytest.mark.parametrize("broken", ["[images", "", None])
def test_the_last_good_lock_stays_while_there_is_a_broken_one(root: Path, broken: str | None) -> None:
    specs = Specs(root)
    replace_lock(root, lock_text(A))
    specs.load()
    if broken is None:
        (root / "reconciler.lock").unlink()
        (root / "reconciler.lock").mkdir()
    else:
        replace_lock(root, broken + 'x = "')
    specs.load()
    assert specs.lock.digests == {"docker.io/library/a:latest": A}
    assert specs.lock.problem.startswith("reconciler.lock:1:")


def test_the_lock_stays_while_the_directory_is_away(root: Path) -> None:
    specs = Specs(root)
    replace_lock(root, lock_text(A))
    specs.load()
    shutil.rmtree(root)
    assert specs.load()[1]
    assert specs.lock == Lock({"docker.io/library/a:latest": A})


def test_a_spec_that_is_written_again_with_the_same_text_stays_the_same_document(root: Path) -> None:
    (root / "a.yaml").write_text(GOOD)
    specs = Specs(root)
    before = specs.load()[0]["a.yaml"]
    (root / "a.new").write_text(GOOD)
    (root / "a.new").rename(root / "a.yaml")
    assert specs.load()[0]["a.yaml"] is before
    (root / "a.yaml").write_text(GOOD + "x-more: true\n")
    assert specs.load()[0]["a.yaml"] is not before


def test_tombstones_are_read_with_the_specs_and_are_none(root: Path) -> None:
    file = root / "reconciler.removed"
    specs = Specs(root)
    file.write_text("shop\nblog\n")
    assert specs.load() == ({}, "")
    assert specs.tombstones == Tombstones(frozenset({"shop", "blog"}))
    assert "reconciler.removed" in specs.doubtful
    file.unlink()
    specs.load()
    assert specs.tombstones == Tombstones()
    file.mkdir()
    specs.load()
    assert not specs.tombstones.apps
    assert specs.tombstones.problem.startswith("reconciler.removed:1:1: cannot read the file")
