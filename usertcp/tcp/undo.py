"""Losses that were none: noticed by timestamps (Eifel, RFC 3522) or by DSACKs (RFC 2883, 5), and taken back (RFC 4015).

A delay spike or reordering makes a timer expire, or segments look lost, that arrive after all. The congestion window
was then reduced for nothing, and what would still be sent again would be so for nothing too.
"""

from __future__ import annotations

from usertcp.tcp import timestamps
from usertcp.tcp.recovery import News
from usertcp.tcp.recovery.reduction import Reduction
from usertcp.tcp.segment import Segment
from usertcp.tcp.tcb import Tcb


def remember(tcb: Tcb, *, timeout: bool) -> None:
    """The congestion window is about to be reduced. A second time within one recovery there is no way back."""
    if not tcb.config.undo:
        return
    again = timeout and (tcb.recovery.fast or tcb.retransmissions > 1)
    cwnd, ssthresh = tcb.congestion.cwnd, tcb.congestion.ssthresh
    rtt = (tcb.rtt.srtt, tcb.rtt.rttvar)
    tcb.reduction = None if again else Reduction(timeout, cwnd, ssthresh, tcb.flight_size, rtt)


def resent(tcb: Tcb, left: int, right: int, now: float) -> None:
    """These octets are sent again."""
    reduction = tcb.reduction
    if reduction is None:
        return
    if not reduction.end and tcb.timestamps.enabled:
        reduction.first = (left, timestamps.clock(tcb, now))
    reduction.end = tcb.snd.nxt
    if sum(b - a for a, b in reduction.resent.add(left, right)) < right - left:
        reduction.twice = True


def check(tcb: Tcb, seg: Segment, news: News, before: int, now: float) -> None:
    """An ACK has moved SND.UNA from *before*: does it show that the last reduction was wrong?"""
    reduction = tcb.reduction
    if reduction is None or not reduction.end:
        return
    if eifel(tcb, reduction, seg, news) or every_copy_was_one_too_many(reduction, news):
        tcb.counters["losses that were none"] += 1
        tcb.reduction = None
        take_back(tcb, reduction, tcb.snd.una - before, now)
    elif tcb.snd.una > reduction.end:
        tcb.reduction = None
    if news.dsack is not None:
        tcb.dsack_seen = True


def eifel(tcb: Tcb, reduction: Reduction, seg: Segment, news: News) -> bool:
    """The first ACK that covers the first retransmission echoes an earlier time than its: it answers the original (RFC
    3522, 3.2, steps 3 to 6). Unless all ACKs of a flight were lost: then that ACK reports a duplicate, or, from a peer
    without DSACK, acknowledges everything."""
    if reduction.first is None or seg.ack <= reduction.first[0]:
        return False
    (_, sent_at), reduction.first = reduction.first, None
    if seg.options.timestamps is None or not timestamps.older(seg.options.timestamps[1], sent_at):
        return False
    return news.dsack is None and (tcb.dsack_seen or seg.ack < tcb.snd.nxt)


def every_copy_was_one_too_many(reduction: Reduction, news: News) -> bool:
    """The peer has reported everything that fast recovery sent again as a duplicate. After a timeout that may as well
    mean that all ACKs of a flight were lost (RFC 3522, 3.3)."""
    if news.dsack is None or reduction.timeout:
        return False
    reduction.resent.remove(*news.dsack)
    return not reduction.resent and not reduction.twice


def take_back(tcb: Tcb, reduction: Reduction, acked: int, now: float) -> None:
    """Restore the congestion window, without a burst after a timeout (RFC 4015, 3.1, steps 8 to 11). A controller that
    had not reduced it gets nothing back."""
    congestion = tcb.congestion
    if reduction.timeout:
        tcb.rtt.after_spurious_timeout(*reduction.rtt)
    if congestion.cwnd < reduction.cwnd and reduction.timeout:
        initial_window = min(10 * tcb.smss, max(2 * tcb.smss, 14600))
        congestion.cwnd = max(congestion.cwnd, min(reduction.cwnd, tcb.flight_size + min(acked, initial_window)))
        congestion.ssthresh = max(reduction.flight_size, reduction.ssthresh)
    elif congestion.cwnd < reduction.cwnd:
        congestion.cwnd = reduction.cwnd
        congestion.ssthresh = max(congestion.ssthresh, reduction.ssthresh)
    tcb.recovery.on_spurious(tcb.snd.una)
    tcb.congestion_changed("undone", now)
