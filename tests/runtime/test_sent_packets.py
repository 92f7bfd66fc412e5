"""What IP is asked for, and what the packets of whole conversations have in common (RFC 9293, 3.9)."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import trio
from scapy.layers.inet import IP, TCP
from scapy.layers.inet6 import IPv6
from trio.testing import MockClock

from usertcp import ConnectionTimedOut, InvalidAddress, open_stack
from usertcp.link import Direction, Link
from usertcp.link.memory import MemoryLink, memory_links
from usertcp.link.path import Path
from usertcp.link.wrapper import Wrapper
from usertcp.tcp.config import Config
from usertcp.tcp.events import PacketIn, PacketOut, TraceRecord
from usertcp.testing import open_network, open_stream_pair
from usertcp.wire import Codec
from usertcp.wire.fast import FastCodec
from usertcp.wire.scapy import ScapyCodec


class Multihomed(Link):
    """A host with two interfaces in front of a black hole. Which one leads to a network may change."""

    def __init__(self) -> None:
        self.via = "198.51.100.1"
        self.asked: list[str] = []
        self.sent: list[bytes] = []

    def send(self, packet: bytes) -> None:
        self.sent.append(packet)

    async def receive(self) -> Sequence[bytes]:
        await trio.sleep_forever()
        raise AssertionError

    def source_address(self, remote: str) -> str:
        self.asked.append(remote)
        return self.via


@pytest.mark.rfc("9293", "3.9.1.1", "MUST-44")
async def test_ip_is_asked_for_the_local_address_before_the_syn(autojump_clock: MockClock) -> None:
    link = Multihomed()
    async with open_stack(link, Config(user_timeout=0.5), linger=0) as stack:
        for via, remote in ("198.51.100.1", "192.0.2.2"), ("203.0.113.1", "192.0.2.3"):
            link.via = via
            with pytest.raises(ConnectionTimedOut):
                await stack.open_tcp_stream(remote, 80)
    assert link.asked == ["192.0.2.2", "192.0.2.3"]
    assert [(IP(packet).src, IP(packet).dst) for packet in link.sent] == [
        ("198.51.100.1", "192.0.2.2"),
        ("203.0.113.1", "192.0.2.3"),
    ]


@pytest.mark.rfc("9293", "3.9.1.1", "MUST-43")
async def test_the_user_may_name_the_local_address_instead(autojump_clock: MockClock) -> None:
    ours, _ = memory_links(("192.0.2.1", "192.0.2.9", "2001:db8::1"), ("192.0.2.2",))
    trace: list[TraceRecord] = []
    async with open_stack(ours, Config(user_timeout=0.5), tracer=trace.append, linger=0) as stack:
        with pytest.raises(ConnectionTimedOut):
            await stack.open_tcp_stream("192.0.2.2", 80, local_address="192.0.2.9")
        for foreign in ("192.0.2.3", "2001:db8::1"):
            with pytest.raises(InvalidAddress, match="no local address"):
                await stack.open_tcp_stream("192.0.2.2", 80, local_address=foreign)
    assert {IP(r.packet).src for r in trace if isinstance(r, PacketOut)} == {"192.0.2.9"}


@pytest.mark.rfc("9293", "3.9.1.1", "MUST-45")
async def test_afterwards_the_connection_keeps_it_though_routes_change(autojump_clock: MockClock) -> None:
    link = Multihomed()
    async with open_stack(link, Config(user_timeout=20), linger=0) as stack, trio.open_nursery() as nursery:

        @nursery.start_soon
        async def connect() -> None:
            with pytest.raises(ConnectionTimedOut):
                await stack.open_tcp_stream("192.0.2.2", 80)

        await trio.sleep(0.5)
        link.via = "203.0.113.1"
    assert len(link.sent) > 3
    assert {IP(packet).src for packet in link.sent} == {"198.51.100.1"}


@pytest.mark.rfc("9293", "3.9.2", "MUST-49")
@pytest.mark.parametrize("codec", [FastCodec(ttl=3), ScapyCodec(ttl=3)], ids=["fast", "scapy"])
@pytest.mark.parametrize("host", ["192.0.2.2", "2001:db8::2"])
async def test_the_time_to_live_of_a_stack_can_be_chosen(codec: Codec, host: str, autojump_clock: MockClock) -> None:
    ours, theirs = memory_links()
    trace: list[TraceRecord] = []
    async with open_stack(ours, codec=codec, tracer=trace.append) as a, open_stack(theirs) as b:
        await b.open_tcp_listener(80)
        stream = await a.open_tcp_stream(host, 80)
        await stream.send_all(b"text")
        await stream.aclose()
    sent = [record.packet for record in trace if isinstance(record, PacketOut)]
    assert {packet[7] if ":" in host else packet[8] for packet in sent} == {3}


@pytest.mark.rfc("9293", "3.9.1.2", "SHLD-13")
@pytest.mark.rfc("9293", "3.9.2", "SHLD-23")
async def test_streams_use_no_urgent_data_and_leave_the_traffic_class_as_it_is(autojump_clock: MockClock) -> None:
    trace: list[TraceRecord] = []
    async with open_network(tracer=trace.append) as network:
        client, server = await open_stream_pair(network)
        for one, other in (client, server), (server, client):
            await one.send_all(bytes(10_000))
            received = 0
            while received < 10_000:
                received += len(await other.receive_some())
        await client.aclose()
        await server.aclose()
    packets = [
        IP(r.packet) if r.packet[0] >> 4 == 4 else IPv6(r.packet) for r in trace if isinstance(r, PacketOut | PacketIn)
    ]
    assert len(packets) > 10
    assert not any(packet[TCP].flags.U for packet in packets)
    assert len({packet.tos if IP in packet else packet.tc for packet in packets}) == 1


class Advised(Multihomed):
    """Notes when it is told that nothing comes from a host."""

    def __init__(self) -> None:
        super().__init__()
        self.advice: list[tuple[str, int]] = []

    def advise(self, remote: str) -> None:
        self.advice.append((remote, len(self.sent)))


@pytest.mark.rfc("9293", "3.8.3", "MUST-20")
async def test_ip_is_told_when_retransmissions_reach_r1_and_the_connection_ends_at_r2(
    autojump_clock: MockClock,
) -> None:
    link = Advised()
    async with open_stack(Through(link), Config(r1=3, r2_syn=60.0), linger=0) as stack:
        begin = trio.current_time()
        with pytest.raises(ConnectionTimedOut):
            await stack.open_tcp_stream("192.0.2.2", 80)
        assert trio.current_time() - begin == pytest.approx(60)
    assert len(link.sent) == 6  # at 0, 1, 3, 7, 15 and 31 seconds
    assert link.advice == [("192.0.2.2", sent) for sent in (3, 4, 5)]


class Through(Wrapper):
    """Does nothing to packets."""

    def handle(self, packet: bytes, direction: Direction, now: float) -> None:
        self.forward(packet, direction, now)


@pytest.mark.rfc("9293", "3.8.3", "MUST-20")
async def test_it_is_told_of_data_too_but_not_before_r1(autojump_clock: MockClock) -> None:
    trace: list[TraceRecord] = []
    async with open_network(config=Config(r1=3), tracer=trace.append) as network:
        stream, _ = await open_stream_pair(network)
        advice = []
        network.link_a.path = Path(loss=1)
        network.a.endpoint.advise = lambda remote: advice.append((remote, stream.status().retransmissions))
        await stream.send_all(b"text")
        with pytest.raises(trio.BrokenResourceError):
            await stream.receive_some()
    assert advice == [(network.address_b, retransmissions) for retransmissions in (3, 4, 5, 6)]


class Compressing(MemoryLink):
    """Compresses headers, but every third packet has to carry whole ones: the room for it is less (RFC 5795)."""

    LEAST, MOST = 1380, 1400

    def __init__(self, inner: MemoryLink) -> None:
        super().__init__(inner.addresses, inner.path, self.LEAST)
        self.peer, inner.peer.peer = inner.peer, self
        self.largest = 0
        self.count = 0

    def send(self, packet: bytes) -> None:
        self.count += 1
        assert len(packet) <= (self.MOST if self.count % 3 else self.LEAST)
        self.largest = max(self.largest, len(packet))
        super().send(packet)


@pytest.mark.rfc("9293", "3.7.3", "SHLD-6")
async def test_where_the_room_for_a_packet_varies_the_mss_is_what_always_fits(autojump_clock: MockClock) -> None:
    inner, theirs = memory_links()
    ours = Compressing(inner)
    trace: list[TraceRecord] = []
    async with open_stack(ours, tracer=trace.append) as a, open_stack(theirs) as b:
        listener = await b.open_tcp_listener(80)
        stream = await a.open_tcp_stream(theirs.addresses[0], 80)
        peer = await listener.accept()
        await stream.send_all(bytes(50_000))
        await stream.send_eof()
        assert sum([len(data) async for data in peer]) == 50_000
    syn = next(IP(record.packet) for record in trace if isinstance(record, PacketOut))
    assert dict(syn[TCP].options)["MSS"] == Compressing.LEAST - 40
    assert ours.largest == Compressing.LEAST
