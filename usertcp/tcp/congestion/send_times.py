"""A round-trip time for each ACK, where the RTO (RFC 6298) is content with one per round trip."""

from __future__ import annotations

from collections import deque


class SendTimes:
    """When what is in flight was sent. Positions and seconds."""

    __slots__ = ("_sent",)

    def __init__(self) -> None:
        self._sent: deque[tuple[int, float]] = deque()
        """(end of a segment, when it was sent), in order."""

    def on_sent(self, end: int, now: float) -> None:
        """New octets up to *end* went out."""
        self._sent.append((end, now))

    def on_resent(self) -> None:
        """Karn's rule, on the safe side: no sample until something that is sent from now on is acknowledged."""
        self._sent.clear()

    def on_ack(self, una: int, now: float) -> float | None:
        """Octets up to *una* were acknowledged: the round-trip time of the last of them, if that is certain."""
        sent_at = None
        while self._sent and self._sent[0][0] <= una:
            sent_at = self._sent.popleft()[1]
        return None if sent_at is None else now - sent_at
