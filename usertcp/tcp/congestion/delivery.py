"""What acknowledgments say of the path: a round-trip time for each, and how fast octets arrive.

The rate is that of draft-cheng-iccrg-delivery-rate-estimation: what arrived between two moments, over the longer of
the times that sending and acknowledging it took. What is SACKed has arrived; samples are taken when SND.UNA advances.
"""

from __future__ import annotations

from usertcp.compiled import mypyc_attr


@mypyc_attr(acyclic=True, free_list_len=1)
class Sent:
    """A segment in flight, and what was known when it left."""

    __slots__ = ("delivered", "delivered_at", "end", "first_sent_at", "limited", "sent_at")

    def __init__(
        self, end: int, sent_at: float, first_sent_at: float, delivered: int, delivered_at: float, limited: bool
    ) -> None:
        self.end = end
        self.sent_at = sent_at
        self.first_sent_at = first_sent_at
        """When the last segment had left that was acknowledged by then."""
        self.delivered = delivered
        self.delivered_at = delivered_at
        self.limited = limited


@mypyc_attr(acyclic=True, free_list_len=1)
class Delivery:
    """What one acknowledgment has shown. Octets, seconds."""

    __slots__ = ("acked", "delivered", "delivered_before", "limited", "rate", "rtt")

    def __init__(
        self,
        acked: int,
        delivered: int,
        delivered_before: int,
        rate: float | None,
        limited: bool,
        rtt: float | None,
    ) -> None:
        self.acked = acked
        """By it alone."""
        self.delivered = delivered
        """On this connection until now ..."""
        self.delivered_before = delivered_before
        """... and until the last of what is now acknowledged was sent: a round trip ago."""
        self.rate = rate
        """Octets per second. None: it all happened at one moment."""
        self.limited = limited
        """The sender had less to send than the path might take: the rate is a lower bound."""
        self.rtt = rtt
        """Of the last octet; None if it is not certain which transmission was acknowledged (Karn)."""


@mypyc_attr(acyclic=True)
class Deliveries:
    """When what is in flight was sent. Positions and seconds."""

    __slots__ = (
        "_again",
        "_first",
        "ambiguous",
        "delivered",
        "delivered_at",
        "first_sent_at",
        "limited_to",
        "segments",
    )

    def __init__(self) -> None:
        self._first: list[Sent] = []
        """Segments that were sent for the first time, in order. A list, for an empty deque takes 760 octets."""
        self._again: list[Sent] = []
        """Those that were sent again, in order of their positions too: see `on_resent`."""
        self.delivered = 0
        """Octets that have arrived, as far as is known ..."""
        self.delivered_at = 0.0
        """... and when one was last seen to."""
        self.first_sent_at = 0.0
        self.segments = 0
        """How many have been acknowledged in order that were sent for the first time."""
        self.limited_to = 0
        """Until so many octets are delivered, what is in flight does not fill the path."""
        self.ambiguous = -1
        """Octets up to here were in flight when some were sent again."""

    def on_sent(self, end: int, now: float) -> None:
        """New octets up to *end* went out."""
        if not self._first:
            self.first_sent_at = self.delivered_at = now
        self._first.append(self._sent(end, now))

    def on_resent(self, end: int, nxt: int, now: float) -> None:
        """Octets up to *end*, before SND.NXT, went out again. Karn's rule, on the safe side: no RTT until something
        that is sent from now on is acknowledged."""
        self.ambiguous = nxt
        if self._again and end <= self._again[-1].end:
            self._again.clear()  # it begins anew at the left, and what was sent again before is lost
        self._again.append(self._sent(end, now))

    def on_limited(self, flight_size: int) -> None:
        """Something else than congestion control keeps more from being sent."""
        self.limited_to = self.delivered + max(flight_size, 1)

    def on_arrival(self, delivered: int, now: float) -> None:
        """So many octets have arrived in all, in order or not."""
        if delivered > self.delivered:
            self.delivered, self.delivered_at = delivered, now

    def on_ack(self, una: int, acked: int, now: float) -> Delivery | None:
        """*acked* octets up to *una* were acknowledged. Comes after `on_arrival`. None: no segment is complete with
        them."""
        last = None
        for segments in (self._first, self._again) if self._again else (self._first,):
            arrived = 0
            for segment in segments:
                if segment.end > una:
                    break
                arrived += 1
                if last is None or segment.sent_at >= last.sent_at:
                    last = segment
            if segments is self._first:
                self.segments += arrived
            del segments[:arrived]
        if last is None:
            return None
        self.first_sent_at = last.sent_at
        sending, arriving = last.sent_at - last.first_sent_at, now - last.delivered_at
        interval = sending if sending > arriving else arriving
        return Delivery(
            acked,
            self.delivered,
            last.delivered,
            (self.delivered - last.delivered) / interval if interval > 0 else None,
            last.limited,
            now - last.sent_at if last.end > self.ambiguous else None,
        )

    def _sent(self, end: int, now: float) -> Sent:
        limited = self.limited_to > self.delivered
        return Sent(end, now, self.first_sent_at, self.delivered, self.delivered_at, limited)
