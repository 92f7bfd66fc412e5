"""Losses that were none: noticed by timestamps (Eifel, RFC 3522), by DSACKs (RFC 2883, 5) or by F-RTO (RFC 5682), and
taken back (RFC 4015).

A delay spike or reordering makes a timer expire, or segments look lost, that arrive after all. The congestion window
was then reduced for nothing, and what would still be sent again would be so for nothing too.
"""

from __future__ import annotations

from usertcp.tcp import ecn, timestamps
from usertcp.tcp.recovery import News
from usertcp.tcp.recovery.frto import ForwardRecovery
from usertcp.tcp.recovery.reduction import Reduction
from usertcp.tcp.segment import Segment
from usertcp.tcp.tcb import Tcb


def remember(tcb: Tcb, *, timeout: bool) -> None:
    """The congestion window is about to be reduced. What was noted at the first timeout of a segment stands after the
    second one (RFC 4015, 3.1). From a timeout within fast recovery there is no way back."""
    if not tcb.config.undo or (timeout and tcb.retransmissions > 1):
        return
    again = timeout and tcb.recovery.fast
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
        take_back(tcb, seg, reduction, tcb.snd.una - before, now)
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


def doubt(tcb: Tcb) -> None:
    """The retransmission timer has expired: begin F-RTO, unless a loss was being repaired when it first did (RFC 5682,
    2.1 and 3.1, step 1)."""
    una, recovery = tcb.snd.una, tcb.recovery
    repairing = recovery.fast or una < recovery.recover
    again = tcb.frto is not None and not tcb.frto.advanced
    tcb.frto = None
    if tcb.config.frto and (again or not repairing):
        tcb.frto = ForwardRecovery(una, tcb.snd.nxt, sack=tcb.sack_permitted)


def judge_timeout(tcb: Tcb, seg: Segment, news: News, before: int, now: float) -> None:
    """An acknowledgment after a timeout; SND.UNA was at *before*: what does F-RTO say of it (RFC 5682, 2.1 and 3.1,
    steps 2 and 3)?"""
    frto = tcb.frto
    if frto is None:
        return
    una = tcb.snd.una
    highest = max([una, *(right for _, right in news.blocks)])
    second = frto.advanced
    duplicate = news.duplicate and news.dsack is None  # that something came twice is no sign that something is missing
    spurious = frto.on_ack(una, highest, una + tcb.recovery.sacked_octets, duplicate=duplicate)
    if spurious:
        take_back(tcb, seg, tcb.reduction, una - before, now)
    elif spurious is not None:
        tcb.frto = None
        if second and tcb.congestion.cwnd < 3 * tcb.smss:  # two round trips of slow start would have made it that
            tcb.congestion.cwnd = 3 * tcb.smss
            tcb.congestion_changed("ack", now)


def take_back(tcb: Tcb, seg: Segment, reduction: Reduction | None, acked: int, now: float) -> None:
    """Nothing more is sent again, and the congestion window is restored, if it may be: not if *seg* tells of marks, for
    then there was congestion (RFC 4015, 3.1, step 9)."""
    tcb.counters["losses that were none"] += 1
    tcb.reduction = tcb.frto = None
    if reduction is not None and not (tcb.ecn.enabled and ecn.says_congested(tcb, seg)):
        restore(tcb, reduction, acked)
    tcb.recovery.on_spurious(tcb.snd.una)
    tcb.congestion_changed("undone", now)


def restore(tcb: Tcb, reduction: Reduction, acked: int) -> None:
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
