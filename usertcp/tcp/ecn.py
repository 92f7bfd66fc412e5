"""Explicit congestion notification (RFC 3168): routers mark packets instead of dropping them, and each end tells the
other. Who sends says so by ECT(0) in the IP header, a router makes CE of it, the receiver echoes that by ECE, and the
sender, once it has slowed down, ends the echo by CWR. If both ends can, they count the marks instead (RFC 9768).
"""

from __future__ import annotations

from typing import Final

from usertcp.tcp import accurate_ecn
from usertcp.tcp.congestion import controller
from usertcp.tcp.congestion.dctcp import Dctcp
from usertcp.tcp.segment import ACE, ACK, CE, CWR, ECE, ECN_BITS, ECT0, SYN, Segment
from usertcp.tcp.state import State
from usertcp.tcp.tcb import Tcb

SETUP: Final = ECE | CWR
"""Of a SYN: both make it an ECN-setup SYN; ECE alone makes an ECN-setup SYN,ACK (6.1.1). Peers that reflect what they
do not know set both in the SYN,ACK as well, and so deny."""


# Negotiation


def in_syn(tcb: Tcb) -> int:
    """The bits for our SYN or SYN,ACK. A SYN that goes out again asks no more, in case it was dropped for asking
    (6.1.1.1), as on Linux; then ECT is out of the question, whatever the peer answers (6.1.1). One that asks for AccECN
    asks once more before (RFC 9768, 3.1.4.1)."""
    ecn = tcb.ecn
    if tcb.state is not State.SYN_SENT:
        if ecn.accurate is not None:
            return accurate_ecn.in_syn_ack(tcb, ecn.accurate)
        return ECE if ecn.enabled else 0
    accurate = tcb.config.ecn == "accurate"
    first = tcb.retransmissions < 2 if accurate else tcb.snd.nxt == tcb.snd.iss
    ecn.may_mark = tcb.config.ecn in ("on", "accurate") and first
    ecn.asked = ecn.asked or ecn.may_mark
    return (ACE if accurate else SETUP) if ecn.may_mark else 0


def take_syn(tcb: Tcb, seg: Segment) -> None:
    """Does the peer's SYN ask for it, or its SYN,ACK agree? In a simultaneous open, both have to have asked."""
    ecn, bits = tcb.ecn, seg.flags & SETUP
    if accurate_ecn.agreed(tcb, seg):
        accurate_ecn.begin(tcb, seg)
    elif tcb.state is State.LISTEN:
        ecn.enabled = ecn.may_mark = bits == SETUP and tcb.config.ecn != "off"
    else:
        ecn.enabled = ecn.asked and bits == (ECE if seg.flags & ACK else SETUP)
    ecn.exact = controller(tcb.config.congestion) is Dctcp
    ecn.seen = tcb.snd.iss + 1


def syn_again(tcb: Tcb, seg: Segment) -> bool:
    """The peer's SYN has come once more. If it asks no more, neither end may go on with it (6.1.1.1); who knows AccECN
    only does without ECT (RFC 9768, 3.1.5).

    Returns:
      False if this one asks for the other kind of ECN: then nobody knows which was agreed to, and the connection has
      to be reset (RFC 9768, 3.1.5).
    """
    ecn, bits = tcb.ecn, seg.flags & ACE
    if ecn.accurate is not None:
        accurate_ecn.syn_again(tcb, seg)
        return bits != SETUP
    if tcb.config.ecn == "accurate" and ecn.enabled:
        ecn.may_mark = ecn.may_mark and bits == SETUP
        return bits in (0, SETUP)
    if bits & SETUP != SETUP:
        ecn.enabled = False
    return True


def handshake_done(tcb: Tcb, now: float) -> None:
    """As the client of a connection with ECN. The SYN,ACK may have said that our SYN was marked (RFC 9768, 3.2.2.2)."""
    accurate = tcb.ecn.accurate
    if accurate is not None:
        accurate_ecn.handshake_done(tcb, accurate)
        if accurate.marked:
            slow_down(tcb, now)


# What arrives


