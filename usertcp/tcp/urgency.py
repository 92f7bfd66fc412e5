"""Urgent data (RFC 9293, 3.8.5; RFC 6093): a mark in the stream, "up to here it is urgent". The octets stay in line.

The pointer names the octet that follows the urgent data, both ways (MUST-62). There is no "out-of-band octet", which
the sockets interface makes of it: middleboxes and kernels disagree about that one (RFC 6093, 3).
"""

from __future__ import annotations

from typing import Final

from usertcp.tcp.segment import SYN, URG, Segment
from usertcp.tcp.state import RECEIVING, SYNCHRONIZED
from usertcp.tcp.tcb import Tcb

FARTHEST: Final = 65535
"""What the 16 bits of the pointer reach. Urgent data may be longer: then this says "at least" until the end is near
enough, and the pointer advances while the receiver reads (MUST-31; RFC 2675, 5.2 for the number)."""


def queued(tcb: Tcb) -> None:
    """What SEND has queued last is urgent, and so is all before it (3.10.2).

    The peer is told at once, by an empty segment if its window or ours has no room for text: urging it to read may be
    what opens the window.
    """
    tcb.snd.up = tcb.send_buffer.end
    if tcb.state in SYNCHRONIZED:
        tcb.ack_now = True


def mark(tcb: Tcb, seg: Segment, position: int) -> None:
    """Set URG and the pointer in a segment after which, or in which, there is urgent data not yet acknowledged."""
    ahead = tcb.snd.up - position
    if ahead > 0 and tcb.snd.up > tcb.snd.una and not seg.flags & SYN:
        seg.flags |= URG
        seg.up = min(ahead, FARTHEST)


def check_urg_bit(tcb: Tcb, seg: Segment) -> None:
    """The sixth step (3.10.7.4): RCV.UP <- max(RCV.UP, SEG.UP). It never goes back, and where nothing is left to be
    read before it, it means nothing."""
    if seg.flags & URG and tcb.state in RECEIVING:
        tcb.rcv.up = max(tcb.rcv.up, seg.seq + seg.up)


def readable(tcb: Tcb, max_octets: int) -> int:
    """How much one RECEIVE may return: nothing that follows the urgent data together with the end of it (3.9.1.3)."""
    if tcb.rcv.up <= tcb.receive_buffer.unread:
        return max_octets
    return min(max_octets, remaining(tcb) or max_octets)


def remaining(tcb: Tcb) -> int:
    """Octets of urgent data that RECEIVE has not returned, those still to arrive included (MUST-33)."""
    up = tcb.rcv.up if tcb.rcv.fin is None else min(tcb.rcv.up, tcb.rcv.fin)  # a pointer behind the end is a mistake
    return max(up - tcb.receive_buffer.unread, 0)
