"""What an acceptable acknowledgment does: the inner part of the fifth step (RFC 9293, 3.10.7.4), in one fixed order.

RTT sample, recovery, congestion window and timers for what is newly acknowledged; the send window; then what is lost.
"""

from __future__ import annotations

from usertcp.tcp import (
    auto_tuning,
    cwnd_validation,
    ecn,
    fast_open,
    loss_detection,
    path_mtu,
    path_probing,
    selective_ack,
    timestamps,
    undo,
)
from usertcp.tcp.congestion import controller
from usertcp.tcp.events import RttSample
from usertcp.tcp.recovery.new_reno import NewReno
from usertcp.tcp.recovery.sack import Sack
from usertcp.tcp.segment import FIN, SYN, Segment
from usertcp.tcp.tcb import NEVER, Tcb
from usertcp.tcp.timeouts import patience


def acknowledge(tcb: Tcb, seg: Segment, now: float) -> None:
    """Take SEG.ACK, at most SND.NXT, and SEG.WND."""
    snd = tcb.snd
    window_before, una_before = snd.wnd, snd.una
    advances = seg.ack > snd.una
    if advances:
        newly_acknowledged(tcb, seg, now)
    if advances or is_newest(tcb, seg):
        update_window(tcb, seg, now)
    if not advances and not tcb.flight_size and not seg.options.sack and tcb.loss_probe.end is None:
        return  # it comes with the peer's text, and says nothing of ours
    duplicate = not advances and is_duplicate(tcb, seg, window_before)
    tcb.counters["duplicate ACKs in"] += duplicate
    news = selective_ack.read(tcb, seg, duplicate, now)
    undo.check(tcb, seg, news, una_before, now)
    loss_detection.look(tcb, news, now)
    undo.judge_timeout(tcb, seg, news, una_before, now)
    arrived(tcb, now)
    loss_detection.take_probe_answer(tcb, news, seg.ack, now)
    if advances:
        loss_detection.schedule_probe(tcb, now)


def newly_acknowledged(tcb: Tcb, seg: Segment, now: float) -> None:
    """SND.UNA < SEG.ACK =< SND.NXT."""
    snd, acked = tcb.snd, seg.ack - tcb.snd.una
    handshake = not tcb.syn_acked
    measure(tcb, seg, now)
    snd.una = seg.ack
    tcb.send_buffer.release(seg.ack)
    if seg.ack >= tcb.path.sent_end:
        path_mtu.acknowledged(tcb)
    path_probing.acknowledged(tcb, now)
    recovered = tcb.recovery.on_ack(snd.una, snd.nxt, acked, tcb.smss) and not path_probing.was_repair(tcb)
    learn(tcb, acked, now)
    if recovered:
        tcb.congestion.on_recovered(tcb.flight_size, now)
        tcb.congestion_changed("recovered", now)
    elif handshake and not tcb.fast_opened:
        start_sending(tcb)
        fast_open.answered(tcb, seg, now)
    elif handshake and tcb.retransmissions:
        start_congestion_control(tcb)
    elif tcb.ecn.enabled and ecn.says_congested(tcb, seg):
        pass  # no growth on the word of congestion (RFC 3168, 6.1.2); `ecn.take` sees to the rest
    elif not tcb.recovery.fast and cwnd_validation.may_grow(tcb, acked):
        tcb.congestion.on_ack(acked, now)
        tcb.congestion_changed("ack", now)
    if tcb.config.auto_tuning:
        auto_tuning.acknowledged(tcb)
    tcb.retransmissions = tcb.resent = 0
    tcb.icmp_error = None
    tcb.timers.retransmit = now + tcb.rtt.rto if snd.una < snd.nxt else NEVER  # RFC 6298, 5.2 and 5.3
    tcb.timers.persist = NEVER
    tcb.timers.user = now + patience(tcb) if snd.una < tcb.end else NEVER


def learn(tcb: Tcb, acked: int, now: float) -> None:
    """Show the congestion control what the path has shown, in recovery too."""
    arrived(tcb, now)
    delivery = tcb.deliveries.on_ack(tcb.snd.una, acked, now)
    if delivery is None:
        return
    cwnd = tcb.congestion.cwnd
    if delivery.rtt is not None:
        tcb.congestion.on_rtt(delivery.rtt, tcb.rtt.srtt or delivery.rtt, now)
    in_network = tcb.flight_size - tcb.recovery.sacked_octets - tcb.recovery.lost_octets
    tcb.congestion.on_delivery(delivery, in_network, now)
    if tcb.congestion.cwnd != cwnd:
        tcb.congestion_changed("ack", now)


