"""What all connections of a stack may hold together: text that nobody has read, text beyond holes, and text of ours
that is not acknowledged.

What it costs is constant: each connection's share is entered in the books after each event that touched it, and what
has to go goes in the order in which it came. A batch of segments may overdraw the account by its own length.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from typing import TYPE_CHECKING, Final

from usertcp.tcp.config import LARGEST_BUFFER
from usertcp.tcp.state import GONE

if TYPE_CHECKING:
    from usertcp.tcp.tcb import Tcb

SHARE: Final = 4
"""Full-sized segments that each connection may hold in each direction, however short memory is: it goes on, slowly."""


class Memory:
    """The books of one stack. Octets.

    Half is used: memory is short. Buffers grow no more, windows are offered for `SHARE` segments (what was offered
    before is honoured), SEND takes as much. All is used: out-of-order text is discarded, first of the connection that
    has had a hole for longest. When there is none left, text is taken in order only, and for users who have left less
    than `SHARE` segments unread. Those segments are what may go beyond the limit.

    RFC 2018, 8 lets a receiver discard what it has reported in SACK blocks, in need; the peer keeps it until it is
    acknowledged, and sends it again when its retransmission timer expires.
    """

    __slots__ = ("_beyond_holes", "counters", "limit", "queue", "short", "used")

    def __init__(self, limit: int, counters: Counter[str] | None = None, *, queue: int = LARGEST_BUFFER) -> None:
        """
        Args:
          counters: where to count what was discarded, and how often memory became short.
          queue: what the lower level can hold of what arrives: no receive buffer is larger, and so no window.
        """
        self.limit = limit
        self.queue = queue
        self.used = 0
        self.short = False
        self.counters: Counter[str] = Counter() if counters is None else counters
        self._beyond_holes: OrderedDict[Tcb, None] = OrderedDict()
        """Connections that hold out-of-order text, by when they began to."""

    def settle(self, tcb: Tcb) -> None:
        """Enter in the books what a connection holds now. One that has ended holds nothing: what is left to be read is
        its user's."""
        ended = tcb.state in GONE
        held = 0 if ended else len(tcb.send_buffer) + len(tcb.receive_buffer)
        if tcb.receive_buffer.holes and not ended:
            self._beyond_holes.setdefault(tcb)
        elif self._beyond_holes:
            self._beyond_holes.pop(tcb, None)
        if held != tcb.charged:
            self._charge(tcb, held)
            while self.used > self.limit and self._beyond_holes:
                self._discard_out_of_order()

    def admits(self, tcb: Tcb, position: int) -> bool:
        """May text be stored that begins at *position*? To be asked when memory is short."""
        if self.used < self.limit or self._beyond_holes:  # or `settle` will make room for it
            return True
        return position <= tcb.rcv.nxt and tcb.receive_buffer.readable < SHARE * tcb.rcv.mss

    def sendable(self, tcb: Tcb) -> int:
        """How many octets SEND may take now."""
        free = tcb.send_buffer.free
        return max(min(free, SHARE * tcb.smss - len(tcb.send_buffer)), 0) if self.short else free

    def _charge(self, tcb: Tcb, held: int) -> None:
        self.used += held - tcb.charged
        tcb.charged = held
        short = 2 * self.used > self.limit
        if short and not self.short:
            self.counters["memory became short"] += 1
        self.short = short

    def _discard_out_of_order(self) -> None:
        tcb, _ = self._beyond_holes.popitem(last=False)
        before = len(tcb.receive_buffer)
        tcb.receive_buffer.drop_out_of_order()
        discarded = before - len(tcb.receive_buffer)
        self._charge(tcb, tcb.charged - discarded)
        for counters in (self.counters, tcb.counters):
            counters["out-of-order octets discarded, memory being short"] += discarded
