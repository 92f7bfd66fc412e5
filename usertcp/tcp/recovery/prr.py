"""Proportional Rate Reduction (RFC 9937): how fast to send while fast recovery goes on, in octets.

With half a window cut off at once, a sender falls silent for half a round trip and has no ACK clock left. Here the
window shrinks by as much as is delivered, in proportion, so that it has its new size when recovery ends.
"""

from __future__ import annotations

from usertcp.compiled import mypyc_attr


@mypyc_attr(acyclic=True)
class ProportionalRateReduction:
    """One fast recovery. What the congestion controller wants the window to be at its end is *ssthresh* here."""

    __slots__ = ("budget", "delivered", "delivered_now", "flight_size", "out", "safe", "smss")

    def __init__(self, flight_size: int, smss: int) -> None:
        """Recovery begins with *flight_size* octets in flight (RecoverFS): those that the peer has reported before are
        not among them, those that it reports with the ACK that begins it are."""
        self.flight_size = flight_size
        self.smss = smss
        self.delivered = 0
        """Since then (prr_delivered)."""
        self.out = 0
        """Sent since then (prr_out)."""
        self.delivered_now = 0
        """By the last ACK (DeliveredData)."""
        self.safe = False
        """That one advanced SND.UNA and told of no further loss (SafeACK)."""
        self.budget: int | None = 0
        """What may still go out because of the last ACK; None: nobody has asked yet."""

    def on_ack(self, delivered: int, *, safe: bool) -> None:
        """*delivered* octets have newly reached the peer, acknowledged or SACKed (6.2)."""
        if not delivered:
            return
        self.delivered += delivered
        self.delivered_now = delivered
        self.safe = safe
        self.budget = None

    def on_sent(self, octets: int) -> None:
        self.out += octets
        if self.budget is not None:
            self.budget -= octets

    def room(self, ssthresh: int, pipe: int) -> int:
        """Octets that may go out now (6.2). While more than *ssthresh* is in the network, in proportion; then up to it,
        but no more than is delivered (PRR-CRB), or while repairing goes well by slow start, a segment more
        (PRR-SSRB)."""
        if self.budget is None:
            if pipe > ssthresh:
                self.budget = -(-self.delivered * ssthresh // max(self.flight_size, 1)) - self.out
            else:
                limit = max(self.delivered - self.out, self.delivered_now) + self.safe * self.smss
                self.budget = min(ssthresh - pipe, limit)
        return self.budget
