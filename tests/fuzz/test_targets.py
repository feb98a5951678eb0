"""Both fuzz targets, briefly; `python -m tests.fuzz` runs them for as long as you like."""

from __future__ import annotations

import os
from pathlib import Path
from random import Random

import pytest

from tests.fuzz import mutate, targets
from tests.fuzz.__main__ import run
from tests.host.images.builder import Member, tar


@pytest.fixture(autouse=True)
def aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.root
def test_layers() -> None:
    assert run("layer", iter(range(600)), seed=7) == 600


def test_documents() -> None:
    assert run("manifest", iter(range(4000)), seed=7) == 4000


def test_the_same_seed_makes_the_same_inputs() -> None:
    for make in (targets.make_layer, targets.make_document):
        assert [make(Random(f"3 {at}")) for at in range(20)] == [make(Random(f"3 {at}")) for at in range(20)]


def test_changed_inputs_are_mostly_different_and_some_of_them_are_still_taken() -> None:
    texts = [targets.make_document(Random(at)) for at in range(500)]
    assert len(set(texts)) > 400
    taken = 0
    for text in texts:
        for read in targets.READERS[:3]:
            try:
                read(text)
                taken += 1
            except ValueError:
                pass
    assert 50 < taken < 1400


def test_a_changed_header_mostly_has_a_good_checksum() -> None:
    header = tar(Member("a", b"x"))[:512]
    good = 0
    for at in range(100):
        found = mutate._header(header, Random(at))
        good += int(found[148:154], 8) == sum(found[:148] + b" " * 8 + found[156:])
    assert good > 80


def test_what_breaks_a_promise_is_found_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(targets, "READERS", (lambda text: {}[text],))
    with pytest.raises(KeyError):
        run("manifest", iter(range(5)), seed=1)
    (kept,) = os.listdir(tmp_path)
    assert kept.startswith("fuzz-manifest-")
