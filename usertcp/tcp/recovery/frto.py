"""F-RTO (RFC 5682): was a retransmission timeout spurious? It needs no option of the peer's.

After the timeout the first segment is sent again, and nothing else. When the peer has more than that, two new segments
go out in place of the next lost one. If an acknowledgment of what was sent before the timeout follows, then that had
only been late.
"""

from __future__ import annotations


class ForwardRecovery:
    """One timeout, until it is known whether it was spurious. Positions and octets."""

    __slots__ = ("advanced", "delivered", "recover", "resent", "sack", "una")

    def __init__(self, una: int, recover: int, *, sack: bool) -> None:
        """
        Args:
          una: the first segment's position.
          recover: the right edge of what was sent before the timeout.
          sack: by the SACK-enhanced version (3.1), not the basic one (2.1).
        """
        self.una = una
        self.recover = recover
        self.sack = sack
        self.delivered = una
        """Octets before SND.UNA, as a position, and those that are SACKed."""
        self.resent: int | None = None
        """The right edge of the segment that was sent again (step 1)."""
        self.advanced = False
        """The first acknowledgment has come and leaves it open (step 2b): the second one decides."""

    def on_ack(self, una: int, highest: int, delivered: int, *, duplicate: bool) -> bool | None:
        """An acknowledgment, the timeout being open.

        Args:
          una: SND.UNA now.
          highest: the right edge of all that it reports.
          delivered: as `delivered`.
          duplicate: by RFC 5681, 2.

        Returns:
          Whether the timeout was spurious; None: still open.
        """
        advances, news = una > self.una, delivered > self.delivered
        self.una, self.delivered = una, delivered
        if not self.advanced:
            return self._first(una, advances, duplicate)
        if self.sack and highest > self.recover:
            return False
        if advances or news:
            return True
        return False if duplicate else None

    def _first(self, una: int, advances: bool, duplicate: bool) -> bool | None:
        """Step 2. A duplicate says nothing where SACKs will tell more. What does not cover the segment that was sent
        again comes from no honest peer (2.2); what covers everything may be the answer to that segment alone."""
        if not advances:
            return False if duplicate and not self.sack else None
        if self.resent is None or not self.resent <= una < self.recover:
            return False
        self.advanced = True
        return None
