"""What Compose's networking vocabulary means: networks and modes of services, names, declared networks."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.document import Document, Networking
from reconciler.core.networking import Attachment, Destination, Ipam, Network
from reconciler.core.resolve import resolve
from reconciler.errors import SpecError
from tests.spec.parsing import HEAD, document, refusal

TWO = "\nnetworks: {back: , front: }\n"


def networking(fragment: str, tail: str = "\n") -> Networking:
    """That of the one service with `fragment` as further keys; `tail` is the rest of the file."""
    return document(HEAD + fragment + tail).services[0].networking


def attachments(fragment: str, tail: str = TWO) -> list[Attachment]:
    return [connection.attachment for connection in networking(fragment, tail).connections]


def network(text: str) -> Network:
    """The network that `text` declares."""
    return declared(document(f"networks: {{a: {text}}}\nservices: {{}}\n"))["a"]


def declared(found: Document) -> dict[str, Network]:
    return {entry.key: entry.network for entry in found.networks}


# --- the networks of a service -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("init: true", ["default"]),
        ("networks: []", ["default"]),
        ("networks: ", ["default"]),
        ("network_mode: bridge", ["default"]),
        ("networks: [front, back]", ["back", "front"]),
        ("networks: {front: , back: }", ["back", "front"]),
        ("networks: {front: {priority: 1}, back: }", ["front", "back"]),
        ("networks: {front: {priority: 5}, back: {priority: 5}, default: {priority: 9}}", ["default", "back", "front"]),
        ("networks: {front: , back: {priority: -1}}", ["front", "back"]),
        ("network_mode: host", []),
        ("network_mode: none", []),
        ("network_mode: service:vpn", []),
    ],
)
def test_networks_in_the_order_of_their_interfaces(text: str, keys: list[str]) -> None:
    assert [attachment.network for attachment in attachments(text)] == keys


def test_each_has_its_place() -> None:
    listed = networking("networks: [front, back]", TWO)
    assert [connection.at for connection in listed.connections] == [(4, 23), (4, 16)]
    mapped = networking("networks: {front: , back: {priority: 1}}", TWO)
    assert [connection.at for connection in mapped.connections] == [(4, 25), (4, 16)]


def test_everything_about_a_network_of_a_service() -> None:
    tail = (
        "\nnetworks:\n  front:\n    enable_ipv6: true\n"
        "    ipam: {config: [{subnet: 172.28.0.0/16}, {subnet: 'fd00:28::/64'}]}\n"
    )
    text = (
        "networks: {front: {aliases: [web, www.example, web], ipv4_address: 172.28.5.6, ipv6_address: 'FD00:28::0:5', "
        "mac_address: 02-42-AC-1C-05-06, interface_name: wan0, gw_priority: 3, priority: 1, x-a: 1}}"
    )
    assert attachments(text, tail) == [
        Attachment(
            network="front",
            aliases=("web", "www.example"),
            ipv4_address="172.28.5.6",
            ipv6_address="fd00:28::5",
            mac_address="02:42:ac:1c:05:06",
            interface_name="wan0",
            gw_priority=3,
        )
    ]


def test_the_mac_address_of_a_service_is_that_of_its_first_interface() -> None:
    text = "mac_address: 02:42:AC:11:00:02\n    networks: [front, back]"
    assert [attachment.mac_address for attachment in attachments(text)] == ["02:42:ac:11:00:02", ""]
    assert attachments("mac_address: 02:42:ac:11:00:02", "\n")[0].mac_address == "02:42:ac:11:00:02"


# --- network_mode, names -----------------------------------------------------------------------------------------


def test_modes() -> None:
    assert networking("network_mode: host").host_network
    assert networking("network_mode: none") == Networking(connections=())
    shares = networking("network_mode: service:vpn").shares
    assert shares
    assert (shares.service, shares.key, shares.at) == ("vpn", "network_mode", (4, 19))


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("hostname: a.example", "hostname", "a.example"),
        ("domainname: example.org", "domainname", "example.org"),
        ("dns: 1.1.1.1", "dns", ("1.1.1.1",)),
        ("dns: [9.9.9.9, '2620:FE::FE']", "dns", ("9.9.9.9", "2620:fe::fe")),
        ("dns_search: example.org", "dns_search", ("example.org",)),
        ("dns_search: [., Corp.Example.]", "dns_search", (".", "corp.example")),
        ("dns_opt: [use-vc, ndots:2]", "dns_opt", ("use-vc", "ndots:2")),
        ("expose: [3000, '8000', 53/udp]", "expose", ("3000/tcp", "8000/tcp", "53/udp")),
        ("expose: ['8000-8002/udp']", "expose", ("8000/udp", "8001/udp", "8002/udp")),
        ("sysctls: {net.core.somaxconn: 1024, net.ipv4.ip_unprivileged_port_start: 0}", "sysctls", (
            ("net.core.somaxconn", "1024"), ("net.ipv4.ip_unprivileged_port_start", "0"),
        )),
        ("sysctls: [net/ipv4/ping_group_range=0 100, kernel.shmmax=5, fs.mqueue.msg_max=1]", "sysctls", (
            ("fs.mqueue.msg_max", "1"), ("kernel.shmmax", "5"), ("net.ipv4.ping_group_range", "0 100"),
        )),
        ("network_mode: host\n    sysctls: {kernel.msgmax: 1}", "sysctls", (("kernel.msgmax", "1"),)),
    ],
)  # fmt: skip
def test_what_a_service_knows_of_the_network(text: str, name: str, value: object) -> None:
    assert getattr(networking(text), name) == value


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        ("[a:1.1.1.1]", [("a", "1.1.1.1")]),
        ("['a=1.1.1.1', 'B.Example=fd00::1']", [("a", "1.1.1.1"), ("b.example", "fd00::1")]),
        ("['a=[fd00::1]', 'b:[fd00::1]', 'c:fd00::1']", [("a", "fd00::1"), ("b", "fd00::1"), ("c", "fd00::1")]),
        ("['host.docker.internal:host-gateway']", [("host.docker.internal", "host-gateway")]),
        ("['a:1.1.1.1', 'a:1.1.1.2', 'a:1.1.1.1']", [("a", "1.1.1.1"), ("a", "1.1.1.2")]),
        ("{a: 1.1.1.1, b: '[fd00::1]'}", [("a", "1.1.1.1"), ("b", "fd00::1")]),
        ("{a: [1.1.1.1, 'fd00::1'], my_db: host-gateway}", [
            ("a", "1.1.1.1"), ("a", "fd00::1"), ("my_db", "host-gateway"),
        ]),
        ("", []),
    ],
)  # fmt: skip
def test_extra_hosts(text: str, pairs: list[tuple[str, str]]) -> None:
    assert networking(f"extra_hosts: {text}").extra_hosts == tuple(pairs)


# --- declared networks -------------------------------------------------------------------------------------------

PLAIN = Network(name="", app="", spec="")


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("", {}),
        ("{driver: default, attachable: true, enable_ipv4: true, ipam: {driver: default}}", {}),
        ("{name: shared, labels: {b: 1, a: }}", {"name": "shared", "labels": (("a", ""), ("b", "1"))}),
        ("{internal: true}", {"internal": True}),
        (
            "{driver_opts: {com.docker.network.driver.mtu: '1400', com.docker.network.bridge.name: br-web}}",
            {"mtu": 1400, "bridge": "br-web"},
        ),
        (
            "{driver: macvlan, driver_opts: {parent: eth0.5, macvlan_mode: private}}",
            {"driver": "macvlan", "parent": "eth0.5", "mode": "private"},
        ),
        (
            "{driver: ipvlan, driver_opts: {parent: eth0, ipvlan_mode: l3}}",
            {"driver": "ipvlan", "parent": "eth0", "mode": "l3"},
        ),
        ("{driver: cni, driver_opts: {config: ./a.conflist}}", {"driver": "cni", "cni": "/srv/app/a.conflist"}),
        ("{driver: cni, driver_opts: {config: /etc/cni/a.conf}}", {"driver": "cni", "cni": "/etc/cni/a.conf"}),
        ("{ipam: {config: []}}", {}),
        ("{ipam: {config: [{}]}}", {}),
        (
            "{ipam: {config: [{subnet: 10.5.0.0/16, gateway: 10.5.0.254, ip_range: 10.5.1.0/24, "
            "aux_addresses: {router: 10.5.1.9, b: 10.5.1.8}}]}}",
            {
                "ipv4": Ipam(
                    subnet="10.5.0.0/16",
                    gateway="10.5.0.254",
                    ip_range="10.5.1.0/24",
                    reserved=("10.5.1.8", "10.5.1.9"),
                )
            },
        ),
        (
            "{enable_ipv6: true, "
            "ipam: {config: [{subnet: 'FD00:5::/64', gateway: 'fd00:5::0:1'}, {subnet: 10.5.0.0/24}]}}",
            {
                "enable_ipv6": True,
                "ipv4": Ipam(subnet="10.5.0.0/24"),
                "ipv6": Ipam(subnet="fd00:5::/64", gateway="fd00:5::1"),
            },
        ),
    ],
)
def test_declared(text: str, fields: dict[str, object]) -> None:
    plain = {name: getattr(PLAIN, name) for name in asdict(PLAIN)}
    found = network(text)
    assert {name: getattr(found, name) for name in plain} == {**plain, **fields}


def test_external_networks_have_a_name_and_nothing_else() -> None:
    found = document("networks: {a: {external: true}, b: {external: 'yes', name: shop_b}}\nservices: {}\n")
    assert [(entry.key, entry.external, entry.network.name, entry.at) for entry in found.networks] == [
        ("default", False, "", (1, 11)),
        ("a", True, "", (1, 12)),
        ("b", True, "shop_b", (1, 33)),
    ]


def test_a_fixed_address_in_an_external_network_is_judged_where_that_is_declared() -> None:
    tail = "\nnetworks: {theirs: {external: true}}\n"
    (found,) = attachments("networks: {theirs: {ipv4_address: 10.0.0.5}}\n    ports: [80]\n    x-egress: []", tail)
    assert found.ipv4_address == "10.0.0.5"


# --- x- keys -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        ("x-alow: []", "app.yaml:4:5: 'x-alow' of service 'web' is ignored; did you mean 'x-allow'?"),
        ("x-egres: []", "app.yaml:4:5: 'x-egres' of service 'web' is ignored; did you mean 'x-egress'?"),
        (
            "ports: [{target: 80, x-allowed: []}]",
            "app.yaml:4:26: 'ports[0].x-allowed' of service 'web' is ignored; did you mean 'x-allow'?",
        ),
        (
            "ports: [{target: 80, x-egress: []}]",
            (
                "app.yaml:4:26: 'ports[0].x-egress' of service 'web' is ignored; "
                "it means something at a service and a job only"
            ),
        ),
        (
            "networks: {default: {x-allow: []}}",
            (
                "app.yaml:4:26: 'networks.default.x-allow' of service 'web' is ignored; "
                "it means something at a service and an entry of 'ports' and a job only"
            ),
        ),
    ],
)
def test_what_looks_like_ours_is_told(text: str, warning: str) -> None:
    assert [str(found) for found in document(f"{HEAD}{text}\n").warnings] == [warning]


def test_what_does_not_is_not() -> None:
    text = "x-a: 1\n    x-allow: []\n    x-base: {x-alow: 1}\n    labels: {x-alow: 1}\n    environment: {x-egres: 1}\n"
    assert document(f"{HEAD}{text}").warnings == ()


def test_toml_says_the_same() -> None:
    found = document(
        '[services.web]\nimage = "a"\nx-egress = ["api.example:443"]\nx-allow = ["10.0.0.0/8"]\nports = ["80:80"]\n'
        '[services.web.networks.front]\naliases = ["www"]\n[networks.front]\nenable_ipv6 = true\n',
        "app.toml",
    )
    assert found.services[0].networking.egress == (Destination(host="api.example", ports=(443, 443)),)
    assert found.services[0].ports[0].allow == ("10.0.0.0/8",)
    assert found.services[0].networking.connections[0].attachment.aliases == ("www",)
    assert declared(found)["front"].enable_ipv6


# --- whatever is written -----------------------------------------------------------------------------------------

WORDS = st.text("a0.:/-[]*=,%", max_size=12) | st.sampled_from(
    [
        "10.0.0.0/8", "10.0.0.1", "fd00::/64", "[fd00::1]:53/udp", "::1", "host", "service:web", "eth0", "host-gateway",
        "a:1.1.1.1", "net.core.somaxconn", "02:42:ac:11:00:02", "80-90", "80:80", "[::]:80:80", "front", "none",
    ]
)  # fmt: skip
LEAVES = WORDS | st.none() | st.booleans() | st.integers(-1, 70000) | st.floats(0, 9)
KEYS = st.sampled_from(
    [
        "front", "default", "aliases", "ipv4_address", "ipv6_address", "mac_address", "interface_name", "priority",
        "driver", "driver_opts", "ipam", "config", "subnet", "gateway", "ip_range", "aux_addresses", "internal",
        "enable_ipv6", "external", "name", "target", "published", "host_ip", "x-allow", "net.core.somaxconn", "parent",
    ]
)  # fmt: skip
ANYTHING = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4))
SERVICE_KEYS = (
    "networks", "network_mode", "mac_address", "dns", "dns_search", "dns_opt", "extra_hosts", "domainname", "expose",
    "sysctls", "ports", "x-allow", "x-egress",
)  # fmt: skip


@given(
    st.fixed_dictionaries({}, optional=dict.fromkeys(SERVICE_KEYS, ANYTHING)),
    st.dictionaries(st.sampled_from(["front", "default"]), ANYTHING, max_size=2),
)
def test_never_anything_but_a_spec_error_and_what_is_accepted_can_be_resolved(
    keys: dict[str, object], networks: dict[str, object]
) -> None:
    text = json.dumps({"services": {"web": {"image": "a", **keys}}, "networks": networks})
    found = refusal(lambda: document(text))
    assert found is None or isinstance(found, SpecError)
    if found is None:
        desired = resolve({"app.yaml": document(text)}, frozenset())
        assert desired.held.keys() <= {"app.yaml", "app"}
