"""Loss recovery by selective acknowledgments (RFC 2018; RFC 6675)."""

from __future__ import annotations

import sys
from dataclasses import replace
from types import FrameType
from typing import Any

import pytest

from tests.tcp.builders import MSS, syn_sent
from tests.tcp.pairs import shaken
from tests.tcp.sacks import COUNTING, SACK, WIDE, at, in_flight, sacks, sacks_octets
from usertcp.tcp.recovery import News
from usertcp.tcp.recovery.sack import Sack
from usertcp.tcp.segment import ACK, SYN

AT_ONCE = replace(COUNTING, prr=False)
"""The window is reduced when recovery begins."""

# What is lost


@pytest.mark.rfc("6675", "4", "IsLost")
def test_a_hole_is_lost_when_more_than_two_segments_above_it_are_sacked(iss: int, irs: int) -> None:
    bench = in_flight(iss, irs, 10)
    assert sacks(bench, 0, (1, 2)) == [(at(10), MSS)]
    assert sacks(bench, 0, (1, 3)) == [(at(11), MSS)]
    assert sacks(bench, 0, (1, 4))[0] == (at(0), MSS)
    assert bench.tcp.status(bench.now).in_fast_recovery


@pytest.mark.rfc("6675", "4", "IsLost")
def test_or_when_three_ranges_above_it_are(iss: int, irs: int) -> None:
    bench = in_flight(iss, irs, 10)
    assert (at(0), MSS) not in sacks_octets(bench, 1, (at(1), at(1) + 10), (at(3), at(3) + 10))
    assert sacks_octets(bench, 1, (at(1), at(1) + 10), (at(3), at(3) + 10), (at(5), at(5) + 10))[0] == (at(0), MSS)


@pytest.mark.rfc("6675", "5", "step 1")
@pytest.mark.rfc("8985", "6.2", "step 4")
@pytest.mark.parametrize("rack", [False, True])
def test_or_when_three_acks_have_sacked_however_little(iss: int, irs: int, rack: bool) -> None:
    """Small segments: three of them in a row are one range, of less than two segments."""
    bench = syn_sent(iss, irs, replace(COUNTING, nagle=False, rack=rack))
    bench.advance(0.1)
    bench.arrives(SYN | ACK, 0, 1, options=SACK, wnd=WIDE)
    for _ in range(6):
        bench.send(bytes(100))
    bench.take()
    bench.advance(0.1)
    assert sacks_octets(bench, 1, (101, 201)) == []
    assert sacks_octets(bench, 1, (101, 201)) == []  # that is no news, and does not count
    assert sacks_octets(bench, 1, (101, 301)) == []
    assert sacks_octets(bench, 1, (101, 401))[0] == (1, 100)
    assert bench.tcp.status(bench.now).in_fast_recovery


@pytest.mark.rfc("6675", "5")
def test_the_count_of_these_begins_anew_with_each_advance(iss: int, irs: int) -> None:
    bench = shaken(iss, irs, replace(COUNTING, nagle=False), SACK, wnd=WIDE)
    for _ in range(8):
        bench.send(bytes(100))
    bench.take()
    sacks_octets(bench, 1, (201, 301))
    sacks_octets(bench, 1, (201, 401))
    assert sacks_octets(bench, 101, (201, 501)) == []
    assert sacks_octets(bench, 101, (201, 601)) == []
    assert sacks_octets(bench, 101, (201, 701))[0] == (101, 100)


@pytest.mark.rfc("6675", "5", "step 4.2")
def test_the_window_is_halved_once_for_all_losses_of_a_flight(iss: int, irs: int) -> None:
    bench = in_flight(iss, irs, 20)
    sacks(bench, 0, (1, 4))
    assert bench.tcp.status(bench.now).ssthresh == 10 * MSS
    sacks(bench, 0, (5, 9), (1, 4))
    sacks(bench, 4, (5, 9), (15, 20))
    assert bench.tcp.status(bench.now).ssthresh == 10 * MSS


@pytest.mark.rfc("6675", "4", "NextSeg")
def test_every_hole_is_filled_in_order_and_once_and_what_is_sacked_is_not_sent_again(iss: int, irs: int) -> None:
    bench = in_flight(iss, irs, 20)
    out = sacks(bench, 0, (1, 3), (5, 6), (9, 10))
    for right in range(11, 21):
        out += sacks(bench, 0, (9, right), (1, 3), (5, 6))
    assert [span for span in out if span[0] < at(20)] == [(at(n), MSS) for n in (0, 3, 4, 6, 7, 8)]


