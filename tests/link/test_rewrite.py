"""The link between a stack and its network that hands every packet to a function, as a Scapy packet."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from scapy.layers.inet import IP, TCP
from scapy.layers.inet6 import IPv6
from scapy.packet import Packet, Raw
from trio.testing import MockClock

from usertcp.ip.fragments import fragment
from usertcp.link.memory import MemoryLink, memory_links
from usertcp.link.rewrite import Delayed, Rewrite, RewrittenLink
from usertcp.tcp.options import Options
from usertcp.tcp.segment import ACK, PSH, SYN, Flow, Segment
from usertcp.wire.fast import FastCodec

CODEC = FastCodec()
FLOW4 = Flow("192.0.2.1", 61000, "192.0.2.2", 80)
FLOW6 = Flow("2001:db8::1", 61000, "2001:db8::2", 80)
SEGMENT = Segment(1000, 2000, PSH | ACK, 500, Options(timestamps=(1, 2)), b"hello")
PACKET = CODEC.encode(FLOW4, SEGMENT)


def links(rewrite: Rewrite) -> tuple[RewrittenLink, MemoryLink, list[tuple[str, str, str]]]:
    ours, far = memory_links()
    link = RewrittenLink(ours, rewrite)
    deeds: list[tuple[str, str, str]] = []
    link.watch(lambda packet, direction, deed, detail: deeds.append((direction, deed, detail)))
    return link, far, deeds


async def arriving(*receivers: Any) -> list[tuple[float, bytes]]:
    """What comes out within ten seconds, and when. The first is the link to read, others are kept going."""
    start, got = trio.current_time(), list[tuple[float, bytes]]()

    async def receive(link: Any, out: list[tuple[float, bytes]]) -> None:
        while True:
            out += [(trio.current_time() - start, packet) for packet in await link.receive()]

    with trio.move_on_after(10):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(receive, receivers[0], got)
            for other in receivers[1:]:
                nursery.start_soon(receive, other, [])
    return got


def segment(packet: bytes) -> Segment:
    """Decoded, so its lengths and checksums are right."""
    decoded = CODEC.decode(packet)
    assert isinstance(decoded, tuple)
    return decoded[1]


async def test_the_function_sees_each_packet_and_its_direction(autojump_clock: MockClock) -> None:
    seen = []

    def look(packet: Packet, direction: str) -> Packet:
        seen.append((direction, packet[TCP].seq, packet[Raw].load))
        return packet

    link, far, deeds = links(look)
    link.send(PACKET)
    far.send(CODEC.encode(FLOW4.reversed, Segment(7, 0, ACK, data=b"x")))
    assert await arriving(far, link) == [(0, PACKET)]
    assert seen == [("out", 1000, b"hello"), ("in", 7, b"x")]
    assert deeds == []


async def test_none_drops(autojump_clock: MockClock) -> None:
    link, far, deeds = links(lambda packet, direction: None)
    link.send(PACKET)
    assert await arriving(far) == []
    assert deeds == [("out", "dropped", "")]
    assert link.counters()["out_dropped"] == 1


@pytest.mark.parametrize("flow", [FLOW4, FLOW6], ids=["ipv4", "ipv6"])
async def test_an_edited_packet_gets_lengths_and_checksums(flow: Flow, autojump_clock: MockClock) -> None:
    def edit(packet: Packet, direction: str) -> Packet:
        packet[TCP].seq = 5
        packet[TCP].options = []
        packet[Raw].load = b"something longer"
        return packet

    link, far, deeds = links(edit)
    link.send(CODEC.encode(flow, SEGMENT))
    [(_, octets)] = await arriving(far)
    assert segment(octets) == Segment(5, 2000, PSH | ACK, 500, data=b"something longer")
    [(direction, deed, detail)] = deeds
    assert (direction, deed) == ("out", "edited")
    assert "TCP.seq 1000 -> 5" in detail
    assert "Raw.load 5 octets -> 16 octets" in detail
    assert "chksum" not in detail


async def test_a_packet_built_anew_counts_as_edited(autojump_clock: MockClock) -> None:
    def build(packet: Packet, direction: str) -> Packet:
        return IP(src=packet.src, dst=packet.dst) / TCP(sport=61000, dport=80, flags="S", seq=9)

    link, far, deeds = links(build)
    link.send(PACKET)
    [(_, octets)] = await arriving(far)
    assert segment(octets).flags == SYN
    assert [deed for _, deed, _ in deeds] == ["edited"]


async def test_a_checksum_that_the_function_chose_stays(autojump_clock: MockClock) -> None:
    def spoil(packet: Packet, direction: str) -> Packet:
        packet[TCP].chksum = 0xBAD
        return packet

    link, far, _ = links(spoil)
    link.send(PACKET)
    [(_, octets)] = await arriving(far)
    assert IP(octets)[TCP].chksum == 0xBAD


async def test_edited_on_the_way_in(autojump_clock: MockClock) -> None:
    def edit(packet: Packet, direction: str) -> Packet:
        if direction == "in":
            packet[TCP].window = 0
        return packet

    link, far, deeds = links(edit)
    far.send(CODEC.encode(FLOW4.reversed, SEGMENT))
    [(_, octets)] = await arriving(link)
    assert segment(octets).wnd == 0
    assert deeds == [("in", "edited", "TCP.window 500 -> 0")]


async def test_a_packet_can_be_delayed(autojump_clock: MockClock) -> None:
    link, far, deeds = links(lambda packet, direction: Delayed(packet, 0.2))
    link.send(PACKET)
    assert await arriving(far, link) == [(pytest.approx(0.2), PACKET)]
    assert deeds == [("out", "delayed", "0.2 s")]


async def test_a_list_duplicates_and_injects(autojump_clock: MockClock) -> None:
    def multiply(packet: Packet, direction: str) -> list[Packet | Delayed]:
        other = packet.copy()
        other[TCP].seq = 1
        return [packet, Delayed(packet, 1), other]

    link, far, deeds = links(multiply)
    link.send(PACKET)
    got = await arriving(far, link)
    assert [(time, segment(octets).seq) for time, octets in got] == [(0, 1000), (0, 1), (pytest.approx(1), 1000)]
    assert [deed for _, deed, _ in deeds] == ["duplicated", "delayed", "injected"]


async def test_others_in_the_place_of_a_packet_are_injected_and_it_is_dropped(autojump_clock: MockClock) -> None:
    def replace(packet: Packet, direction: str) -> list[Packet]:
        return [packet / Raw(b"1"), packet / Raw(b"2")]

    link, far, deeds = links(replace)
    link.send(PACKET)
    assert len(await arriving(far)) == 2
    assert [deed for _, deed, _ in deeds] == ["injected", "injected", "dropped"]


@pytest.mark.parametrize("delay", [0, 2.5])
async def test_packets_can_be_injected_at_any_time_both_ways(delay: float, autojump_clock: MockClock) -> None:
    link, far, deeds = links(lambda packet, direction: None)
    rst = IP(src="192.0.2.2", dst="192.0.2.1") / TCP(sport=80, dport=61000, flags="R", seq=77)
    link.inject(rst, "in", delay=delay)
    link.inject(PACKET, "out", delay=delay)
    [(time, octets)] = await arriving(link)
    assert (time, segment(octets).seq) == (pytest.approx(delay), 77)
    assert await arriving(far) == [(0, PACKET)]
    assert [(direction, deed) for direction, deed, _ in deeds] == [("in", "injected"), ("out", "injected")]


async def test_injecting_wakes_a_receiver_that_waits(autojump_clock: MockClock) -> None:
    link, _, _ = links(lambda packet, direction: packet)
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def wait() -> None:
            assert await link.receive() == [PACKET]
            assert trio.current_time() == pytest.approx(start + 3)

        start = trio.current_time()
        await trio.sleep(1)
        link.inject(PACKET, "in", delay=2)


async def test_the_tcp_checksum_of_a_fragment_is_left_alone(autojump_clock: MockClock) -> None:
    first, second = fragment(CODEC.encode(FLOW4, Segment(1, 2, ACK, data=bytes(60))), 60)

    def edit(packet: Packet, direction: str) -> Packet:
        packet.tos = 8
        return packet

    link, far, _ = links(edit)
    link.send(first)
    link.send(second)
    got = [octets for _, octets in await arriving(far)]
    assert [octets[20:] for octets in got] == [first[20:], second[20:]]
    assert [IP(octets).tos for octets in got] == [8, 8]
    assert [IP(octets).chksum for octets in got] != [IP(octets).chksum for octets in (first, second)]


async def test_what_scapy_cannot_read_comes_as_raw(autojump_clock: MockClock) -> None:
    kinds = []

    def look(packet: Packet, direction: str) -> Packet:
        kinds.append(type(packet))
        return packet

    link, far, _ = links(look)
    out = [b"\x00junk", b"\x45\x00", CODEC.encode(FLOW6, SEGMENT)]
    for packet in out:
        link.send(packet)
    assert [octets for _, octets in await arriving(far)] == out
    assert kinds == [Raw, Raw, IPv6]


async def test_what_is_delayed_goes_out_when_the_link_is_closed(autojump_clock: MockClock) -> None:
    link, far, _ = links(lambda packet, direction: Delayed(packet, 60))
    link.send(PACKET)
    link.close()
    assert await arriving(far) == [(0, PACKET)]
