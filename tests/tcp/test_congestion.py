"""The congestion window, as it shows on the wire (RFC 5681; RFC 6928). Its arithmetic is in test_reno."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.tcp.builders import CONFIG, MSS, Bench, syn_received, syn_sent
from tests.tcp.pairs import shaken, spans
from usertcp.tcp.options import Options
from usertcp.tcp.segment import ACK, SYN

WIDE = 60_000
"""A window of the peer that limits nothing here."""


def acknowledged(bench: Bench, octets: int) -> int:
    """The peer acknowledges up to this octet; how many segments does that let out?"""
    bench.arrives(ACK, 1, 1 + octets, wnd=WIDE)
    return len(spans(bench))


@pytest.mark.rfc("6928", "2")
@pytest.mark.parametrize(("mss", "segments"), [(536, 10), (1000, 10), (1400, 10)])
def test_the_first_window_is_ten_segments(iss: int, irs: int, mss: int, segments: int) -> None:
    bench = shaken(iss, irs, replace(CONFIG, mss=mss), Options(mss=mss), WIDE)
    bench.send(bytes(50_000))
    assert len(spans(bench)) == segments


@pytest.mark.rfc("5681", "3.1")
@pytest.mark.parametrize("passive", [False, True])
def test_after_a_repeated_syn_the_first_window_is_one_segment(iss: int, irs: int, passive: bool) -> None:
    bench = (syn_received if passive else syn_sent)(iss, irs)
    bench.advance(1.5)
    bench.arrives(*((ACK, 1, 1) if passive else (SYN | ACK, 0, 1)), options=Options(mss=MSS), wnd=WIDE)
    bench.send(bytes(50_000))
    assert len(spans(bench)) == 1


@pytest.mark.rfc("5681", "3.1", "slow start")
@pytest.mark.rfc("9293", "3.8.2", "MUST-19")
def test_slow_start_lets_two_segments_out_for_each_that_is_acknowledged(iss: int, irs: int) -> None:
    bench = shaken(iss, irs, replace(CONFIG, initial_window=2 * MSS), wnd=WIDE)
    bench.send(bytes(50_000))
    assert len(spans(bench)) == 2
    assert [acknowledged(bench, n * MSS) for n in (1, 2, 3, 4)] == [2, 2, 2, 2]


@pytest.mark.rfc("5681", "3.1")
def test_dividing_an_acknowledgment_gains_the_peer_nothing(iss: int, irs: int) -> None:
    whole, divided = (shaken(iss, irs, replace(CONFIG, initial_window=2 * MSS), wnd=WIDE) for _ in range(2))
    for bench in (whole, divided):
        bench.send(bytes(50_000))
        bench.take()
    let_out = sum(acknowledged(divided, n) for n in range(10, MSS + 1, 10))
    assert let_out == acknowledged(whole, MSS)


@pytest.mark.rfc("9293", "3.10.7.4", "fifth")
def test_acknowledging_what_was_never_sent_gains_it_nothing_either(iss: int, irs: int) -> None:
    bench = shaken(iss, irs, replace(CONFIG, initial_window=2 * MSS), wnd=WIDE)
    bench.send(bytes(50_000))
    bench.take()
    assert acknowledged(bench, 3 * MSS) == 0
    assert bench.tcp.status(bench.now).cwnd == 2 * MSS


@pytest.mark.rfc("5681", "3.1", "congestion avoidance")
@pytest.mark.rfc("9293", "3.8.2", "MUST-19")
def test_congestion_avoidance_adds_a_segment_per_window(iss: int, irs: int) -> None:
    bench = shaken(iss, irs, replace(CONFIG, initial_window=8 * MSS), wnd=WIDE)
    bench.send(bytes(50_000))
    for _ in range(3):
        bench.arrives(ACK, 1, 1, wnd=WIDE)
    bench.arrives(ACK, 1, 1 + 10 * MSS, wnd=WIDE)  # recovered: cwnd is ssthresh now, or less
    status = bench.tcp.status(bench.now)
    assert status.ssthresh == 4 * MSS
    acked = 10
    while bench.tcp.status(bench.now).cwnd < 4 * MSS:
        acked += 1
        acknowledged(bench, acked * MSS)
    before = bench.tcp.status(bench.now).cwnd
    for _ in range(before // MSS):
        acked += 1
        acknowledged(bench, acked * MSS)
    assert bench.tcp.status(bench.now).cwnd == before + MSS


@pytest.mark.rfc("5681", "3.1", "loss window")
@pytest.mark.rfc("9293", "3.8.2", "MUST-19")
def test_after_a_timeout_it_starts_with_one_segment_toward_half(iss: int, irs: int) -> None:
    bench = shaken(iss, irs, replace(CONFIG, frto=False), wnd=WIDE)
    bench.send(bytes(50_000))
    bench.take()
    bench.advance(1.1)
    assert spans(bench) == [(1, MSS)]
    status = bench.tcp.status(bench.now)
    assert (status.cwnd, status.ssthresh) == (MSS, 5 * MSS)
    assert [acknowledged(bench, MSS), acknowledged(bench, 2 * MSS)] == [2, 2]


@pytest.mark.rfc("5681", "3.1")
def test_a_second_timeout_of_the_same_segment_leaves_ssthresh(iss: int, irs: int) -> None:
    bench = shaken(iss, irs, wnd=WIDE)
    bench.send(bytes(50_000))
    bench.advance(3.5)
    assert bench.tcp.status(bench.now).ssthresh == 5 * MSS


@pytest.mark.rfc("5681", "4.1")
def test_after_idling_it_starts_with_the_restart_window(iss: int, irs: int) -> None:
    bench = shaken(iss, irs, replace(CONFIG, initial_window=2 * MSS), wnd=WIDE)
    bench.send(bytes(10 * MSS))
    for n in range(1, 11):
        acknowledged(bench, n * MSS)
    assert bench.tcp.status(bench.now).cwnd > 5 * MSS
    bench.advance(1.5)
    bench.send(bytes(10 * MSS))
    assert len(spans(bench)) == 2


@pytest.mark.rfc("5681", "4.1")
@pytest.mark.parametrize("taken", [0, 1])
def test_after_a_closed_window_too(iss: int, irs: int, taken: int) -> None:
    """Probes of one octet are no use of the congestion window, whether the peer takes it or not."""
    bench = shaken(iss, irs, replace(CONFIG, initial_window=2 * MSS), wnd=WIDE)
    bench.send(bytes(10 * MSS))
    for n in range(1, 11):
        acknowledged(bench, n * MSS)
    bench.arrives(ACK, 1, 1 + 10 * MSS, wnd=0)
    bench.send(bytes(10 * MSS))
    bench.advance(3.1)  # a probe after one second, and after three
    bench.take()
    bench.arrives(ACK, 1, 1 + 10 * MSS + taken, wnd=WIDE)
    assert [size for _, size in spans(bench)] == [MSS, MSS]


@pytest.mark.rfc("5681", "4.1")
def test_a_pause_shorter_than_the_timeout_is_no_idling(iss: int, irs: int) -> None:
    bench = shaken(iss, irs, replace(CONFIG, initial_window=2 * MSS), wnd=WIDE)
    bench.send(bytes(10 * MSS))
    for n in range(1, 11):
        acknowledged(bench, n * MSS)
    bench.advance(0.5)
    bench.send(bytes(10 * MSS))
    assert len(spans(bench)) == 10


@pytest.mark.rfc("5681", "3.1")
def test_a_fin_needs_no_room_in_the_congestion_window(iss: int, irs: int) -> None:
    bench = shaken(iss, irs, replace(CONFIG, initial_window=2 * MSS), wnd=WIDE)
    bench.send(bytes(2 * MSS))
    bench.take()
    bench.close()
    assert bench.sent() == [f"<SEQ={1 + 2 * MSS}><ACK=1><CTL=FIN,ACK>"]


@pytest.mark.rfc("9293", "3.8.2", "MAY-18")
def test_another_congestion_control_can_take_its_place(iss: int, irs: int) -> None:
    config = replace(CONFIG, congestion="fixed", initial_window=3 * MSS)
    bench = shaken(iss, irs, config, Options(mss=MSS), WIDE)
    bench.send(bytes(50_000))
    assert len(spans(bench)) == 3
    assert acknowledged(bench, 3 * MSS) == 3
    assert acknowledged(bench, 6 * MSS) == 3
