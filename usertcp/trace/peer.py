"""What state the peer must be in, inferred from the segments: for peers whose own kernel we cannot ask."""

from __future__ import annotations

from usertcp.tcp.segment import ACK, FIN, RST, SYN, Segment
from usertcp.tcp.sequence import unwrap
from usertcp.tcp.state import TRANSITIONS, Event, State

NOT_YET = {State.FIN_WAIT_2: State.FIN_WAIT_1, State.TIME_WAIT: State.CLOSING, State.CLOSED: State.LAST_ACK}
"""Where a peer that repeats its FIN really is, when we had believed that our ACK of it had arrived."""


class InferredPeer:
    """Walks the table of transitions in the peer's place.

    A segment of the peer's shows what it had received before. So what will be answered (SYN, FIN) is believed when
    the answer comes; what will not be (a bare ACK, a RST) is believed when it goes out, unless it is known to be
    lost.
    """

    def __init__(self) -> None:
        self.state: State | None = None
        """None: nothing is known yet."""
        self._syn: int | None = None
        self._fin: int | None = None
        self._our_fin: Segment | None = None

    def segment_to_peer(self, seg: Segment) -> None:
        """Ours, and not known to be lost."""
        if seg.flags & RST:
            self._enter(Event.RCV_RST)
        elif seg.flags & FIN:
            self._our_fin = seg
        elif seg.flags & ACK and not seg.flags & SYN:
            if _covers(seg.ack, self._syn):
                self._enter(Event.RCV_ACK_OF_SYN)
            if _covers(seg.ack, self._fin):
                self._enter(Event.RCV_ACK_OF_FIN)

    def segment_from_peer(self, seg: Segment) -> None:
        """One that arrived here, whether we took it or not."""
        if seg.flags & RST:
            self.state = State.CLOSED
        elif seg.flags & SYN:
            self._sent_syn(seg)
        else:
            if self.state in (None, State.SYN_SENT, State.SYN_RECEIVED):
                self.state = State.ESTABLISHED
            if self._our_fin and seg.flags & ACK and _covers(seg.ack, self._our_fin.seq + len(self._our_fin.data)):
                if _covers(self._our_fin.ack, self._fin):
                    self._enter(Event.RCV_ACK_OF_FIN)
                self._enter(Event.RCV_FIN)
                self._our_fin = None
            if seg.flags & FIN:
                self._sent_fin(seg.seq + len(seg.data))

    def _sent_syn(self, seg: Segment) -> None:
        if self.state in (None, State.CLOSED):
            self._syn = seg.seq
        if seg.seq == self._syn:  # another would be an old duplicate, which says nothing about the peer of today
            self.state = State.SYN_RECEIVED if seg.flags & ACK else State.SYN_SENT

    def _sent_fin(self, position: int) -> None:
        if self._fin == position and self.state in NOT_YET:
            self.state = NOT_YET[self.state]
        self._fin = position
        self._enter(Event.CLOSE)

    def _enter(self, event: Event) -> None:
        """Follow the row, if there is one: repeated segments make the same event again, which then changes nothing."""
        if self.state is not None:
            self.state = TRANSITIONS[self.state].get(event, self.state)


def _covers(ack: int, position: int | None) -> bool:
    """Does an acknowledgment number cover a sequence number? Both as on the wire; None: there is nothing to cover."""
    return position is not None and unwrap(ack, position) > position
