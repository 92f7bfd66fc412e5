"""Any segment, in any state, at any time: no exception but those of the calls, and nothing grows without bound."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.tcp.pairs import CLIENT, SECRET, moment_of
from usertcp.errors import TcpError
from usertcp.tcp.config import Config
from usertcp.tcp.connection import Connection
from usertcp.tcp.endpoint import Endpoint
from usertcp.tcp.options import Options
from usertcp.tcp.segment import ACK, RST, SYN, Flow, Segment
from usertcp.tcp.sequence import unwrap, wrap
from usertcp.wire import IcmpError

CALLER = Flow("192.0.2.1", 80, "192.0.2.2", 50000)
"""Whoever calls our listener."""
CONFIG = Config(receive_buffer=3000, send_buffer=3000, msl=1.0, r2=20.0, r2_syn=30.0)
BURST = 64
"""Segments that may answer one event: the send buffer in segments of the smallest MSS, and a few more."""

near = st.one_of(st.integers(-3, 3), st.sampled_from([-3000, -2999, 1460, 2999, 3000, 3001, 65535, 2**31, -(2**31)]))
options = st.builds(
    Options,
    mss=st.sampled_from([None, 0, 1, 64, 1460, 65535]),
    window_scale=st.sampled_from([None, 0, 7, 14, 255]),
    sack_permitted=st.booleans(),
    timestamps=st.one_of(st.none(), st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))),
    sack=st.sampled_from([(), ((0, 2**32 - 1),), ((5, 5), (9, 1))]),
)
honest_flags = st.sampled_from([SYN, SYN | ACK, ACK, ACK, ACK, ACK | 1, ACK | 1, RST, RST | ACK])
arrivals = st.tuples(
    st.just("arrives"),
    st.one_of(honest_flags, st.integers(0, 255)),
    near,
    near,
    st.sampled_from([0, 0, 1, 100, 1460, 5000]),
    st.sampled_from([0, 0, 1, 500, 65535]),
    options,
    st.booleans(),
)
calls = st.one_of(
    st.tuples(st.sampled_from(["send", "receive"]), st.sampled_from([0, 1, 1000, 10_000])),
    st.tuples(st.sampled_from(["close", "close for good", "abort", "accept", "open", "shut the listener"])),
    st.tuples(st.just("advance"), st.sampled_from([0.0, 0.05, 1.0, 3.0, 70.0, 1e7])),
    st.tuples(
        st.just("icmp"), near, st.sampled_from([(4, 3, 3), (4, 3, 1), (4, 4, 0), (6, 1, 4), (4, 3, 4), (9, 9, 9)])
    ),
)


class Host:
    """An endpoint whose every output is held against what it promised before."""

    def __init__(self, config: Config, iss: int) -> None:
        self.now = moment_of(iss)
        self.config = config
        self.tcp = Endpoint(config, SECRET, mss=lambda remote: 1460, answers=lambda local, port: True)
        self.listener = self.tcp.listen("", 80, 2)
        self.conns: list[Connection] = []
        self.edges: dict[Connection, int] = {}
        self.open()

    def open(self) -> None:
        self.conns.append(self.tcp.open(CLIENT, self.now))

    def accept(self) -> None:
        if (conn := self.listener.accept()) is not None:
            self.conns.append(conn)

    def arrives(self, flags: int, seq: int, ack: int, octets: int, wnd: int, options: Options, passive: bool) -> None:
        """Numbers are relative to RCV.NXT and SND.NXT, where there are any."""
        flow = CALLER if passive else CLIENT
        if (conn := self.tcp.connections.get(flow)) is not None:
            status = conn.status(self.now)
            seq, ack = status.rcv_nxt + seq, status.snd_nxt + ack
        self.tcp.segment_arrives(flow, Segment(wrap(seq), wrap(ack), flags, wnd, options, bytes(octets)), self.now)

    def icmp(self, seq: int, kind: tuple[int, int, int]) -> None:
        version, type_, code = kind
        snd_una = self.conns[0].status(self.now).snd_una
        self.tcp.icmp_arrives(IcmpError("192.0.2.9", CLIENT, wrap(snd_una + seq), version, type_, code, 0), self.now)

    def advance(self, seconds: float) -> None:
        until = self.now + seconds
        for _ in range(1000):
            if self.tcp.deadline > until:
                break
            self.now = max(self.now, self.tcp.deadline)
            self.tcp.timeouts(self.now)
            self.settle()
        else:
            raise AssertionError("a timer that never stops")
        self.now = until

    def call(self, name: str, octets: int = 0) -> None:
        """On every connection we know, ended ones included."""
        for conn in self.conns:
            with suppress(TcpError):
                match name:
                    case "send":
                        conn.send(bytes(octets), self.now)
                    case "receive":
                        conn.receive(octets, self.now)
                    case "abort":
                        conn.abort(self.now)
                    case _:
                        conn.close(self.now, receive=name == "close")
            self.tcp.touch(conn)

    def settle(self) -> None:
        out = self.tcp.output(self.now)
        assert len(out) <= BURST
        assert self.tcp.output(self.now) == []
        for conn in {*self.conns, *self.tcp.connections.values()}:
            status = conn.status(self.now)
            una = unwrap(status.snd_una, status.snd_nxt)
            assert 0 <= status.snd_nxt - una <= self.config.send_buffer + 2
            assert status.unread + status.out_of_order <= self.config.receive_buffer + (1 << status.rcv_scale)
            assert status.unsent <= self.config.send_buffer
            assert status.rto <= self.config.rto_max
            assert status.cwnd > 0
            edge = status.rcv_nxt + status.rcv_wnd
            if status.irs and conn in self.edges:
                assert unwrap(edge, self.edges[conn]) >= self.edges[conn]
            if status.irs:
                self.edges[conn] = edge
        assert len(self.tcp.connections) <= 3


def play(config: Config, iss: int, script: list[tuple]) -> Host:  # type: ignore[type-arg]
    host = Host(config, iss)
    host.settle()
    for name, *arguments in script:
        match name:
            case "arrives":
                host.arrives(*arguments)
            case "icmp":
                host.icmp(*arguments)
            case "advance":
                host.advance(*arguments)
            case "accept":
                host.accept()
            case "open":
                with suppress(TcpError):
                    host.open()
            case "shut the listener":
                host.listener.close(host.now)
            case _:
                host.call(name, *arguments)
        host.settle()
    return host


configs = st.builds(
    replace,
    st.just(CONFIG),
    receive_buffer=st.sampled_from([1, 3000, 100_000]),
    delayed_ack=st.sampled_from([0.0, 0.04]),
    time_wait_ignores_rst=st.booleans(),
    fin_wait_2_timeout=st.sampled_from([None, 5.0]),
    user_timeout=st.sampled_from([None, 2.0]),
    timestamps=st.booleans(),
    nagle=st.booleans(),
)


@settings(
    max_examples=150,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(configs, st.sampled_from([0, 2**32 - 2]), st.lists(st.one_of(arrivals, arrivals, calls), max_size=40))
def test_nothing_that_arrives_breaks_anything(config: Config, iss: int, script: list[tuple]) -> None:  # type: ignore[type-arg]
    play(config, iss, script)


shaken_hands = [
    ("arrives", SYN | ACK, 7, 0, 0, 65535, Options(mss=1460, window_scale=7, sack_permitted=True), False),
    ("arrives", SYN, 7, 0, 0, 65535, Options(mss=1, timestamps=(1, 0)), True),
    ("arrives", ACK, 0, 0, 0, 65535, Options(timestamps=(2, 0)), True),
    ("accept",),
]


@settings(
    max_examples=150,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(configs, st.sampled_from([0, 2**32 - 2]), st.lists(st.one_of(arrivals, arrivals, calls), max_size=40))
def test_nor_once_hands_are_shaken(config: Config, iss: int, script: list[tuple]) -> None:  # type: ignore[type-arg]
    host = play(config, iss, [*shaken_hands, *script])
    assert host.conns


@settings(
    max_examples=60,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(configs, st.lists(st.one_of(arrivals, calls), max_size=30))
def test_a_batch_of_events_before_one_output_is_as_good(config: Config, script: list[tuple]) -> None:  # type: ignore[type-arg]
    host = Host(config, 0)
    host.settle()
    for name, *arguments in [*shaken_hands, *script]:
        if name == "arrives":
            host.arrives(*arguments)
        elif name in {"send", "receive", "close", "abort"}:
            host.call(name, *arguments)
    host.tcp.output(host.now)