def arrived(tcb: Tcb, now: float) -> None:
    """Count what has arrived."""
    tcb.deliveries.on_arrival(tcb.snd.una - tcb.snd.iss + tcb.recovery.sacked_octets, now)


def start_sending(tcb: Tcb) -> None:
    """The handshake is done, or as good as done, and text may go out."""
    start_recovery(tcb)
    start_congestion_control(tcb)


def start_recovery(tcb: Tcb) -> None:
    """The handshake has said whether the peer will tell what it has. What was known of the loss of a SYN says nothing
    of the text."""
    if tcb.sack_permitted:
        config = tcb.config
        tcb.recovery = Sack(tcb.snd.una, proportional=config.prr, rack=config.rack, rtt=tcb.rtt.srtt)
    else:
        tcb.recovery = NewReno(tcb.snd.iss)


def start_congestion_control(tcb: Tcb) -> None:
    """The handshake is done and SMSS is known. A SYN that was lost leaves one segment for a first window (RFC 5681,
    3.1), and 3 s for the RTO (RFC 6298, 5.7)."""
    smss = tcb.smss
    first = tcb.config.initial_window or min(10 * smss, max(2 * smss, 14600))
    if tcb.retransmissions:
        first = smss
        tcb.rtt.syn_was_retransmitted()
    tcb.congestion = controller(tcb.config.congestion)(smss, first)


def measure(tcb: Tcb, seg: Segment, now: float) -> None:
    """Take an RTT sample: of the segment being timed, or by the timestamp when Karn's rule leaves none (RFC 7323,
    4.1).

    Where the timestamp of a SYN comes back that was sent again since, the answer may have been late, or lost and
    repeated with the first timestamp: then the sample would be our own timeout.
    """
    rtt = None
    if tcb.timed is not None:
        end, sent_at = tcb.timed
        if seg.ack >= end:
            rtt, tcb.timed = now - sent_at, None
    else:
        rtt = timestamps.round_trip(tcb, seg, now)
        if rtt is not None and not tcb.syn_acked and rtt > now - tcb.last_sent + timestamps.GRANULARITY:
            rtt = None
    if rtt is None:
        return
    tcb.rtt.sample(rtt)
    tcb.loss_probe.sampled = True
    if tcb.trace:
        tcb.trace(RttSample(now, tcb.flow, rtt, tcb.rtt.srtt or rtt, tcb.rtt.rttvar or 0.0, tcb.rtt.rto))


def is_newest(tcb: Tcb, seg: Segment) -> bool:
    """Was this segment sent after the one that SND.WND is from? SND.WL1 and SND.WL2 tell.

    One whose ACK advances SND.UNA needs no asking: if its SEQ is an older one, it repeats text that was lost. To leave
    SND.WND as it is would then move the right edge, to where the peer has never offered it.
    """
    snd = tcb.snd
    return seg.ack == snd.una and (snd.wl1 < seg.seq or (snd.wl1 == seg.seq and snd.wl2 <= seg.ack))


def update_window(tcb: Tcb, seg: Segment, now: float) -> None:
    """Take SEG.WND. That of a SYN is never scaled."""
    snd = tcb.snd
    was_open = snd.wnd > 0
    snd.wnd = seg.wnd if seg.flags & SYN else seg.wnd << snd.scale
    snd.wl1, snd.wl2 = seg.seq, seg.ack
    if snd.wnd > snd.max_wnd:
        snd.max_wnd = snd.wnd
    if was_open is not (snd.wnd > 0):
        tcb.timers.persist = NEVER  # a closed and a narrow window are probed at different intervals
    if snd.wnd:
        tcb.probes = 0
    elif snd.una < tcb.end:
        tcb.timers.user = now + patience(tcb)  # the peer is alive and asks us to wait, for however long (MUST-37)


def is_duplicate(tcb: Tcb, seg: Segment, window_before: int) -> bool:
    """The five conditions of RFC 5681, 2."""
    carries = seg.data or seg.flags & (SYN | FIN)
    return seg.ack == tcb.snd.una and not carries and tcb.flight_size > 0 and tcb.snd.wnd == window_before > 0
