"""Two endpoints, a bad path between them, and users who write, read and close as they like: every octet arrives, in
order and once, and both ends come to rest in CLOSED."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import cycle
from random import Random

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.tcp.pairs import CLIENT, SERVER, Pair, Path, connected, moment_of
from usertcp.tcp.config import Config
from usertcp.tcp.connection import Connection
from usertcp.tcp.endpoint import Endpoint
from usertcp.tcp.segment import SYN, Flow, Segment
from usertcp.tcp.state import State

PATIENT = Config(r2=1e6, r2_syn=1e6, syn_ack_retransmissions=1000, rto_min=0.2, rto_max=4.0)
"""No path is bad enough to give up; the rest is the default."""


@dataclass
class Habits:
    """How a user behaves."""

    octets: int
    """How many to send in all."""
    writes: list[int]
    """Sizes of the SENDs, over and over."""
    reads: list[int]
    """Sizes of the RECEIVEs; 0 is a pause."""
    closes_first: bool
    """Close when all is sent, or wait for the peer's end."""


class User:
    """Acts, and acts again after a pause."""

    def __init__(
        self, pair: Pair, endpoint: Endpoint, conn: Connection, habits: Habits, *, seed: int, pause: float
    ) -> None:
        self.pair, self.endpoint, self.conn, self.habits, self.pause = pair, endpoint, conn, habits, pause
        self.text = Random(seed).randbytes(habits.octets)
        self.sent = 0
        self.received = bytearray()
        self.closed = False
        self._writes, self._reads = cycle(habits.writes), cycle(habits.reads)
        self.wake()

    def wake(self) -> None:
        self.act()
        self.endpoint.touch(self.conn)
        if not (self.closed and self.conn.at_eof):
            self.pair.at(self.pair.now + self.pause, self.wake)

    def act(self) -> None:
        now, conn = self.pair.now, self.conn
        if conn.readable:
            self.received += conn.receive(next(self._reads), now)
        if self.sent < len(self.text):
            chunk = self.text[self.sent : self.sent + next(self._writes)]
            self.sent += conn.send(chunk, now)
        elif not self.closed and (self.habits.closes_first or conn.at_eof):
            conn.close(now)
            self.closed = True


def bounded(conn: Connection, config: Config, now: float) -> None:
    """Memory stays within what the config allows, and the variables in their order."""
    status = conn.status(now)
    assert status.unread + status.out_of_order <= config.receive_buffer + (1 << status.rcv_scale)
    assert status.unsent <= config.send_buffer
    assert (status.snd_nxt - status.snd_una) % 2**32 <= config.send_buffer + 2


habits = st.builds(
    Habits,
    octets=st.integers(0, 3000),
    writes=st.lists(st.sampled_from([3, 50, 700, 5000]), min_size=1, max_size=4),
    reads=st.lists(st.sampled_from([0, 3, 50, 700, 5000]), min_size=1, max_size=4).filter(any),
    closes_first=st.booleans(),
)
configs = st.builds(
    replace,
    st.just(PATIENT),
    nagle=st.booleans(),
    timestamps=st.booleans(),
    sack=st.booleans(),
    window_scaling=st.booleans(),
    delayed_ack=st.sampled_from([0.0, 0.04]),
    receive_buffer=st.sampled_from([1, 50, 700, 3000, 70_000, 1 << 20]),
    send_buffer=st.sampled_from([1, 100, 3000, 1 << 20]),
    mss=st.sampled_from([None, 64, 100, 536]),
    congestion=st.sampled_from(["reno", "cubic", "bbr", "fixed"]),
    cwnd_validation=st.booleans(),
    pacing=st.booleans(),
)
paths = st.builds(
    Path,
    random=st.integers(0, 2**32).map(Random),
    delay=st.sampled_from([0.0, 0.01, 0.3]),
    jitter=st.sampled_from([0.0, 0.005, 0.1]),
    loss=st.sampled_from([0.0, 0.02, 0.2]),
    duplication=st.sampled_from([0.0, 0.1]),
)


def converse(pair: Pair, users: list[User], configs: list[Config]) -> None:
    """To the end of both connections."""

    def over() -> bool:
        for user, config in zip(users, configs, strict=True):
            bounded(user.conn, config, pair.now)
        return all(user.conn.state is State.CLOSED and user.conn.at_eof for user in users)

    pair.run(over, steps=60_000)
    for here, there in (users, users[::-1]):
        assert bytes(here.received) == there.text
        assert here.conn.error is None
    assert not pair.client.connections
    assert not pair.server.connections


