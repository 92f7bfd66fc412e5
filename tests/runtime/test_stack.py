"""A stack as a whole: what it does with packets, and how it ends."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from usertcp import (
    Config,
    ConnectionAborted,
    ConnectionRefused,
    ConnectionReset,
    Flow,
    SetupError,
    Stack,
    State,
    open_stack,
)
from usertcp.ip.fragments import fragment
from usertcp.ip.icmp import build_error
from usertcp.link import Link
from usertcp.link.impair import ImpairedLink
from usertcp.link.memory import MemoryLink, memory_links
from usertcp.link.path import Path
from usertcp.tcp.events import PacketDiscarded, PacketIn, PacketOut, PathEvent, SegmentIn, SegmentOut, TraceRecord
from usertcp.tcp.options import Options
from usertcp.tcp.segment import ACK, FIN, PSH, RST, SYN, Segment
from usertcp.testing import open_network, open_stream_pair
from usertcp.wire.fast import FastCodec
from usertcp.wire.scapy import ScapyCodec

CODEC = FastCodec()
OURS, THEIRS = "192.0.2.1", "192.0.2.2"
FROM_PEER = Flow(THEIRS, 61000, OURS, 80)
"""As the peer that the test plays sees its connections."""


class Peer:
    """The far end of a stack's link, played by the test."""

    def __init__(self, link: MemoryLink) -> None:
        self.link = link

    def send(self, seg: Segment, flow: Flow = FROM_PEER) -> None:
        self.link.send(CODEC.encode(flow, seg))

    async def receive(self) -> list[Segment]:
        """What the stack sends within the next tenth of a second."""
        packets: list[bytes] = []
        with trio.move_on_after(0.1):
            while True:
                packets += await self.link.receive()
        decoded = [CODEC.decode(packet) for packet in packets]
        return [content[1] for content in decoded if isinstance(content, tuple)]

    async def establish(self) -> Segment:
        """Connect to port 80 from SEQ 0; returns the SYN,ACK."""
        self.send(Segment(0, 0, SYN, 65535, Options(mss=1460)))
        [answer] = await self.receive()
        assert answer.flags == SYN | ACK
        self.send(Segment(1, answer.seq + 1, ACK, 65535))
        assert await self.receive() == []
        return answer


@asynccontextmanager
async def played(
    trace: list[TraceRecord] | None = None, config: Config | None = None
) -> AsyncIterator[tuple[Stack, Peer]]:
    ours, theirs = memory_links()
    tracer = trace.append if trace is not None else None
    async with open_stack(ours, config, tracer=tracer, secret=b"1", linger=0) as stack:
        yield stack, Peer(theirs)


# Packets


@pytest.mark.rfc("9293", "3.10.7.1")
async def test_a_closed_port_answers_by_a_reset(autojump_clock: MockClock) -> None:
    async with played() as (_, peer):
        peer.send(Segment(5, 0, SYN))
        assert await peer.receive() == [Segment(0, 6, RST | ACK)]


@pytest.mark.rfc("9293", "3.10.7.4", "MUST-59")
async def test_all_that_arrived_together_is_acknowledged_once(autojump_clock: MockClock) -> None:
    async with played() as (stack, peer):
        await stack.open_tcp_listener(80)
        answer = await peer.establish()
        for number in range(10):
            peer.send(Segment(1 + 1000 * number, answer.seq + 1, ACK, 65535, data=bytes(1000)))
        assert [seg.ack for seg in await peer.receive()] == [10_001]


async def test_fragments_are_reassembled(autojump_clock: MockClock) -> None:
    trace: list[TraceRecord] = []
    async with played(trace) as (stack, peer):
        listener = await stack.open_tcp_listener(80)
        answer = await peer.establish()
        trace.clear()
        packet = CODEC.encode(FROM_PEER, Segment(1, answer.seq + 1, PSH | ACK, 65535, data=b"in pieces" * 20))
        pieces = fragment(packet, 100)
        for piece in reversed(pieces):
            peer.link.send(piece)
        assert await (await listener.accept()).receive_some() == b"in pieces" * 20
        assert [record.packet for record in trace if isinstance(record, PacketIn)] == pieces[::-1]
        assert stack.counters()["reassembled"] == 1


