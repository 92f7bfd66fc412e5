"""DCTCP: slow down by as much as is marked, not by half for any mark (RFC 8257). For networks whose queues mark early,
and where all do the same: it starves beside others, or they beside it."""

from __future__ import annotations

from typing import Final

from usertcp.compiled import mypyc_attr
from usertcp.tcp.congestion.reno import Reno

G: Final = 1 / 16
"""Weight of the newest window in the estimate (3.3)."""


@mypyc_attr(allow_interpreted_subclasses=True)
class Dctcp(Reno):
    """Reno, but for what a mark costs (RFC 8257, 3.3). All quantities in octets."""

    __slots__ = ("alpha", "bytes_acked", "bytes_marked", "left")

    def __init__(self, smss: int, initial_window: int) -> None:
        super().__init__(smss, initial_window)
        self.alpha = 1.0
        """DCTCP.Alpha, the share of octets that are marked; 1 at first, as if by Reno."""
        self.bytes_acked = self.bytes_marked = 0
        """In this observation window."""
        self.left = 0
        """Octets still to be acknowledged in it (DCTCP.WindowEnd - SND.UNA)."""

    def on_echo(self, acked: int, marked: int, flight_size: int, now: float) -> None:
        """Estimate once in a window what share is marked (3.3, steps 2 to 8)."""
        self.bytes_acked += acked
        self.bytes_marked += marked
        self.left -= acked
        if self.left < 0:
            self.alpha += G * (self.bytes_marked / self.bytes_acked - self.alpha)
            self.bytes_acked = self.bytes_marked = 0
            self.left = flight_size

    def on_ecn(self, now: float) -> None:
        """Reduce in proportion (3.3, step 9)."""
        self._reduce_to(max(int(self.cwnd * (1 - self.alpha / 2)), 2 * self.smss))
        self.ssthresh = self.cwnd
