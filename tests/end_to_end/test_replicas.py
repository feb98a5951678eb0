"""Several replicas: replaced in turns under traffic, what the failure of one means for the others."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.end_to_end.host import Host
from tests.end_to_end.shops import ENTRYPOINT, nothing_is_lost, open_shop, quarantined, spec
from tests.end_to_end.traffic import Traffic

pytestmark = [pytest.mark.root, pytest.mark.host]

NAMES = ("shop-web-1", "shop-web-2", "shop-web-3")
OTHER = "  other:\n    image: ${REGISTRY}/sleeper:1\n    restart: always\n    stop_grace_period: 1s\n"


def images(host: Host) -> list[str]:
    """The tags that the replicas run, in their order, when there is one instance of each."""
    shown = [entry for entry in host.ask("/v1/status")["containers"] if entry["service"] == "web"]
    assert sorted(entry["name"] for entry in shown) == sorted(NAMES), shown
    assert all(entry["state"] == "running" for entry in shown), shown
    return [entry["image"].rpartition(":")[2] for entry in sorted(shown, key=lambda entry: entry["name"])]


def three(version: int, image: str = "web:1", config: str = "", more: str = "") -> str:
    return spec(version, image=image, replicas=3, config=config, more=more)


@pytest.mark.parametrize("config", ["", ", parallelism: 2, delay: 300ms", ", parallelism: 0"])
def test_replicas_are_replaced_in_turns_and_nothing_else_is(host: Host, config: str) -> None:
    shop = open_shop(host, three(0) + OTHER, *NAMES, "shop-other-1")
    before = shop.pids()
    with Traffic(shop, 8080) as traffic:
        shop.write("shop.yaml", three(1, "web:2", config) + OTHER)
        shop.until(lambda: images(shop) == ["2", "2", "2"], "all are replaced")
        shop.until_converged(*NAMES, "shop-other-1")
    print(f"\nthree replicas{config}: {traffic}")
    nothing_is_lost(traffic)
    after = shop.pids()
    assert {name for name in after if after[name] != before[name]} == set(NAMES)


# The first that comes serves, all others end at once.
ONE_IS_FINE = ENTRYPOINT.replace("COMMAND", "mkdir /shared/taken || exit 3; exec nginx -c /etc/nginx/nginx.conf")


@pytest.mark.parametrize(
    ("config", "end"),
    [
        (", failure_action: rollback", ["1", "1", "1"]),
        (", failure_action: pause", ["2", "1", "1"]),
        (", failure_action: continue", ["2", "1", "1"]),
        (", failure_action: rollback, max_failure_ratio: 0.7", ["2", "1", "1"]),
        (", failure_action: rollback, max_failure_ratio: 0.4", ["1", "1", "1"]),
    ],
)
def test_what_the_failure_of_one_means_for_the_others(host: Host, tmp_path: Path, config: str, end: list[str]) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    mounted = f"    volumes: ['{shared}:/shared']\n"
    tries = 2 if "continue" in config or "ratio" in config else 1  # whether the third is tried after the second failed
    shop = open_shop(host, three(0, more=mounted), *NAMES)
    with Traffic(shop, 8080) as traffic:
        shop.write("shop.yaml", three(1, "web:2", config, mounted + ONE_IS_FINE))
        shop.until(lambda: tried(shop) == tries and quarantined(shop), f"{tries} have failed")
        shop.until(lambda: images(shop) == end and not shop.ask("/v1/plan")["tasks"], f"it ends with {end}")
    nothing_is_lost(traffic)
    assert tried(shop) == tries


def tried(host: Host) -> int:
    """How many replicas have failed so far."""
    return host.said(10_000).count("quarantine revision")
