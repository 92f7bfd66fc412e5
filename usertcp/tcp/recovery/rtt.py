"""How long to wait for an acknowledgment (RFC 6298)."""

from __future__ import annotations

from typing import Final

from usertcp.compiled import mypyc_attr

ALPHA: Final = 1 / 8
BETA: Final = 1 / 4
K: Final = 4

SYN_FALLBACK: Final = 3.0
"""Seconds (RFC 6298, 5.7)."""


@mypyc_attr(acyclic=True)
class RttEstimator:
    """SRTT, RTTVAR and RTO. All quantities in seconds.

    Which acknowledgments may be measured (Karn's algorithm, timestamps) and when the timer runs is for the caller to
    know.
    """

    __slots__ = ("at_least", "granularity", "initial", "maximum", "minimum", "rto", "rttvar", "srtt")

    def __init__(self, initial: float, minimum: float, maximum: float, granularity: float = 0.001) -> None:
        """*granularity*: G, the tick of the clock that measures."""
        self.initial = initial
        self.minimum = minimum
        self.maximum = maximum
        self.granularity = granularity
        self.srtt: float | None = None
        """Smoothed round-trip time; None before the first sample."""
        self.rttvar: float | None = None
        """Variation of the round-trip time; None before the first sample."""
        self.rto = self._clamp(initial)
        """The retransmission timeout, backed off as it may be."""
        self.at_least: tuple[float, float] | None = None
        """SRTT and RTTVAR that the next sample may not undercut."""

    def sample(self, rtt: float, expected_samples: int = 1) -> None:
        """Take a measurement (2.2, 2.3). The RTO is computed anew: what `back_off` did to it is over (5, last
        paragraph).

        *expected_samples*: how many there will be per round trip. With timestamps every ACK is one, and to give each
        the full weight would shorten the memory of the filters; RFC 7323, appendix G divides the weights by
        ceiling(FlightSize / (2 * SMSS)).
        """
        if self.at_least is not None:
            self.srtt, self.rttvar = max(self.at_least[0], rtt), max(self.at_least[1], rtt / 2)
            self.at_least = None
        elif self.srtt is None or self.rttvar is None:
            self.srtt = rtt
            self.rttvar = rtt / 2
        else:
            beta = BETA / expected_samples
            alpha = ALPHA / expected_samples
            self.rttvar = (1 - beta) * self.rttvar + beta * abs(self.srtt - rtt)
            self.srtt = (1 - alpha) * self.srtt + alpha * rtt
        self.rto = self._clamp(self.srtt + max(self.granularity, K * self.rttvar))

    def back_off(self) -> None:
        """The timer expired: double the RTO, up to the maximum (5.5)."""
        self.rto = self._clamp(self.rto * 2)

    def after_spurious_timeout(self, srtt: float | None, rttvar: float | None) -> None:
        """The timer had expired too early, with these estimates: the next sample counts in full (RFC 4015, 3.1, steps
        0 and 11)."""
        if srtt is not None and rttvar is not None:
            self.at_least = (srtt + 2 * self.granularity, rttvar)

    def syn_was_retransmitted(self) -> None:
        """The handshake is done and its timer had expired: start on the data with 3 s if the first RTO was less
        (5.7)."""
        if self.initial < SYN_FALLBACK:
            self.rto = self._clamp(SYN_FALLBACK)

    def _clamp(self, rto: float) -> float:
        return min(max(rto, self.minimum), self.maximum)
