"""What Compose's networking vocabulary means: networks and modes of services, names, policies, declared networks."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from reconciler.core.document import AUTOMATIC, Document, Networking
from reconciler.core.networking import Attachment, Destination, Ipam, Network
from tests.spec.parsing import HEAD, document, service

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


# --- ports and policies ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "ports"),
    [
        ('"8000-9000:80"', [(80, (8000, 9000), "")]),
        ('"127.0.0.1:8000-8001:80"', [(80, (8000, 8001), "127.0.0.1")]),
        ('"[2001:DB8::1]:80:80"', [(80, (80, 80), "2001:db8::1")]),
        ('"[::]:80:80"', [(80, (80, 80), "::")]),
        ('"[::]::80"', [(80, AUTOMATIC, "::")]),
        ('{target: 80, published: "8000-8010", host_ip: "::"}', [(80, (8000, 8010), "::")]),
        ("{target: 80, host_ip: 0.0.0.0}", [(80, AUTOMATIC, "0.0.0.0")]),
    ],
)
def test_ranges_and_addresses_of_ports(text: str, ports: list[tuple[int, tuple[int, int], str]]) -> None:
    found = service(f"ports: [{text}]").ports
    assert [(port.target, port.published, port.host_ip) for port in found] == ports


@pytest.mark.parametrize(
    ("text", "allow"),
    [
        ("ports: [80]", None),
        ("ports: [{target: 80, x-allow: []}]", ()),
        ("ports: [{target: 80, x-allow: [10.0.0.0/8, 192.168.1.5]}]", ("10.0.0.0/8", "192.168.1.5/32")),
        ("ports: [{target: 80, x-allow: ['2001:DB8::/32', 10.0.0.0/8]}]", ("10.0.0.0/8", "2001:db8::/32")),
        ("ports: [{target: 80, x-allow: [10.1.0.0/16, 10.0.0.0/8, 10.0.0.0/8]}]", ("10.0.0.0/8",)),
        ("ports: [{target: 80, x-allow: [10.0.0.0/9, 10.128.0.0/9]}]", ("10.0.0.0/8",)),
        ("x-allow: [10.0.0.0/8]\n    ports: [80]", ("10.0.0.0/8",)),
        ("x-allow: [10.0.0.0/8]\n    ports: [{target: 80, x-allow: [1.1.1.1]}]", ("1.1.1.1/32",)),
        ("x-allow: [10.0.0.0/8]\n    ports: [{target: 80, x-allow: []}]", ()),
        ("x-allow: []\n    ports: [80]", ()),
    ],
)
def test_who_may_connect(text: str, allow: tuple[str, ...] | None) -> None:
    assert service(text).ports[0].allow == allow


@pytest.mark.parametrize(
    ("text", "destination"),
    [
        ("10.0.0.0/8", Destination(host="10.0.0.0/8")),
        ("10.1.2.3", Destination(host="10.1.2.3/32")),
        ("10.1.2.3:443", Destination(host="10.1.2.3/32", ports=(443, 443))),
        ("10.0.0.0/8:80-90/tcp", Destination(host="10.0.0.0/8", ports=(80, 90), protocol="tcp")),
        ("10.0.0.0/8/udp", Destination(host="10.0.0.0/8", protocol="udp")),
        ("0.0.0.0/0:1-65535", Destination(host="0.0.0.0/0", ports=(1, 65535))),
        ("API.Example.org.:443/tcp", Destination(host="api.example.org", ports=(443, 443), protocol="tcp")),
        ("_srv.example.org/udp", Destination(host="_srv.example.org", protocol="udp")),
        ("nas", Destination(host="nas")),
        ("[2001:DB8::/32]", Destination(host="2001:db8::/32")),
        ("[2001:db8::]/32:53/udp", Destination(host="2001:db8::/32", ports=(53, 53), protocol="udp")),
        ("[2001:db8::1]:443", Destination(host="2001:db8::1/128", ports=(443, 443))),
    ],
)
def test_where_to(text: str, destination: Destination) -> None:
    assert networking(f'x-egress: ["{text}"]').egress == (destination,)


def test_nowhere_is_not_everywhere_and_order_means_nothing() -> None:
    assert networking("init: true").egress is None
    assert networking("x-egress: []").egress == ()
    one = networking("x-egress: [b.example, 10.0.0.0/8, 'b.example:1', b.example]").egress
    assert one == networking("x-egress: ['b.example:1', b.example, 10.0.0.0/8]").egress
    assert one
    assert len(one) == 3


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
            "app.yaml:4:26: 'ports[0].x-egress' of service 'web' is ignored; it means something at a service only",
        ),
        (
            "networks: {default: {x-allow: []}}",
            (
                "app.yaml:4:26: 'networks.default.x-allow' of service 'web' is ignored; "
                "it means something at a service and an entry of 'ports' only"
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
