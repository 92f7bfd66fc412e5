"""Challenge ACKs: answer what may be an attack so that an honest peer can prove itself (RFC 5961)."""

from __future__ import annotations

from usertcp.tcp.segment import SYN, Segment
from usertcp.tcp.tcb import Tcb


def send(tcb: Tcb, now: float) -> None:
    """Owe <SEQ=SND.NXT><ACK=RCV.NXT><CTL=ACK>, unless the limit of this second is spent (RFC 5961, 7)."""
    count, since = tcb.challenge_acks
    if now - since >= 1.0:
        count, since = 0, now
    if count >= tcb.config.challenge_acks_per_second:
        tcb.counters["challenge ACKs withheld"] += 1
        return
    tcb.challenge_acks = (count + 1, since)
    tcb.ack_now = True


def answer(tcb: Tcb, seg: Segment, now: float) -> None:
    """Owe an unacceptable segment its acknowledgment (RFC 9293, 3.10.7.4, first).

    An empty one is answered within the limit only, so that two confused ends do not answer each other for ever; and so
    is a SYN, wherever it lies (RFC 5961, 4.2). Text always is, and so is an empty segment at RCV.NXT - 1, the form of
    keep-alives and of other stacks' window probes.
    """
    if (seg.len and not seg.flags & SYN) or seg.seq == tcb.rcv.nxt - 1:
        tcb.ack_now = True
    else:
        send(tcb, now)
