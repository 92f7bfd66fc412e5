"""WHAT is sent again, and WHEN: round-trip times and loss recovery. How much may be in flight is
`usertcp.tcp.congestion`'s."""

from __future__ import annotations

from typing import Protocol

Span = tuple[int, int]
"""Positions [left, right)."""


class LossRecovery(Protocol):
    """Answers which octets are to be sent again. When they go out, `output.py` decides, and asks it for room.

    It knows positions and times and no TCB. *una* and *nxt* are SND.UNA and SND.NXT as they are after the event.
    """

    fast: bool
    """In fast recovery: a loss was found without the retransmission timer, and the congestion window was reduced."""

    recover: int
    """No new fast recovery begins before this is acknowledged: what was in flight at the last loss lies before it."""

    @property
    def deadline(self) -> float:
        """When `detect_loss` wants to be called even without an ACK; infinity if not."""

    @property
    def lost_octets(self) -> int:
        """Octets in flight that are taken for lost and were not sent again yet."""

    @property
    def sacked_octets(self) -> int:
        """Octets beyond SND.UNA that the peer is known to have."""

    def next_lost(self, nxt: int) -> Span | None:
        """What to send again first: where it begins, and where the segment must end at the latest."""

    def room(self, cwnd: int, flight_size: int) -> int:
        """How many octets the congestion window lets out now. Negative if it has shrunk below what is in flight."""

    def may_resend(self, cwnd: int, flight_size: int) -> bool:
        """May `next_lost` go out now? A segment of it goes out whole even if there is room for a part only."""

    def on_sent(self, left: int, right: int, now: float) -> None:
        """These octets have gone out, for the first time or again."""

    def on_ack(self, una: int, nxt: int, acked: int, smss: int) -> bool:
        """*acked* octets were newly acknowledged, up to *una*.

        Returns:
          True if fast recovery ends with it.
        """

    def detect_loss(self, una: int, nxt: int, smss: int, news: News, now: float) -> bool:
        """Look for losses after an ACK, whether `on_ack` was called for it or not.

        Returns:
          True if fast recovery begins: the congestion window is to be reduced.
        """

    def wants_probe(self, una: int) -> bool:
        """Would a probe of the tail of the flight help to find a loss (RFC 8985, 7.2)?"""

    def out_of_data(self, una: int, nxt: int, smss: int) -> bool:
        """There is room, but nothing is known to be lost and nothing new to be sent. Says whether now something is
        taken for lost."""

    def on_timeout(self, una: int, nxt: int, now: float) -> None:
        """The retransmission timer expired."""

    def resend(self, una: int, nxt: int) -> None:
        """What is in flight was too large for the path. That is no sign of congestion."""

    def leave_rate(self) -> None:
        """The congestion control has a rate of its own, in the fast recovery that has just begun too."""

    def on_spurious(self, una: int) -> None:
        """What seemed lost was not: go on as if recovery had never begun."""

    def take_for_lost(self, una: int, nxt: int) -> None:
        """Everything in flight is to be sent again, for another reason than a timeout."""


class News:
    """What an ACK says beside SEG.ACK."""

    __slots__ = ("blocks", "dsack", "duplicate", "echo", "srtt")

    def __init__(
        self,
        duplicate: bool,
        blocks: list[Span],
        dsack: Span | None,
        echo: float | None = None,
        srtt: float | None = None,
    ) -> None:
        self.duplicate = duplicate
        """It is a duplicate ACK by the conditions of RFC 5681, 2."""
        self.blocks = blocks
        """Its SACK blocks that can be true (RFC 2018), all beyond SND.UNA."""
        self.dsack = dsack
        """What the peer has got twice (RFC 2883)."""
        self.echo = echo
        """When the segment was sent whose timestamp came back."""
        self.srtt = srtt
        """The smoothed round-trip time now."""


NO_NEWS = News(duplicate=False, blocks=[], dsack=None)
