"""Netlink's form, without a kernel: what is written can be read, and no bytes whatever are an accident."""

from __future__ import annotations

import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.host import rtnetlink
from reconciler.host.netlink import (
    CREATE,
    EXCL,
    Message,
    Netlink,
    attribute,
    attributes,
    decode,
    encode,
    first,
    number,
    string,
    text,
    values,
)

KINDS = st.integers(min_value=0, max_value=(1 << 14) - 1)
BODIES = st.binary(max_size=64).map(lambda body: body + bytes(-len(body) % 4))


def test_a_message_as_the_kernel_wants_it() -> None:
    message = encode(rtnetlink.set_up("lo"), 7)
    header = "24000000100001000700000000000000"
    link = "00000000000000000100000001000000"
    name = "070003006c6f0000"
    assert message.hex() == "28000000" + header[8:] + link + name


def test_the_bridge_is_made_only_when_there_is_none() -> None:
    message = rtnetlink.add_bridge("rc-0", b"\2\0\0\0\0\1", 1500)
    assert message.flags == CREATE | EXCL
    seen = attributes(message.body, 16)
    assert string(seen[3]) == "rc-0"
    assert seen[1] == b"\2\0\0\0\0\1"
    assert string(attributes(seen[18])[1]) == "bridge"


@given(st.dictionaries(KINDS, st.binary(max_size=40), max_size=8))
def test_attributes_come_back_as_they_were(given_: dict[int, bytes]) -> None:
    data = b"".join(attribute(kind, value) for kind, value in given_.items())
    assert attributes(data) == given_
    assert attributes(b"head" + data, 4) == given_
    assert attributes(data, wanted={3, 5}) == {kind: value for kind, value in given_.items() if kind in {3, 5}}
    assert list(values(data)) == list(given_.values())
    assert all(first(data, kind) == value for kind, value in given_.items())
    assert first(data, 1 << 13 | 77) == given_.get(1 << 13 | 77, b"")


@given(st.lists(st.tuples(st.integers(1, 0xFFFF), st.integers(0, 0xFFFF), BODIES), max_size=5))
def test_messages_come_back_in_order(parts: list[tuple[int, int, bytes]]) -> None:
    messages = [Message(kind, flags | 1, body) for kind, flags, body in parts]
    data = b"".join(encode(message, place) for place, message in enumerate(messages))
    assert list(decode(data)) == list(enumerate(messages))


@given(st.binary(max_size=200))
def test_any_bytes_are_read_to_an_end(data: bytes) -> None:
    list(decode(data))
    list(values(data))
    first(data, 4)
    attributes(data)


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])), st.integers(0, 2**32 - 1))
def test_text_and_numbers(value: str, count: int) -> None:
    assert string(attributes(text(1, value))[1]) == value
    assert attributes(number(1, count))[1] == count.to_bytes(4, "little")


def test_a_name_that_is_no_text_does_not_stop_a_look() -> None:
    assert string(b"caf\xe9\0") == r"caf\xe9"


@pytest.mark.root
def test_the_first_refusal_is_told_and_all_the_rest_is_done(namespace: None) -> None:
    with Netlink() as kernel:
        with pytest.raises(OSError, match="No such device") as raised:
            kernel.change(
                rtnetlink.set_up("absent"),
                rtnetlink.add_bridge("there", b"\2\0\0\0\0\1", 1500),
                rtnetlink.add_bridge("there", b"\2\0\0\0\0\1", 1500),
            )
        assert raised.value.errno == errno.ENODEV
        assert rtnetlink.parse_link(kernel.ask(rtnetlink.get_link("there"))).kind == "bridge"


@pytest.mark.root
def test_an_answer_to_an_older_question_is_not_taken_for_this_one(namespace: None) -> None:
    with Netlink() as kernel:
        kernel._sequence = 10
        kernel._socket.send(encode(rtnetlink.get_link("absent"), 1))
        kernel.change(rtnetlink.set_up("lo"))
        kernel._socket.send(encode(rtnetlink.get_link("absent"), 2))
        assert rtnetlink.parse_link(kernel.ask(rtnetlink.get_link("lo"))).up
