"""Fast retransmit and fast recovery without SACK (RFC 5681, 3.2; RFC 6582), and what to resend after a timeout.

Octets and positions only. It knows which octets are lost, not when they go out: `output.py` asks it.
"""

from __future__ import annotations

DUPLICATE_ACKS = 3
"""RFC 5681, 3.2."""


class NewReno:
    """The lost octets, [lost, lost_end), always at the left of what is in flight, and the state of fast recovery."""

    __slots__ = ("duplicates", "fast", "inflation", "lost", "lost_end", "recover")

    def __init__(self) -> None:
        self.duplicates = 0
        """Duplicate ACKs in a row."""
        self.fast = False
        """In fast recovery."""
        self.recover = -1
        """What fast recovery must see acknowledged; no new one starts before (RFC 6582, 3.2, step 2 and 4). -1: none
        yet."""
        self.inflation = 0
        """Octets that duplicate ACKs say have left the network: RFC 6582 adds them to cwnd, we keep cwnd clean."""
        self.lost = self.lost_end = 0

    @property
    def lost_octets(self) -> int:
        return self.lost_end - self.lost

    def room(self, cwnd: int, flight_size: int) -> int:
        """How many octets the congestion window lets out now. Negative if it has shrunk below what is in flight."""
        return cwnd + self.inflation - (flight_size - self.lost_octets)

    def on_duplicate_ack(self, una: int, nxt: int, smss: int) -> bool:
        """One more ACK of *una* that brings nothing else.

        Returns:
          True if fast recovery begins with it: the first segment is lost, the congestion window is to be reduced.
        """
        self.duplicates += 1
        if self.fast:
            self.inflation += smss
            return False
        if self.duplicates != DUPLICATE_ACKS or una <= self.recover:
            return False
        self.fast = True
        self.recover = nxt
        self.inflation = DUPLICATE_ACKS * smss
        self.lost, self.lost_end = una, min(una + smss, nxt)
        return True

    def on_ack(self, una: int, nxt: int, acked: int, smss: int) -> bool:
        """*acked* octets were newly acknowledged, up to *una*.

        Returns:
          True if fast recovery ends with it. A partial ACK does not end it: the next segment is lost too (RFC 6582,
          3.2, step 3).
        """
        self.duplicates = 0
        self.lost = max(self.lost, una)
        self.lost_end = max(self.lost_end, self.lost)
        if not self.fast:
            return False
        if una >= self.recover:
            self.fast = False
            self.inflation = 0
            return True
        self.inflation = max(self.inflation - acked + (smss if acked >= smss else 0), 0)
        self.lost, self.lost_end = una, min(una + smss, nxt)
        return False

    def on_timeout(self, una: int, nxt: int) -> None:
        """Everything in flight is taken for lost; duplicate ACKs of it start nothing (RFC 6582, 4)."""
        self.fast = False
        self.duplicates = self.inflation = 0
        self.recover = nxt
        self.lost, self.lost_end = una, nxt

    def on_probe(self, una: int, nxt: int) -> None:
        """A probe of a closed window does not count as in flight: the peer may well drop it."""
        self.lost, self.lost_end = una, nxt

    def on_resent(self, end: int) -> None:
        """The lost octets up to *end* are in flight again."""
        self.lost = min(max(self.lost, end), self.lost_end)
