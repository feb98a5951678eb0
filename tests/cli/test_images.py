"""Who uses what, and what nobody does."""

from __future__ import annotations

from dataclasses import replace

from reconciler.cli.images import as_data, lines, summary, uses
from reconciler.core.model import Desired, Observed
from tests.core.hosts import WEB_CONTAINER, host, seen
from tests.core.worlds import DB, WEB, container, desired
from tests.fakes import image


def store(*references: str) -> Observed:
    known = {reference: replace(image(reference), size=12_300_000) for reference in references}
    return replace(host(seen()), images=known)


def test_an_image_is_used_by_its_containers() -> None:
    (use,) = uses(desired(WEB_CONTAINER), store(WEB))
    assert (use.containers, use.services) == (("shop-web-1",), ("shop/web",))


def test_a_container_keeps_the_image_it_was_made_from() -> None:
    moved = replace(store(WEB), images={WEB: image(WEB, version=2)})
    (use,) = uses(desired(WEB_CONTAINER), moved)
    assert (use.containers, use.services) == ((), ("shop/web",))


def test_the_table_says_who_uses_what_and_what_nobody_does() -> None:
    wanted = desired(WEB_CONTAINER, container(service="next", image=DB))
    assert lines(uses(wanted, store(WEB, DB, "old:1")), on_terminal=False) == [
        "IMAGE                    DIGEST        SIZE     USED BY",
        f"docker.io/library/db:1   {image(DB).digest[7:19]}  12.3 MB  shop/next (wanted)",
        f"docker.io/library/web:1  {image(WEB).digest[7:19]}  12.3 MB  shop-web-1",
        f"old:1                    {image('old:1').digest[7:19]}  12.3 MB  -",
    ]


def test_an_empty_store() -> None:
    assert lines(uses(Desired(), Observed()), on_terminal=False) == ["IMAGE  DIGEST  SIZE  USED BY"]
    assert summary((), {}) == "0 images, 0 unused; 0 B in 0 layers"


def test_in_the_sum_every_layer_counts_once() -> None:
    found = uses(desired(WEB_CONTAINER), store(WEB, "old:1"))
    assert summary(found, {"a": 1_000_000, "b": 300_000}) == "2 images, 1 unused; 1.3 MB in 2 layers"
    assert summary(found[:1], {"a": 7}) == "1 image, 0 unused; 7 B in 1 layer"


def test_as_data_has_everything_whole() -> None:
    (use,) = uses(desired(WEB_CONTAINER), store(WEB))
    data = as_data(use)
    assert (data["reference"], data["digest"], data["containers"]) == (WEB, image(WEB).digest, ["shop-web-1"])
