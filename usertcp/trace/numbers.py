"""Numbers as people read them: sequence numbers from 0 and windows in octets, learned from the segments that pass."""

from __future__ import annotations

from dataclasses import dataclass

from usertcp.tcp.segment import ACE, ACK, AGREES, SYN, Segment
from usertcp.tcp.sequence import unwrap

MAX_SCALE = 14
"""RFC 7323, 2.3: a larger shift count counts as this."""


@dataclass(slots=True)
class _Side:
    """What one end announced."""

    isn: int | None = None
    tsval: int | None = None
    scale: int | None = None


class Numbers:
    """The point of view for one flow.

    Sequence numbers count from each side's ISN, timestamps from its first, windows are in octets. Before an ISN has
    been seen (a trace that begins in the middle), the first number counts as 1. *absolute*: the wire's own numbers,
    and only windows are changed.
    """

    def __init__(self, *, absolute: bool = False) -> None:
        self.absolute = absolute
        self.forget()

    def forget(self) -> None:
        """A new incarnation of the flow begins."""
        self._us = _Side()
        self._peer = _Side()
        self._asked = False
        self.accurate_ecn = False
        """Both SYNs had the bits of AccECN (RFC 9768, Table 2)."""

    def note(self, seg: Segment, *, ours: bool) -> None:
        """Learn from a segment; call it once for each, in order."""
        side, other = self._sides(ours)
        if side.isn is None:
            side.isn = seg.seq if seg.flags & SYN else seg.seq - 1
        if other.isn is None and seg.flags & ACK:
            other.isn = seg.ack - 1
        if seg.flags & SYN:
            side.scale = seg.options.window_scale
            if not seg.flags & ACK:
                self._asked = seg.flags & ACE == ACE
            elif self._asked and seg.flags & ACE in AGREES:
                self.accurate_ecn = True
        if seg.options.timestamps:
            tsval, tsecr = seg.options.timestamps
            if side.tsval is None:
                side.tsval = tsval
            if other.tsval is None and tsecr:
                other.tsval = tsecr

    def seq(self, number: int, *, ours: bool) -> int:
        """A sequence number of our side's, or of the peer's, to show. Negative if it lies before the ISN."""
        return self._count(number, self._sides(ours)[0].isn)

    def timestamps(self, seg: Segment, *, ours: bool) -> tuple[int, int] | None:
        """TSval and TSecr to show."""
        if not seg.options.timestamps:
            return None
        tsval, tsecr = seg.options.timestamps
        side, other = self._sides(ours)
        return self._count(tsval, side.tsval), self._count(tsecr, other.tsval) if tsecr else 0

    def ace(self, seg: Segment) -> int | None:
        """The counter that three of the control bits are with AccECN, but for those of a SYN (RFC 9768, 3.2.2)."""
        return seg.ace if self.accurate_ecn and not seg.flags & SYN else None

    def window(self, seg: Segment, *, ours: bool) -> int:
        """The window that a segment offers, octets. It is scaled if both SYNs had the option, and never in a SYN (RFC
        7323, 2.2)."""
        side, other = self._sides(ours)
        if seg.flags & SYN or side.scale is None or other.scale is None:
            return seg.wnd
        return seg.wnd << min(side.scale, MAX_SCALE)

    def _count(self, number: int, start: int | None) -> int:
        return number if self.absolute or start is None else unwrap(number, start) - start

    def _sides(self, ours: bool) -> tuple[_Side, _Side]:
        return (self._us, self._peer) if ours else (self._peer, self._us)
