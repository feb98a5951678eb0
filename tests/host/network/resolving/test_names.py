"""Names with real dnsmasq: who answers what to whom, and what never leaves the host."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.core import dns
from reconciler.core.dns import View
from reconciler.core.ruleset import render
from tests.host.network.conftest import ip, nft, within
from tests.host.network.questions import (
    AAAA,
    MX,
    NOERROR,
    NXDOMAIN,
    TXT,
    A,
    Answer,
    ask,
    parse,
    question,
    reverse,
)
from tests.host.network.resolving.conftest import (
    OUTSIDE,
    RULES,
    UPSTREAM,
    WEB,
    WEB_2,
    Here,
    Upstream,
    asked,
    until,
)

pytestmark = [pytest.mark.root, pytest.mark.host]


# --- what is answered --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tcp", [False, True])
@pytest.mark.parametrize("server", ["10.9.0.1", "fd00:9::1"])
def test_containers_services_and_aliases_have_addresses_of_both_families(here: Here, server: str, tcp: bool) -> None:
    here.serve()
    assert ask(server, "shop-web-1", tcp=tcp) == Answer(NOERROR, ("10.9.0.2",), (0,))
    assert ask(server, "shop-web-1", AAAA, tcp=tcp) == Answer(NOERROR, ("fd00:9::2",), (0,))
    for name in ("web", "www", "web.front", "WEB"):
        assert {*ask(server, name, tcp=tcp).found} == {"10.9.0.2", "10.9.0.3"}
    assert ask(server, "shop-web-2", AAAA, tcp=tcp) == Answer(NOERROR)


def test_an_address_leads_back_to_the_container(here: Here) -> None:
    here.serve()
    assert reverse("10.9.0.1", "10.9.0.3").found == ("shop-web-2",)
    assert reverse("10.9.0.1", "fd00:9::2").found == ("shop-web-1",)
    assert reverse("10.9.0.1", "10.9.0.77") == Answer(NXDOMAIN)


def test_replicas_take_turns(here: Here) -> None:
    here.serve()
    assert {ask("10.9.0.1", "web").found[0] for _ in range(8)} == {"10.9.0.2", "10.9.0.3"}


def test_a_container_asks_through_its_bridge(here: Here, container: Path) -> None:
    here.serve()
    assert within(container, lambda: ask("10.9.0.1", "shop-web-2")).found == ("10.9.0.3",)
    assert within(container, lambda: ask("10.9.0.1", "shop-web-2", tcp=True)).found == ("10.9.0.3",)
    assert within(container, lambda: ask("fd00:9::1", "shop-web-2")).found == ("10.9.0.3",)


def test_nobody_asks_the_resolver_of_a_network_that_he_is_not_in(here: Here, container: Path) -> None:
    """It would tell names of others, and lead out of an internal network."""
    found = here.serve()
    ip("addr", "add", "fd00:8::1/64", "dev", "back", "nodad")
    here.names.serve(replace(found["back"], addresses=("10.8.0.1", "fd00:8::1")))
    within(container, lambda: ip("route", "add", "default", "via", "10.9.0.1"))
    within(container, lambda: ip("-6", "route", "add", "default", "via", "fd00:9::1"))
    for server in ("10.8.0.1", "fd00:8::1"):
        assert within(container, lambda server=server: ask(server, "db")).found == ("10.8.0.2",)  # type: ignore[misc]
    nft("-f", "-", input=render("names", RULES))
    for server in ("10.8.0.1", "fd00:8::1"):
        for tcp in (False, True):
            with pytest.raises(TimeoutError):
                within(container, lambda server=server, tcp=tcp: ask(server, "db", tcp=tcp, timeout=0.1))  # type: ignore[misc]
    assert within(container, lambda: ask("10.9.0.1", "shop-web-2")).found == ("10.9.0.3",)
    assert within(container, lambda: ask("fd00:9::1", "shop-web-2", tcp=True)).found == ("10.9.0.3",)


# --- changes -----------------------------------------------------------------------------------------------------


def test_what_is_added_changed_and_removed_is_answered_so(here: Here) -> None:
    here.serve()
    new = ("d" * 64, "10.9.0.4\tshop-job-1 job\n")
    here.names.write("front", (WEB, WEB_2, new))
    until(lambda: ask("10.9.0.1", "job").found == ("10.9.0.4",))
    here.names.write("front", (WEB, WEB_2, (new[0], "10.9.0.5\tshop-job-1 task\n")))
    until(lambda: ask("10.9.0.1", "task").found == ("10.9.0.5",))
    assert ask("10.9.0.1", "job") == Answer(NXDOMAIN)
    here.names.write("front", (WEB,))
    until(lambda: ask("10.9.0.1", "task") == Answer(NXDOMAIN))
    until(lambda: ask("10.9.0.1", "web").found == ("10.9.0.2",))
    assert reverse("10.9.0.1", "10.9.0.5") == Answer(NXDOMAIN)
    assert reverse("10.9.0.1", "10.9.0.3") == Answer(NXDOMAIN)


def test_only_files_that_differ_are_written(here: Here) -> None:
    here.names.write("front", (WEB, WEB_2))
    folder = here.places.records / "front"
    before = (folder / WEB[0]).stat()
    here.names.write("front", (WEB, (WEB_2[0], "10.9.0.9\tother\n")))
    assert (folder / WEB[0]).stat() == before
    assert sorted(os.listdir(folder)) == [WEB[0], WEB_2[0]]
    assert here.reader.look().names == {"front": (WEB, (WEB_2[0], "10.9.0.9\tother\n"))}


def test_whatever_else_lies_among_the_records_goes(here: Here) -> None:
    here.names.write("front", (WEB,))
    folder = here.places.records / "front"
    (folder / WEB[0]).unlink()
    (folder / WEB[0]).mkdir()
    (folder / "strange").write_text("10.9.0.66\tweb\n")
    (folder / "folder").mkdir()
    (folder / "folder" / "file").write_text("")
    (folder / "link").symlink_to("/etc/hosts")
    here.names.write("front", (WEB,))
    assert os.listdir(folder) == [WEB[0]]
    assert Path("/etc/hosts").exists()
    assert (folder / WEB[0]).read_text() == WEB[1]


# --- what leaves the host ----------------------------------------------------------------------------------------


def test_outside_names_are_asked_of_the_host_s_servers_and_local_ones_are_not(
    here: Here, etc: Path, upstream: Upstream
) -> None:
    (etc / "resolv.conf").write_text(f"nameserver {UPSTREAM}\n")
    here.serve()
    assert ask("10.9.0.1", "www.example.org").found == (OUTSIDE,)
    assert upstream.asked == ["www.example.org"]
    for kind in (A, AAAA, MX, TXT):
        for name in ("nobody", "nobody.front", "a.b.front", "web", "web.front", "back"):
            assert ask("10.9.0.1", name, kind).status in (NOERROR, NXDOMAIN)
    for address in ("10.9.0.77", "10.9.0.2", "fd00:9::77"):
        reverse("10.9.0.1", address)
    assert upstream.asked == ["www.example.org"]


def test_an_internal_network_asks_nobody(here: Here, etc: Path, upstream: Upstream) -> None:
    (etc / "resolv.conf").write_text(f"nameserver {UPSTREAM}\n")
    here.serve()
    for kind in (A, AAAA, MX, TXT):
        for tcp in (False, True):
            assert ask("10.8.0.1", "www.example.org", kind, tcp=tcp) == Answer(NXDOMAIN)
    assert reverse("10.8.0.1", "198.51.100.7") == Answer(NXDOMAIN)
    assert ask("10.8.0.1", "db").found == ("10.8.0.2",)
    assert upstream.asked == []


def test_the_host_s_servers_are_followed_when_they_change(here: Here, etc: Path, upstream: Upstream) -> None:
    (etc / "resolv.conf").write_text("nameserver 192.0.2.99\n")
    here.serve()
    part = etc / "resolv.conf.part"
    part.write_text(f"nameserver {UPSTREAM}\n")
    part.rename(etc / "resolv.conf")
    until(lambda: ask("10.9.0.1", "www.example.org", timeout=10).found == (OUTSIDE,))


def test_servers_of_a_service_are_asked_instead_of_the_host_s(here: Here, etc: Path, upstream: Upstream) -> None:
    (etc / "resolv.conf").write_text("nameserver 192.0.2.99\n")
    own = View(("front",), (UPSTREAM,))
    (address,) = dns.nameservers(own, here.serve(own))
    assert ask(address, "www.example.org").found == (OUTSIDE,)
    assert ask(address, "shop-web-1").found == ("10.9.0.2",)


# --- views -------------------------------------------------------------------------------------------------------


def test_who_is_in_two_networks_sees_both_and_nobody_else_does(here: Here) -> None:
    both = View(("back", "front"))
    (address,) = dns.nameservers(both, here.serve(both))
    assert ask(address, "db").found == ("10.8.0.2",)
    assert ask(address, "shop-web-1").found == ("10.9.0.2",)
    assert reverse(address, "10.8.0.2").found == ("shop-db-1",)
    assert ask("10.9.0.1", "db") == Answer(NXDOMAIN)
    assert ask("10.8.0.1", "web") == Answer(NXDOMAIN)
    assert reverse("10.9.0.1", "10.8.0.2").found == ()


def test_a_view_hears_of_changes_in_all_its_networks(here: Here) -> None:
    both = View(("back", "front"))
    (address,) = dns.nameservers(both, here.serve(both))
    here.names.write("back", ())
    until(lambda: ask(address, "db") == Answer(NXDOMAIN))
    here.names.write("front", (WEB_2,))
    until(lambda: ask(address, "web").found == ("10.9.0.3",))


def test_a_question_is_what_it_is_taken_for() -> None:
    """The client of these tests itself."""
    assert asked(question("a.b", A)) == "a.b"
    assert parse(question("a.b", A)) == Answer(NOERROR)
