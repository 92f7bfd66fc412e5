"""What all connections of a stack hold together is bounded (`usertcp.tcp.memory`). The test plays all the peers."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from tests.tcp.builders import CONFIG, MSS, host
from tests.tcp.pairs import Path, connected
from usertcp.tcp.config import Config
from usertcp.tcp.connection import Connection
from usertcp.tcp.endpoint import Endpoint
from usertcp.tcp.listener import Listener
from usertcp.tcp.options import Options
from usertcp.tcp.segment import ACK, FIN, RST, SYN, Flow, Segment

IRS = 2**32 - 2000
"""The peers' initial number: what they send wraps."""
WIDE = replace(CONFIG, receive_buffer=60_000, send_buffer=60_000, backlog=100_000)


class Hosts:
    """A listening endpoint, and as many peers as a test wants."""

    def __init__(self, config: Config) -> None:
        self.endpoint: Endpoint = host(config=config)
        self.listener: Listener = self.endpoint.listen("", 80)
        self.sent: list[Segment] = []
        """By us, because of the last event."""

    def connect(self, n: int) -> Peer:
        flow = Flow("192.0.2.1", 80, f"198.51.{n // 200}.{n % 200 + 1}", 4000)
        self.arrives(flow, Segment(IRS, 0, SYN, 65535, Options(mss=MSS)))
        peer = Peer(self, flow, (self.sent[0].seq + 1) % 2**32)
        peer.says(0)
        conn = self.listener.accept()
        assert conn is not None
        peer.conn = conn
        return peer

    def arrives(self, flow: Flow, seg: Segment) -> None:
        self.endpoint.segment_arrives(flow, seg, 0.0)
        self.settle()

    def settle(self) -> None:
        self.sent = [seg for _, seg in self.endpoint.output(0.0)]

    @property
    def used(self) -> int:
        return self.endpoint.memory.used


class Peer:
    conn: Connection

    def __init__(self, hosts: Hosts, flow: Flow, ack: int) -> None:
        self.hosts, self.flow, self.ack = hosts, flow, ack

    def says(self, begin: int, data: bytes = b"", *, ack: int = 0, flags: int = ACK) -> None:
        """Text, its first octet counted from 0, and what it acknowledges of ours."""
        self.hosts.arrives(
            self.flow, Segment((IRS + 1 + begin) % 2**32, (self.ack + ack) % 2**32, flags, 65535, data=data)
        )

    def reads(self, octets: int = 1 << 20) -> bytes:
        data = self.conn.receive(octets, 0.0)
        self.done()
        return data

    def writes(self, data: bytes) -> int:
        taken = self.conn.send(data, 0.0)
        self.done()
        return taken

    def done(self) -> None:
        self.hosts.endpoint.touch(self.conn)
        self.hosts.settle()

    @property
    def out_of_order(self) -> int:
        return self.conn.status(0.0).out_of_order

    def fills(self, octets: int) -> None:
        for begin in range(0, octets, MSS):
            self.says(begin, bytes(MSS))


def test_thousands_of_connections_with_text_beyond_holes() -> None:
    hosts = Hosts(replace(WIDE, memory=1_000_000))
    peers = [hosts.connect(n) for n in range(3000)]
    for peer in peers:
        peer.says(MSS, bytes(MSS))  # with its hole, two segments' worth
        assert hosts.used <= 1_000_000
    assert {peer.out_of_order for peer in peers[:2500]} == {0}, "the oldest have gone"
    assert {peer.out_of_order for peer in peers[2500:]} == {MSS}
    assert hosts.endpoint.counters["out-of-order octets discarded, memory being short"] >= 2500 * MSS
    peers[0].says(0, b"a" * MSS)
    peers[0].says(MSS, b"b" * MSS)
    assert peers[0].reads() == b"a" * MSS + b"b" * MSS