@dataclass
class Conversation:
    """Two users with their habits, each with a config, the path between them, and the client's initial number."""

    client: Config
    server: Config
    out: Path
    back: Path
    here: Habits
    there: Habits
    pause: float
    iss: int

    def run(self) -> None:
        """Have it, to the end."""
        client, server, here, there = self.client, self.server, self.here, self.there
        if not (here.closes_first or there.closes_first):
            here = replace(here, closes_first=True)
        here = replace(here, octets=min(here.octets, 40 * min(client.send_buffer, server.receive_buffer)))
        there = replace(there, octets=min(there.octets, 40 * min(server.send_buffer, client.receive_buffer)))
        pair, conn, child = connected(client, server, out=self.out, back=self.back, now=moment_of(self.iss))
        users = [
            User(pair, pair.client, conn, here, seed=1, pause=self.pause),
            User(pair, pair.server, child, there, seed=2, pause=self.pause),
        ]
        converse(pair, users, [client, server])


conversations = st.builds(
    Conversation,
    configs,
    configs,
    paths,
    paths,
    habits,
    habits,
    st.sampled_from([0.01, 0.1, 0.5]),
    st.sampled_from([0, 2**32 - 2, 2**32 - 1000]),
)


@pytest.mark.rfc("9293", "3.8.2", "MUST-19")
@pytest.mark.rfc("9293", "3.10.7.4", "SHLD-31")
@settings(
    max_examples=60,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(conversations)
def test_every_octet_arrives_in_order_and_once_and_both_ends_close(conversation: Conversation) -> None:
    conversation.run()


@pytest.mark.rfc("9293", "3.5", "MUST-10")
@settings(
    max_examples=15,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(configs, configs, paths, paths, st.floats(0, 0.02))
def test_two_that_open_toward_each_other_make_one_connection(
    client: Config, server: Config, out: Path, back: Path, later: float
) -> None:
    pair = Pair(client, server, out=out, back=back)
    conns = [pair.client.open(CLIENT, pair.now)]
    out.delay = back.delay = 0.05
    pair.at(pair.now + later, lambda: conns.append(pair.server.open(SERVER, pair.now)))
    pair.run(lambda: len(conns) == 2 and all(conn.state is State.ESTABLISHED for conn in conns))
    same = Habits(40, [500], [1000], closes_first=True)
    users = [
        User(pair, pair.client, conns[0], same, seed=1, pause=0.1),
        User(pair, pair.server, conns[1], same, seed=2, pause=0.1),
    ]
    converse(pair, users, [client, server])


def clients_text(flow: Flow, seg: Segment) -> bool:
    return flow == CLIENT and bool(seg.data)


@settings(max_examples=30, deadline=None)
@given(
    window=st.integers(1000, 20_000),
    config=st.builds(
        replace, st.just(PATIENT), timestamps=st.booleans(), sack=st.booleans(), mss=st.integers(64, 1460)
    ),
)
def test_whose_own_text_never_arrives_may_hear_the_others_all_the_same(window: int, config: Config) -> None:
    """It has filled the other one's window, so its acknowledgments name the right edge as SEQ."""
    config = replace(config, receive_buffer=window)
    pair, client, server = connected(config, config)
    pair.loses = clients_text
    began, sent, got = pair.now, 0, 0

    def all_is_there() -> bool:
        nonlocal sent, got
        client.send(bytes(100), pair.now)
        sent += server.send(bytes(min(50_000 - sent, 10_000)), pair.now)
        if client.readable:
            got += len(client.receive(100_000, pair.now))
        pair.client.touch(client)
        pair.server.touch(server)
        return got == 50_000

    pair.run(all_is_there)
    assert pair.now - began < 60


def test_a_listener_hears_the_handshakes_end_from_a_client_that_has_filled_its_window() -> None:
    """The ACK that ends the handshake is lost, and all text. What answers the SYN,ACK that comes again names the right
    edge."""
    config = replace(PATIENT, receive_buffer=3000)
    pair = Pair(config, config)
    listener = pair.server.listen("", 80)
    client = pair.client.open(CLIENT, pair.now)
    first = pair.now + 0.5

    def loses(flow: Flow, seg: Segment) -> bool:
        return clients_text(flow, seg) or (flow == CLIENT and not seg.flags & SYN and pair.now < first)

    pair.loses = loses
    pair.run(lambda: client.state is State.ESTABLISHED)
    client.send(bytes(10_000), pair.now)
    pair.client.touch(client)
    pair.run(lambda: pair.now > first + 1)
    assert client.status(pair.now).flight_size == 3000
    assert listener.accept() is not None
