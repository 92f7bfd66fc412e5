"""Settings of one connection: at its opening, and changed while it lives."""

from __future__ import annotations

from dataclasses import replace

import pytest
import trio
from scapy.layers.inet import IP
from scapy.layers.inet6 import IPv6
from trio.testing import MockClock

from usertcp import Config, ConnectionRefused, ConnectionTimedOut, KeepAlive, State
from usertcp.link.path import Path
from usertcp.tcp.events import PacketOut, TraceRecord
from usertcp.testing import open_network, open_stream_pair

KEEP = KeepAlive(idle=60.0, interval=5.0, count=4)


@pytest.mark.rfc("9293", "3.8.4", "MUST-24")
async def test_keep_alives_are_switched_for_one_connection(autojump_clock: MockClock) -> None:
    async with open_network() as network, await network.b.open_tcp_listener(7) as listener:
        kept = await network.a.open_tcp_stream(network.address_b, 7, config=Config(keepalive=KEEP))
        switched = await network.a.open_tcp_stream(network.address_b, 7)
        other = await network.a.open_tcp_stream(network.address_b, 7)
        peers = [await listener.accept() for _ in range(3)]
        switched.configure(replace(switched.config, keepalive=KEEP))
        await trio.sleep(601)
        sent = [stream.status().counters.get("keep-alives out", 0) for stream in (kept, switched, other)]
        assert sent == [10, 10, 0]
        switched.configure(replace(switched.config, keepalive=None))
        await trio.sleep(600)
        assert switched.status().counters["keep-alives out"] == 10
        assert all(peer.state is State.ESTABLISHED for peer in peers)


@pytest.mark.rfc("9293", "3.8.4", "MUST-29")
async def test_who_waits_for_a_peer_that_is_gone_learns_it_from_keep_alives(autojump_clock: MockClock) -> None:
    async with open_network(config=Config(keepalive=KEEP), config_b=Config()) as network:
        stream, _ = await open_stream_pair(network)
        network.link_a.path = Path(loss=1)
        begin = trio.current_time()
        with pytest.raises(trio.BrokenResourceError, match="keep-alives") as failure:
            await stream.receive_some()
        assert trio.current_time() - begin == pytest.approx(60 + 4 * 5)
        assert isinstance(failure.value.__cause__, ConnectionTimedOut)


def marks(trace: list[TraceRecord]) -> list[tuple[int, int]]:
    """DSCP and time to live, or hop limit, of each packet that was sent since the last time this was asked."""
    packets = [record.packet for record in trace if isinstance(record, PacketOut)]
    trace.clear()
    read = [IP(packet) if packet[0] >> 4 == 4 else IPv6(packet) for packet in packets]
    return [(p.tos >> 2, p.ttl) if IP in p else (p.tc >> 2, p.hlim) for p in read]


@pytest.mark.rfc("9293", "3.9.1.9", "MUST-48")
@pytest.mark.rfc("9293", "3.9.2", "MUST-49")
@pytest.mark.parametrize("host", ["192.0.2.2", "2001:db8::2"])
async def test_dscp_and_ttl_are_those_of_the_connection_from_its_syn_on(host: str, autojump_clock: MockClock) -> None:
    trace: list[TraceRecord] = []
    answers: list[TraceRecord] = []
    async with open_network(tracer=trace.append, tracer_b=answers.append) as network:
        await network.b.open_tcp_listener(7, config=Config(dscp=8, ttl=255))
        stream = await network.a.open_tcp_stream(host, 7, config=Config(dscp=46, ttl=3))
        await stream.send_all(b"text")
        stream.abort()
        assert set(marks(trace)) == {(46, 3)}
        await network.a.open_tcp_stream(host, 7)
        assert set(marks(trace)) == {(0, 64)}
        assert set(marks(answers)) == {(8, 255)}


@pytest.mark.rfc("9293", "3.9.1.9", "MUST-48")
@pytest.mark.rfc("9293", "3.9.2", "MUST-49")
async def test_a_reset_that_belongs_to_no_connection_has_those_of_the_stack(autojump_clock: MockClock) -> None:
    answers: list[TraceRecord] = []
    async with open_network(config_b=Config(dscp=8, ttl=255), tracer_b=answers.append) as network:
        with pytest.raises(ConnectionRefused):
            await network.a.open_tcp_stream(network.address_b, 7)
        assert marks(answers) == [(8, 255)]


@pytest.mark.rfc("9293", "3.9.1.9", "SHLD-21")
@pytest.mark.rfc("9293", "3.9.1.9", "MAY-9")
async def test_dscp_and_ttl_may_change_and_the_peer_can_see_it(autojump_clock: MockClock) -> None:
    trace: list[TraceRecord] = []
    async with open_network(tracer=trace.append) as network:
        stream, peer = await open_stream_pair(network)
        assert peer.status().rcv_dscp == 0
        stream.configure(replace(stream.config, dscp=10, ttl=9))
        trace.clear()
        await stream.send_all(b"text")
        assert await peer.receive_some() == b"text"
        assert marks(trace) == [(10, 9)]
        assert peer.status().rcv_dscp == 10


@pytest.mark.parametrize("wrong", [{"dscp": 64}, {"dscp": -1}, {"ttl": 0}, {"ttl": 256}])
def test_what_ip_has_no_room_for_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="six bits"):
        replace(Config(), **wrong)
