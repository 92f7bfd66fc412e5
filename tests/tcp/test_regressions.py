"""Bugs that other TCPs have shipped and that belong to no single mechanism. The others are in the mechanisms' files."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from time import perf_counter

import pytest

from tests.tcp import builders
from tests.tcp.builders import CONFIG, FLOW, MSS, Bench, delivered, established, host
from tests.tcp.pairs import Path, connected, shaken, spans
from usertcp.tcp.config import Config
from usertcp.tcp.options import Options
from usertcp.tcp.segment import ACK, FIN, RST, SYN, Flow, Segment
from usertcp.tcp.sequence import unwrap, wrap
from usertcp.tcp.state import State

# Windows and options


def test_a_window_in_syn_sent_is_never_negative(iss: int, irs: int) -> None:
    bench = builders.syn_sent(iss, irs)
    assert 0 <= bench.tcp.status(bench.now).rcv_wnd <= 65535
    bench.arrives(SYN | ACK, 0, 1, data=bytes(5000), options=Options(mss=MSS))
    assert 0 <= bench.take()[-1].wnd <= 65535


@pytest.mark.rfc("9293", "3.10.7.4", "first")
def test_the_fin_counts_when_a_segment_is_held_against_the_window(iss: int, irs: int) -> None:
    """SEG.LEN includes it: a FIN that comes again ends one octet left of the window, a FIN at its last octet in it."""
    bench = builders.close_wait(iss, irs)
    bench.arrives(FIN | ACK, 1, 1)
    assert bench.sent() == ["<SEQ=1><ACK=2><CTL=ACK>"]
    bench = established(iss, irs)
    bench.arrives(ACK, 1, 1, bytes(3999))
    bench.arrives(FIN | ACK, 4000, 1)
    assert bench.state is State.CLOSE_WAIT


def test_both_ends_with_closed_windows_get_on_when_both_read() -> None:
    config = Config(receive_buffer=1000, window_scaling=False, delayed_ack=0.0)
    pair, client, server = connected(config, config)
    text = bytes(range(250)) * 20
    for endpoint, conn in ((pair.client, client), (pair.server, server)):
        conn.send(text, pair.now)
        endpoint.touch(conn)
    pair.run_for(10.0)
    assert (client.status(pair.now).snd_wnd, server.status(pair.now).snd_wnd) == (0, 0)
    got: dict[str, bytearray] = {"client": bytearray(), "server": bytearray()}

    def read() -> bool:
        for name, endpoint, conn in (("client", pair.client, client), ("server", pair.server, server)):
            got[name] += conn.receive(100, pair.now)
            endpoint.touch(conn)
        return len(got["client"]) == len(got["server"]) == len(text)

    pair.run(read)
    assert bytes(got["client"]) == bytes(got["server"]) == text
    assert len(pair.wire) < 500


# FIN


@pytest.mark.rfc("9293", "3.10.7.4", "fifth")
def test_the_segment_that_ends_last_ack_has_its_acknowledgment_counted(iss: int, irs: int) -> None:
    bench = builders.close_wait(iss, irs)
    bench.send(b"last words")
    bench.close()
    bench.arrives(ACK, 2, 12)
    assert bench.state is State.CLOSED
    assert bench.tcp.all_acked


# RST, SYN, security


@pytest.mark.rfc("9293", "3.5.2")
def test_two_stacks_that_know_nothing_of_each_other_exchange_one_reset_at_most() -> None:
    here, there = host(), host(secret=bytes(32))
    segments = [Segment(1, 1, ACK, 1000)]
    exchanged = 0
    for _ in range(10):
        segments = [answer for seg in segments for answer in delivered(here, seg)]
        exchanged += len(segments)
        segments = [answer for seg in segments for answer in delivered(there, seg, FLOW.reversed)]
        exchanged += len(segments)
    assert exchanged == 1


@pytest.mark.rfc("5961", "7")
def test_two_confused_ends_do_not_acknowledge_each_other_for_ever(iss: int, irs: int) -> None:
    bench = established(iss, irs)
    for _ in range(1000):
        bench.arrives(ACK, 5000, 2)
    assert len(bench.take()) <= CONFIG.challenge_acks_per_second


@pytest.mark.rfc("9293", "3.4.1", "MUST-9")
def test_initial_numbers_cannot_be_told_from_those_of_other_connections() -> None:
    endpoint = host()
    first = [
        wrap(endpoint.open(Flow("192.0.2.1", port, "192.0.2.2", 80), 0.0).status(0.0).iss)
        for port in range(61000, 61100)
    ]
    gaps = {wrap(b - a) for a, b in pairwise(first)}
    assert len(gaps) == 99


# Arithmetic


@pytest.mark.rfc("9293", "3.4")
@pytest.mark.parametrize("distance", [2**31 - 1, 2**31, 2**31 + 1])
def test_at_a_distance_of_2_to_the_31_nothing_counts_as_new(iss: int, irs: int, distance: int) -> None:
    for seq, ack in ((1 + distance, 1), (1, 1 + distance)):
        bench = established(iss, irs)
        bench.arrives(ACK, seq, ack, b"text")
        assert (bench.state, bench.receive(), bench.tcp.status(bench.now).snd_una) == (
            State.ESTABLISHED,
            b"",
            wrap(iss + 1),
        )


@pytest.mark.rfc("9293", "3.4")
@pytest.mark.parametrize("start", [2**32 - 5000, 2**32 - 1, 2**31 - 2500])
def test_text_flows_over_the_wrap_in_both_directions(start: int) -> None:
    bench = shaken(start, start, replace(CONFIG, receive_buffer=60_000), wnd=60_000)
    text = bytes(n % 251 for n in range(10_000))
    for begin in range(0, len(text), MSS):
        bench.arrives(ACK, 1 + begin, 1, text[begin : begin + MSS], wnd=60_000)
    assert bench.receive() == text
    bench.take()
    bench.send(text)
    assert b"".join(seg.data for seg in bench.take()) == text
    bench.arrives(ACK, 10_001, 10_001)
    assert bench.tcp.all_acked


# Memory and time


@pytest.mark.rfc("9293", "3.10.7.4", "SHLD-31")
def test_the_out_of_order_queue_is_bounded_by_the_window(iss: int, irs: int) -> None:
    bench = established(iss, irs)
    for n in range(100):
        bench.arrives(ACK, 2 + n * MSS, 1, bytes(MSS))
    assert bench.tcp.status(bench.now).out_of_order < CONFIG.receive_buffer


def test_many_tiny_pieces_out_of_order_cost_neither_time_nor_memory() -> None:
    """CVE-2018-5390. Every second octet of a megabyte's window arrives, and then the same once more."""
    bench = shaken(0, 0, replace(CONFIG, receive_buffer=1 << 20), Options(mss=MSS, window_scale=5))
    begin = perf_counter()
    for _ in range(2):
        for position in range(3, 6_003, 2):
            bench.arrives(ACK, position, 1, b"x")
        bench.take()
    assert perf_counter() - begin < 20.0
    assert bench.tcp.status(bench.now).out_of_order == 1024
    bench.arrives(ACK, 1, 1, bytes(2))
    assert len(bench.receive()) == 3