@pytest.mark.parametrize(
    ("packet", "counter"),
    [
        (b"\x45junk", "malformed"),
        (CODEC.encode(FROM_PEER, Segment(0, 0, SYN))[:-1] + b"\x01", "checksum"),
        (CODEC.encode(FROM_PEER, Segment(0, 0, SYN))[:30], "malformed"),
        (CODEC.encode(FROM_PEER._replace(remote="192.0.2.77"), Segment(0, 0, SYN)), "not_ours"),
        (b"\x45\x00\x00\x1c" + bytes(5) + b"\x11" + bytes(18), "not_ours"),
    ],
    ids=["junk", "checksum", "truncated", "another address", "UDP"],
)
async def test_what_cannot_be_used_is_counted(packet: bytes, counter: str, autojump_clock: MockClock) -> None:
    trace: list[TraceRecord] = []
    async with played(trace) as (stack, peer):
        before = stack.counters()
        peer.link.send(packet)
        assert await peer.receive() == []
        assert stack.counters()[counter] == before[counter] + 1 == 1
        discarded = [record for record in trace if isinstance(record, PacketDiscarded)]
        assert [record.packet for record in discarded] == ([] if counter == "not_ours" else [packet])


@pytest.mark.rfc("9293", "3.9.2.2", "MUST-54")
async def test_an_icmp_error_reaches_its_connection(autojump_clock: MockClock) -> None:
    async with played() as (stack, peer), trio.open_nursery() as nursery:

        @nursery.start_soon
        async def refuse() -> None:
            [syn] = await peer.link.receive()
            peer.link.send(build_error("192.0.2.254", 3, 3, syn))

        with pytest.raises(ConnectionRefused, match="port unreachable"):
            await stack.open_tcp_stream(THEIRS, 80)


async def test_the_records_of_a_packet_come_in_order(autojump_clock: MockClock) -> None:
    trace: list[TraceRecord] = []
    async with played(trace) as (_, peer):
        peer.send(Segment(5, 0, SYN))
        await peer.receive()
    kinds = [PacketIn, SegmentIn, SegmentOut, PacketOut]
    assert [type(record) for record in trace] == kinds
    packets = [CODEC.decode(record.packet) for record in trace if isinstance(record, PacketIn | PacketOut)]
    segments = [record.seg for record in trace if isinstance(record, SegmentIn | SegmentOut)]
    assert [content[1] for content in packets if isinstance(content, tuple)] == segments


async def test_the_tracer_is_told_what_happened_on_the_path(autojump_clock: MockClock) -> None:
    trace: list[TraceRecord] = []
    ours, _ = memory_links()
    async with open_stack(ImpairedLink(ours, Path(loss=1), back=Path()), tracer=trace.append, linger=0) as stack:
        with trio.move_on_after(0.5):
            await stack.open_tcp_stream(THEIRS, 80)
    out, deed = [record for record in trace if isinstance(record, PacketOut | PathEvent)]
    assert isinstance(deed, PathEvent)
    assert (deed.packet, deed.direction, deed.deed, deed.detail) == (out.packet, "out", "dropped", "lost")
    assert deed.time == out.time


async def test_the_scapy_codec_does_the_same(autojump_clock: MockClock) -> None:
    ours, theirs = memory_links()
    async with open_stack(ours, codec=ScapyCodec()) as a, open_stack(theirs) as b:
        for host in THEIRS, "2001:db8::2":
            listener = await b.open_tcp_listener(80, host)
            client = await a.open_tcp_stream(host, 80)
            server = await listener.accept()
            await client.send_all(bytes(10_000))
            await client.aclose()
            assert b"".join([data async for data in server]) == bytes(10_000)
            await server.aclose()


@pytest.mark.rfc("9293", "3.7.1", "MUST-67")
@pytest.mark.parametrize(("host", "headers"), [(THEIRS, 40), ("2001:db8::2", 60)])
async def test_the_mss_is_what_fits_the_mtu(host: str, headers: int, autojump_clock: MockClock) -> None:
    async with open_network(mtu=1280) as network:
        await network.b.open_tcp_listener(80)
        stream = await network.a.open_tcp_stream(host, 80)
        assert stream.status().rcv_mss == 1280 - headers
        await stream.send_all(bytes(100_000))
        assert "larger_than_mtu" not in network.a.counters()


# Beside a kernel


class BesideKernel(MemoryLink):
    beside_kernel = True


async def test_beside_a_kernel_only_claimed_ports_are_spoken_for(autojump_clock: MockClock) -> None:
    ours, theirs = BesideKernel((OURS,), Path()), MemoryLink((THEIRS,), Path())
    ours.peer, theirs.peer = theirs, ours
    peer = Peer(theirs)
    async with open_stack(ours, codec=CODEC, linger=0) as stack:
        peer.send(Segment(0, 0, SYN))
        assert await peer.receive() == []
        assert stack.counters()["not_ours"] == 1
        listener = await stack.open_tcp_listener(80, OURS)
        await peer.establish()
        peer.send(Segment(0, 77, ACK), FROM_PEER._replace(local_port=5))
        assert [seg.flags for seg in await peer.receive()] == [RST]
        stream = await listener.accept()
        await listener.aclose()
        peer.send(Segment(1, 0, RST))  # Its SEQ is exact: the end.
        await stream.wait_closed()
        peer.send(Segment(0, 0, SYN))
        assert await peer.receive() == []


