"""Acknowledgments that need not be read, told by a look."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from usertcp.tcp.options import Options
from usertcp.tcp.segment import ACK, FIN, PSH, Flow, Segment
from usertcp.wire.fast import FastCodec
from usertcp.wire.look import runs

FLOW = Flow("192.0.2.1", 5000, "192.0.2.2", 80)
FIRST = Segment(1000, 2000, ACK, 500, Options(timestamps=(1, 2)))
LATER = Segment(1000, 3000, ACK, 700, Options(timestamps=(3, 4)))


def on_the_wire(*segments: Segment, flow: Flow = FLOW) -> list[Any]:
    return [FastCodec().encode(flow, seg) for seg in segments]


def test_of_acknowledgments_in_a_row_the_last_is_enough() -> None:
    run = [replace(FIRST, ack=ack) for ack in (2000, 3000, 4000, 5000)]
    assert runs(on_the_wire(*run)) == [4]
    assert runs(on_the_wire(*run, *run)) == [4, 4]
    assert runs(on_the_wire(replace(FIRST, ack=(1 << 32) - 5), FIRST)) == [2]
    assert runs([]) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"ack": 2000},
        {"ack": 1999},
        {"seq": 1001},
        {"data": b"text"},
        {"flags": ACK | FIN},
        {"flags": ACK | PSH},
        {"options": Options()},
        {"options": Options(timestamps=(3, 4), sack=((5000, 6000),))},
        {"traffic_class": 3},
    ],
    ids=str,
)
def test_whatever_says_more_is_read(changes: dict[str, Any]) -> None:
    packets = on_the_wire(FIRST, replace(LATER, **changes))
    assert runs(packets) == [1, 1]
    if "ack" not in changes:
        packets = on_the_wire(replace(FIRST, **changes), replace(LATER, ack=4000))
        assert runs(packets) == [1, 1]


def test_those_of_another_flow_are_read() -> None:
    for other in (
        FLOW._replace(local_port=5001),
        FLOW._replace(remote="192.0.2.3"),
        Flow("2001:db8::1", 1, "2001:db8::2", 2),
    ):
        packets = on_the_wire(FIRST) + on_the_wire(LATER, flow=other)
        assert runs(packets) == [1, 1]


def test_what_is_no_such_packet_is_left_alone() -> None:
    whole = on_the_wire(FIRST, LATER)
    for packets in (
        [whole[0], b""],
        [b"", whole[1]],
        [whole[0][:51], whole[1]],
        [bytes(60), bytes(60)],
        [b"\xff" * 60] * 2,
    ):
        assert runs(packets) == [1, 1]
