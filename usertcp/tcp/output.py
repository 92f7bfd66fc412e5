"""The next segments to transmit (RFC 9293, 3.7 and 3.8). Every segment of a connection is built here.

In this order: what is lost, then new data within the peer's window, the congestion window and Nagle, FIN with or
after the last of it, then a bare acknowledgment if one is still owed.
"""

from __future__ import annotations

from usertcp.tcp import cwnd_validation, pacing, persist, timestamps, window
from usertcp.tcp.events import SegmentOut
from usertcp.tcp.options import NO_OPTIONS, Options
from usertcp.tcp.segment import ACK, FIN, PSH, RST, SYN, Segment
from usertcp.tcp.sequence import wrap
from usertcp.tcp.state import State
from usertcp.tcp.tcb import NEVER, Tcb
from usertcp.tcp.timeouts import patience


def output(tcb: Tcb, now: float) -> list[Segment]:
    """Take the segments that are due. Calling it again at once gives nothing."""
    out, tcb.replies = tcb.replies, []
    for reply in out:
        sent(tcb, reply, now)
    if tcb.reset_owed:
        tcb.reset_owed = False
        options = Options(timestamps=timestamps.option(tcb, now))
        out.append(sent(tcb, Segment(wrap(tcb.snd.nxt), 0, RST, options=options), now))
    if tcb.state in (State.CLOSED, State.LISTEN):
        tcb.ack_now = False
        return out
    if tcb.snd.una < tcb.end:
        if tcb.probe_owed:
            probe(tcb, now, out)
        retransmit(tcb, now, out)
        transmit(tcb, now, out)
        cwnd_validation.note_use(tcb)
        arm_timers(tcb, now)
    tcb.probe_owed = False
    if tcb.ack_now:
        out.append(segment(tcb, acceptable_seq(tcb), ACK, b"", now))
    return out


def acceptable_seq(tcb: Tcb) -> int:
    """SEQ of a bare acknowledgment: SND.NXT, as the RFC has it, unless that lies beyond the peer's window (it shrank,
    or we probed it while closed). The peer would then drop our acknowledgment, and two ends that probe each other
    would wait for ever."""
    snd = tcb.snd
    return min(snd.nxt, max(snd.una, snd.iss + 1) + snd.wnd)


def retransmit(tcb: Tcb, now: float, out: list[Segment]) -> None:
    """Send the lost octets again: one segment at once in fast recovery, else as the congestion window allows, and
    always within the peer's window, which may have shrunk (RFC 9293, 3.8.6, SHLD-16). A SYN is bound by no window."""
    snd, recovery = tcb.snd, tcb.recovery
    while recovery.lost_octets:
        syn = recovery.lost == snd.iss
        limit = snd.iss + 1 if syn else snd.una + snd.wnd
        within = recovery.fast or recovery.room(tcb.congestion.cwnd, tcb.flight_size) > 0
        if recovery.lost >= limit or not (syn or within):
            return
        if pacing.must_wait(tcb, now):
            return
        tcb.counters["segments retransmitted"] += 1
        out.append(segment_at(tcb, recovery.lost, limit, now))
        recovery.on_resent(recovery.lost + out[-1].len)


def transmit(tcb: Tcb, now: float, out: list[Segment]) -> None:
    """Send what was never sent, as far as the windows and the silly-window rules let it (RFC 9293, 3.8.6.2.1)."""
    snd = tcb.snd
    if snd.nxt == snd.iss:
        out.append(segment_at(tcb, snd.iss, snd.iss + 1, now))
    if tcb.state in (State.SYN_SENT, State.SYN_RECEIVED) or tcb.recovery.lost_octets:
        return
    restart_after_idle(tcb, now)
    while snd.nxt < tcb.end:
        full = full_size(tcb)
        usable = window.usable(tcb)
        room = max(tcb.recovery.room(tcb.congestion.cwnd, tcb.flight_size), 0)
        waiting = tcb.send_buffer.end - snd.nxt
        size = min(waiting, usable, full)
        if waiting == 0:  # only the FIN is left; it needs no room in the congestion window
            if usable < 1:
                return
        elif size <= 0 or room < size or not window.worth_sending(tcb, size, full):
            return
        if pacing.must_wait(tcb, now):
            return
        out.append(segment_at(tcb, snd.nxt, snd.una + snd.wnd, now))


def probe(tcb: Tcb, now: float, out: list[Segment]) -> None:
    """Send one octet into a closed window, or into an open one what the silly-window rules held back (3.8.6.1,
    3.8.6.2.1)."""
    snd, recovery = tcb.snd, tcb.recovery
    position = recovery.lost if recovery.lost_octets else snd.nxt
    out.append(segment_at(tcb, position, max(snd.una + snd.wnd, position + 1), now))
    if snd.wnd:
        recovery.on_resent(position + out[-1].len)
    else:
        tcb.counters["window probes"] += 1
        recovery.on_probe(snd.una, snd.nxt)


def restart_after_idle(tcb: Tcb, now: float) -> None:
    """After more than one RTO without sending, what the congestion window knew is stale (RFC 5681, 4.1)."""
    if tcb.flight_size == 0 and tcb.snd.nxt < tcb.end and now - tcb.last_sent > tcb.rtt.rto:
        before = tcb.congestion.cwnd
        tcb.congestion.on_idle(now)
        if tcb.congestion.cwnd != before:
            tcb.congestion_changed("idle", now)


