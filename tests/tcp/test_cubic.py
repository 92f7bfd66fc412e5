"""CUBIC's window held against the equations of RFC 9438, and its shape over a path."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest

from tests.tcp.bottleneck import BUFFERS, Bulk
from tests.tcp.pairs import shaken
from usertcp.tcp.config import Config
from usertcp.tcp.congestion import CONTROLLERS, CongestionControl
from usertcp.tcp.congestion.cubic import Cubic

SMSS = 1000
RTT = 0.1
NOW = 100.0


def after_loss(at: int, *, rtt: float = RTT, fast_convergence: bool = True) -> Cubic:
    """Out of recovery; the window was so many segments when the loss came."""
    cubic = Cubic(SMSS, initial_window=at * SMSS, fast_convergence=fast_convergence)
    cubic.on_rtt(rtt, rtt, NOW)
    cubic.on_loss(at * SMSS, NOW)
    cubic.on_recovered(at * SMSS, NOW)
    return cubic


def grow(cubic: Cubic, seconds: float, *, rtt: float = RTT, since: float = NOW) -> float:
    """Every segment of every window is acknowledged, evenly. When it ended."""
    now = since
    while now < since + seconds:
        window = cubic.cwnd // SMSS
        for n in range(window):
            cubic.on_ack(SMSS, now + n * rtt / window)
        now += rtt
    return now


@pytest.mark.rfc("9438", "4.7")
@pytest.mark.rfc("9438", "4.10")
def test_it_is_the_default_with_hystart_and_fast_convergence(iss: int, irs: int) -> None:
    control = shaken(iss, irs, Config()).tcp.tcb.congestion
    assert isinstance(control, Cubic)
    assert control.hystart is not None
    assert control.fast_convergence


def test_it_can_be_chosen_by_name() -> None:
    controller: CongestionControl = CONTROLLERS[str(Config(congestion="cubic").congestion)](SMSS, 4 * SMSS)
    assert (controller.smss, controller.cwnd) == (SMSS, 4 * SMSS)
    assert isinstance(controller, Cubic)


@pytest.mark.rfc("9438", "4.6")
def test_a_loss_leaves_seven_tenths_of_what_is_in_flight() -> None:
    cubic = Cubic(SMSS, 100 * SMSS)
    cubic.on_loss(80 * SMSS, NOW)
    assert (cubic.cwnd, cubic.ssthresh) == (56 * SMSS, 56 * SMSS)


@pytest.mark.rfc("9438", "4.6")
def test_ssthresh_is_two_segments_at_least() -> None:
    cubic = Cubic(SMSS, 10 * SMSS)
    cubic.on_loss(SMSS, NOW)
    assert cubic.ssthresh == 2 * SMSS


@pytest.mark.rfc("9438", "4.2", "equation 2")
@pytest.mark.parametrize(("at", "k"), [(100, 4.217), (1000, 9.086), (10_000, 19.574)])
def test_k_is_the_time_to_the_window_of_the_loss(at: int, k: float) -> None:
    cubic = after_loss(at)
    cubic.on_ack(SMSS, NOW)
    assert cubic.w_cubic(0) == pytest.approx(0.7 * at * SMSS, rel=1e-6)
    assert cubic.w_cubic(k) == pytest.approx(at * SMSS, rel=1e-6)
    assert cubic.k == pytest.approx(k, abs=0.001)


@pytest.mark.rfc("9438", "4.2", "equation 1")
@pytest.mark.rfc("9438", "4.4")
@pytest.mark.rfc("9438", "4.5")
@pytest.mark.parametrize("t", [1.0, 3.0, 6.0, 9.0, 12.0])
def test_the_window_follows_the_cubic_function(t: int) -> None:
    """1000 segments, 0.1 s: concave up to K = 9.1 s, convex beyond. The window reaches what the function says for the
    end of the round trip."""
    cubic = after_loss(1000)
    over = grow(cubic, t)
    expected = 0.4 * (over - NOW - 9.086) ** 3 + 1000
    assert cubic.cwnd / SMSS == pytest.approx(expected, rel=0.005)


@pytest.mark.rfc("9438", "4.2")
def test_a_round_trip_adds_half_the_window_at_most() -> None:
    """As the function asks for, where round trips are long and the window is small."""
    cubic = after_loss(10, rtt=5.0)
    cubic.on_ack(SMSS, NOW)
    assert cubic.w_cubic(5.0) > 1.5 * cubic.cwnd
    before = cubic.cwnd
    cubic.on_ack(SMSS, NOW + 3.0)
    assert before < cubic.cwnd <= before + SMSS // 2  # of the window, its ACKs add half of what each acknowledges


@pytest.mark.rfc("9438", "4.3")
def test_where_reno_is_faster_it_is_as_fast() -> None:
    """Short round trips: 3 (1 - 0.7) / (1 + 0.7) segments in each, until the window of the loss, then one in each."""
    cubic = after_loss(20, rtt=0.01)
    grow(cubic, 0.1, rtt=0.01)
    assert cubic.cwnd / SMSS == pytest.approx(14 + 10 * 0.529, abs=0.4)
    now = grow(cubic, 0.2, rtt=0.01, since=NOW + 0.1)
    before = cubic.cwnd
    assert before > 20 * SMSS
    grow(cubic, 0.095, rtt=0.01, since=now)
    assert cubic.cwnd / SMSS == pytest.approx(before / SMSS + 10, abs=0.7)


@pytest.mark.rfc("9438", "4.7")
@pytest.mark.parametrize(("fast_convergence", "w_max"), [(True, 0.85 * 90), (False, 90)])
def test_a_flow_that_loses_below_its_last_window_makes_room(fast_convergence: bool, w_max: float) -> None:
    cubic = after_loss(100, fast_convergence=fast_convergence)
    now = grow(cubic, 2.0)
    assert 85 * SMSS < cubic.cwnd < 100 * SMSS
    cubic.cwnd = 90 * SMSS
    cubic.on_loss(90 * SMSS, now)
    cubic.on_recovered(90 * SMSS, now)
    cubic.on_ack(SMSS, now)
    assert cubic.w_cubic(cubic.k) == pytest.approx(w_max * SMSS)


@pytest.mark.rfc("9438", "4.7")
def test_a_flow_that_loses_above_it_does_not() -> None:
    cubic = after_loss(100)
    now = grow(cubic, 8.0)
    at = cubic.cwnd
    assert at > 100 * SMSS
    cubic.on_loss(at, now)
    cubic.on_recovered(at, now)
    cubic.on_ack(SMSS, now)
    assert cubic.w_cubic(cubic.k) == pytest.approx(at)


@pytest.mark.rfc("9438", "4.8")
def test_after_a_timeout_it_searches_upward_from_where_slow_start_ends() -> None:
    cubic = after_loss(1000)
    cubic.on_rto(600 * SMSS, NOW, first=True)
    assert (cubic.cwnd, cubic.ssthresh) == (SMSS, 420 * SMSS)
    for _ in range(419):
        cubic.on_ack(SMSS, NOW)
    assert cubic.cwnd == 420 * SMSS
    over = grow(cubic, 5.0)
    assert cubic.cwnd / SMSS == pytest.approx(420 + 0.4 * (over - NOW) ** 3, rel=0.01)


@pytest.mark.rfc("9438", "4.8")
def test_a_second_timeout_of_the_same_segment_leaves_ssthresh() -> None:
    cubic = after_loss(1000)
    cubic.on_rto(600 * SMSS, NOW, first=True)
    cubic.on_rto(600 * SMSS, NOW + 2, first=False)
    assert (cubic.cwnd, cubic.ssthresh) == (SMSS, 420 * SMSS)


@pytest.mark.rfc("9438", "5.8")
def test_time_in_which_the_window_was_not_in_use_does_not_count() -> None:
    paused, steady = after_loss(1000), after_loss(1000)
    now = grow(paused, 5.0)
    grow(steady, 5.0)
    grow(paused, 2.0, since=now + 60)
    grow(steady, 2.0, since=now)
    assert paused.cwnd == pytest.approx(steady.cwnd, rel=0.005)


class Long:
    """A path of 0.2 s, on which one segment was lost, and what became of the window in 8 seconds."""

    def __init__(self, congestion: str) -> None:
        self.bulk = Bulk(replace(BUFFERS, congestion=congestion), rate=4000, queue=float("inf"), delay=0.1)
        while self.bulk.cwnd_now < 150:
            self.bulk.run(0.02)
        self.bulk.path.lose_next = True
        self.lost_at = self.bulk.elapsed
        self.bulk.run(8.0)
        self.before = max(cwnd for _, cwnd in self.bulk.windows[: int((self.lost_at + 0.4) * 1000)])


@pytest.mark.rfc("9438", "1")
def test_over_a_long_path_it_regains_its_window_while_reno_is_still_on_its_way() -> None:
    """One segment is lost; 0.2 s, some 300 segments."""
    cubic, reno = (Long(name) for name in ("cubic", "reno"))
    assert cubic.before == reno.before
    soon, k = cubic.lost_at + 1.0, cubic.lost_at + 7.0
    assert cubic.bulk.cwnd(soon) == pytest.approx(0.75 * cubic.before, rel=0.05)
    assert reno.bulk.cwnd(soon) == pytest.approx(0.5 * reno.before, rel=0.05)
    assert cubic.bulk.cwnd(k) == pytest.approx(cubic.before, rel=0.03)
    assert reno.bulk.cwnd(k) < 0.65 * reno.before
    slopes = [cubic.bulk.cwnd(cubic.lost_at + t + 1) - cubic.bulk.cwnd(cubic.lost_at + t) for t in (1, 3, 5)]
    assert slopes == sorted(slopes, reverse=True)  # concave: ever slower toward the window of the loss


@pytest.mark.rfc("9438", "4.10")
@pytest.mark.rfc("9406", "4.2")
def test_hystart_leaves_slow_start_before_the_queue_overflows() -> None:
    """50 segments fit into the path, 500 into its queue."""
    watched, blind = (
        Bulk(replace(BUFFERS, congestion=partial(Cubic, hystart=hystart)), rate=1000, queue=500, delay=0.025)
        for hystart in (True, False)
    )
    watched.run(2.0)
    assert watched.path.dropped == 0
    assert watched.client.status(watched.pair.now).ssthresh < 550 * 1460
    assert watched.received > 0.8 * 2.0 * 1000 * 1448
    blind.run(2.0)
    assert blind.path.dropped > 100


@pytest.mark.rfc("9438", "5.1")
def test_a_cubic_flow_with_short_round_trips_is_no_worse_than_reno() -> None:
    bulks = [Bulk(replace(BUFFERS, congestion=name), rate=1000, queue=20, delay=0.005) for name in ("cubic", "reno")]
    cubic, reno = (bulk.run(4.0).received for bulk in bulks)
    assert cubic > 0.9 * reno
