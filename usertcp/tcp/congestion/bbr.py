"""BBR, version 1: send at the rate at which octets arrive, and keep the queue empty (draft-cardwell-iccrg-bbr-00).

Loss says nothing here. A model of the path does: its bandwidth is the highest delivery rate of ten round trips, its
delay the shortest RTT of ten seconds. Measuring one disturbs the other, so the two are probed in turn.
"""

from __future__ import annotations

from collections import deque
from enum import StrEnum
from math import inf, log
from typing import Final

from usertcp.compiled import mypyc_attr
from usertcp.tcp.congestion.delivery import Delivery
from usertcp.tcp.congestion.reno import LARGEST_WINDOW

HIGH_GAIN: Final = 2 / log(2)
"""The smallest that doubles the rate in each round trip."""
CYCLE: Final[tuple[float, ...]] = (1.25, 0.75, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0)
"""Gains while probing for bandwidth, a round trip each: try more, drain what that queued, cruise."""
BANDWIDTH_ROUNDS: Final = 10
LONGEST_GAP: Final = 1.0
"""Seconds between two full segments."""
DELAY_SECONDS: Final = 10.0
PROBE_RTT_SECONDS: Final = 0.2
FULL_GROWTH: Final = 1.25
FULL_ROUNDS: Final = 3
"""The pipe is full once the bandwidth has not grown by a quarter for so many round trips."""
LEAST_SEGMENTS: Final = 4
QUANTA: Final = 3
"""Segments beyond the model, for ACKs that come late or in lumps."""


class Mode(StrEnum):
    STARTUP = "STARTUP"
    DRAIN = "DRAIN"
    PROBE_BW = "PROBE-BW"
    PROBE_RTT = "PROBE-RTT"


