"""Losses found by time, and probes of the tail (RFC 8985). The round trip takes 0.1 s."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.tcp import builders
from tests.tcp.builders import MSS, Bench
from tests.tcp.pairs import spans
from tests.tcp.sacks import SACK, WIDE, at, sacks, sacks_octets
from usertcp.tcp.config import Config
from usertcp.tcp.options import Options
from usertcp.tcp.recovery import NO_NEWS
from usertcp.tcp.recovery.rack import Rack, Transmissions
from usertcp.tcp.recovery.sack import Sack
from usertcp.tcp.segment import ACK, FIN, SYN
from usertcp.tcp.sequence import wrap

CONFIG = replace(builders.CONFIG, rack=True)

RTT = 0.1


def connected(iss: int, irs: int, config: Config = CONFIG) -> Bench:
    bench = builders.syn_sent(iss, irs, config)
    bench.advance(RTT)
    bench.arrives(SYN | ACK, 0, 1, options=SACK, wnd=WIDE)
    bench.take()
    return bench


def in_flight(iss: int, irs: int, segments: int, *, text: int = 40, config: Config = CONFIG) -> Bench:
    """So many full segments were sent a round trip ago."""
    bench = connected(iss, irs, replace(config, initial_window=segments * MSS))
    bench.send(bytes(text * MSS))
    assert spans(bench) == [(at(n), MSS) for n in range(segments)]
    bench.advance(RTT)
    return bench


def resent(bench: Bench, seconds: float, below: int) -> list[tuple[int, int]]:
    """What goes out again during this time of the first so many segments."""
    bench.advance(seconds)
    return [span for span in spans(bench) if span[0] < at(below)]


def counted(bench: Bench, what: str) -> int:
    return bench.tcp.status(bench.now).counters.get(what, 0)


# RACK


@pytest.mark.rfc("8985", "6.2", "step 5")
def test_one_sack_and_a_quarter_of_a_round_trip_are_enough(iss: int, irs: int) -> None:
    bench = in_flight(iss, irs, 4, text=4)
    assert sacks(bench, 0, (3, 4)) == []
    assert resent(bench, 0.024, 4) == []
    assert resent(bench, 0.002, 4)[0] == (at(0), MSS)
    assert bench.tcp.status(bench.now).in_fast_recovery
    assert counted(bench, "retransmission timeouts") == 0


@pytest.mark.rfc("8985", "6.2", "step 5")
def test_what_arrives_within_the_reordering_window_is_not_lost(iss: int, irs: int) -> None:
    bench = in_flight(iss, irs, 4, text=4)
    sacks(bench, 0, (1, 2))
    bench.advance(0.02)
    sacks(bench, 4)
    assert resent(bench, 5.0, 4) == []
    assert not bench.tcp.status(bench.now).in_fast_recovery


@pytest.mark.rfc("8985", "6.2", "step 4")
def test_without_reordering_three_sacked_segments_need_no_wait(iss: int, irs: int) -> None:
    bench = in_flight(iss, irs, 10)
    assert sacks(bench, 0, (1, 3))[0][0] >= at(10)
    assert sacks(bench, 0, (1, 4))[0] == (at(0), MSS)


@pytest.mark.rfc("8985", "6.2", "step 4")
def test_after_reordering_three_sacked_segments_are_waited_for(iss: int, irs: int) -> None:
    bench = in_flight(iss, irs, 10, text=10)
    sacks(bench, 0, (1, 2))
    sacks(bench, 2)  # the first came late
    assert sacks(bench, 2, (3, 9)) == []
    assert resent(bench, 0.024, 10) == []
    assert resent(bench, 0.002, 10)[0] == (at(2), MSS)


@pytest.mark.rfc("8985", "6.2", "step 5")
def test_a_retransmission_that_is_lost_is_sent_a_third_time_without_a_timeout(iss: int, irs: int) -> None:
    bench = in_flight(iss, irs, 10)
    sacks(bench, 0, (1, 4))
    new = [span for right in range(5, 11) for span in sacks(bench, 0, (1, right))]
    assert new
    bench.advance(RTT)
    assert (at(0), MSS) in sacks(bench, 0, (1, 11))  # sent after the retransmission, and it has arrived
    assert counted(bench, "retransmission timeouts") == 0


@pytest.mark.rfc("8985", "6.2", "step 2")
def test_an_answer_too_early_for_the_retransmission_says_nothing_of_it(iss: int, irs: int) -> None:
    bench = in_flight(iss, irs, 10, text=10)
    assert sacks(bench, 0, (3, 6)) != []  # the first three are lost, and some are sent again
    bench.advance(0.01)
    spans(bench)
    assert sacks(bench, 1, (3, 6)) == [(at(1), MSS)]  # by the original, which was only late
    assert resent(bench, 0.05, 10) == []  # else all that was sent before the retransmission would be lost


@pytest.mark.rfc("8985", "6.2", "step 4")
def test_each_report_of_a_duplicate_widens_the_window_once_per_round_trip(iss: int, irs: int) -> None:
    bench = in_flight(iss, irs, 12, text=12)
    sacks(bench, 0, (1, 2))
    sacks(bench, 4, (0, 1))  # reordered, and a duplicate reported
    assert sacks(bench, 4, (0, 1), (5, 9)) == []  # in the same round trip
    assert resent(bench, 0.049, 12) == []
    assert resent(bench, 0.002, 12)[0] == (at(4), MSS)


@pytest.mark.rfc("8985", "6.2", "step 4")
def test_the_window_is_never_wider_than_a_round_trip() -> None:
    rack = Rack(0, RTT)
    rack.srtt = 0.25
    rack.reo_wnd_mult = 9
    assert rack.reo_wnd(impatient=False) == pytest.approx(9 * RTT / 4)
    rack.reo_wnd_mult = 11
    assert rack.reo_wnd(impatient=False) == 0.25


@pytest.mark.rfc("8985", "6.2", "step 4")
def test_it_stays_widened_for_16_recoveries_after_the_last_duplicate() -> None:
    rack = Rack(0, RTT)
    for una in (0, MSS):
        rack.on_dsack(una, una + MSS)
        for _ in range(15):
            rack.on_recovered()
    assert rack.reo_wnd_mult == 3
    rack.on_recovered()
    assert rack.reo_wnd_mult == 1


@pytest.mark.rfc("8985", "6.3")
def test_after_a_timeout_what_was_sent_lately_is_not_taken_for_lost(iss: int, irs: int) -> None:
    bench = connected(iss, irs, replace(CONFIG, initial_window=4 * MSS, nagle=False))
    bench.send(bytes(2 * MSS))
    bench.advance(0.999)
    bench.take()
    bench.send(bytes(MSS))  # a millisecond before the timeout
    bench.advance(0.3)
    sacks(bench, 2)
    assert resent(bench, 0.0, 9) == []


@pytest.mark.rfc("8985", "6.3")
@pytest.mark.rfc("6298", "5.4")
def test_what_was_sent_lately_does_not_keep_a_timeout_from_sending_the_first_segment() -> None:
    sack = Sack(0, rtt=RTT)
    sack.on_sent(0, MSS, 0.0)
    sack.on_ack(MSS, MSS, MSS, MSS)
    sack.detect_loss(MSS, MSS, MSS, NO_NEWS, RTT)
    sack.on_sent(MSS, 2 * MSS, 1.0)
    sack.on_sent(2 * MSS, 5 * MSS, 1.99)
    sack.on_timeout(MSS, 5 * MSS, 2.0)
    assert sack.next_lost(5 * MSS) == (MSS, 2 * MSS)
    assert sack.lost_octets == MSS
    assert sack.may_resend(MSS, 4 * MSS)
    sack.on_sent(MSS, 2 * MSS, 2.0)
    assert not sack.may_resend(MSS, 4 * MSS)


@pytest.mark.rfc("8985", "6.2", "step 2")
def test_timestamps_tell_an_original_from_its_retransmission(iss: int, irs: int) -> None:
    bench = builders.syn_sent(iss, irs, replace(CONFIG, initial_window=10 * MSS, undo=False))
    bench.advance(RTT)
    bench.arrives(SYN | ACK, 0, 1, options=replace(SACK, timestamps=(7, 0)), wnd=WIDE)
    bench.take()
    bench.send(bytes(9000))
    stamp = bench.take()[-1].options.timestamps
    assert stamp is not None
    full = MSS - 12

    def answer(ack: int, left: int, right: int) -> list[tuple[int, int]]:
        blocks = ((wrap(iss + 1 + left * full), wrap(iss + 1 + right * full)),)
        bench.arrives(
            ACK, 1, 1 + ack * full, wnd=WIDE, options=Options(timestamps=(8, stamp[0]), sack=blocks if right else ())
        )
        return spans(bench)

    bench.advance(RTT)
    assert answer(0, 2, 6)[0][0] == 1
    bench.advance(2 * RTT)
    spans(bench)
    answer(1, 2, 6)  # long after the retransmission, but by the first copy: it echoes the first time stamp
    assert bench.tcp.status(bench.now).in_fast_recovery


@pytest.mark.rfc("8985", "6.2", "step 2")
@pytest.mark.parametrize(("echo", "latest"), [(1.0, 0), (1.2, 3), (None, 3)])
def test_a_retransmission_is_the_latest_to_arrive_unless_the_echo_is_of_the_original(
    echo: float | None, latest: int
) -> None:
    rack = Rack(0, RTT)
    for left, time in ((0, 1.0), (MSS, 1.0), (0, 1.2)):
        rack.sent.add(left, left + MSS, time)
    rack.delivered([(0, MSS)], MSS, echo, 1.5)
    assert rack.latest[0] == latest


@pytest.mark.rfc("8985", "6.2", "step 2")
def test_the_timestamp_echoed_says_nothing_of_a_retransmission_that_is_sacked(iss: int, irs: int) -> None:
    """While there is a hole before it, the last timestamp in order comes back (RFC 7323, 4.3), an old one."""
    bench = builders.syn_sent(iss, irs, replace(CONFIG, initial_window=10 * MSS, undo=False))
    bench.advance(RTT)
    bench.arrives(SYN | ACK, 0, 1, options=replace(SACK, timestamps=(7, 0)), wnd=WIDE)
    bench.take()
    full = MSS - 12
    bench.send(bytes(10 * full))
    stamp = bench.take()[0].options.timestamps
    assert stamp is not None

    def answer(*segments: tuple[int, int]) -> list[tuple[int, int]]:
        blocks = tuple((wrap(iss + 1 + left * full), wrap(iss + 1 + right * full)) for left, right in segments)
        bench.arrives(ACK, 1, 1, wnd=WIDE, options=Options(timestamps=(8, stamp[0]), sack=blocks))
        return spans(bench)

    bench.advance(RTT)
    first = answer((2, 10))  # the first two are lost, and sent again
    assert first[:2] == [(1, full), (1 + full, full)]
    bench.advance(RTT)
    assert answer((1, 10)) == [(1, full)]  # the second of them has arrived, so the first is lost again
    assert counted(bench, "retransmission timeouts") == 0


def test_a_segment_sent_again_leaves_the_one_behind_it_on_the_books() -> None:
    sent = Transmissions(0)
    for left in (0, 1000, 2000):
        sent.add(left, left + 1000, now=left / 1000)
    sent.add(0, 1000, now=5.0)
    assert [(left, right, of.time) for left, right, of in sent.of(0, 3000)] == [
        (0, 1000, 5.0),
        (1000, 2000, 1.0),
        (2000, 3000, 2.0),
    ]


def with_a_steady_rtt(iss: int, irs: int, segments: int) -> Bench:
    """The RTO is hardly longer than the round trip. So many full segments were sent one round trip ago."""
    bench = connected(iss, irs, replace(CONFIG, rto_min=RTT, initial_window=10 * MSS))
    for n in range(20):
        bench.send(bytes(MSS))
        bench.advance(RTT)
        sacks(bench, n + 1)
    bench.send(bytes(segments * MSS))
    bench.advance(RTT)
    bench.take()
    return bench


@pytest.mark.rfc("6675", "6")
@pytest.mark.rfc("8985", "8")
def test_the_answer_to_a_fast_retransmission_is_waited_for_a_whole_rto(iss: int, irs: int) -> None:
    bench = with_a_steady_rtt(iss, irs, 8)
    sacks(bench, 20, (21, 24))
    bench.advance(RTT)
    sacks(bench, 28)
    assert counted(bench, "fast retransmits") == 1
    assert counted(bench, "retransmission timeouts") == 0


@pytest.mark.rfc("6675", "6")
def test_so_is_the_answer_to_one_that_was_lost_as_well(iss: int, irs: int) -> None:
    bench = with_a_steady_rtt(iss, irs, 8)
    sacks(bench, 20, (21, 28))
    for n in range(28, 30):
        bench.send(bytes(MSS))
        bench.advance(RTT)
        bench.take()
        assert sacks(bench, 20, (21, n + 1)) == [(at(20), MSS)]  # for that had arrived, sent after this
    bench.advance(RTT)
    sacks(bench, 30)
    assert counted(bench, "fast retransmits") == 1
    assert counted(bench, "retransmission timeouts") == 0


def test_what_never_arrives_times_out_though_all_that_follows_does(iss: int, irs: int) -> None:
    """So that its size comes under suspicion (RFC 4821, 7.7)."""
    bench = connected(iss, irs, replace(CONFIG, nagle=False, prr=False))
    bench.send(bytes(MSS))
    for n in range(50):
        bench.send(b"x")
        bench.advance(RTT)
        sacks_octets(bench, at(0), (at(1), at(1) + n + 1))
    assert counted(bench, "fast retransmits") == 1
    assert counted(bench, "retransmission timeouts") > 0


@pytest.mark.rfc("8985", "8")
def test_while_the_reordering_timer_runs_no_other_one_does(iss: int, irs: int) -> None:
    bench = with_a_steady_rtt(iss, irs, 4)
    sacks(bench, 20, (23, 24))
    bench.advance(RTT / 4 + 0.001)
    assert spans(bench)[0] == (at(20), MSS)
    assert bench.tcp.status(bench.now).in_fast_recovery
    assert counted(bench, "retransmission timeouts") == counted(bench, "loss probes") == 0


# TLP


@pytest.mark.rfc("8985", "7.2")
@pytest.mark.rfc("8985", "7.3")
def test_after_two_round_trips_of_silence_the_last_segment_is_sent_again(iss: int, irs: int) -> None:
    bench = connected(iss, irs)
    bench.send(bytes(3 * MSS))
    bench.take()
    bench.advance(2 * RTT - 0.001)
    assert spans(bench) == []
    bench.advance(0.002)
    assert spans(bench) == [(at(2), MSS)]
    assert counted(bench, "retransmission timeouts") == 0


@pytest.mark.rfc("8985", "7.3")
def test_the_probe_is_new_text_where_there_is_some(iss: int, irs: int) -> None:
    bench = connected(iss, irs, replace(CONFIG, initial_window=3 * MSS))
    bench.send(bytes(5 * MSS))
    bench.take()
    bench.advance(2 * RTT + 0.001)
    assert spans(bench) == [(at(3), MSS)]


@pytest.mark.rfc("8985", "7.3")
def test_the_probe_repeats_the_fin_too(iss: int, irs: int) -> None:
    bench = connected(iss, irs)
    bench.send(bytes(2 * MSS))
    bench.close()
    bench.take()
    bench.advance(2 * RTT + 0.001)
    (probe,) = bench.take()
    assert probe.flags & FIN


@pytest.mark.rfc("8985", "7.2")
def test_for_one_segment_a_delayed_acknowledgment_is_waited_for(iss: int, irs: int) -> None:
    bench = connected(iss, irs)
    bench.send(b"one")
    bench.take()
    bench.advance(2 * RTT + 0.19)
    assert spans(bench) == []
    bench.advance(0.02)
    assert spans(bench) == [(1, 3)]


@pytest.mark.rfc("8985", "7.3")
def test_one_probe_and_then_the_retransmission_timer_counted_from_it(iss: int, irs: int) -> None:
    bench = connected(iss, irs)
    bench.send(bytes(3 * MSS))
    bench.take()
    bench.advance(2 * RTT + 0.001)
    bench.take()
    bench.advance(0.99)
    assert spans(bench) == []
    bench.advance(0.02)
    assert spans(bench) == [(at(0), MSS)]


@pytest.mark.rfc("8985", "7.3")
def test_no_second_probe_without_an_rtt_sample_between(iss: int, irs: int) -> None:
    bench = connected(iss, irs)
    bench.send(bytes(3 * MSS))
    bench.advance(2 * RTT + 0.001)
    sacks(bench, 3)  # of the probe or of the original: no sample
    sacks(bench, 3, (2, 3))  # of the other one: this probe has its answer
    bench.send(bytes(3 * MSS))
    bench.take()
    bench.advance(0.9)
    assert spans(bench) == []


@pytest.mark.rfc("8985", "7.4.1")
def test_the_answer_to_a_probe_lets_what_is_before_it_be_found_lost(iss: int, irs: int) -> None:
    bench = connected(iss, irs)
    bench.send(bytes(4 * MSS))
    bench.advance(2 * RTT + 0.001)
    bench.take()
    bench.advance(RTT)
    out = sacks(bench, 1, (3, 4)) + resent(bench, 0.03, 4)
    assert out[0] == (at(1), MSS)
    assert counted(bench, "retransmission timeouts") == 0


@pytest.mark.rfc("8985", "7.4.2")
def test_a_loss_that_the_probe_repairs_reduces_the_window(iss: int, irs: int) -> None:
    bench = connected(iss, irs)
    bench.send(bytes(4 * MSS))
    bench.advance(2 * RTT + 0.001)
    bench.advance(RTT)
    sacks(bench, 4)
    bench.send(bytes(MSS))
    bench.advance(RTT)
    before = bench.tcp.status(bench.now).cwnd
    sacks(bench, 5)
    status = bench.tcp.status(bench.now)
    assert status.cwnd < before
    assert status.ssthresh < WIDE


@pytest.mark.rfc("8985", "7.4.2")
@pytest.mark.parametrize("told", ["by DSACK", "by a duplicate"])
def test_a_probe_that_was_not_needed_does_not(iss: int, irs: int, told: str) -> None:
    bench = connected(iss, irs)
    bench.send(bytes(4 * MSS))
    bench.advance(2 * RTT + 0.001)
    bench.advance(RTT)
    sacks(bench, 4)
    bench.send(bytes(MSS))
    if told == "by DSACK":
        sacks(bench, 4, (3, 4))
    else:
        sacks(bench, 4)
    sacks(bench, 5)
    assert counted(bench, "losses repaired by a probe") == 0
    assert bench.tcp.status(bench.now).ssthresh > WIDE


@pytest.mark.rfc("8985", "7.2")
def test_no_probe_in_recovery(iss: int, irs: int) -> None:
    bench = in_flight(iss, irs, 6, text=6)
    sacks(bench, 0, (1, 4))
    bench.advance(0.5)
    assert counted(bench, "loss probes") == 0


@pytest.mark.rfc("8985", "7.2")
def test_no_probe_without_rack_or_without_sack(iss: int, irs: int) -> None:
    for config in (replace(CONFIG, rack=False), replace(CONFIG, sack=False)):
        bench = connected(iss, irs, config)
        bench.send(bytes(3 * MSS))
        bench.take()
        bench.advance(0.9)
        assert spans(bench) == []


@pytest.mark.rfc("8985", "7.3")
def test_a_probe_stays_within_the_peers_window(iss: int, irs: int) -> None:
    bench = connected(iss, irs)
    bench.arrives(ACK, 1, 1, wnd=3 * MSS)
    bench.send(bytes(10 * MSS))
    bench.take()
    bench.advance(2 * RTT + 0.001)
    assert spans(bench) == [(at(2), MSS)]
