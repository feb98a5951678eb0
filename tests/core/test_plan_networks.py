"""Golden plans of the network side: what routing refuses, names, ports of others, destinations, shared namespaces."""

from __future__ import annotations

from dataclasses import replace

from reconciler.core.model import Dead, Desired, Running, digest
from reconciler.core.names import LISTENERS
from reconciler.core.networking import Destination, Ipam, Listener, Network, Port
from reconciler.core.starting import Dependency
from reconciler.core.steps import ApplyRuleset
from tests.core.hosts import NETWORK, NOW, RUNNING, WEB_CONTAINER, host, made, names_of, printed, seen
from tests.core.worlds import attached, container, desired

# --- bridges -------------------------------------------------------------------------------------------------------


def test_a_bridge_that_somebody_deleted_is_told_as_drift() -> None:
    (task,) = made(desired(WEB_CONTAINER), host(seen(), networks={})).tasks
    assert (task.cause, task.drift) == (f"drifted: bridge {NETWORK.bridge} is gone", True)


def test_the_table_knows_a_bridge_that_is_gone_so_it_is_closed_when_it_comes_back() -> None:
    other = container(app="other", spec="other.yaml")
    wanted = desired(WEB_CONTAINER, other)
    networks = {"other_default": replace(NETWORK, name="other_default", bridge="rc-other", subnet="10.0.9.1/24")}
    tasks = {task.key: task for task in made(wanted, host(seen(), networks=networks)).tasks}
    (step,) = tasks["firewall"].steps
    assert isinstance(step, ApplyRuleset)
    assert f'"{NETWORK.bridge}"' in step.text


def test_a_network_past_the_host_is_in_the_subnet_of_the_host_s_own_neighbours_and_not_guarded() -> None:
    lan = Network(
        name="lan", app="shop", spec="shop.yaml", driver="macvlan", parent="eth0", ipv4=Ipam(subnet="192.168.1.0/24")
    )
    wanted = desired(container(networks=attached("lan")))
    wanted = replace(wanted, networks={"lan": lan})
    found = made(wanted, host(networks={}, ruleset="", guarded=(), routes=("192.168.1.0/24",)))
    (task,) = (task for task in found.tasks if task.key == "container:shop-web-1")
    assert "connect container" in str(task)
    assert "as 192.168.1.2" in str(task)
    assert not [task for task in found.tasks if task.key == "guard"]


# --- what routing refuses, names, ports of others ------------------------------------------------------------------


def test_what_routing_no_longer_refuses_is_refused_again_and_told_as_drift() -> None:
    (task,) = made(desired(WEB_CONTAINER), host(seen(), guarded=())).tasks
    assert str(task) == "guard: guard routes (10.0.7.0/24) (drifted: 10.0.7.0/24 is not guarded)"
    assert task.drift


def test_a_network_that_goes_is_guarded_until_it_is_gone() -> None:
    other = replace(NETWORK, name="old", app="old", spec="old.yaml", bridge="rc-old", subnet="10.0.9.1/24")
    networks = {"shop_default": NETWORK, "old": other}
    lines = printed(desired(WEB_CONTAINER), host(seen(), networks=networks))
    assert "guard: guard routes (10.0.7.0/24, 10.0.9.0/24) (changed)" in lines


def test_a_resolver_that_ended_is_started_again() -> None:
    asking = seen(nameservers=("10.0.7.1",))
    (task,) = made(desired(WEB_CONTAINER), host(asking, resolvers={})).tasks
    assert str(task) == "resolver:shop_default: serve names of shop_default on 10.0.7.1 (drifted: it is gone)"
    assert task.drift


def test_a_resolver_that_is_new_is_no_drift() -> None:
    (task,) = made(desired(WEB_CONTAINER), host(seen(), resolvers={})).tasks
    assert (task.cause, task.drift) == ("missing", False)


def test_a_record_that_somebody_changed_is_put_back() -> None:
    for names in ((), (("a" * 64, "192.0.2.1\tweb\n"),)):
        (task,) = made(desired(WEB_CONTAINER), host(seen(), names={"shop_default": names})).tasks
        assert str(task) == (
            "names:shop_default: write names of shop_default (containers: 1)"
            " (drifted: the record of shop-web-1 was changed)"
        )


def test_who_was_cut_off_gets_its_whole_record_back_without_a_word_of_drift() -> None:
    apart = names_of(seen(disconnected="eth0 is down"))
    assert apart != names_of(seen())
    (task,) = made(desired(WEB_CONTAINER), host(seen(), names={"shop_default": apart})).tasks
    assert (task.key, task.cause, task.drift) == ("names:shop_default", "changed", False)


def test_a_record_that_says_whether_a_container_serves_changes_without_a_word_of_drift() -> None:
    stopping = seen(replace(RUNNING, stop_sent=NOW - 1.0))
    (task,) = made(desired(WEB_CONTAINER), host(stopping, names={"shop_default": names_of(seen())})).tasks
    assert (task.key, task.cause, task.drift) == ("names:shop_default", "changed", False)


def test_a_record_of_nobody_is_taken_away() -> None:
    strange = (*names_of(seen()), ("stranger", "192.0.2.1\tbank\n"))
    (task,) = made(desired(WEB_CONTAINER), host(seen(), names={"shop_default": strange})).tasks
    assert task.cause == "drifted: the record of stranger was changed"