def test_text_that_comes_with_a_syn_is_held_once_and_within_the_window(iss: int, irs: int) -> None:
    bench = builders.listen(iss, irs)
    for _ in range(3):
        bench.arrives(SYN, 0, data=bytes(60_000), options=Options(mss=MSS))
    bench.arrives(ACK, 1, 1)
    assert len(bench.receive()) == CONFIG.receive_buffer


@pytest.mark.rfc("9293", "3.10.7.4", "fifth")
def test_optimistic_acknowledgments_are_refused(iss: int, irs: int) -> None:
    bench = shaken(iss, irs, replace(CONFIG, initial_window=2 * MSS), wnd=60_000)
    bench.send(bytes(50_000))
    bench.take()
    for ahead in range(1, 20):
        bench.arrives(ACK, 1, 1 + (2 + ahead) * MSS, wnd=60_000)
    assert spans(bench) == []


@pytest.mark.rfc("9293", "3.8.3", "MUST-21")
def test_a_peer_that_holds_memory_by_a_tiny_window_can_be_given_up(iss: int, irs: int) -> None:
    bench = established(iss, irs, replace(CONFIG, user_timeout=30.0))
    bench.arrives(ACK, 1, 1, wnd=0)
    bench.send(bytes(100_000))
    bench.advance(31.0)
    assert bench.state is State.CLOSED
    assert bench.tcp.status(bench.now).flight_size <= 1


def test_overlapping_text_is_what_came_first(iss: int, irs: int) -> None:
    """Compare RFC 5722: whoever injects a second copy must not change the first."""
    bench = established(iss, irs)
    bench.arrives(ACK, 3, 1, b"cd")
    bench.arrives(ACK, 1, 1, b"abXYef")
    assert bench.receive() == b"abcdef"


# Latency


@pytest.mark.rfc("9293", "3.8.6.3", "SHLD-18")
@pytest.mark.parametrize("size", [1, 100, 1459, 1460, 1461, 2920, 5000, 20_000])
def test_the_tail_of_a_message_does_not_wait_for_a_delayed_acknowledgment(size: int) -> None:
    """A request in two writes, Nagle on at both ends, acknowledgments delayed: the answer is there in two round
    trips, not in two and a delay."""
    delay = 0.001
    pair, client, server = connected(Config(), Config(), out=Path(delay=delay), back=Path(delay=delay))
    begin = pair.now
    client.send(bytes(size), pair.now)
    client.send(b"!", pair.now)
    pair.client.touch(client)
    received = bytearray()

    def all_of_it() -> bool:
        received.extend(server.receive(1 << 20, pair.now))
        return len(received) == size + 1

    pair.run(all_of_it)
    assert pair.now - begin < 0.02


def test_nothing_polls() -> None:
    pair, client, server = connected(Config(), Config())
    pair.run_for(3600.0)
    assert (client.deadline, server.deadline) == (float("inf"), float("inf"))


def test_a_reset_in_any_state_leaves_no_timer(iss: int, irs: int) -> None:
    for build in (builders.established, builders.fin_wait_1, builders.close_wait, builders.last_ack):
        bench: Bench = build(iss, irs)
        bench.arrives(RST, 1 if build in (builders.established, builders.fin_wait_1) else 2)
        assert (bench.state, bench.tcp.deadline) == (State.CLOSED, float("inf"))
        assert unwrap(bench.tcp.status(bench.now).snd_una, iss) <= unwrap(bench.tcp.status(bench.now).snd_nxt, iss)
