"""What is still to be done to a packet, done here: as the kernel does it, and as our own codec would have."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

import pytest

from usertcp.link import Buffer, vnet
from usertcp.tcp import super_segment
from usertcp.tcp.options import Options
from usertcp.tcp.segment import ACK, CWR, FIN, PSH, Flow, Segment
from usertcp.wire.fast import FastCodec

FLOWS = [Flow("10.0.0.1", 61000, "10.0.0.2", 80), Flow("fd00::1", 61000, "fd00::2", 80)]


def arrived(packets: Sequence[tuple[bytes, Buffer]], segment_size: int) -> Iterator[memoryview]:
    """Packets as they stand in the buffers of a link."""
    for parts in vnet.unfinished(packets, segment_size):
        frame = b"".join(parts)
        yield memoryview(bytearray(frame + bytes(1000)))[vnet.SIZE : len(frame)]


@pytest.mark.parametrize("flow", FLOWS, ids=["IPv4", "IPv6"])
@pytest.mark.parametrize(
    ("octets", "mss"), [(1, 1000), (1000, 1000), (1001, 1000), (2500, 1000), (200_000, 1448), (200_000, 65_463)]
)
def test_a_super_segment_becomes_the_segments_that_we_would_have_sent(flow: Flow, octets: int, mss: int) -> None:
    options = Options(timestamps=(1, 2))
    seg = Segment(2**32 - 1500, 7, FIN | PSH | ACK, 100, options, data=os.urandom(octets), mss=mss)
    packets = arrived(FastCodec().unfinished(flow, seg), mss)
    segments = [segment for packet in packets for segment in vnet.segments(packet)]
    assert segments == [FastCodec().encode(flow, part) for part in super_segment.cut(seg)]


@pytest.mark.parametrize("flow", FLOWS, ids=["IPv4", "IPv6"])
@pytest.mark.parametrize("text", [b"", b"hello"])
def test_an_unfinished_segment_is_finished(flow: Flow, text: bytes) -> None:
    seg = Segment(1, 7, ACK, 100, data=text)
    [packet] = arrived(FastCodec().unfinished(flow, seg), 0)
    assert list(vnet.segments(packet)) == [FastCodec().encode(flow, seg)]


def test_only_the_first_segment_says_that_the_window_was_reduced() -> None:
    seg = Segment(1, 7, ACK | CWR, 100, data=bytes(3000), mss=1000)
    [packet] = arrived(FastCodec().unfinished(FLOWS[0], seg), seg.mss)
    assert [bool(each[33] & CWR) for each in vnet.segments(packet)] == [True, False, False]


def test_a_finished_packet_stays_as_it_is() -> None:
    packet = FastCodec().encode(FLOWS[0], Segment(1, 7, ACK, 100))
    assert list(vnet.segments(memoryview(vnet.NOTHING + packet)[vnet.SIZE :])) == [packet]


@pytest.mark.parametrize(("at", "value"), [(0, 0x4F), (3, 0xFF), (9, 17), (32, 0x00), (32, 0xF0)])
def test_what_is_no_tcp_segment_is_left_to_others_to_sort_out(at: int, value: int) -> None:
    headers = bytearray(FastCodec().headers(FLOWS[0], Segment(1, 7, ACK, 100)))
    headers[at] = value
    [packet] = arrived([(bytes(headers), b"")], 0)
    packet[10:12] = bytes(2)
    assert list(vnet.segments(packet)) == [bytes(packet)]


@pytest.mark.parametrize("octets", range(0, 40, 4))
def test_what_was_cut_short_is_too(octets: int) -> None:
    headers = FastCodec().headers(FLOWS[0], Segment(1, 7, ACK, 100))
    [packet] = arrived([(headers, b"")], 500)
    assert list(vnet.segments(packet[:octets])) == [headers[:octets]]