def take(tcb: Tcb, seg: Segment, now: float) -> None:
    """Read the bits of an acceptable segment, SEG.ACK having been taken. On a connection with ECN only."""
    if tcb.state is State.CLOSED:
        return  # by the acknowledgment of our FIN, which Linux sends from TIME-WAIT, where it counts no more
    accurate = tcb.ecn.accurate
    if seg.flags & SYN:  # Of a simultaneous open: the SYN,ACK has the last word.
        if accurate is not None:
            accurate_ecn.take_syn_ack(tcb, seg)
        else:
            take_syn(tcb, seg)
        return
    if accurate is not None:
        accurate_ecn.count(tcb, accurate, seg)
        arrived, marked = accurate_ecn.read(tcb, accurate, seg)
        if arrived:
            tcb.congestion.on_echo(arrived, min(marked, arrived), tcb.flight_size, now)
        if marked and tcb.snd.una > tcb.ecn.answered:
            slow_down(tcb, now)
        return
    take_mark(tcb, seg)
    acked, tcb.ecn.seen = max(tcb.snd.una - tcb.ecn.seen, 0), tcb.snd.una
    if acked:
        tcb.congestion.on_echo(acked, acked if seg.flags & ECE else 0, tcb.flight_size, now)
    if seg.flags & ECE:
        tcb.counters["ECE in"] += 1
        if seg.ack == tcb.snd.una > tcb.ecn.answered:
            slow_down(tcb, now)


def says_congested(tcb: Tcb, seg: Segment) -> bool:
    """Then the congestion window does not grow by what the segment acknowledges (6.1.2)."""
    accurate = tcb.ecn.accurate
    return bool(seg.flags & ECE) if accurate is None else accurate_ecn.says_congested(accurate, seg)


def take_mark(tcb: Tcb, seg: Segment) -> None:
    """As the receiver (6.1.3): echo CE until the sender has slowed down. CWR and CE in one segment: that is new
    congestion. Only text counts; the sender marks nothing else. For DCTCP, ECE follows the mark of each segment, and a
    change is acknowledged at once (RFC 8257, 3.2)."""
    ecn = tcb.ecn
    marked = bool(seg.data) and seg.traffic_class & ECN_BITS == CE
    tcb.counters["CE in"] += marked
    if ecn.exact:
        if seg.data and marked is not ecn.echo:
            tcb.ack_now = True
            ecn.echo = marked
        return
    if seg.flags & CWR:
        ecn.echo = False
    if marked:
        tcb.ack_now = tcb.ack_now or not ecn.echo  # the first echo is not delayed, as on Linux
        ecn.echo = True


def slow_down(tcb: Tcb, now: float) -> None:
    """As the sender (6.1.2): as if the window had lost a segment, but that there is nothing to send again; and once in
    a window."""
    before = tcb.congestion.cwnd
    tcb.congestion.on_ecn(now)
    tcb.counters["reductions by ECN"] += 1
    tcb.reduction = None  # Congestion was seen: it cannot turn out that there was none.
    reduced(tcb)
    if tcb.congestion.cwnd < before:
        tcb.ecn.reduced_to = tcb.snd.nxt
        tcb.congestion_changed("ECN", now)


def reduced(tcb: Tcb) -> None:
    """The congestion window was reduced, for whatever reason: CWR says so (6.1.2). What ECE says of octets that were
    sent before is answered with it; also what acknowledges the last of them, which has not seen the CWR."""
    tcb.ecn.answered = tcb.snd.nxt
    tcb.ecn.cwr_owed = True


def timed_out(tcb: Tcb) -> None:
    """The retransmission timer expired."""
    reduced(tcb)
    if tcb.ecn.accurate is not None:
        accurate_ecn.timed_out(tcb, tcb.ecn.accurate)


def covers_loss(tcb: Tcb) -> bool:
    """A loss was found: was the window that it is in reduced by a mark already? Once is enough (6.1.2)."""
    covered = tcb.snd.una < tcb.ecn.reduced_to
    reduced(tcb)
    return covered


# What is sent


def mark(tcb: Tcb, seg: Segment, position: int) -> None:
    """Set the bits of a segment that is not a SYN. ECT and CWR are for new text within the peer's window: not for what
    is sent again, for acknowledgments and probes (6.1.4 to 6.1.6)."""
    ecn, snd = tcb.ecn, tcb.snd
    if ecn.accurate is not None:
        accurate_ecn.feed_back(tcb, ecn.accurate, seg)
    elif ecn.echo:
        seg.flags |= ECE
    if seg.data and snd.nxt == position < snd.una + snd.wnd:
        if ecn.may_mark:
            seg.traffic_class |= ECT0
        if ecn.cwr_owed and ecn.accurate is None:
            seg.flags |= CWR
            ecn.cwr_owed = False
