"""A container's identity survives its way through annotations."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.model import Container, ImageConfig, Restart, SeenImage
from reconciler.core.networking import Destination, Endpoint, Ipam, Joint, Network, Port
from reconciler.core.record import PREFIX, Instance, Record, from_annotations, record, to_annotations

text = st.text(max_size=20)
ports = st.builds(
    Port,
    target=st.integers(1, 65535),
    published=st.integers(1, 65535),
    protocol=st.sampled_from(["tcp", "udp"]),
    host_ip=text,
    allow=st.lists(text, max_size=2).map(tuple),
)
ipams = st.builds(Ipam, subnet=text, gateway=text, ip_range=text, reserved=st.lists(text, max_size=2).map(tuple))
networks = st.builds(
    Network, name=text, app=text, spec=text, internal=st.booleans(), ipv4=ipams, mtu=st.integers(0, 9000)
)
endpoints = st.builds(Endpoint, network=networks, bridge=text, interface=text, ipv4=text, aliases=st.tuples(text))
destinations = st.builds(Destination, host=text, ports=st.tuples(st.integers(0, 9), st.integers(9, 99)))
restarts = st.builds(
    Restart, policy=st.sampled_from(["no", "always", "on-failure", "unless-stopped"]), max_retries=st.integers(0, 99)
)
records = st.builds(
    Record,
    id=text,
    name=text,
    app=text,
    service=text,
    replica=st.integers(1, 1000),
    spec=text,
    revision=text,
    image=text,
    image_digest=text,
    endpoints=st.lists(endpoints, max_size=2).map(tuple),
    host_network=st.booleans(),
    shares=text,
    nameservers=st.lists(text, max_size=2).map(tuple),
    dns=st.lists(text, max_size=2).map(tuple),
    egress=st.none() | st.lists(destinations, max_size=2).map(tuple),
    stop_signal=text,
    stop_grace_period=st.floats(0, 1e6),
    created_at=st.floats(0, 1e11),
    ports=st.lists(ports, max_size=3).map(tuple),
    restart=restarts,
    labels=st.lists(st.tuples(text, text), max_size=3).map(tuple),
)


@given(records)
def test_annotations_lead_back(of: Record) -> None:
    kept = to_annotations(of)
    assert from_annotations(kept) == of
    assert all(name.startswith(PREFIX) for name in kept)


@given(st.dictionaries(text, text, max_size=5))
def test_annotations_of_somebody_else_are_no_record(given_ones: dict[str, str]) -> None:
    with pytest.raises((KeyError, ValueError, TypeError)):
        from_annotations(given_ones)


def test_labels_never_steer() -> None:
    container = Container(
        name="app-web-1",
        app="app",
        service="web",
        replica=1,
        spec="app.yaml",
        image="nginx",
        labels=((PREFIX + "app", "other"),),
    )
    image = SeenImage(reference="nginx", digest="sha256:1", id="sha256:2", layers=(), config=ImageConfig())
    instance = Instance(id="i", revision="r", joint=Joint(), stop_signal="SIGTERM", created_at=1.5)
    kept = from_annotations(to_annotations(record(container, image, instance)))
    assert kept.app == "app"
    assert kept.labels == container.labels
    assert (kept.image_digest, kept.created_at, kept.endpoints) == ("sha256:1", 1.5, ())