# A link of one's own


class Hub(Link):
    """The least that a link needs to be."""

    def __init__(self) -> None:
        self.queue: list[bytes] = []
        self.arrived = trio.Event()
        self.waits = 0

    def send(self, packet: bytes) -> None:
        self.queue.append(packet)
        self.arrived.set()

    async def receive(self) -> Sequence[bytes]:
        self.waits += 1
        await self.arrived.wait()
        await trio.lowlevel.checkpoint()
        packets, self.queue, self.arrived = self.queue, [], trio.Event()
        return packets

    def source_address(self, remote: str) -> str:
        return OURS


async def test_a_stack_can_talk_to_itself_over_a_link_of_thirty_lines(autojump_clock: MockClock) -> None:
    async with open_stack(Hub()) as stack:
        listener = await stack.open_tcp_listener(80)
        client = await stack.open_tcp_stream(OURS, 80)
        server = await listener.accept()
        await client.send_all(b"hello, me")
        assert await server.receive_some() == b"hello, me"


class Watched(Hub):
    """Remembers which tasks use it."""

    def __init__(self) -> None:
        super().__init__()
        self.senders: list[trio.lowlevel.Task] = []
        self.receiver: trio.lowlevel.Task | None = None

    def send(self, packet: bytes) -> None:
        self.senders.append(trio.lowlevel.current_task())
        super().send(packet)

    async def receive(self) -> Sequence[bytes]:
        self.receiver = trio.lowlevel.current_task()
        return await super().receive()


async def test_no_other_task_has_to_run_for_a_packet_to_be_sent_or_answered(autojump_clock: MockClock) -> None:
    """Text leaves in the task that sends it, its acknowledgment in the one that takes packets from the link."""
    link = Watched()
    async with open_stack(link) as stack:
        listener = await stack.open_tcp_listener(80)
        client = await stack.open_tcp_stream(OURS, 80)
        server = await listener.accept()
        link.senders.clear()
        await client.send_all(b"hello")
        assert link.senders == [trio.lowlevel.current_task()]
        assert await server.receive_some() == b"hello"
        assert link.senders == [trio.lowlevel.current_task(), link.receiver]


async def test_an_idle_stack_does_not_wake_up(autojump_clock: MockClock) -> None:
    link = Hub()
    async with open_stack(link) as stack:
        await stack.open_tcp_listener(80)
        client = await stack.open_tcp_stream(OURS, 80)
        await client.send_all(b"x")
        await trio.sleep(100)
        before = link.waits
        await trio.sleep(50_000)
        assert link.waits == before


# The end


async def test_leaving_closes_in_good_order(autojump_clock: MockClock) -> None:
    ours, theirs = memory_links(path=Path(delay=0.1))
    async with open_stack(theirs) as b, trio.open_nursery() as nursery:
        listener = await b.open_tcp_listener(80)

        @nursery.start_soon
        async def serve() -> None:
            stream = await listener.accept()
            assert b"".join([data async for data in stream]) == bytes(100_000)
            await stream.aclose()
            await stream.wait_closed()
            assert stream.error is None

        async with open_stack(ours) as a:
            stream = await a.open_tcp_stream(THEIRS, 80)
            await stream.send_all(bytes(100_000))
            began = trio.current_time()
        assert trio.current_time() - began < 2
        assert stream.state is State.TIME_WAIT
        assert stream.error is None


async def test_leaving_resets_whom_does_not_close_in_time(autojump_clock: MockClock) -> None:
    ours, theirs = memory_links()
    async with open_stack(theirs) as b:
        listener = await b.open_tcp_listener(80)
        async with open_stack(ours, linger=3) as a:
            stream = await a.open_tcp_stream(THEIRS, 80)
            accepted = await listener.accept()
            began = trio.current_time()
        assert trio.current_time() - began == pytest.approx(3)
        assert isinstance(stream.error, ConnectionAborted)
        await trio.sleep(1)
        assert isinstance(accepted.error, ConnectionReset)


