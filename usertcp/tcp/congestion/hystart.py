"""HyStart++: leave the first slow start before it overflows the queue (RFC 9406)."""

from __future__ import annotations

from math import inf
from typing import Final

from usertcp.compiled import mypyc_attr

MIN_RTT_THRESHOLD: Final = 0.004
MAX_RTT_THRESHOLD: Final = 0.016
MIN_RTT_DIVISOR: Final = 8
SAMPLES: Final = 8
"""N_RTT_SAMPLE: round trips to measure in a round before it is judged."""
CSS_GROWTH_DIVISOR: Final = 4
CSS_ROUNDS: Final = 5
LIMIT: Final = 8
"""L: segments that one ACK may add at most, since what leaves is not paced."""


@mypyc_attr(acyclic=True)
class HyStart:
    """Watches the RTT round by round. When it rises, a queue is growing: slow start goes on conservatively (CSS) for
    five rounds, and then is over; unless the RTT falls again meanwhile, and it was jitter.

    A round ends when a window's worth of octets is acknowledged. As the window only grows while it is in use, that is
    what is in flight once the ACK that ended the round before has been answered.
    """

    __slots__ = ("_baseline", "_least", "_least_before", "_left", "_rounds", "_samples", "ended")

    def __init__(self, window: int) -> None:
        """*window*: the first, octets."""
        self.ended = False
        """Congestion avoidance is to begin."""
        self._left = window
        """Octets still to be acknowledged in this round."""
        self._least = self._least_before = inf
        """The shortest round trip of this round, of the one before."""
        self._samples = 0
        self._baseline = inf
        """The RTT at which CSS began; infinite outside CSS."""
        self._rounds = 0
        """Of CSS, the one in which it began included."""

    @property
    def conservative(self) -> bool:
        """In CSS."""
        return self._baseline < inf

    def on_rtt(self, rtt: float) -> None:
        """Judge the round, once it has had samples enough."""
        if rtt < self._least:
            self._least = rtt
        self._samples += 1
        if self._samples < SAMPLES:
            return
        if self.conservative:
            if self._least < self._baseline:
                self._baseline = inf
        elif self._least_before < inf and self._least >= self._least_before + self._threshold():
            self._baseline = self._least
            self._rounds = 1

    def growth(self, acked: int, cwnd: int, smss: int) -> int:
        """Octets that an acknowledgment of *acked* octets adds to *cwnd*."""
        added = min(acked, LIMIT * smss) // (CSS_GROWTH_DIVISOR if self.conservative else 1)
        self._left -= acked
        if self._left <= 0:
            self._next_round(cwnd + added)
        return added

    def _next_round(self, cwnd: int) -> None:
        self._left = cwnd
        self._least, self._least_before = inf, self._least
        self._samples = 0
        if self.conservative:
            self._rounds += 1
            self.ended = self._rounds > CSS_ROUNDS

    def _threshold(self) -> float:
        return max(MIN_RTT_THRESHOLD, min(self._least_before / MIN_RTT_DIVISOR, MAX_RTT_THRESHOLD))
