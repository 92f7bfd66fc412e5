"""HyStart++ by itself: rounds of RTT samples in, growth of the window out (RFC 9406)."""

from __future__ import annotations

import pytest

from usertcp.tcp.congestion.cubic import Cubic
from usertcp.tcp.congestion.hystart import HyStart

SMSS = 1000


class SlowStart:
    """A window that grows by it alone."""

    def __init__(self) -> None:
        self.cwnd = 10 * SMSS
        self.hystart = HyStart(self.cwnd)

    def round(self, rtt: float, samples: int = 100) -> float:
        """A window is acknowledged segment by segment, and the first so many of these are measured. By how much did the
        window grow?"""
        before = self.cwnd
        for n, left in enumerate(range(before, 0, -SMSS)):
            if n < samples:
                self.hystart.on_rtt(rtt)  # as in an acknowledgment: before the window grows
            self.cwnd += self.hystart.growth(min(SMSS, left), self.cwnd, SMSS)
        return self.cwnd / before


@pytest.mark.rfc("9406", "4.2")
@pytest.mark.parametrize(
    ("rtt", "rise", "leaves"),
    [
        (0.010, 0.0039, False),
        (0.010, 0.0041, True),
        (0.080, 0.0099, False),
        (0.080, 0.0101, True),
        (0.400, 0.0159, False),
        (0.400, 0.0161, True),
    ],
)
def test_the_rise_that_counts_is_an_eighth_of_the_rtt_from_4_to_16_ms(rtt: float, rise: float, leaves: bool) -> None:
    flow = SlowStart()
    flow.round(rtt)
    flow.round(rtt + rise)
    assert flow.hystart.conservative is leaves


@pytest.mark.rfc("9406", "4.2")
def test_it_takes_eight_samples_to_judge_a_round() -> None:
    few, enough = SlowStart(), SlowStart()
    for flow, samples in ((few, 7), (enough, 8)):
        flow.round(0.1)
        flow.round(0.2, samples)
    assert (few.hystart.conservative, enough.hystart.conservative) == (False, True)


@pytest.mark.rfc("9406", "4.2")
def test_an_ack_adds_eight_segments_at_most() -> None:
    assert HyStart(10 * SMSS).growth(20 * SMSS, 10 * SMSS, SMSS) == 8 * SMSS


@pytest.mark.rfc("9406", "4.2")
def test_conservative_slow_start_grows_by_a_quarter_and_ends_after_five_rounds() -> None:
    flow = SlowStart()
    assert flow.round(0.1) == 2.0
    flow.round(0.12)  # counts as the first of the five
    growth = [flow.round(0.12) for _ in range(4)]
    assert growth == pytest.approx([1.25] * 4, rel=0.01)
    assert flow.hystart.ended


@pytest.mark.rfc("9406", "4.2")
def test_slow_start_goes_on_if_the_rtt_falls_again() -> None:
    flow = SlowStart()
    flow.round(0.1)
    flow.round(0.12)
    assert flow.hystart.conservative
    flow.round(0.11)
    assert not flow.hystart.conservative
    assert flow.round(0.11) == 2.0


@pytest.mark.rfc("9406", "4.2")
def test_then_congestion_avoidance_begins_with_the_window_there_is() -> None:
    cubic = Cubic(SMSS, 10 * SMSS)
    now = 0.0
    for n in range(9):
        now += 0.1
        for _ in range(cubic.cwnd // SMSS):
            cubic.on_rtt(0.1 + 0.02 * n, 0.1, now)
            cubic.on_ack(SMSS, now)
    assert cubic.ssthresh <= cubic.cwnd < cubic.ssthresh + 10 * SMSS


@pytest.mark.rfc("9406", "4.3")
@pytest.mark.parametrize("event", ["loss", "timeout"])
def test_only_the_first_slow_start_is_watched(event: str) -> None:
    cubic = Cubic(SMSS, 10 * SMSS)
    if event == "loss":
        cubic.on_loss(40 * SMSS, 0.0)
        cubic.on_rto(40 * SMSS, 0.0, first=True)
    cubic.on_rto(100 * SMSS, 0.0, first=True)
    while cubic.cwnd < 60 * SMSS:
        before = cubic.cwnd
        for _ in range(before // SMSS):
            cubic.on_rtt(before / 1e6, 0.1, 0.0)  # grows with the window
            cubic.on_ack(SMSS, 0.0)
        assert cubic.cwnd == min(2 * before, cubic.ssthresh) or cubic.cwnd >= cubic.ssthresh
