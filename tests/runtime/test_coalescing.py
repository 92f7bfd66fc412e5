"""What arrives together becomes one segment, if it could have been one."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from random import Random

import pytest
import trio
from trio.testing import MockClock

from usertcp.runtime.coalescing import MOST, Content, coalesced, superseded
from usertcp.tcp.events import PacketIn, SegmentIn, TraceRecord
from usertcp.tcp.options import Options, Signature
from usertcp.tcp.segment import ACK, CE, ECE, FIN, PSH, URG, Flow, Segment
from usertcp.testing import open_network, open_stream_pair
from usertcp.wire import IcmpError

FLOW = Flow("192.0.2.1", 61000, "192.0.2.2", 80)
OTHER = FLOW._replace(local_port=61001)
STAMPS = Options(timestamps=(1, 2))
FIRST = Segment(7, 2**32 - 100, ACK, 500, STAMPS)
TEXT = Random(1).randbytes(100)


def always(flow: Flow, seg: Segment) -> bool:
    """The last acknowledgment is enough."""
    return True


def text(left: int, right: int, flags: int = ACK) -> Segment:
    """Octets of TEXT. SEQ wraps in its middle."""
    return Segment((left - 50) % 2**32, 9, flags, 500, STAMPS, memoryview(TEXT)[left:right])


def of_one_flow(*segments: Segment) -> list[Segment]:
    contents: list[Content] = [(FLOW, seg) for seg in segments]
    return [content[1] for content in coalesced(contents, always) if not isinstance(content, IcmpError)]


def test_text_and_what_continues_it_is_one_segment() -> None:
    assert of_one_flow(text(0, 40), text(40, 60, ACK | PSH), text(60, 99), text(99, 100, ACK | FIN)) == [
        Segment(2**32 - 50, 9, ACK | PSH | FIN, 500, STAMPS, TEXT)
    ]


def test_it_is_no_view_of_what_will_be_overwritten() -> None:
    for seg in of_one_flow(text(0, 40)) + of_one_flow(text(0, 40), text(40, 100)):
        assert isinstance(seg.data, bytes)


@pytest.mark.parametrize(
    "following",
    [
        text(41, 60),
        text(39, 60),
        replace(text(40, 60), ack=10),
        replace(text(40, 60), wnd=501),
        replace(text(40, 60), options=Options(timestamps=(2, 2))),
        replace(text(40, 60), traffic_class=CE),
        text(40, 60, ACK | URG),
        text(40, 40, ACK | FIN),
        text(40, 40),
    ],
)
def test_what_says_anything_else_stays_by_itself(following: Segment) -> None:
    both = [text(0, 40), following]
    assert of_one_flow(*(replace(seg) for seg in both)) == both


@pytest.mark.parametrize("signature", [Signature(bytes(16)), Signature(bytes(12), (1, 2))])
def test_a_signed_segment_stays_by_itself_though_one_with_a_copy_of_its_signature_follows(signature: Signature) -> None:
    options = Options(timestamps=(1, 2), signature=signature)
    both = [replace(text(0, 40), options=options), replace(text(40, 60), options=options)]
    assert of_one_flow(*(replace(seg) for seg in both)) == both


def test_marked_segments_stay_by_themselves_to_be_counted() -> None:
    both = [replace(text(0, 40), traffic_class=CE), replace(text(40, 60), traffic_class=CE)]
    assert of_one_flow(*(replace(seg) for seg in both)) == both


def test_nothing_follows_a_fin() -> None:
    assert len(of_one_flow(text(0, 40, ACK | FIN), text(40, 60))) == 2


def test_no_more_than_some_at_once() -> None:
    sizes = [len(seg.data) for seg in of_one_flow(*(text(n, n + 1) for n in range(MOST + 3)))]
    assert sizes == [MOST, 3]


def test_flows_are_kept_apart_and_the_order_is_kept() -> None:
    error = IcmpError("192.0.2.3", FLOW, 1, 4, 3, 1, 0)
    contents: list[Content] = [(FLOW, text(0, 10)), (OTHER, text(10, 20)), error, (OTHER, text(20, 30))]
    assert list(coalesced(contents, always)) == contents


@pytest.mark.parametrize("seed", range(50))
def test_every_octet_comes_once_in_its_place(seed: int) -> None:
    """Whatever comes in whatever order: what is made of it holds the same octets at the same places."""
    random = Random(seed)
    edges = sorted({0, 100, *random.sample(range(1, 100), 12)})
    segments = [text(*edge, ACK | PSH * random.randrange(2)) for edge in pairwise(edges)]
    for _ in range(random.randrange(4)):
        i, j = random.randrange(len(segments)), random.randrange(len(segments))
        segments[i], segments[j] = segments[j], segments[i]
    assert octets(of_one_flow(*map(replace, segments))) == octets(segments)


def octets(segments: list[Segment]) -> list[tuple[int, int]]:
    """Each with its position, as they come."""
    return [((seg.seq + n) % 2**32, octet) for seg in segments for n, octet in enumerate(seg.data)]


def test_of_acknowledgments_that_come_together_the_last_counts() -> None:
    later = replace(FIRST, ack=1000, wnd=400, options=Options(timestamps=(3, 4)))
    assert superseded(FIRST, later)
    assert of_one_flow(FIRST, replace(FIRST, ack=500), later) == [later]
    assert list(coalesced([(FLOW, FIRST), (OTHER, later)], always)) == [(FLOW, FIRST), (OTHER, later)]


@pytest.mark.parametrize(
    "later",
    [
        FIRST,  # a duplicate counts
        replace(FIRST, ack=2**32 - 200),
        replace(FIRST, ack=5, options=replace(STAMPS, sack=((20, 30),))),
        replace(FIRST, ack=5, flags=ACK | FIN),
        replace(FIRST, ack=5, flags=ACK | ECE),
        replace(FIRST, ack=5, data=b"text"),
        replace(FIRST, ack=5, seq=8),
        replace(FIRST, ack=5, traffic_class=CE),
    ],
)
def test_but_not_if_one_of_them_says_more(later: Segment) -> None:
    assert of_one_flow(FIRST, later) == [FIRST, later]


async def test_a_trace_shows_of_each_packet_what_became_of_it_before_the_next(autojump_clock: MockClock) -> None:
    """Whatever came with it: a capture has it as the packet's comment."""
    records: list[TraceRecord] = []
    async with open_network(tracer_b=records.append) as network:
        client, _ = await open_stream_pair(network)
        records.clear()
        await client.send_all(bytes(10 * 1448))
        await trio.sleep(1)
    kinds = [type(record) for record in records if isinstance(record, PacketIn | SegmentIn)]
    assert len(kinds) >= 20
    assert kinds == [PacketIn, SegmentIn] * (len(kinds) // 2)


def test_where_each_counts_none_is_left_out() -> None:
    later = replace(FIRST, ack=FIRST.ack + 1000)
    contents: list[Content] = [(FLOW, replace(FIRST, data=b"")), (FLOW, replace(later, data=b""))]
    assert len(coalesced(contents, always)) == 1
    assert coalesced(contents, lambda flow, seg: False) == contents
