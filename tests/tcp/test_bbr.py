"""BBR over a bottleneck: it finds the rate and leaves the queue empty, and loss does not slow it down.

The path takes 1000 segments per second and 0.05 s: 50 segments are in flight when it is full.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from tests.tcp.bottleneck import BUFFERS, Bulk
from usertcp.tcp.congestion.bbr import Bbr, Mode
from usertcp.tcp.congestion.delivery import Delivery

BBR = replace(BUFFERS, congestion="bbr")
SMSS = 1000


def bulk(congestion: str = "bbr", *, queue: float = 500, loss: float = 0.0) -> Bulk:
    return Bulk(replace(BUFFERS, congestion=congestion), rate=1000, queue=queue, delay=0.025, loss=loss)


def segments(flow: Bulk, seconds: float) -> float:
    """Received per second in so many from now on."""
    before = flow.received
    return (flow.run(seconds).received - before) / 1448 / seconds


def test_it_fills_the_path_and_drains_the_queue_it_made() -> None:
    flow = bulk().run(1.0)
    assert flow.path.dropped == 0
    assert flow.path.most_waiting > 50  # STARTUP has to exceed the rate to know it
    flow.path.most_waiting = 0
    assert segments(flow, 3.0) > 980
    assert flow.path.most_waiting < 20  # a quarter more for a round trip in eight


def test_reno_would_fill_the_queue_instead() -> None:
    flow = bulk("reno", queue=5000).run(2.0)
    flow.path.most_waiting = 0
    flow.run(1.0)
    assert flow.path.most_waiting > 500


def test_startup_doubles_the_window_in_each_round_trip() -> None:
    flow = bulk().run(0.3)
    assert flow.cwnd(0.06) < 25
    assert flow.cwnd(0.12) < 45
    assert flow.cwnd(0.2) > 60


def test_every_ten_seconds_it_looks_whether_the_path_is_shorter_than_its_own_queue_makes_it_seem() -> None:
    flow = bulk().run(12.0)
    low = [time for time, cwnd in flow.windows if cwnd == 4]
    assert 9.9 < low[0] < 11.0
    assert 0.2 <= low[-1] - low[0] < 0.4
    assert flow.received / 1448 > 0.95 * 12_000


def test_random_loss_does_not_slow_it_down() -> None:
    bbr, cubic = (segments(bulk(name, queue=100, loss=0.01).run(3.0), 4.0) for name in ("bbr", "cubic"))
    assert bbr > 850
    assert bbr > 2 * cubic


def test_a_queue_that_startup_overflows_does_not_keep_it_there() -> None:
    """The round trips of retransmissions count too, so it sees that the rate does not grow any more."""
    flow = bulk(queue=20).run(3.0)
    assert flow.path.dropped > 50
    flow.path.dropped = 0
    assert segments(flow, 2.0) > 980
    assert flow.path.dropped == 0


def test_it_follows_a_path_that_becomes_slower_and_faster() -> None:
    flow = bulk().run(1.5)
    flow.path.rate = 500
    flow.run(2.5)
    flow.path.most_waiting = 0
    assert segments(flow, 1.0) == pytest.approx(500, rel=0.05)
    assert flow.path.most_waiting < 30
    flow.path.rate = 1500
    flow.run(4.0)
    assert segments(flow, 1.0) > 1400


def test_segments_leave_one_by_one() -> None:
    flow = bulk().run(2.0)
    late = [time for time in flow.sent if time > 1.0]
    gaps = sorted(b - a for a, b in pairwise(late))
    assert gaps[len(gaps) // 20] > 0.0005
    assert gaps[len(gaps) // 2] == pytest.approx(0.001, rel=0.01)


# By itself


def fed(rates: list[float], *, limited: bool = False, rtt: float = 0.1) -> Bbr:
    """A round trip for each of these rates, in segments per second."""
    bbr = Bbr(SMSS, 10 * SMSS)
    return feed(bbr, rates, limited=limited, rtt=rtt)


def feed(bbr: Bbr, rates: list[float], *, limited: bool = False, rtt: float = 0.1, start: float = 0.0) -> Bbr:
    for n, rate in enumerate(rates):
        now = start + (n + 1) * rtt
        bbr.on_rtt(rtt, rtt, now)
        acked, before = round(rate * rtt * SMSS), bbr.round_ends
        flight = round(bbr.inflight(1.0)) + SMSS
        bbr.on_delivery(Delivery(acked, before + acked, before, rate * SMSS, limited, rtt), flight, now)
    return bbr


def test_the_pipe_is_full_when_three_rounds_bring_less_than_a_quarter() -> None:
    growing = [100.0, 200.0, 400.0, 800.0]
    assert fed([*growing, 990.0, 990.0]).mode is Mode.STARTUP
    assert fed([*growing, 990.0, 990.0, 990.0]).mode is Mode.DRAIN
    assert fed([*growing, 1001.0, 1001.0, 1001.0]).mode is Mode.STARTUP


def test_a_sender_with_little_to_send_learns_nothing_of_the_bandwidth_but_that_it_is_more() -> None:
    bbr = fed([100.0, 200.0, 400.0])
    assert feed(bbr, [50.0] * 20, limited=True, start=1.0).bandwidth == 400 * SMSS
    assert bbr.mode is Mode.STARTUP
    assert feed(bbr, [500.0], limited=True, start=4.0).bandwidth == 500 * SMSS


def test_a_rate_is_forgotten_after_ten_round_trips() -> None:
    bbr = fed([100.0, 900.0])
    assert feed(bbr, [300.0] * 9, start=0.2).bandwidth == 900 * SMSS
    assert feed(bbr, [300.0], start=1.1).bandwidth == 300 * SMSS


def test_before_the_first_rtt_there_is_no_rate() -> None:
    bbr = Bbr(SMSS, 10 * SMSS)
    assert bbr.pacing_rate is None
    bbr.on_rtt(0.1, 0.1, 1.0)
    assert bbr.pacing_rate == pytest.approx(2.885 * 10 * SMSS / 0.1, rel=0.001)


def test_a_rate_without_an_rtt_changes_nothing_yet() -> None:
    """As after a retransmission, which gives no RTT (Karn)."""
    bbr = Bbr(SMSS, 10 * SMSS)
    bbr.on_delivery(Delivery(SMSS, SMSS, 0, 1e6, False, None), 0, 1.0)
    assert bbr.inflight(1.0) == 10 * SMSS
    assert bbr.cwnd == 11 * SMSS


def test_a_timeout_leaves_one_segment_and_the_model() -> None:
    bbr = fed([100.0, 200.0, 400.0, 400.0, 400.0, 400.0])
    rate = bbr.pacing_rate
    bbr.on_rto(40 * SMSS, 1.0, first=True)
    assert (bbr.cwnd, bbr.pacing_rate) == (SMSS, rate)
    feed(bbr, [400.0] * 4, start=1.0)
    assert bbr.cwnd > 80 * SMSS


def test_recovery_gives_back_the_window() -> None:
    bbr = fed([100.0, 200.0, 400.0, 400.0, 400.0, 400.0])
    before = bbr.cwnd
    bbr.on_loss(20 * SMSS, 1.0)
    assert bbr.cwnd == 20 * SMSS
    bbr.on_recovered(10 * SMSS, 1.1)
    assert bbr.cwnd == before


def test_what_was_delivered_between_timeouts_is_not_taken_for_the_rate_of_the_path() -> None:
    """An octet in a minute, say. The next segment would wait for hours, and nobody would know what for."""
    assert (fed([0.0001] * 5).pacing_rate or 0) >= SMSS
