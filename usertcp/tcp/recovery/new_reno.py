"""Fast retransmit and fast recovery without SACK (RFC 5681, 3.2; RFC 6582), and what to resend after a timeout.

Octets and positions only. It knows which octets are lost, not when they go out: `output.py` asks it.
"""

from __future__ import annotations

from math import inf
from typing import Final

from usertcp.compiled import mypyc_attr
from usertcp.tcp.recovery import News, Span

DUPLICATE_ACKS: Final = 3
"""RFC 5681, 3.2."""


@mypyc_attr(acyclic=True)
class NewReno:
    """The lost octets, [lost, lost_end), always at the left of what is in flight, and the state of fast recovery."""

    deadline = inf
    __slots__ = ("duplicates", "fast", "inflation", "lost", "lost_end", "recover")

    def __init__(self, recover: int = -1) -> None:
        self.duplicates = 0
        """Duplicate ACKs in a row."""
        self.fast = False
        """In fast recovery."""
        self.recover = recover
        """What fast recovery must see acknowledged; no new one starts before (RFC 6582, 3.2, step 2 and 4). -1: none
        yet."""
        self.inflation = 0
        """Octets that duplicate ACKs say have left the network: RFC 6582 adds them to cwnd, we keep cwnd clean."""
        self.lost = self.lost_end = 0

    @property
    def lost_octets(self) -> int:
        return self.lost_end - self.lost

    @property
    def sacked_octets(self) -> int:
        return 0

    def next_lost(self, nxt: int) -> Span | None:
        """Nothing is known of what lies behind the lost octets: a segment may reach beyond them, so that small ones
        are joined."""
        return (self.lost, nxt) if self.lost < self.lost_end else None

    def room(self, cwnd: int, flight_size: int) -> int:
        return cwnd + self.inflation - (flight_size - self.lost_octets)

    def may_resend(self, cwnd: int, flight_size: int) -> bool:
        """In fast recovery one segment at once (RFC 5681, 3.2, step 3), else as the congestion window allows."""
        return self.fast or self.room(cwnd, flight_size) > 0

    def on_sent(self, left: int, right: int, now: float) -> None:
        if left <= self.lost:
            self.lost = min(max(self.lost, right), self.lost_end)

    def on_ack(self, una: int, nxt: int, acked: int, smss: int) -> bool:
        """A partial ACK does not end fast recovery: the next segment is lost too (RFC 6582, 3.2, step 3)."""
        self.duplicates = 0
        self.lost = max(self.lost, una)
        self.lost_end = max(self.lost_end, self.lost)
        if not self.fast:
            self.inflation = 0
            return False
        if una >= self.recover:
            self.fast = False
            self.inflation = 0
            return True
        self.inflation = max(self.inflation - acked + (smss if acked >= smss else 0), 0)
        self.lost, self.lost_end = una, min(una + smss, nxt)
        return False

    def detect_loss(self, una: int, nxt: int, smss: int, news: News, now: float) -> bool:
        """Count a duplicate ACK. The first two let a segment each out beyond the congestion window (RFC 3042, 2), so
        that there can be a third; with that one the first segment is lost, and fast recovery begins."""
        if not news.duplicate:
            return False
        self.duplicates += 1
        if self.fast:
            self.inflation += smss
            return False
        if una <= self.recover or self.duplicates > DUPLICATE_ACKS:
            return False
        self.inflation = self.duplicates * smss
        if self.duplicates < DUPLICATE_ACKS:
            return False
        self.fast = True
        self.recover = nxt
        self.lost, self.lost_end = una, min(una + smss, nxt)
        return True

    def wants_probe(self, una: int) -> bool:
        """Its answer would say nothing of the segments before it."""
        return False

    def out_of_data(self, una: int, nxt: int, smss: int) -> bool:
        """Without SACK there is nothing to guess by."""
        return False

    def on_timeout(self, una: int, nxt: int, now: float) -> None:
        """Everything in flight is taken for lost; duplicate ACKs of it start nothing (RFC 6582, 4)."""
        self.fast = False
        self.duplicates = self.inflation = 0
        self.recover = nxt
        self.lost, self.lost_end = una, nxt

    def resend(self, una: int, nxt: int) -> None:
        """Duplicate ACKs, of what was small enough to arrive, start nothing."""
        self.fast = False
        self.duplicates = self.inflation = 0
        self.recover = nxt
        self.lost, self.lost_end = una, nxt

    def leave_rate(self) -> None:
        """It has none."""

    def on_spurious(self, una: int) -> None:
        self.fast = False
        self.duplicates = self.inflation = 0
        self.recover = una - 1
        self.lost = self.lost_end = una

    def take_for_lost(self, una: int, nxt: int) -> None:
        self.lost, self.lost_end = una, nxt