def test_a_container_that_has_just_started_gets_its_record_without_a_word_of_drift() -> None:
    fresh = seen(Running(pid=7, since=NOW - 1.0))
    (task,) = made(desired(WEB_CONTAINER), host(fresh, names={})).tasks
    assert (task.key, task.cause, task.drift) == ("names:shop_default", "changed", False)


def test_a_port_on_which_somebody_else_listens_is_waited_for_before_anything_is_touched() -> None:
    wanted = container(ports=(Port(target=80, published=8080, host_ip="127.0.0.1"),))
    foreign = Listener(protocol="tcp", port=8080, owner="nginx (process 12)")
    for containers in ((), (seen(),)):
        found = made(desired(wanted), host(*containers, listeners=(foreign,)))
        assert str(found) == (
            "container:shop-web-1: waits: cannot publish host port 127.0.0.1:8080/tcp:"
            " nginx (process 12) listens there; stop it, or publish another port"
        )
        assert found.reads == {LISTENERS}


def test_who_listens_elsewhere_or_on_our_own_bridge_is_in_nobodys_way() -> None:
    wanted = container(ports=(Port(target=53, published=53, protocol="udp", host_ip="192.0.2.1"),))
    others = (
        Listener(protocol="udp", port=53, address="192.0.2.2"),
        Listener(protocol="tcp", port=53),
        Listener(protocol="udp", port=5353),
        Listener(protocol="udp", port=53, address="10.0.7.1"),
    )
    assert any("start" in line for line in printed(desired(wanted), host(listeners=others)))


def test_a_container_that_publishes_already_is_not_stopped_by_who_listens_there_now() -> None:
    wanted = container(ports=(Port(target=80, published=8080),))
    foreign = Listener(protocol="tcp", port=8080)
    assert made(desired(wanted), host(seen(of=wanted), listeners=(foreign,))).converged


# --- x-egress -------------------------------------------------------------------------------------------------------

RESTRICTED = container(egress=(Destination(host="10.9.0.0/16"), Destination(host="example.org", ports=(443, 443))))


def test_a_container_that_may_not_connect_everywhere_is_made_but_not_started_with_one_step() -> None:
    found = made(desired(RESTRICTED), host())
    assert [type(step).__name__ for task in found.tasks for step in task.steps] == [
        "CreateContainer", "ConnectContainer", "ResolveNames",
    ]  # fmt: skip


def test_it_starts_once_the_ruleset_knows_it() -> None:
    made_one = seen(Dead(), of=RESTRICTED)
    resolved = {"example.org": (("192.0.2.9",), NOW)}
    before = made(desired(RESTRICTED), host(made_one, resolved=resolved))
    assert [task.key for task in before.tasks] == ["firewall"]
    assert str(before.waits[0]) == ("container:shop-web-1: waits for the ruleset that says where it may connect to")
    (step,) = before.tasks[0].steps
    assert isinstance(step, ApplyRuleset)
    assert "192.0.2.9" in step.text
    after = made(desired(RESTRICTED), host(made_one, resolved=resolved, ruleset=digest(step.text)))
    assert [str(step) for task in after.tasks for step in task.steps] == ["start container shop-web-1 aaaaaaaaaaaa"]


def test_names_are_asked_for_again_after_a_while() -> None:
    fresh, old = ({"example.org": (("192.0.2.9",), NOW - age)} for age in (29.0, 30.0))
    assert made(desired(RESTRICTED), host(resolved=fresh)).look_again_at == NOW + 1.0
    assert "resolve: resolve example.org (x-egress names it)" in printed(desired(RESTRICTED), host(resolved=old))


# --- shared namespaces ---------------------------------------------------------------------------------------------

LENDER = container(service="vpn")
SHARING = container(service="app", networks=(), shares="shop-vpn-1", depends_on=(Dependency(service="vpn"),))


def test_who_shares_a_network_waits_for_its_owner() -> None:
    assert printed(desired(SHARING, LENDER), host())[-1] == (
        "container:shop-app-1: waits for container shop-vpn-1, whose network it shares"
    )


def test_when_the_owner_is_replaced_who_shares_its_network_moves_with_it() -> None:
    owner = seen(of=LENDER, id="b" * 64)
    moved = seen(of=SHARING, id="c" * 64, endpoints=(), shares="a" * 64)
    assert printed(desired(SHARING, LENDER), host(owner, moved)) == [
        "container:shop-app-1: stop container shop-app-1 cccccccccccc with SIGTERM"
        " (shop-vpn-1, whose network it shares, was replaced; stop-first, because it uses another container's network)",
    ]
    assert made(desired(SHARING, LENDER), host(owner, replace(moved, shares=owner.id))).converged


def test_who_shares_a_network_is_left_alone_while_its_owner_is_being_replaced() -> None:
    stopping = seen(Running(pid=7, since=4000.0, stop_sent=NOW - 1), of=LENDER, revision="old")
    sharing = seen(of=SHARING, id="c" * 64, endpoints=(), shares=stopping.id)
    assert [line.split(":")[1] for line in printed(desired(SHARING, LENDER), host(stopping, sharing))] == ["shop-vpn-1"]


def test_a_network_that_no_spec_declares_is_waited_for() -> None:
    wanted = Desired(containers={WEB_CONTAINER.name: WEB_CONTAINER})
    assert printed(wanted, host(networks={}, ruleset="", guarded=(), resolvers={}, names={})) == [
        "container:shop-web-1: waits for network shop_default, which no spec declares"
    ]