def arm_timers(tcb: Tcb, now: float) -> None:
    """One of two timers watches over what the peer has not acknowledged: the retransmission timer what is in flight
    (RFC 6298, 5.1), the persist timer what the windows hold back (RFC 9293, 3.8.6.1), unless it is only pacing that
    does; and above both, how long the
    user will wait."""
    timers = tcb.timers
    if tcb.flight_size > tcb.recovery.lost_octets:
        timers.persist = NEVER
        if timers.retransmit == NEVER:
            timers.retransmit = now + tcb.rtt.rto
    elif timers.pacing != NEVER:
        timers.retransmit = timers.persist = NEVER
    else:
        timers.retransmit = NEVER
        if timers.persist == NEVER:
            timers.persist = now + persist.interval(tcb)
    if timers.user == NEVER:
        timers.user = now + patience(tcb)


def full_size(tcb: Tcb) -> int:
    """Eff.snd.MSS: the text that a full-sized segment holds now, options deducted (RFC 9293, 3.7.1, MUST-16)."""
    return max(tcb.smss - sack_octets(tcb), 1)


def sack_octets(tcb: Tcb) -> int:
    blocks = min(tcb.receive_buffer.holes, sack_blocks_max(tcb)) if tcb.sack_permitted else 0
    return 4 + 8 * blocks if blocks else 0


def sack_blocks_max(tcb: Tcb) -> int:
    """40 octets of options hold four blocks, or three beside timestamps (RFC 2018, 3)."""
    return 3 if tcb.timestamps.enabled else 4


def segment_at(tcb: Tcb, position: int, limit: int, now: float) -> Segment:
    """Build the segment that begins at *position*, of full size at most and ending at *limit*, and move SND.NXT over
    it.

    SYN comes first, then text, then FIN, which the last text carries. Only where *limit* allows is something left out.
    """
    snd = tcb.snd
    again = position < snd.nxt
    if position == snd.iss:
        seg = segment(tcb, position, SYN if tcb.state is State.SYN_SENT else SYN | ACK, b"", now)
    else:
        data = tcb.send_buffer.peek(position, min(full_size(tcb), limit - position))
        end = position + len(data)
        flags = ACK
        if data and window.last_for_now(tcb, tcb.send_buffer.end - end, full_size(tcb)):
            flags |= PSH  # (RFC 9293, 3.9.1.2, MUST-61)
        if end == snd.fin and end < limit:
            flags |= FIN
        seg = segment(tcb, position, flags, data, now)
    snd.nxt = max(snd.nxt, position + seg.len)
    if again:
        tcb.timed = None  # Karn: an acknowledgment would not say which transmission it answers
        tcb.deliveries.on_resent(snd.nxt)
    else:
        tcb.deliveries.on_sent(snd.nxt, now)
        if tcb.timed is None:
            tcb.timed = (snd.nxt, now)
    tcb.last_sent = now
    pacing.charge(tcb, len(seg.data), now)
    return seg


def segment(tcb: Tcb, position: int, flags: int, data: bytes, now: float) -> Segment:
    """Fill in what every segment carries: acknowledgment, window, options. It settles whatever acknowledgment was
    owed."""
    rcv = tcb.rcv
    retransmission = position < tcb.snd.nxt and bool(data or flags & (SYN | FIN))
    if flags & SYN:
        options = syn_options(tcb, now)
        wnd = window.offer_in_syn(tcb)
    else:
        options = ordinary_options(tcb, now)
        wnd = window.offer(tcb)
    seg = Segment(wrap(position), wrap(rcv.nxt) if flags & ACK else 0, flags, wnd, options, data)
    if flags & ACK:
        rcv.acked = rcv.nxt
        tcb.ack_now = False
        tcb.timers.delayed_ack = NEVER
    return sent(tcb, seg, now, retransmission=retransmission)


def sent(tcb: Tcb, seg: Segment, now: float, *, retransmission: bool = False) -> Segment:
    """Count and show a segment that is about to leave."""
    tcb.counters["segments out"] += 1
    tcb.counters["octets out"] += len(seg.data)
    if tcb.trace:
        tcb.trace(SegmentOut(now, tcb.flow, seg, retransmission))
    return seg


def syn_options(tcb: Tcb, now: float) -> Options:
    """What we offer in a SYN; in a SYN,ACK only what the peer offered too (RFC 7323, 1.3 and 2.2; RFC 2018, 2)."""
    config = tcb.config
    first = tcb.state is State.SYN_SENT
    scaling = config.window_scaling if first else tcb.window_scaling
    stamps = config.timestamps if first else tcb.timestamps.enabled
    return Options(
        mss=tcb.rcv.mss,
        window_scale=window.scale_for(config.receive_buffer) if scaling else None,
        sack_permitted=config.sack if first else tcb.sack_permitted,
        timestamps=(timestamps.clock(tcb, now), tcb.timestamps.recent) if stamps else None,
    )


def ordinary_options(tcb: Tcb, now: float) -> Options:
    stamps = timestamps.option(tcb, now)
    blocks: tuple[tuple[int, int], ...] = ()
    if tcb.sack_permitted and tcb.receive_buffer.holes:
        blocks = tuple((wrap(a), wrap(b)) for a, b in tcb.receive_buffer.sack_blocks(sack_blocks_max(tcb)))
    return Options(timestamps=stamps, sack=blocks) if stamps or blocks else NO_OPTIONS
