"""RACK (RFC 8985, 6): what was sent well before something that has been delivered is lost.

Time takes the place of counting: it works for the last segments of a flight, for retransmissions that are lost again,
and on paths that reorder. In octets and ranges, whatever the segments were.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from math import inf
from typing import Final

from usertcp.compiled import mypyc_attr
from usertcp.tcp.recovery import Span
from usertcp.tcp.recovery.scoreboard import Scoreboard

PERSIST: Final = 16
"""Recoveries for which a widened reordering window stays (6.2, step 4)."""
TICK: Final = 0.001
"""Of the timestamps, seconds."""
NONE: Final = (0, 0)
"""Before every transmission."""


@mypyc_attr(acyclic=True, free_list_len=1)
class Transmission:
    """One segment, or super-segment, that was sent."""

    __slots__ = ("again", "left", "number", "right", "time")

    def __init__(self, number: int, left: int, right: int, time: float, again: bool) -> None:
        self.left, self.right, self.time = left, right, time
        self.number = number
        """It is the so manieth. RFC 8985 tells the order of segments sent at one time by SEQ; but a segment may well be
        sent again right behind new ones."""
        self.again = again
        """Some of it had been sent before."""


@mypyc_attr(acyclic=True)
class Transmissions:
    """Of each octet in flight the latest transmission, and all transmissions in the order of time."""

    __slots__ = ("_count", "_lefts", "_of", "end", "queue")

    def __init__(self, end: int) -> None:
        self.end = end
        """Right edge of what was sent."""
        self.queue: list[Transmission] = []
        """Those that may still have octets in the network, the oldest first."""
        self._count = 0
        self._lefts: list[int] = []
        self._of: list[Transmission] = []
        """The transmission of the octets from `_lefts` of the same rank to the next one."""

    def add(self, left: int, right: int, now: float) -> None:
        self._count += 1
        sent = Transmission(self._count, left, right, now, left < self.end)
        self.queue.append(sent)
        if left >= self.end:
            self._lefts.append(left)
            self._of.append(sent)
            self.end = right
            return
        first, last = bisect_left(self._lefts, left), bisect_left(self._lefts, right)
        lefts, of = [left], [sent]
        begins = last < len(self._lefts) and self._lefts[last] == right
        if right < self.end and last and not begins:
            lefts.append(right)
            of.append(self._of[last - 1])
        self._lefts[first:last] = lefts
        self._of[first:last] = of
        self.end = max(self.end, right)

    def of(self, left: int, right: int) -> list[tuple[int, int, Transmission]]:
        """The parts of [left, right), each with its latest transmission."""
        lefts = self._lefts
        parts: list[tuple[int, int, Transmission]] = []
        first = (bisect_right(lefts, left) or 1) - 1
        last = bisect_left(lefts, right, first)
        for i in range(first, last):
            begin, end = lefts[i], lefts[i + 1] if i + 1 < len(lefts) else self.end
            begin, end = begin if begin > left else left, end if end < right else right
            if begin < end:
                parts.append((begin, end, self._of[i]))
        return parts

    def wait_for_all(self) -> None:
        """All octets in flight may be in the network, even those of which that had been given up."""
        self.queue = sorted(set(self._of), key=lambda sent: sent.number)

    def forget(self, una: int) -> None:
        """What lies before *una* is acknowledged."""
        if una >= self.end:
            self._lefts.clear()
            self._of.clear()
        elif (acknowledged := bisect_right(self._lefts, una) - 1) > 0:
            del self._lefts[:acknowledged], self._of[:acknowledged]


@mypyc_attr(acyclic=True)
class Rack:
    """Names are those of RFC 8985, 5.3, without "RACK."."""

    __slots__ = (
        "deadline",
        "dsack_round",
        "fack",
        "latest",
        "min_rtt",
        "reo_wnd_mult",
        "reo_wnd_persist",
        "reordering_seen",
        "rtt",
        "sent",
        "srtt",
    )

    def __init__(self, una: int, min_rtt: float) -> None:
        self.sent = Transmissions(una)
        self.latest = NONE
        """Number of the latest transmission that is known to be delivered, and the right edge of what of it is: it may
        have been cut into segments on its way (xmit_ts and end_seq)."""
        self.rtt = 0.0
        self.min_rtt = min_rtt
        """Of the whole connection. A path that becomes longer makes the reordering window too small; then DSACKs widen
        it."""
        self.srtt = 0.0
        self.fack = una
        """Right edge of the rightmost octet delivered."""
        self.reordering_seen = False
        self.reo_wnd_mult = 1
        self.reo_wnd_persist = PERSIST
        self.dsack_round: int | None = None
        self.deadline = inf
        """When the oldest segment that waits for the reordering window will be lost, if nothing is heard of it."""

    def delivered(self, spans: list[Span], una: int, echo: float | None, now: float) -> None:
        """These octets have newly reached the peer (6.2, steps 1 to 3). *echo*: when the segment was sent whose
        timestamp came back. It is the last one in order (RFC 7323, 4.3): of what is beyond *una* it says nothing."""
        latest: Transmission | None = None
        edge = 0
        for left, right in sorted(spans) if len(spans) > 1 else spans:
            for _, end, sent in self.sent.of(left, right):
                if end > self.fack:
                    self.fack = end
                elif end < self.fack and not sent.again:
                    self.reordering_seen = True
                if not sent.again:
                    if now - sent.time < self.min_rtt:
                        self.min_rtt = now - sent.time
                elif (echo is not None and end <= una and echo < sent.time - TICK) or now - sent.time < self.min_rtt:
                    continue  # the acknowledgment is of an earlier transmission
                if latest is None or sent.number >= latest.number:
                    latest, edge = sent, end
        if latest is not None:
            self.rtt = now - latest.time
            delivered = latest.number, edge
            if delivered > self.latest:
                self.latest = delivered

    def on_dsack(self, una: int, nxt: int) -> None:
        """Something was sent again for nothing: widen the reordering window, once per round trip (6.2, step 4)."""
        if self.dsack_round is not None and una >= self.dsack_round:
            self.dsack_round = None
        if self.dsack_round is None:
            self.dsack_round = nxt
            self.reo_wnd_mult += 1
            self.reo_wnd_persist = PERSIST

    def on_spurious(self) -> None:
        """What was given up has come. It may have been sent again, so that `delivered` did not see it, or took the one
        for the other: from now on segments are waited for."""
        self.reordering_seen = True
        self.latest = NONE
        self.sent.wait_for_all()

    def on_recovered(self) -> None:
        """Fast recovery, or that of a timeout, is over."""
        self.reo_wnd_persist -= 1
        if self.reo_wnd_persist <= 0:
            self.reo_wnd_mult = 1

    def reo_wnd(self, impatient: bool) -> float:
        """The reordering window, seconds (6.2, step 4). *impatient*: in recovery, or DupThresh is reached."""
        if (impatient and not self.reordering_seen) or self.min_rtt == inf:
            return 0.0
        return min(self.reo_wnd_mult * self.min_rtt / 4, self.srtt)

    def detect(self, board: Scoreboard, una: int, impatient: bool, now: float) -> bool:
        """Mark what is lost (6.2, step 5); say whether anything is.

        Transmissions are looked at in the order of time up to the first that is still waited for, or that nothing later
        has overtaken: so each is found lost or delivered once. `deadline` is the first one's, and when it has passed,
        the next one's.
        """
        found, over = False, 0
        wait = self.rtt + self.reo_wnd(impatient)
        self.deadline = inf
        number, edge = self.latest
        for sent in self.sent.queue:
            if sent.number > number:
                break
            if sent.right > una and (live := self._in_network(board, sent, una)):
                if sent.number == number and live[0][0] >= edge:
                    break
                if sent.time + wait > now:
                    self.deadline = sent.time + wait
                    break
                for left, right in live:
                    if sent.number < number or left < edge:
                        board.lost.add(left, right)
                found = True
                if sent.number == number:
                    break  # there may be more of it on its way
            over += 1
        del self.sent.queue[:over]
        return found

    def on_timeout(self, board: Scoreboard, una: int, now: float) -> None:
        """Everything was marked lost. Take that back for what was sent too lately to say, the first segment excepted
        (6.3)."""
        wait = self.rtt + self.reo_wnd(impatient=True)
        self.fack = una
        self.deadline = inf
        for sent in reversed(self.sent.queue):
            if sent.time + wait <= now:
                return
            for left, right, latest in self.sent.of(sent.left, sent.right):
                if latest is sent and left > una:
                    board.lost.remove(left, right)

    def _in_network(self, board: Scoreboard, sent: Transmission, una: int) -> list[Span]:
        """Octets of a transmission that were neither delivered, nor found lost, nor sent again since."""
        return [
            gap
            for left, right, latest in self.sent.of(max(sent.left, una), sent.right)
            if latest is sent
            for span in board.sacked.gaps(left, right)
            for gap in board.lost.gaps(*span)
        ]
