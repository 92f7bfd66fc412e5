"""What the peer has, and what is lost, of the octets in flight (RFC 2018, 5; RFC 6675, 4)."""

from __future__ import annotations

from typing import Final

from usertcp.compiled import mypyc_attr
from usertcp.tcp.recovery import Span
from usertcp.tcp.recovery.ranges import Ranges

DUPLICATES: Final = 3
"""DupThresh (RFC 6675, 2)."""
MAX_RANGES: Final = 16384
"""Separate SACKed ranges to keep. An honest peer needs fewer: `reassembly.MAX_RANGES` of ours, say."""


@mypyc_attr(acyclic=True)
class Scoreboard:
    """Each octet in flight is SACKed, lost and not sent again yet, or in the network: counted in octets, whatever the
    size of segments."""

    __slots__ = ("lost", "sacked")

    def __init__(self) -> None:
        self.sacked = Ranges()
        self.lost = Ranges()

    def pipe(self, flight_size: int) -> int:
        """Octets that are in the network (RFC 6675, 4, SetPipe). What was sent twice counts once, since the first one
        is lost."""
        return flight_size - self.sacked.octets - self.lost.octets

    def acknowledge(self, before: int, una: int) -> list[Span]:
        """SND.UNA went from *before* to *una*.

        Returns:
          What of it was not SACKed before.
        """
        if not self.sacked.octets and not self.lost.octets:
            return [(before, una)]
        delivered = self.sacked.gaps(before, una)
        self.sacked.remove(before, una)
        self.lost.remove(before, una)
        return delivered

    def sack(self, blocks: list[Span]) -> list[Span]:
        """Take SACK blocks.

        Returns:
          What of them is news.
        """
        delivered: list[Span] = []
        for left, right in blocks:
            if len(self.sacked) < MAX_RANGES:
                delivered += self.sacked.add(left, right)
                self.lost.remove(left, right)
        return delivered

    def loss_edge(self, smss: int) -> int | None:
        """Everything below it that is not SACKed is lost (RFC 6675, 4, IsLost): three ranges lie above it, or more
        than two segments' worth of octets."""
        above = 0
        for n in range(1, min(DUPLICATES, len(self.sacked)) + 1):
            left, right = self.sacked[-n]
            above += right - left
            if n == DUPLICATES or above > (DUPLICATES - 1) * smss:
                return left
        return None

    def lose(self, left: int, right: int) -> bool:
        """[left, right) is lost where it is not SACKed. Says whether any of it is."""
        gaps = self.sacked.gaps(left, right)
        for gap in gaps:
            self.lost.add(*gap)
        return bool(gaps)

    def lose_all(self, una: int, nxt: int) -> None:
        """Everything is lost. The peer may have discarded even what it SACKed (RFC 2018, 8): forget that."""
        self.sacked.clear()
        self.lost.clear()
        self.lost.add(una, nxt)
