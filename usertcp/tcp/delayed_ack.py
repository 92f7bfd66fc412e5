"""When in-order text is acknowledged: at once, or a little later together with something else (RFC 9293, 3.8.6.3)."""

from __future__ import annotations

from usertcp.tcp.segment import PSH, Segment
from usertcp.tcp.tcb import NEVER, Tcb


def text_accepted(tcb: Tcb, seg: Segment, now: float) -> None:
    """Decide for a segment whose text was taken in order and left no hole behind it.

    A full-sized segment waits for its neighbour, 2 * RMSS octets being acknowledged at once (SHLD-19). A small or
    pushed one is the tail of what the peer has to say for now: its Nagle algorithm may be holding the next one until
    we acknowledge, so delaying would cost the exchange the whole delay.

    Nothing of this hurries where the connection waits to be accepted: the delay ends when it is.

    Full-sized is the largest text that this peer has sent so far, for its path may be narrower than ours.
    """
    rcv, octets, delay = tcb.rcv, len(seg.data), tcb.config.delayed_ack
    most = rcv.mss - tcb.option_octets
    if octets > rcv.full or rcv.full > most:
        rcv.full = min(max(rcv.full, octets), most)
    tail = octets < rcv.full or bool(seg.flags & PSH)
    if not delay or (tail and not tcb.not_accepted) or rcv.nxt - rcv.acked >= 2 * rcv.full:
        tcb.ack_now = True
    elif tcb.timers.delayed_ack == NEVER:
        tcb.timers.delayed_ack = now + delay


def accepted(tcb: Tcb) -> None:
    """Somebody can answer from now on, and what waited for that is acknowledged."""
    tcb.not_accepted = False
    tcb.ack_now = tcb.ack_now or tcb.timers.delayed_ack != NEVER
