"""Fast retransmit, fast recovery and limited transmit without SACK (RFC 5681, 3.2; RFC 6582; RFC 3042)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.tcp.builders import CONFIG, MSS, Bench, established, syn_sent
from tests.tcp.pairs import spans
from usertcp.tcp.config import Config
from usertcp.tcp.options import Options
from usertcp.tcp.segment import ACK, SYN

WINDOW = 60_000


def in_flight(iss: int, irs: int, segments: int, config: Config = CONFIG) -> Bench:
    """So many full segments are sent, and nothing is acknowledged."""
    bench = established(iss, irs, replace(config, initial_window=segments * MSS))
    bench.arrives(ACK, 1, 1, wnd=WINDOW)
    bench.send(bytes(40 * MSS))
    assert spans(bench) == [(1 + n * MSS, MSS) for n in range(segments)]
    return bench


def duplicate_acks(bench: Bench, count: int, ack: int = 1) -> None:
    for _ in range(count):
        bench.arrives(ACK, 1, ack, wnd=WINDOW)


@pytest.mark.rfc("5681", "3.2", "step 2")
def test_the_third_duplicate_ack_resends_the_first_segment(iss: int, irs: int) -> None:
    bench = in_flight(iss, irs, 10)
    duplicate_acks(bench, 2)
    assert (1, MSS) not in spans(bench)
    duplicate_acks(bench, 1)
    assert spans(bench) == [(1, MSS)]


def test_its_answer_is_waited_for_a_whole_rto(iss: int, irs: int) -> None:
    bench = in_flight(iss, irs, 10)
    bench.advance(0.9)
    duplicate_acks(bench, 3)
    bench.take()
    bench.advance(0.9)
    assert spans(bench) == []
    assert bench.tcp.status(bench.now).cwnd == 5 * MSS


@pytest.mark.rfc("5681", "3.2", "step 1")
@pytest.mark.rfc("3042", "2")
def test_the_first_two_duplicate_acks_let_a_new_segment_out_each(iss: int, irs: int) -> None:
    bench = in_flight(iss, irs, 10)
    duplicate_acks(bench, 1)
    assert spans(bench) == [(1 + 10 * MSS, MSS)]
    duplicate_acks(bench, 1)
    assert spans(bench) == [(1 + 11 * MSS, MSS)]


@pytest.mark.rfc("3042", "2")
def test_what_limited_transmit_sends_stays_within_the_peers_window(iss: int, irs: int) -> None:
    bench = established(iss, irs, replace(CONFIG, initial_window=10 * MSS))
    bench.arrives(ACK, 1, 1, wnd=10 * MSS)
    bench.send(bytes(40 * MSS))
    bench.take()
    for _ in range(2):
        bench.arrives(ACK, 1, 1, wnd=10 * MSS)
    assert spans(bench) == []


@pytest.mark.rfc("5681", "3.2", "step 2")
@pytest.mark.rfc("3042", "2")
def test_what_limited_transmit_sent_does_not_count_when_the_window_is_halved(iss: int, irs: int) -> None:
    bench = in_flight(iss, irs, 10)
    duplicate_acks(bench, 3)
    status = bench.tcp.status(bench.now)
    assert (status.flight_size, status.ssthresh) == (12 * MSS, 5 * MSS)


@pytest.mark.rfc("3042", "2")
def test_after_a_timeout_duplicate_acks_let_nothing_new_out(iss: int, irs: int) -> None:
    bench = in_flight(iss, irs, 4, replace(CONFIG, frto=False))
    bench.advance(1.1)
    bench.arrives(ACK, 1, 1 + 3 * MSS, wnd=WINDOW)
    bench.take()
    duplicate_acks(bench, 2, ack=1 + 3 * MSS)
    assert spans(bench) == []


@pytest.mark.rfc("5681", "3.2", "step 2")
def test_the_window_is_halved_and_a_full_ack_leaves_it_there(iss: int, irs: int) -> None:
    bench = in_flight(iss, irs, 10)
    duplicate_acks(bench, 3)
    status = bench.tcp.status(bench.now)
    assert (status.ssthresh, status.in_fast_recovery) == (5 * MSS, True)
    bench.take()
    bench.arrives(ACK, 1, 1 + 12 * MSS, wnd=WINDOW)
    status = bench.tcp.status(bench.now)
    assert not status.in_fast_recovery
    assert status.cwnd <= 5 * MSS
    assert len(spans(bench)) * MSS <= 5 * MSS


@pytest.mark.rfc("5681", "3.2", "step 4")
def test_each_further_duplicate_ack_lets_a_segment_out_once_half_has_left(iss: int, irs: int) -> None:
    bench = in_flight(iss, irs, 10)
    duplicate_acks(bench, 3)
    bench.take()
    duplicate_acks(bench, 4)
    assert spans(bench) == []  # 5 of cwnd and 7 of inflation do not exceed the 12 in flight
    duplicate_acks(bench, 2)
    assert spans(bench) == [(1 + 12 * MSS, MSS), (1 + 13 * MSS, MSS)]


@pytest.mark.rfc("6582", "3.2", "partial acknowledgment")
def test_a_partial_ack_resends_the_next_segment_at_once_and_stays_in_recovery(iss: int, irs: int) -> None:
    bench = in_flight(iss, irs, 10)
    duplicate_acks(bench, 3)
    bench.take()
    bench.arrives(ACK, 1, 1 + 4 * MSS, wnd=WINDOW)
    assert spans(bench)[0] == (1 + 4 * MSS, MSS)
    assert bench.tcp.status(bench.now).in_fast_recovery
    bench.arrives(ACK, 1, 1 + 7 * MSS, wnd=WINDOW)
    assert spans(bench)[0] == (1 + 7 * MSS, MSS)


@pytest.mark.rfc("6582", "3.2", "partial acknowledgment")
def test_a_partial_ack_restarts_the_timer(iss: int, irs: int) -> None:
    bench = in_flight(iss, irs, 10)
    bench.advance(0.7)
    duplicate_acks(bench, 3)
    bench.arrives(ACK, 1, 1 + 4 * MSS, wnd=WINDOW)
    bench.take()
    bench.advance(0.8)
    assert spans(bench) == []


@pytest.mark.rfc("6582", "3.2", "step 2")
def test_no_second_fast_retransmit_before_recover_is_passed(iss: int, irs: int) -> None:
    bench = in_flight(iss, irs, 10)
    bench.advance(1.1)
    assert spans(bench) == [(1, MSS)]
    duplicate_acks(bench, 5)  # of the nine that the timeout made us send again, for instance
    assert spans(bench) == []


@pytest.mark.rfc("6582", "3.2", "step 2")
def test_beyond_recover_there_is_a_next_fast_retransmit(iss: int, irs: int) -> None:
    bench = in_flight(iss, irs, 10)
    duplicate_acks(bench, 3)
    bench.arrives(ACK, 1, 1 + 12 * MSS, wnd=WINDOW)
    bench.arrives(ACK, 1, 1 + 13 * MSS, wnd=WINDOW)
    bench.take()
    duplicate_acks(bench, 3, ack=1 + 13 * MSS)
    assert (1 + 13 * MSS, MSS) in spans(bench)


@pytest.mark.rfc("6582", "3.2", "step 1")
def test_a_lost_syn_does_not_forbid_the_first_fast_retransmit(iss: int, irs: int) -> None:
    bench = syn_sent(iss, irs)
    bench.advance(1.5)
    bench.arrives(SYN | ACK, 0, 1, options=Options(mss=MSS), wnd=WINDOW)
    bench.send(bytes(20 * MSS))
    for segments in range(1, 4):
        bench.arrives(ACK, 1, 1 + segments * MSS, wnd=WINDOW)
    bench.take()
    duplicate_acks(bench, 3, ack=1 + 3 * MSS)
    assert (1 + 3 * MSS, MSS) in spans(bench)


@pytest.mark.rfc("6582", "3.2", "step 1")
def test_a_repeated_syn_ack_does_not_forbid_it_either(iss: int, irs: int) -> None:
    bench = syn_sent(iss, irs, replace(CONFIG, initial_window=4 * MSS))
    bench.arrives(SYN, 0, options=Options(mss=MSS), wnd=WINDOW)
    bench.arrives(ACK, 1, 1, wnd=WINDOW)
    bench.take()
    bench.send(bytes(10 * MSS))
    bench.take()
    duplicate_acks(bench, 3)
    assert (1, MSS) in spans(bench)


@pytest.mark.rfc("5681", "2", "duplicate acknowledgment")
@pytest.mark.parametrize("what", ["text", "window", "old", "nothing in flight"])
def test_what_is_no_duplicate_ack(iss: int, irs: int, what: str) -> None:
    bench = in_flight(iss, irs, 10)
    if what == "nothing in flight":
        bench = established(iss, irs)
        bench.send(b"")
    if what == "old":
        bench.arrives(ACK, 1, 1 + MSS, wnd=WINDOW)
    bench.take()
    for n in range(5):
        if what == "text":
            bench.arrives(ACK, 1 + n, 1, b"x", wnd=WINDOW)
        elif what == "window":
            bench.arrives(ACK, 1, 1, wnd=WINDOW - 1 - n)
        else:
            bench.arrives(ACK, 1, 1, wnd=WINDOW)
    assert spans(bench) == []
    assert not bench.tcp.status(bench.now).in_fast_recovery


@pytest.mark.rfc("5681", "3.2")
def test_two_duplicates_and_an_advance_start_the_count_anew(iss: int, irs: int) -> None:
    bench = in_flight(iss, irs, 10)
    duplicate_acks(bench, 2)
    bench.arrives(ACK, 1, 1 + MSS, wnd=WINDOW)
    bench.take()
    duplicate_acks(bench, 2, ack=1 + MSS)
    assert (1 + MSS, MSS) not in spans(bench)


@pytest.mark.rfc("5681", "3.2", "step 6")
def test_the_timeout_of_a_lost_retransmission_still_comes(iss: int, irs: int) -> None:
    bench = in_flight(iss, irs, 10)
    duplicate_acks(bench, 3)
    bench.take()
    bench.advance(1.1)
    assert spans(bench) == [(1, MSS)]
    assert bench.tcp.status(bench.now).cwnd == MSS
