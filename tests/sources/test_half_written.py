"""A file that is still being written is not read: half a spec may be a valid one that says less."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconciler.sources.files import BeingWrittenError, Files
from reconciler.sources.specs import Specs

WHOLE = "services: {web: {image: a}, db: {image: b}}\n"
HALF = "services:\n  web: {image: a}\n"


def test_the_last_whole_text_stays_until_the_writer_closes(tmp_path: Path) -> None:
    path = tmp_path / "shop.yaml"
    path.write_text(WHOLE)
    files = Files()
    assert files.read(str(path)) == WHOLE.encode()
    with path.open("w") as writer:
        writer.write(HALF)
        writer.flush()
        assert files.read(str(path)) == WHOLE.encode()
        writer.write("  db: {image: c}\n")
    assert files.read(str(path)) == f"{HALF}  db: {{image: c}}\n".encode()


def test_a_new_file_that_is_being_written_is_an_error_for_now(tmp_path: Path) -> None:
    path = tmp_path / "shop.yaml"
    files = Files()
    with path.open("w") as writer:
        writer.write(HALF)
        writer.flush()
        with pytest.raises(BeingWrittenError, match="it is still being written"):
            files.read(str(path))
    assert files.read(str(path)) == HALF.encode()


def test_half_a_spec_that_would_be_valid_takes_no_service_away(tmp_path: Path) -> None:
    path = tmp_path / "shop.yaml"
    path.write_text(WHOLE)
    specs = Specs(tmp_path)
    before = specs.load()
    with path.open("w") as writer:
        writer.write(HALF)
        writer.flush()
        assert specs.load() == before
    (document,) = specs.load()[0].values()
    assert document != before[0]["shop.yaml"]


def test_reading_locks_nobody_out(tmp_path: Path) -> None:
    path = tmp_path / "shop.yaml"
    path.write_text(WHOLE)
    files = Files()
    files.read(str(path))
    path.write_text(HALF)
    assert files.read(str(path)) == HALF.encode()
