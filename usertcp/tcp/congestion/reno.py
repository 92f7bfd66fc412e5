"""The standard congestion control (RFC 5681, with the full window deflation of RFC 6582)."""

from __future__ import annotations

from typing import Final

from usertcp.compiled import mypyc_attr
from usertcp.tcp.congestion.delivery import Delivery

LARGEST_WINDOW: Final = 65535 << 14
"""The largest window that can be advertised: "arbitrarily high" for the first ssthresh (RFC 5681, 3.1)."""


@mypyc_attr(allow_interpreted_subclasses=True)
class Reno:
    """Slow start and congestion avoidance (RFC 5681, 3.1). All quantities in octets."""

    pacing_rate: float | None = None
    __slots__ = ("acked", "cwnd", "initial_window", "smss", "ssthresh")

    def __init__(self, smss: int, initial_window: int) -> None:
        self.smss = smss
        self.initial_window = initial_window
        self.cwnd = initial_window
        self.ssthresh = LARGEST_WINDOW
        self.acked = 0
        """Octets acknowledged in congestion avoidance since cwnd last grew."""

    def on_rtt(self, rtt: float, srtt: float, now: float) -> None:
        """Loss is the only sign that Reno heeds."""

    def on_delivery(self, delivery: Delivery, flight_size: int, now: float) -> None:
        """Nothing that Reno heeds."""

    def on_ack(self, acked: int, now: float) -> None:
        """Grow, by octets and not by ACKs: dividing an acknowledgment into many gains a receiver nothing (equation
        2)."""
        if self.cwnd < self.ssthresh:
            self.cwnd += min(acked, self.smss)
            return
        self.acked += acked
        if self.acked >= self.cwnd:
            self.acked -= self.cwnd
            self.cwnd += self.smss

    def on_loss(self, flight_size: int, now: float) -> None:
        """Halve (equation 4)."""
        self._reduce_to(self._after_loss(flight_size))
        self.ssthresh = self.cwnd

    def on_ecn(self, now: float) -> None:
        """The same for a mark; of the window itself, for nothing has left the flight unnoticed (RFC 3168, 6.1.2)."""
        self.on_loss(self.cwnd, now)

    def on_echo(self, acked: int, marked: int, flight_size: int, now: float) -> None:
        """One mark in a window is as good as many."""

    def on_recovered(self, flight_size: int, now: float) -> None:
        """Leave recovery without a burst: option 1 of RFC 6582, 3.2, step 3. RFC 9937, 6.4 leaves all of ssthresh, but
        to a sender that paces."""
        self._reduce_to(min(self.ssthresh, max(flight_size, self.smss) + self.smss))

    def on_rto(self, flight_size: int, now: float, first: bool) -> None:
        """Fall to the loss window. A segment that is lost twice was sent in the window that the first loss made: once
        is enough."""
        if first:
            self.ssthresh = self._after_loss(flight_size)
        self._reduce_to(self.smss)

    def on_idle(self, now: float) -> None:
        """Fall to the restart window: the ACK clock has stopped, and the path may have changed."""
        self._reduce_to(min(self.initial_window, self.cwnd))

    def _after_loss(self, flight_size: int) -> int:
        return max(flight_size // 2, 2 * self.smss)

    def _reduce_to(self, cwnd: int) -> None:
        self.cwnd = cwnd
        self.acked = 0