async def test_leaving_by_cancellation_resets_at_once(autojump_clock: MockClock) -> None:
    ours, theirs = memory_links()
    async with open_stack(theirs) as b:
        listener = await b.open_tcp_listener(80)
        with trio.move_on_after(5):
            async with open_stack(ours) as a:
                await a.open_tcp_stream(THEIRS, 80)
                accepted = await listener.accept()
                began = trio.current_time()
                await trio.sleep_forever()
        assert trio.current_time() - began == pytest.approx(5)
        await trio.sleep(1)
        assert isinstance(accepted.error, ConnectionReset)


async def test_what_was_opened_is_closed_with_the_stack(autojump_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        async with open_network() as network:
            client, server = await open_stream_pair(network)
            listener = await network.b.open_tcp_listener(80)

            async def refused(call: object, *args: object) -> None:
                assert callable(call)
                with pytest.raises(trio.ClosedResourceError, match="the stack was closed"):
                    await call(*args)

            nursery.start_soon(refused, listener.accept)
            nursery.start_soon(refused, client.receive_some)
            nursery.start_soon(server.wait_closed)
            await wait_all_tasks_blocked()
        await refused(client.send_all, b"x")
        await refused(network.a.open_tcp_stream, THEIRS, 80)
        await refused(network.b.open_tcp_listener, 80)
        await client.wait_closed()
        with pytest.raises(trio.ClosedResourceError):
            await network.link_a.receive()


async def test_an_attempt_does_not_outlive_the_stack(autojump_clock: MockClock) -> None:
    ours, _ = memory_links()
    async with trio.open_nursery() as nursery, open_stack(ours) as stack:

        @nursery.start_soon
        async def attempt() -> None:
            with pytest.raises(ConnectionAborted):
                await stack.open_tcp_stream(THEIRS, 80)

        await wait_all_tasks_blocked()


async def test_what_the_body_raises_comes_out_as_it_is(autojump_clock: MockClock) -> None:
    ours, _ = memory_links()
    with pytest.raises(ZeroDivisionError):
        async with open_stack(ours):
            raise ZeroDivisionError


class Failing(MemoryLink):
    """A link on which the machine forbids to send, after a while."""

    sends = 1

    def send(self, packet: bytes) -> None:
        if not self.sends:
            raise SetupError("no permission any more")
        self.sends -= 1
        super().send(packet)


async def test_a_failure_of_the_link_ends_the_stack_and_cancels_the_body(autojump_clock: MockClock) -> None:
    link = Failing((OURS,), Path())
    link.peer = MemoryLink((THEIRS,), Path())
    stacks = []

    async def body() -> None:
        async with open_stack(link) as stack:
            stacks.append(stack)
            await trio.sleep_forever()

    async def attempt() -> None:
        await wait_all_tasks_blocked()
        with pytest.raises(ConnectionAborted):
            await stacks[0].open_tcp_stream(THEIRS, 80)
        with pytest.raises(trio.ClosedResourceError, match="no permission any more"):
            await stacks[0].open_tcp_stream(THEIRS, 80)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(attempt)
        with pytest.raises(SetupError, match="no permission any more"):
            await body()


async def test_the_caller_sees_that_its_own_segment_could_not_be_sent(autojump_clock: MockClock) -> None:
    link = Failing((OURS,), Path())
    link.sends = 0
    async with open_stack(link) as stack:
        with pytest.raises(SetupError, match="no permission any more"):
            await stack.open_tcp_stream(THEIRS, 80)
        assert not stack.endpoint.connections


async def test_a_link_that_somebody_closes_ends_the_stack(autojump_clock: MockClock) -> None:
    ours, _ = memory_links()

    async def body() -> None:
        async with open_stack(ours):
            await wait_all_tasks_blocked()
            ours.close()
            await trio.sleep_forever()

    with pytest.raises(trio.ClosedResourceError, match="link"):
        await body()


async def test_time_wait_is_not_waited_for(autojump_clock: MockClock) -> None:
    async with open_network() as network:
        client, server = await open_stream_pair(network)
        await client.aclose()
        await server.aclose()
        await trio.sleep(1)
        began = trio.current_time()
    assert client.state is State.TIME_WAIT
    assert trio.current_time() == began


async def test_a_fin_and_data_in_one_segment(autojump_clock: MockClock) -> None:
    async with played() as (stack, peer):
        listener = await stack.open_tcp_listener(80)
        answer = await peer.establish()
        stream = await listener.accept()
        peer.send(Segment(1, answer.seq + 1, PSH | FIN | ACK, 65535, data=b"all there is"))
        assert await stream.receive_some() == b"all there is"
        assert await stream.receive_some() == b""
