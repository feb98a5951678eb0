"""The examples and the demo specs mean what their comments say."""

from __future__ import annotations

import re
from pathlib import Path

from reconciler.core.document import Document
from reconciler.core.model import Desired
from reconciler.core.resolve import resolve
from reconciler.sources.specs import Specs
from reconciler.spec.parse import parse

ROOT = Path(__file__).parents[2]


def desired(folder: str) -> Desired:
    specs = Specs(ROOT / folder)
    loaded, unavailable = specs.load()
    assert all(isinstance(document, Document) and not document.warnings for document in loaded.values())
    return resolve(loaded, frozenset(), unavailable, specs.apps)


def test_examples() -> None:
    found = desired("examples")
    assert found.held == {}
    assert {container.app for container in found.containers.values()} == {
        "blog", "cache", "dual", "gitea", "ledger", "monitoring", "office", "shop", "web", "workers",
    }  # fmt: skip
    assert sorted(found.volumes) == [
        "blog_database", "blog_site", "cache_data", "gitea_data", "gitea_database", "ledger_data", "ledger_saved",
        "monitoring_metrics", "office_data", "shop_database",
    ]  # fmt: skip
    assert "gitea_inside" in found.networks
    assert dict(found.containers["blog-mariadb-1"].environment)["MARIADB_PASSWORD"] == "change me"
    assert dict(found.containers["gitea-database-1"].environment)["GITEA__database__PASSWD"] == "change-me-too"
    workers = [container for container in found.containers.values() if container.app == "workers"]
    assert [container.replica for container in workers] == [1, 2, 3]
    assert dict(workers[0].environment) == {"GREETING": "hello\tfrom reconciler", "LOG_LEVEL": "info", "REGION": "eu"}
    assert len({container.ports for container in workers}) == 1


def test_examples_of_networks() -> None:
    found = desired("examples")
    assert {name: network.internal for name, network in found.networks.items() if network.app == "shop"} == {
        "shop_front": False,
        "shop_inside": True,
    }
    assert [entry.network for entry in found.containers["shop-api-1"].networks] == ["shop_inside", "shop_front"]
    assert found.containers["shop-postgres-1"].networks[0].aliases == ("db",)
    wiki, backup = found.containers["office-wiki-1"], found.containers["office-backup-1"]
    assert [port.allow for port in wiki.ports] == [("192.168.10.0/24", "2001:db8:10::/64"), ("192.168.10.7/32",)]
    assert [entry.host for entry in wiki.egress or ()] == ["192.168.10.0/24", "smtp.example.org"]
    assert (backup.shares, [entry.service for entry in backup.depends_on]) == ("office-vpn-1", ["vpn"])
    assert [port.host_ip for port in found.containers["dual-web-1"].ports] == ["0.0.0.0", "::"]
    assert found.networks["dual_lan"].ipv6.subnet == "fd00:28::/64"


def test_demo_specs_need_only_the_demo_image() -> None:
    found = desired("specs")
    assert found.held == {}
    assert {container.image for container in found.containers.values()} == {f"oci:{ROOT}/.build/demo-image:latest"}
    assert sorted(found.containers) == ["clock-clock-1", "hello-web-1", "hello-web-2", "hello-web-3"]
    port = found.containers["hello-web-1"].ports[0]
    assert (port.host_ip, port.published) == ("127.0.0.1", 8080)
    assert dict(found.containers["clock-clock-1"].environment) == {"GREETING": "Good day,", "PAUSE": "5"}


def test_specs_in_the_readme_are_right() -> None:
    def nothing(name: str) -> bytes:
        raise FileNotFoundError(name)

    blocks = re.findall(r"^```(toml|yaml)\n(.*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    found = {text.split()[1]: parse(f"spec.{kind}", text.encode(), nothing) for kind, text in blocks}
    files = ["backup.yaml", "cache.yaml", "news.yaml", "office.yaml", "shop.toml", "store.yaml", "wiki.yaml"]
    assert sorted(found) == files
    assert not any(document.warnings for document in found.values())
    assert found["shop.toml"].services[0].environment == (("REGION", "eu"),)