@mypyc_attr(allow_interpreted_subclasses=True)
class Bbr:
    """All quantities in octets and seconds, rates in octets per second."""

    def __init__(self, smss: int, initial_window: int) -> None:
        self.smss = smss
        self.initial_window = initial_window
        self.cwnd = initial_window
        self.ssthresh = LARGEST_WINDOW
        self.pacing_rate: float | None = None
        """None until the first RTT is known."""
        self.mode = Mode.STARTUP
        self.pacing_gain = self.cwnd_gain = HIGH_GAIN
        self.delay = inf
        """RTprop."""
        self.delay_at = -inf
        self.delay_is_old = False
        self.rates: deque[tuple[int, float]] = deque()
        """(round, rate), falling: the first is the bandwidth, BtlBw, the next what it will be once that is too old."""
        self.round = 0
        self.round_ends = 0
        """When so many octets had been delivered before the segment that is now acknowledged was sent."""
        self.round_starts = False
        self.full_rate = 0.0
        self.full_rounds = 0
        self.phase = 0
        self.phase_at = 0.0
        self.lost_in_phase = False
        self.probe_rtt_until = inf
        self.probe_rtt_round = 0
        self.cwnd_before = 0
        """Before recovery, or PROBE-RTT."""
        self.conserving_to = -1
        """In recovery, until this round is over: the window stays, so that for what leaves the network as much enters
        it."""

    @property
    def bandwidth(self) -> float:
        """BtlBw; 0 before the first sample."""
        return self.rates[0][1] if self.rates else 0.0

    @property
    def full(self) -> bool:
        """The bandwidth has been found."""
        return self.full_rounds >= FULL_ROUNDS

    def inflight(self, gain: float) -> float:
        """So many times the bandwidth-delay product; before both are known, the initial window."""
        known = self.bandwidth and self.delay < inf
        return gain * (self.bandwidth * self.delay if known else self.initial_window)

    def on_rtt(self, rtt: float, srtt: float, now: float) -> None:
        self.delay_is_old = now > self.delay_at + DELAY_SECONDS and self.delay < inf
        if rtt <= self.delay or self.delay_is_old:
            self.delay, self.delay_at = rtt, now
        if self.pacing_rate is None and rtt > 0:
            self.pacing_rate = HIGH_GAIN * self.cwnd / rtt

    def on_delivery(self, delivery: Delivery, flight_size: int, now: float) -> None:
        self._update_bandwidth(delivery)
        self._look_whether_full(delivery)
        if self.mode is Mode.STARTUP and self.full:
            self._enter(Mode.DRAIN, 1 / HIGH_GAIN, HIGH_GAIN)
        if self.mode is Mode.DRAIN and flight_size <= self.inflight(1.0):
            self._probe_bandwidth(now)
        if self.mode is Mode.PROBE_BW:
            self._advance_cycle(flight_size + delivery.acked, now)
        self._probe_rtt(flight_size, now)
        self._set_rate()
        self._set_cwnd(delivery)

    def on_ack(self, acked: int, now: float) -> None:
        """`on_delivery` has seen to it."""

    def on_loss(self, flight_size: int, now: float) -> None:
        """Conserve packets for a round trip, in case it was a full queue: then the rate will say so."""
        self.lost_in_phase = True
        self._save_cwnd()
        self.cwnd = max(min(flight_size, self.cwnd), LEAST_SEGMENTS * self.smss)
        self.conserving_to = self.round + 1

    def on_ecn(self, now: float) -> None:
        """Version 1 keeps the queue short by its model, and does not listen to routers."""

    def on_echo(self, acked: int, marked: int, flight_size: int, now: float) -> None:
        """As `on_ecn`."""

    def on_recovered(self, flight_size: int, now: float) -> None:
        self.conserving_to = -1
        self._restore_cwnd()

    def on_rto(self, flight_size: int, now: float, first: bool) -> None:
        """Start with one segment; the model stays, and leads back to its window."""
        self._save_cwnd()
        self.conserving_to = -1
        self.cwnd = self.smss

    def on_idle(self, now: float) -> None:
        """Pacing makes a burst impossible, and the model is still the best guess."""

    # The model

    def _update_bandwidth(self, delivery: Delivery) -> None:
        self.round_starts = delivery.delivered_before >= self.round_ends
        if self.round_starts:
            self.round_ends = delivery.delivered
            self.round += 1
        rate = delivery.rate
        if rate is None or (delivery.limited and rate < self.bandwidth):
            return
        while self.rates and self.rates[-1][1] <= rate:
            self.rates.pop()
        self.rates.append((self.round, rate))
        while self.rates[0][0] <= self.round - BANDWIDTH_ROUNDS:
            self.rates.popleft()

    def _look_whether_full(self, delivery: Delivery) -> None:
        if self.full or not self.round_starts or delivery.limited:
            return
        if self.bandwidth >= self.full_rate * FULL_GROWTH:
            self.full_rate, self.full_rounds = self.bandwidth, 0
        else:
            self.full_rounds += 1

    # The modes

    def _enter(self, mode: Mode, pacing_gain: float, cwnd_gain: float) -> None:
        self.mode, self.pacing_gain, self.cwnd_gain = mode, pacing_gain, cwnd_gain

    def _probe_bandwidth(self, now: float) -> None:
        """Begin by cruising. The draft throws a die, so that flows do not probe in step; the core has none."""
        self._enter(Mode.PROBE_BW, CYCLE[2], 2.0)
        self.phase, self.phase_at, self.lost_in_phase = 2, now, False

    def _advance_cycle(self, flight_size: int, now: float) -> None:
        over = now - self.phase_at > self.delay
        if self.pacing_gain > 1:
            over = over and (self.lost_in_phase or flight_size >= self.inflight(self.pacing_gain))
        elif self.pacing_gain < 1:
            over = over or flight_size <= self.inflight(1.0)
        if over:
            self.phase = (self.phase + 1) % len(CYCLE)
            self.pacing_gain, self.phase_at, self.lost_in_phase = CYCLE[self.phase], now, False

    def _probe_rtt(self, flight_size: int, now: float) -> None:
        """No shorter RTT for ten seconds: is it our own queue? Empty it for a moment and see."""
        if self.mode is not Mode.PROBE_RTT:
            if self.delay_is_old:
                self._enter(Mode.PROBE_RTT, 1.0, 1.0)
                self._save_cwnd()
                self.probe_rtt_until = inf
        elif self.probe_rtt_until == inf:
            if flight_size <= LEAST_SEGMENTS * self.smss:
                self.probe_rtt_until, self.probe_rtt_round = now + PROBE_RTT_SECONDS, self.round + 1
        elif now >= self.probe_rtt_until and self.round > self.probe_rtt_round:
            self.delay_at = now
            self._restore_cwnd()
            if self.full:
                self._probe_bandwidth(now)
            else:
                self._enter(Mode.STARTUP, HIGH_GAIN, HIGH_GAIN)
        self.delay_is_old = False

    # What follows for the sender

    def _set_rate(self) -> None:
        """In STARTUP the rate only grows: a first sample tells more of the sender than of the path. What was delivered
        between timeouts tells of their length: no rate makes a segment wait for longer than LONGEST_GAP."""
        rate = self.pacing_gain * self.bandwidth
        rate = max(rate, self.smss / LONGEST_GAP) if rate else 0.0
        if rate and (self.full or self.pacing_rate is None or rate > self.pacing_rate):
            self.pacing_rate = rate

    def _set_cwnd(self, delivery: Delivery) -> None:
        target = int(self.inflight(self.cwnd_gain)) + QUANTA * self.smss
        if self.full:
            grown = min(self.cwnd + delivery.acked, target)
        elif self.cwnd < target or delivery.delivered < self.initial_window:
            grown = self.cwnd + delivery.acked
        else:
            grown = self.cwnd
        if self.round >= self.conserving_to:
            self.cwnd = grown
        if self.mode is Mode.PROBE_RTT:
            self.cwnd = min(self.cwnd, LEAST_SEGMENTS * self.smss)

    def _save_cwnd(self) -> None:
        if self.conserving_to < 0 and self.mode is not Mode.PROBE_RTT:
            self.cwnd_before = self.cwnd
        else:
            self.cwnd_before = max(self.cwnd_before, self.cwnd)

    def _restore_cwnd(self) -> None:
        self.cwnd = max(self.cwnd, self.cwnd_before)