@pytest.mark.rfc("6675", "5", "pipe")
def test_while_in_recovery_the_pipe_stays_within_the_window(iss: int, irs: int) -> None:
    bench = in_flight(iss, irs, 20, text=40, config=AT_ONCE)
    sent = 20
    sent += len(sacks(bench, 0, (1, 4)))
    for right in range(5, 21):
        sent += len(sacks(bench, 0, (1, right)))
        status = bench.tcp.status(bench.now)
        lost_and_resent = 1
        assert (sent - lost_and_resent - (right - 1)) <= max(20 - right + 1, status.cwnd // MSS)


@pytest.mark.rfc("6675", "5", "step C")
def test_recovery_sends_new_data_when_the_holes_are_filled_and_there_is_room(iss: int, irs: int) -> None:
    bench = in_flight(iss, irs, 10, text=40)
    sacks(bench, 0, (1, 4))
    new = [span for right in range(5, 11) for span in sacks(bench, 0, (1, right))]
    assert new
    assert all(left >= at(10) for left, _ in new)


@pytest.mark.rfc("6675", "5", "step A")
def test_recovery_ends_when_all_that_was_in_flight_at_its_beginning_is_acknowledged(iss: int, irs: int) -> None:
    bench = in_flight(iss, irs, 10, text=10)
    sacks(bench, 0, (1, 4))
    sacks(bench, 9)
    assert bench.tcp.status(bench.now).in_fast_recovery
    sacks(bench, 10)
    assert not bench.tcp.status(bench.now).in_fast_recovery


@pytest.mark.rfc("6675", "4", "NextSeg")
def test_with_nothing_new_to_send_what_lies_below_the_highest_sack_goes_out_early(iss: int, irs: int) -> None:
    bench = in_flight(iss, irs, 10, text=10, config=AT_ONCE)
    out = sacks(bench, 0, (1, 4))
    out += sacks(bench, 0, (5, 6), (1, 4))
    out += sacks(bench, 4, (5, 7))
    assert out[:2] == [(at(0), MSS), (at(4), MSS)]


@pytest.mark.rfc("6675", "4", "NextSeg")
def test_the_last_segment_is_rescued_once_per_recovery(iss: int, irs: int) -> None:
    bench = in_flight(iss, irs, 10, text=10)
    sacks(bench, 0, (1, 8))
    assert [sacks(bench, 8) for _ in range(5)] == [[(at(9), MSS)], [], [], [], []]
    sacks(bench, 10)
    bench.advance(100.0)
    assert bench.tcp.all_acked


@pytest.mark.rfc("6675", "5", "step 4.3")
def test_it_is_not_rescued_before_the_first_retransmission_is_acknowledged(iss: int, irs: int) -> None:
    """It may well be on its way, as may what it was sent with."""
    bench = in_flight(iss, irs, 10, text=10)
    assert sacks(bench, 0, (1, 6)) == [(at(0), MSS)]
    assert [sacks(bench, 0, (1, right)) for right in (7, 8, 9)] == [[], [], []]
    assert sacks(bench, 9) == [(at(9), MSS)]


@pytest.mark.rfc("6675", "4", "NextSeg")
def test_what_nagle_holds_back_does_not_keep_the_last_hole_from_being_filled(iss: int, irs: int) -> None:
    """Less than a segment is left to send, and too little lies above the hole to prove it lost."""
    bench = in_flight(iss, irs, 9, text=9)
    bench.send(b"the end")
    assert sacks(bench, 0, (1, 4), (5, 6), (7, 9)) == [(at(0), MSS), (at(4), MSS), (at(6), MSS)]


def test_the_fin_is_among_what_is_sent_again(iss: int, irs: int) -> None:
    bench = in_flight(iss, irs, 5, text=5)
    bench.close()
    bench.take()
    bench.advance(1.1)
    sacks(bench, 4, (0, 0))
    bench.advance(3.0)
    sacks_octets(bench, at(5) + 1)
    assert bench.tcp.all_acked


# Timeouts and reneging


@pytest.mark.rfc("2018", "8")
def test_after_a_timeout_what_was_sacked_is_sent_again_for_the_peer_may_have_discarded_it(iss: int, irs: int) -> None:
    bench = in_flight(iss, irs, 4, text=4)
    sacks(bench, 0, (1, 3))
    bench.advance(1.1)
    bench.take()
    out = [span for ack in range(1, 4) for span in sacks(bench, ack)]
    assert out == [(at(n), MSS) for n in range(1, 4)]


@pytest.mark.rfc("6675", "5.1")
def test_sacks_that_come_after_the_timeout_are_used(iss: int, irs: int) -> None:
    bench = in_flight(iss, irs, 10, text=10)
    bench.advance(1.1)
    bench.take()
    out = sacks(bench, 1, (2, 9)) + sacks(bench, 9)
    assert out == [(at(1), MSS), (at(9), MSS)]


@pytest.mark.rfc("6675", "5.1")
def test_no_second_reduction_for_what_was_in_flight_at_the_timeout(iss: int, irs: int) -> None:
    bench = in_flight(iss, irs, 10)
    bench.advance(1.1)
    ssthresh = bench.tcp.status(bench.now).ssthresh
    sacks(bench, 0, (1, 9))
    assert not bench.tcp.status(bench.now).in_fast_recovery
    assert bench.tcp.status(bench.now).ssthresh == ssthresh


@pytest.mark.rfc("2018", "8")
def test_sacked_octets_are_kept_until_they_are_acknowledged(iss: int, irs: int) -> None:
    bench = in_flight(iss, irs, 4, text=4)
    sacks(bench, 0, (1, 4))
    bench.advance(300.0)
    assert bench.tcp.status(bench.now).counters["octets out"] > 8 * MSS


# Hostile blocks


@pytest.mark.rfc("2018", "5")
@pytest.mark.parametrize(
    "block",
    [
        pytest.param((at(9), at(3)), id="reversed"),
        pytest.param((at(3), at(3)), id="empty"),
        pytest.param((at(3), at(30)), id="beyond SND.NXT"),
        pytest.param((-5000, 1), id="before the connection"),
        pytest.param((-5000, at(8)), id="over SND.UNA"),
        pytest.param((1, at(8)), id="what would have been acknowledged"),
        pytest.param((at(3), at(3) + 2**31 - 1), id="half the numbers"),
    ],
)
def test_blocks_that_cannot_be_true_are_ignored(iss: int, irs: int, block: tuple[int, int]) -> None:
    bench = in_flight(iss, irs, 10)
    for _ in range(5):
        assert sacks_octets(bench, 1, block) == []
    assert not bench.tcp.status(bench.now).in_fast_recovery
    assert sacks(bench, 0, (1, 4))[0] == (at(0), MSS)


def test_an_old_ack_with_old_blocks_does_no_harm(iss: int, irs: int) -> None:
    bench = in_flight(iss, irs, 10)
    sacks(bench, 8)
    before = bench.tcp.status(bench.now)
    assert sacks(bench, 2, (3, 6)) == []
    assert bench.tcp.status(bench.now).in_fast_recovery is before.in_fast_recovery is False


@pytest.mark.rfc("2018", "2")
def test_without_sack_permitted_blocks_mean_nothing(iss: int, irs: int) -> None:
    bench = in_flight(iss, irs, 10, config=replace(COUNTING, sack=False))
    bench.advance(0.1)
    assert sacks(bench, 1, (2, 9)) != [(at(1), MSS)]
    assert not bench.tcp.status(bench.now).in_fast_recovery


# Cost


def lines_executed(sack: Sack, una: int, nxt: int, smss: int, news: News) -> int:
    """How much Python one ACK costs."""
    count = 0

    def trace(frame: FrameType, event: str, arg: Any) -> Any:
        nonlocal count
        count += event == "line"
        return trace if "/tcp/recovery/" in frame.f_code.co_filename else None

    sys.settrace(trace)
    try:
        sack.detect_loss(una, nxt, smss, news, 1.0)
        sack.next_lost(nxt)
    finally:
        sys.settrace(None)
    return count


def costs(octets: int, rack: bool, smss: int = 100) -> list[int]:
    """Of each ACK of a flight of so many octets, of which every second segment is lost."""
    sack = Sack(0, rack=rack)
    for left in range(0, octets, smss):
        sack.on_sent(left, left + smss, left / octets)
    spent = []
    for left in range(smss, octets, 2 * smss):
        news = News(True, [(left, left + smss)], None)
        spent.append(lines_executed(sack, 0, octets, smss, news))
        if (lost := sack.next_lost(octets)) is not None:
            sack.on_sent(*lost, 1.0)
    assert len(sack.scoreboard.sacked) == octets // smss // 2
    return spent


@pytest.mark.parametrize("rack", [False, True])
def test_what_an_ack_costs_does_not_grow_with_the_window_and_its_holes(rack: bool) -> None:
    small, large = costs(20_000, rack), costs(1_000_000, rack)
    assert max(large) <= max(small)
    assert len(large) == 5000
