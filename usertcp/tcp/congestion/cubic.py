"""CUBIC: the window grows with the time since the last loss, not with the round trips (RFC 9438)."""

from __future__ import annotations

from math import cbrt
from typing import Final

from usertcp.compiled import mypyc_attr
from usertcp.tcp.congestion.hystart import HyStart
from usertcp.tcp.congestion.reno import Reno

C: Final = 0.4
"""Segments per cubic second (5)."""
BETA: Final = 0.7
"""What a loss leaves of the window (4.6)."""
ALPHA: Final = 3 * (1 - BETA) / (1 + BETA)
"""Segments per round trip with which AIMD gets as much as Reno does, though a loss costs it less (4.3)."""


@mypyc_attr(allow_interpreted_subclasses=True)
class Cubic(Reno):
    """Reno but for the growth in congestion avoidance, what a loss leaves, and how the first slow start ends.

    All quantities in octets, where the RFC has segments.
    """

    __slots__ = (
        "cwnd_prior",
        "epoch_start",
        "fast_convergence",
        "fraction",
        "hystart",
        "k",
        "last_ack",
        "srtt",
        "w_est",
        "w_max",
    )

    def __init__(self, smss: int, initial_window: int, *, hystart: bool = True, fast_convergence: bool = True) -> None:
        super().__init__(smss, initial_window)
        self.fast_convergence = fast_convergence
        self.hystart = HyStart(initial_window) if hystart else None
        """None once the first slow start is over: later ones have an ssthresh to go by."""
        self.w_max: float = 0.0
        """The window at the last loss, or less (fast convergence); 0: there is none to regain."""
        self.cwnd_prior = 0
        self.epoch_start: float | None = None
        """When this stage of congestion avoidance began."""
        self.k: float = 0.0
        """Seconds from there to w_max."""
        self.w_est: float = 0.0
        """What Reno would have reached."""
        self.srtt: float = 0.0
        self.last_ack: float = 0.0
        self.fraction: float = 0.0
        """Of an octet, that cwnd is still to grow by."""

    def on_rtt(self, rtt: float, srtt: float, now: float) -> None:
        self.srtt = srtt
        if self.hystart:
            self.hystart.on_rtt(rtt)

    def on_ack(self, acked: int, now: float) -> None:
        if self.cwnd >= self.ssthresh:
            self._avoid_congestion(acked, now)
        elif not self.hystart:
            super().on_ack(acked, now)
        else:
            self.cwnd += self.hystart.growth(acked, self.cwnd, self.smss)
            if self.hystart.ended:
                self.hystart = None
                self.ssthresh = self.cwnd

    def on_loss(self, flight_size: int, now: float) -> None:
        """Multiplicative decrease (4.6). A flow whose window is less than at the loss before makes room for others
        (4.7)."""
        shrinking = self.fast_convergence and self.cwnd < self.w_max
        self.w_max = self.cwnd * (1 + BETA) / 2 if shrinking else self.cwnd
        self._end_epoch()
        super().on_loss(flight_size, now)

    def on_rto(self, flight_size: int, now: float, first: bool) -> None:
        """Nothing is known of the path any more: the next stage starts upward from where slow start ends (4.8)."""
        self.w_max = 0.0
        if first:
            self._end_epoch()
        super().on_rto(flight_size, now, first)

    def w_cubic(self, t: float) -> float:
        """The window after *t* seconds of congestion avoidance (equation 1)."""
        return C * self.smss * (t - self.k) ** 3 + self.w_max

    def _avoid_congestion(self, acked: int, now: float) -> None:
        if self.epoch_start is None:
            self._begin_epoch(now)
        t = self._elapsed(now)
        self.w_est += (ALPHA if self.w_est < self.cwnd_prior else 1.0) * self.smss * acked / self.cwnd  # equation 4
        w_cubic = self.w_cubic(t)
        if w_cubic < self.w_est:
            self.cwnd = max(self.cwnd, int(self.w_est))  # the Reno-friendly region (4.3)
            return
        target = min(max(self.w_cubic(t + self.srtt), self.cwnd), 1.5 * self.cwnd)
        self.fraction += acked * (target - self.cwnd) / self.cwnd  # the concave and the convex region (4.4, 4.5)
        whole = int(self.fraction)
        self.fraction -= whole
        self.cwnd += whole

    def _begin_epoch(self, now: float) -> None:
        """Aim at w_max (equation 2), or search beyond it if nothing is known of what lies there."""
        self.epoch_start = self.last_ack = now
        self.w_max = max(self.w_max, self.cwnd)
        self.k = cbrt((self.w_max - self.cwnd) / (C * self.smss))
        self.w_est = float(self.cwnd)
        self.fraction = 0.0

    def _end_epoch(self) -> None:
        self.epoch_start = None
        self.hystart = None
        self.cwnd_prior = self.cwnd

    def _elapsed(self, now: float) -> float:
        """Seconds of congestion avoidance, but for those in which the window was not in use (5.8): no acknowledgment
        came for two round trips that could have enlarged it."""
        assert self.epoch_start is not None
        if self.srtt:
            self.epoch_start += max(now - self.last_ack - 2 * self.srtt, 0)
        self.last_ack = now
        return now - self.epoch_start

    def _after_loss(self, flight_size: int) -> int:
        return max(int(flight_size * BETA), 2 * self.smss)