@pytest.mark.rfc("2018", "8")
def test_what_was_discarded_is_not_reported_and_may_come_again() -> None:
    hosts = Hosts(replace(WIDE, memory=10_000))
    first, second = hosts.connect(1), hosts.connect(2)
    first.says(2000, b"c" * MSS)
    first.says(4001, b"", flags=ACK | FIN)
    second.says(8 * MSS, bytes(MSS))
    assert (first.out_of_order, second.out_of_order) == (0, MSS)
    assert first.conn.status(0.0).counters["out-of-order octets discarded, memory being short"] >= MSS
    first.says(0, b"a" * MSS)
    assert [(seg.ack - IRS - 1) % 2**32 for seg in hosts.sent] == [MSS]
    for begin, letter in (1000, b"b"), (2000, b"c"), (3000, b"d"):
        first.says(begin, letter * MSS)
    first.says(4000, b"e")
    assert first.reads() == b"a" * MSS + b"b" * MSS + b"c" * MSS + b"d" * MSS + b"e"
    assert first.conn.at_eof, "the FIN behind it was remembered"


def test_short_of_memory_a_window_of_four_segments_is_offered_when_the_old_one_is_used_up() -> None:
    hosts = Hosts(replace(WIDE, memory=100_000))
    idle, busy = hosts.connect(1), hosts.connect(2)
    idle.fills(52_000)
    assert hosts.endpoint.memory.short
    edge, offered = 60_000, set()
    for begin in range(0, 120_000, MSS):
        busy.says(begin, bytes(MSS))
        [ack] = hosts.sent
        here = begin + MSS + ack.wnd
        assert here >= edge, "the right edge moved left"
        edge = here
        offered.add(ack.wnd)
        busy.reads()
    assert min(offered) == 3 * MSS, "one of four is unread"
    assert max(offered) < 60_000
    idle.reads()
    assert not hosts.endpoint.memory.short
    busy.says(120_000, bytes(MSS))
    assert hosts.sent[0].wnd >= 59_000


def test_all_used_up_text_is_taken_in_order_only_and_by_those_who_hold_little() -> None:
    hosts = Hosts(replace(WIDE, memory=60_000))
    idle, little = hosts.connect(1), hosts.connect(2)
    idle.fills(60_000)
    assert hosts.used == 60_000
    little.says(MSS, bytes(MSS))
    assert little.out_of_order == 0
    for begin in range(0, 10 * MSS, MSS):
        little.says(begin, bytes(MSS))
    assert little.conn.status(0.0).unread == 4 * MSS
    assert little.conn.status(0.0).counters["discarded: the stack has no memory for it"] == 7
    assert len(little.reads()) == 4 * MSS
    little.says(4 * MSS, bytes(MSS))
    assert len(little.reads()) == MSS


def test_short_of_memory_send_takes_four_segments_at_a_time() -> None:
    hosts = Hosts(replace(WIDE, memory=100_000))
    idle, writer = hosts.connect(1), hosts.connect(2)
    idle.fills(52_000)
    assert writer.writes(bytes(60_000)) == 4 * MSS
    assert not writer.conn.writable
    writer.says(0, ack=MSS)
    assert writer.conn.writable
    assert writer.writes(bytes(60_000)) == MSS
    idle.reads()
    assert writer.writes(bytes(60_000)) == 56_000


@pytest.mark.parametrize("end", ["reset", "abort"])
def test_a_connection_that_has_ended_gives_everything_back(end: str) -> None:
    hosts = Hosts(replace(WIDE, memory=100_000))
    peer = hosts.connect(1)
    peer.says(0, bytes(MSS))
    peer.says(2 * MSS, bytes(MSS))
    peer.writes(bytes(500))
    assert hosts.used == 3 * MSS + 500
    if end == "reset":
        peer.says(MSS, flags=RST)
    else:
        peer.conn.abort(0.0)
        peer.done()
    assert hosts.used == 0


def test_every_octet_arrives_however_little_memory_there_is() -> None:
    """Two ends that discard what they have reported in SACK blocks, and a path that loses."""
    config = Config(memory=30_000, nagle=False, rto_min=0.2, r2=1e6)
    out, back = (Path(random=Random(seed), loss=0.02) for seed in (1, 2))
    pair, client, server = connected(config, config, out=out, back=back)
    text = Random(3).randbytes(400_000)
    sent, got = 0, b""
    while len(got) < len(text):
        sent += client.send(text[sent : sent + 50_000], pair.now)
        got += server.receive(1 << 20, pair.now)
        pair.client.touch(client)
        pair.server.touch(server)
        pair.settle()
        if len(got) < len(text):
            pair.step()
    assert got == text
    assert pair.server.counters["memory became short"] > 0
