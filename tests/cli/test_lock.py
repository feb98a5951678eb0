"""`reconciler lock` from the command line, against a registry: what it prints, writes, keeps and refuses."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.__main__ import main
from tests.host.images.scripted import Server, one_file

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def server() -> Iterator[Server]:
    with Server().running() as made:
        yield made


@pytest.fixture
def specs(tmp_path: Path, server: Server) -> Path:
    folder = tmp_path / "specs"
    folder.mkdir()
    for app, tag in (("shop", "1"), ("blog", "2")):
        (folder / f"{app}.yaml").write_text(f"services: {{web: {{image: '{server.host}/app:{tag}'}}}}\n")
    return folder


def lock(specs: Path, *arguments: str) -> int:
    return main(["lock", str(specs), *arguments])


def test_tags_are_locked_kept_and_updated(specs: Path, server: Server, capsys: Capture) -> None:
    first, second = server.image([one_file("a")], tag="1"), server.image([one_file("b")], tag="2")
    shop, blog = f"{server.host}/app:1", f"{server.host}/app:2"
    assert lock(specs) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{'REFERENCE'.ljust(len(shop))}  OLD  NEW",
        f"{shop}  -    {first[:19]}",
        f"{blog}  -    {second[:19]}",
        f"{specs}/reconciler.lock is written: 2 tags are locked",
    ]
    text = (specs / "reconciler.lock").read_text()
    assert text.splitlines()[2:] == ["[images]", f'"{shop}" = "{first}"', f'"{blog}" = "{second}"']
    moved = server.image([one_file("c")], tag="1")
    server.image([one_file("d")], tag="2")
    server.asked.clear()
    assert lock(specs) == 0
    assert capsys.readouterr().out == "nothing to change: 2 tags are locked\n"
    assert not server.asked
    assert lock(specs, "--update", "shop", "--dry-run") == 4
    assert capsys.readouterr().out.splitlines()[1:] == [
        f"{shop}  {first[:19]}  {moved[:19]}",
        f"{specs}/reconciler.lock was not written",
    ]
    assert (specs / "reconciler.lock").read_text() == text
    assert lock(specs, "--update", "shop") == 0
    assert (specs / "reconciler.lock").read_text() == text.replace(first, moved)


def test_all_are_updated_and_what_nobody_wants_leaves(specs: Path, server: Server) -> None:
    server.image([one_file("a")], tag="1")
    server.image([one_file("b")], tag="2")
    lock(specs)
    moved = server.image([one_file("c")], tag="1")
    (specs / "blog.yaml").unlink()
    assert lock(specs, "--update") == 0
    assert (specs / "reconciler.lock").read_text().splitlines()[3:] == [f'"{server.host}/app:1" = "{moved}"']


def test_a_registry_without_the_tag_leaves_the_lock(specs: Path, server: Server, capsys: Capture) -> None:
    assert lock(specs) == 1
    assert "answered 404" in capsys.readouterr().err
    assert not (specs / "reconciler.lock").exists()


@pytest.mark.parametrize(
    ("name", "text", "code", "why"),
    [
        ("bad.yaml", "services: 5\n", 3, "bad.yaml:1:11: cannot use 'services'"),
        ("reconciler.lock", "[images", 3, "reconciler.lock:1:8: cannot read TOML"),
        ("other.yaml", "name: shop\nservices: {web: {image: a}}\n", 3, "cannot use app name 'shop'"),
    ],
)
def test_what_is_invalid_is_not_locked(name: str, text: str, code: int, why: str, specs: Path, capsys: Capture) -> None:
    (specs / name).write_text(text)
    assert lock(specs) == code
    assert why in capsys.readouterr().err
    assert (specs / "reconciler.lock").exists() == (name == "reconciler.lock")


def test_an_app_that_nobody_declares_is_a_slip(specs: Path, capsys: Capture) -> None:
    assert lock(specs, "--update", "shopp") == 2
    assert capsys.readouterr().err == "cannot update shopp: no spec declares an app of that name\n"


def test_a_directory_that_is_not_there(tmp_path: Path, capsys: Capture) -> None:
    assert lock(tmp_path / "none") == 1
    assert "cannot read the specs directory" in capsys.readouterr().err
