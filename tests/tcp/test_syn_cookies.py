"""What a flood of SYNs cannot do to a listener (RFC 4987), and what SYN cookies cost (3.6)."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from tests.tcp.builders import CONFIG, delivered, host
from tests.tcp.pairs import CLIENT, Pair, Path
from usertcp.tcp import syn_cookies
from usertcp.tcp.config import Config
from usertcp.tcp.congestion.delivery import Delivery
from usertcp.tcp.congestion.reno import Reno
from usertcp.tcp.connection import Connection
from usertcp.tcp.endpoint import Endpoint
from usertcp.tcp.listener import Listener
from usertcp.tcp.options import Options
from usertcp.tcp.segment import ACK, AE, CWR, ECE, FIN, RST, SYN, Flow, Segment
from usertcp.tcp.sequence import unwrap, wrap
from usertcp.tcp.state import State

ALWAYS = replace(CONFIG, half_open_limit=0)
"""Every SYN gets a cookie."""
RICH = Options(mss=1400, window_scale=7, sack_permitted=True, timestamps=(5000, 0))
FLOW = Flow("192.0.2.1", 80, "192.0.2.2", 1000)


def caller(port: int) -> Flow:
    return FLOW._replace(remote_port=port)


def serving(config: Config = ALWAYS, backlog: int = 10) -> tuple[Endpoint, Listener]:
    endpoint = host(config=config)
    return endpoint, endpoint.listen("", 80, backlog)


def syn(irs: int, options: Options = RICH, flags: int = SYN, data: bytes = b"") -> Segment:
    return Segment(irs, 0, flags, 5000, options, data)


def ack(irs: int, syn_ack: Segment, data: bytes = b"") -> Segment:
    stamps = syn_ack.options.timestamps
    options = Options(timestamps=None if stamps is None else (5001, stamps[0]))
    return Segment(wrap(irs + 1), wrap(syn_ack.seq + 1), ACK, 5000, options, data)


def accepted(irs: int, seg: Segment, config: Config = ALWAYS, now: float = 1000.0) -> tuple[Connection, Segment]:
    """A connection that a cookie has made, and the SYN,ACK."""
    endpoint, listener = serving(config)
    (syn_ack,) = delivered(endpoint, seg, FLOW, now)
    assert (syn_ack.flags & ~ECE, endpoint.connections) == (SYN | ACK, {})
    assert delivered(endpoint, ack(irs, syn_ack), FLOW, now + 0.5) == []
    conn = listener.accept()
    assert conn is not None
    assert endpoint.connections == {FLOW: conn}
    return conn, syn_ack


# Two limits


@pytest.mark.rfc("4987", "3.3")
def test_a_flood_of_syns_holds_no_more_than_the_limit_and_leaves_the_backlog_alone(irs: int) -> None:
    endpoint, listener = serving(replace(CONFIG, half_open_limit=10), backlog=1)
    for port in range(1000, 3000):
        assert len(delivered(endpoint, syn(irs), caller(port))) == 1
    assert len(endpoint.connections) == 10
    assert listener.status().half_open == 10
    assert listener.status().counters == {"SYN cookies sent": 1990}
    (syn_ack,) = delivered(endpoint, syn(irs), caller(5000))
    delivered(endpoint, ack(irs, syn_ack), caller(5000))
    assert listener.status().waiting == 1


@pytest.mark.rfc("4987", "3.3")
def test_without_cookies_syns_beyond_the_limit_are_dropped(irs: int) -> None:
    endpoint, listener = serving(replace(CONFIG, half_open_limit=10, syn_cookies=False))
    answers = [delivered(endpoint, syn(irs), caller(port)) for port in range(1000, 1020)]
    assert [len(answer) for answer in answers] == [1] * 10 + [0] * 10
    reason = "ignored: too many half-open connections"
    assert listener.status().counters == {reason: 10}
    assert endpoint.counters[reason] == 10


@pytest.mark.rfc("4987", "3.4")
@pytest.mark.parametrize(("limit", "last"), [(0, 1.0), (2, 7.0), (5, 63.0)])
def test_a_syn_ack_is_repeated_so_often_and_then_forgotten_without_a_reset(irs: int, limit: int, last: float) -> None:
    endpoint, listener = serving(replace(CONFIG, syn_ack_retransmissions=limit))
    delivered(endpoint, syn(irs), FLOW)
    sent: list[Segment] = []
    now = 0.0
    while endpoint.connections:
        now = endpoint.deadline
        endpoint.timeouts(now)
        sent += [seg for _, seg in endpoint.output(now)]
    assert ([seg.flags for seg in sent], now) == ([SYN | ACK] * limit, last)
    assert listener.status().counters == {"half-open connections lost": 1}


def test_while_the_backlog_is_full_there_are_no_cookies_and_none_is_taken(irs: int) -> None:
    endpoint, listener = serving(backlog=1)
    (first,), (second,) = (delivered(endpoint, syn(irs), caller(port)) for port in (1000, 1001))
    delivered(endpoint, ack(irs, first), caller(1000))
    assert delivered(endpoint, ack(irs, second), caller(1001)) == []
    assert delivered(endpoint, syn(irs), caller(1002)) == []
    assert listener.accept() is not None
    delivered(endpoint, ack(irs, second), caller(1001))
    assert listener.accept() is not None


# Cookies


@pytest.mark.rfc("4987", "3.6")
def test_nothing_is_kept_and_the_connection_is_made_of_the_ack(irs: int) -> None:
    conn, syn_ack = accepted(irs, syn(irs))
    status = conn.status(1000.5)
    assert (status.state, status.passive) == (State.ESTABLISHED, True)
    assert (status.iss, status.irs, status.rcv_nxt) == (syn_ack.seq, irs, wrap(irs + 1))
    assert (status.snd_una, status.snd_nxt) == (wrap(syn_ack.seq + 1),) * 2
    assert status.timers == {}


@pytest.mark.rfc("4987", "3.6")
@pytest.mark.parametrize("scale", [None, 0, 7, 14, 15])
@pytest.mark.parametrize("sack", [False, True])
@pytest.mark.parametrize("ecn", [False, True])
def test_timestamps_keep_the_options(irs: int, scale: int | None, sack: bool, ecn: bool) -> None:
    options = replace(RICH, window_scale=scale, sack_permitted=sack)
    conn, syn_ack = accepted(irs, syn(irs, options, SYN | (ECE | CWR if ecn else 0)))
    status = conn.status(1000.5)
    assert status.timestamps
    assert (status.sack_permitted, status.ecn, bool(syn_ack.flags & ECE)) == (sack, ecn, ecn)
    assert (syn_ack.options.sack_permitted, syn_ack.options.window_scale is not None) == (sack, scale is not None)
    assert (status.snd_scale, status.snd_wnd) == (min(scale or 0, 14), 5000 << min(scale or 0, 14))


@pytest.mark.rfc("9768", "3.1.2")
def test_who_asks_for_accurate_ecn_gets_the_classic_one(irs: int) -> None:
    conn, syn_ack = accepted(irs, syn(irs, flags=SYN | AE | ECE | CWR))
    assert (syn_ack.flags, conn.status(1000.5).ecn) == (SYN | ACK | ECE, True)


@pytest.mark.rfc("4987", "3.6")
@pytest.mark.parametrize(
    ("config", "given"), [(ALWAYS, replace(RICH, timestamps=None)), (replace(ALWAYS, timestamps=False), RICH)]
)
def test_without_timestamps_the_options_are_given_up_on_both_sides(irs: int, config: Config, given: Options) -> None:
    conn, syn_ack = accepted(irs, syn(irs, given, SYN | ECE | CWR), config)
    offered = syn_ack.options
    assert (offered.window_scale, offered.sack_permitted, offered.timestamps) == (None, False, None)
    assert not syn_ack.flags & ECE
    status = conn.status(1000.5)
    assert (status.timestamps, status.sack_permitted, status.ecn, status.snd_wnd) == (False, False, False, 5000)


@pytest.mark.rfc("4987", "A")
@pytest.mark.parametrize(("asked", "heeded"), [(None, 536), (1, 64), (535, 64), (536, 536), (1399, 1300), (9999, 8940)])
def test_of_the_mss_the_largest_that_a_cookie_can_name_is_kept(irs: int, asked: int | None, heeded: int) -> None:
    conn, _ = accepted(irs, syn(irs, Options(mss=asked)))
    assert conn.status(1000.5).snd_mss == min(heeded, 1000)  # our own link takes no more


@pytest.mark.rfc("7323", "5.4")
@pytest.mark.parametrize("now", [1000.0, 1000.001, 1000.063, 1000.064, 1e6 + 0.031])
def test_tsval_is_late_by_less_than_64_ms_and_never_early(irs: int, now: float) -> None:
    plain, _ = serving(CONFIG)
    ((_, honest),) = (plain.segment_arrives(FLOW, syn(irs), now), plain.output(now))[1]
    for scale in range(15):
        _, syn_ack = accepted(irs, syn(irs, replace(RICH, window_scale=scale)), now=now)
        assert honest.options.timestamps is not None
        assert syn_ack.options.timestamps is not None
        assert 0 <= wrap(honest.options.timestamps[0] - syn_ack.options.timestamps[0]) < 64


@pytest.mark.rfc("6298", "3")
def test_a_handshake_that_nobody_has_timed_gives_no_rtt(irs: int) -> None:
    conn, _ = accepted(irs, syn(irs))
    assert (conn.status(1000.5).srtt, conn.status(1000.5).rto) == (None, 1.0)
    told: list[float | None] = []

    class Listening(Reno):
        def on_delivery(self, delivery: Delivery, flight_size: int, now: float) -> None:
            told.append(delivery.rtt)

    accepted(irs, syn(irs), replace(ALWAYS, congestion=Listening))
    assert set(told) == {None}


@pytest.mark.rfc("4987", "3.6")
def test_what_comes_with_the_syn_is_lost_and_what_comes_with_the_ack_is_read(irs: int) -> None:
    endpoint, listener = serving()
    (syn_ack,) = delivered(endpoint, syn(irs, data=b"text", flags=SYN | FIN), FLOW)
    assert syn_ack.ack == wrap(irs + 1)
    delivered(endpoint, ack(irs, syn_ack, b"text"), FLOW)
    conn = listener.accept()
    assert conn is not None
    assert conn.receive(100, 0.0) == b"text"


@pytest.mark.rfc("4987", "A")
def test_a_cookie_is_good_for_one_period_at_least_and_for_two_at_most(irs: int) -> None:
    for sent in (0.0, 63.9):
        for later, good in ((64.0, True), (129.0, False)):
            endpoint, listener = serving()
            (syn_ack,) = delivered(endpoint, syn(irs), FLOW, sent)
            delivered(endpoint, syn(irs), caller(7), sent + later - 1.0)  # so that cookies are still looked at
            answers = delivered(endpoint, ack(irs, syn_ack), FLOW, sent + later)
            assert (listener.accept() is not None, len(answers)) == (good, not good)


@pytest.mark.rfc("4987", "A")
def test_a_forged_ack_is_answered_by_a_reset_and_counted(irs: int) -> None:
    endpoint, listener = serving()
    (syn_ack,) = delivered(endpoint, syn(irs), FLOW)
    good = ack(irs, syn_ack)
    elsewhere = FLOW._replace(remote="192.0.2.3")
    for flow, seg in (
        (caller(1001), good),
        (elsewhere, good),
        (FLOW, replace(good, ack=wrap(good.ack + 8))),
        (FLOW, replace(good, ack=wrap(good.ack ^ 1 << 31))),
        (FLOW, replace(good, seq=wrap(good.seq + 8))),
    ):
        (rst,) = delivered(endpoint, seg, flow)
        assert (rst.flags, rst.seq) == (RST, seg.ack)
    assert endpoint.connections == {}
    assert listener.status().counters == {"SYN cookies sent": 1, "SYN cookies refused": 5}


@pytest.mark.rfc("4987", "3.6")
@pytest.mark.parametrize("flags", [ACK, FIN | ACK])
@pytest.mark.parametrize("text", [b"1", b"12", b"123", b"1234567", b"12345678"])
def test_what_overtakes_the_ack_does_not_end_the_connection(irs: int, flags: int, text: bytes) -> None:
    """Nor does it begin one that would lack the first text, however little that is."""
    endpoint, listener = serving()
    (syn_ack,) = delivered(endpoint, syn(irs), FLOW)
    first = ack(irs, syn_ack, text)
    second = replace(first, seq=wrap(irs + 1 + len(text)), flags=flags, data=b"" if flags & FIN else b"second")
    assert delivered(endpoint, second, FLOW) == []
    delivered(endpoint, first, FLOW)
    conn = listener.accept()
    assert conn is not None
    assert conn.receive(100, 0.0) == text


@pytest.mark.rfc("4987", "A")
def test_twenty_thousand_guesses_are_not_enough(irs: int) -> None:
    """One in 2**28 is good. Were it one in 2**12, this would find five."""
    random = Random(1)
    secret = bytes(32)
    guesses = (Segment(wrap(irs + 1), random.getrandbits(32), ACK) for _ in range(20_000))
    flows = (caller(1 + n % 65535) for n in range(20_000))
    assert not any(syn_cookies.syn(secret, flow, guess, 1000.0) for flow, guess in zip(flows, guesses, strict=True))


def test_where_no_cookie_was_sent_lately_none_is_looked_for(irs: int) -> None:
    """Even a good one: it takes a flood to be guessed at."""
    sender, _ = serving()
    (syn_ack,) = delivered(sender, syn(irs), FLOW)
    endpoint, listener = serving(CONFIG)
    (rst,) = delivered(endpoint, ack(irs, syn_ack), FLOW)
    assert rst.flags == RST
    assert listener.status().counters == {}


@pytest.mark.rfc("9293", "3.4.1", "MUST-8")
def test_cookies_grow_with_the_peers_number_and_with_time(irs: int) -> None:
    endpoint, _ = serving()
    (first,) = delivered(endpoint, syn(irs), FLOW, 10.0)
    (same,) = delivered(endpoint, syn(irs), FLOW, 11.0)
    (next_call,) = delivered(endpoint, syn(wrap(irs + 100_000)), FLOW, 12.0)
    (later,) = delivered(endpoint, syn(irs), FLOW, 10.0 + 2 * syn_cookies.PERIOD)
    assert same.seq == first.seq
    assert abs(wrap(next_call.seq - first.seq) - 100_000) < 2**16
    assert unwrap(later.seq, first.seq) > first.seq


@pytest.mark.parametrize("stamps", [True, False])
@pytest.mark.parametrize("seed", range(5))
def test_two_ends_exchange_text_over_a_bad_path_after_a_cookie(seed: int, stamps: bool) -> None:
    config = replace(ALWAYS, timestamps=stamps, receive_buffer=200_000)
    random = Random(seed)
    pair = Pair(
        Config(timestamps=stamps),
        config,
        out=Path(random, jitter=0.01, loss=0.05, duplication=0.05),
        back=Path(random, jitter=0.01, loss=0.05, duplication=0.05),
    )
    listener = pair.server.listen("", 80)
    client = pair.client.open(CLIENT, pair.now)
    client.send(bytes(50_000), pair.now)
    pair.client.touch(client)
    servers: list[Connection] = []
    read = bytearray()

    def all_read() -> bool:
        if (conn := listener.accept()) is not None:
            servers.append(conn)
        if servers:
            read.extend(servers[0].receive(100_000, pair.now))
            pair.server.touch(servers[0])
        return len(read) == 50_000

    pair.run(all_read)
    assert listener.status().counters["SYN cookies returned"] == len(servers) == 1
