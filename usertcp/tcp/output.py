"""The next segments to transmit (RFC 9293, 3.7 and 3.8). Every segment of a connection is built here; the plainest also
by `fast_path`, alike.

In this order: probes that are due, what is lost, new data within the peer's window, the congestion window and Nagle,
FIN with or after the last of it, then a bare acknowledgment if one is still owed.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from usertcp.tcp import (
    accurate_ecn,
    cwnd_validation,
    ecn,
    fast_open,
    loss_detection,
    pacing,
    path_mtu,
    path_probing,
    persist,
    selective_ack,
    super_segment,
    timestamps,
    undo,
    urgency,
    user_timeout,
    window,
)
from usertcp.tcp.events import SegmentOut
from usertcp.tcp.options import NO_OPTIONS, Options, feedback_octets
from usertcp.tcp.segment import ACK, FIN, PSH, RST, SYN, Segment
from usertcp.tcp.sequence import wrap
from usertcp.tcp.state import State
from usertcp.tcp.tcb import NEVER, Tcb
from usertcp.tcp.timeouts import patience

SYN_OCTETS: Final = 20
"""MSS, window scale, SACK-permitted and timestamps, with padding."""
ROOM_BESIDE_SYN: Final = 16
"""What a signature may take if a user timeout is to stand in a SYN as well, octets."""


def output(tcb: Tcb, now: float) -> list[Segment]:
    """Take the segments that are due. Calling it again at once gives nothing."""
    out, tcb.replies = tcb.replies, []
    for reply in out:
        sent(tcb, reply, now)
    if tcb.reset_owed:
        tcb.reset_owed = False
        stamps = (timestamps.clock(tcb, now), 0) if tcb.timestamps.enabled else None  # without ACK, without an echo
        out.append(sent(tcb, Segment(wrap(tcb.snd.nxt), 0, RST, options=Options(timestamps=stamps)), now))
    if tcb.state in (State.CLOSED, State.LISTEN):
        tcb.ack_now = False
        return out
    if tcb.ecn.accurate is not None and tcb.ecn.accurate.reflect:  # text cannot say it (RFC 9768, 3.2.2.1)
        out.append(segment(tcb, acceptable_seq(tcb), ACK, b"", now))
    if tcb.snd.una < tcb.end:
        if tcb.probe_owed:
            probe(tcb, now, out)
        if tcb.loss_probe.owed:
            probe_tail(tcb, now, out)
        before = tcb.snd.nxt
        if tcb.frto is not None and tcb.frto.advanced and tcb.snd.nxt == tcb.frto.recover:
            go_forward(tcb, now, out)
        restart_after_idle(tcb, now)
        retransmit(tcb, now, out)
        transmit(tcb, now, out)
        rescue(tcb, now, out)
        cwnd_validation.note_use(tcb)
        arm_timers(tcb, now)
        if tcb.snd.nxt > before:
            loss_detection.schedule_probe(tcb, now)
    tcb.probe_owed = False
    if tcb.keepalive_owed:
        keep_alive(tcb, now, out)
    if tcb.ack_now:
        out.append(segment(tcb, acceptable_seq(tcb), ACK, b"", now))
    return out


def acceptable_seq(tcb: Tcb) -> int:
    """SEQ of a bare acknowledgment: SND.NXT, as the RFC has it, unless that lies beyond the peer's window (it shrank,
    or we probed it while closed). The peer would then drop our acknowledgment, and two ends that probe each other
    would wait for ever."""
    snd = tcb.snd
    edge = (snd.una if tcb.syn_acked else snd.iss + 1) + snd.wnd
    return snd.nxt if snd.nxt < edge else edge


def retransmit(tcb: Tcb, now: float, out: list[Segment]) -> None:
    """Send the lost octets again, as recovery and the congestion window allow, and always within the peer's window,
    which may have shrunk (RFC 9293, 3.8.6, SHLD-16). A SYN is bound by no window, and goes alone: who does not answer
    it gets nothing else again (RFC 7413, 4.2.2)."""
    snd, recovery = tcb.snd, tcb.recovery
    while (lost := recovery.next_lost(snd.nxt)) is not None:
        syn = lost[0] == snd.iss
        limit = snd.iss + 1 if syn else resend_limit(tcb, lost[1])
        if tcb.frto is not None and tcb.frto.resent is not None:
            return
        may = syn or (tcb.syn_acked and recovery.may_resend(tcb.congestion.cwnd, tcb.flight_size))
        if lost[0] >= limit or not may:
            return
        if not syn and silly(tcb, lost, limit):
            return
        if pacing.must_wait(tcb, now):
            return
        tcb.counters["segments retransmitted"] += 1
        out.append(segment_at(tcb, lost[0], limit, now))
        if lost[0] == snd.una and recovery.fast:
            loss_detection.first_sent_again(tcb, now)
        if tcb.frto is not None:
            tcb.frto.resent = lost[0] + out[-1].len


def go_forward(tcb: Tcb, now: float, out: list[Segment]) -> None:
    """F-RTO's two new segments, in place of lost ones, and whatever Nagle says. If there is none to send, or the peer
    would not take it, recovery goes on as usual (RFC 5682, 2.1, step 2b)."""
    snd, before = tcb.snd, tcb.snd.nxt
    for _ in range(2):
        if 0 < min(tcb.end - snd.nxt, full_size(tcb)) <= window.usable(tcb):
            out.append(segment_at(tcb, snd.nxt, snd.una + snd.wnd, now))
    if snd.nxt == before:
        tcb.frto = None


def transmit(tcb: Tcb, now: float, out: list[Segment]) -> None:
    """Send what was never sent, as far as the windows and the silly-window rules let it (RFC 9293, 3.8.6.2.1)."""
    snd = tcb.snd
    if snd.nxt == snd.iss:
        out.append(segment_at(tcb, snd.iss, snd.iss + 1, now))
    waits = tcb.state is State.SYN_SENT or (tcb.state is State.SYN_RECEIVED and not tcb.fast_opened)
    if waits or tcb.recovery.lost_octets or tcb.frto is not None:
        return
    while snd.nxt < tcb.end:
        full = full_size(tcb)
        if tcb.search is not None and (larger := path_probing.due(tcb)):
            if tcb.recovery.room(tcb.congestion.cwnd, tcb.flight_size) < full + larger or pacing.must_wait(tcb, now):
                return  # until the next acknowledgment makes room
            left = snd.nxt
            out.append(segment_at(tcb, left, snd.una + snd.wnd, now, larger))
            path_probing.sent(tcb, left, larger)
        usable = window.usable(tcb)
        room = tcb.recovery.room(tcb.congestion.cwnd, tcb.flight_size)
        waiting = tcb.send_buffer.end - snd.nxt
        size = full if full <= waiting and full <= usable else min(waiting, usable)
        if size == full and tcb.offload:
            size = min(waiting, usable, room, super_segment.largest(tcb, full))
            if size < waiting or (tcb.config.nagle and snd.fin is None):  # else the rest would go out by itself
                size = max(size // full, 1) * full
        if waiting == 0:  # only the FIN is left; it needs no room in the congestion window
            if usable < 1:
                return
        elif size <= 0 or room < size or not window.worth_sending(tcb, size, full):
            return
        if pacing.must_wait(tcb, now):
            return
        out.append(segment_at(tcb, snd.nxt, snd.una + snd.wnd, now, size - full if size > full else 0, cut=True))


def resend_limit(tcb: Tcb, end: int) -> int:
    """Where a segment must end that sends lost octets again, *end* being the end of these. If they are the last in
    flight, new ones may join them."""
    edge = tcb.snd.una + tcb.snd.wnd
    return min(end, edge) if end < tcb.snd.nxt else edge


def silly(tcb: Tcb, lost: tuple[int, int], limit: int) -> bool:
    """Is this the octet of a probe that the peer did not take, with too small a window now for what would join it?
    The silly-window rules are not to be evaded by having been probed (RFC 9293, 3.8.6.2.1, MUST-38)."""
    snd = tcb.snd
    if lost != (snd.nxt - 1, snd.nxt):
        return False
    size = min(limit - lost[0], full_size(tcb))
    return lost[0] + size < tcb.send_buffer.end and size < full_size(tcb) and 2 * size < snd.max_wnd


def rescue(tcb: Tcb, now: float, out: list[Segment]) -> None:
    """In fast recovery with nothing else to send, use the room for what may be lost. What Nagle or the peer's window
    holds back is not to be sent either; what room or pacing holds back is."""
    snd, recovery = tcb.snd, tcb.recovery
    while recovery.fast and not recovery.lost_octets and tcb.timers.pacing == NEVER:
        room = recovery.room(tcb.congestion.cwnd, tcb.flight_size)
        least = 1 if snd.nxt == tcb.end else tcb.smss
        if room < least or not recovery.out_of_data(snd.una, snd.nxt, tcb.smss):
            return
        retransmit(tcb, now, out)


def probe(tcb: Tcb, now: float, out: list[Segment]) -> None:
    """Send one octet into a closed window, or into an open one what the silly-window rules held back (3.8.6.1,
    3.8.6.2.1)."""
    snd, recovery, last_sent = tcb.snd, tcb.recovery, tcb.last_sent
    position, end = recovery.next_lost(snd.nxt) or (snd.nxt, snd.nxt)
    out.append(segment_at(tcb, position, max(resend_limit(tcb, end), position + 1), now))
    if not snd.wnd:
        tcb.counters["window probes"] += 1
        recovery.take_for_lost(snd.una, snd.nxt)  # a probe does not count as in flight: the peer may well drop it
        tcb.last_sent = last_sent  # nor as a use of the congestion window


def keep_alive(tcb: Tcb, now: float, out: list[Segment]) -> None:
    """Ask for an acknowledgment by a segment left of the peer's window: <SEQ=SND.NXT-1>, empty unless the config wants
    an octet of garbage in it (RFC 9293, 3.8.4, SHLD-12)."""
    tcb.keepalive_owed = False
    tcb.counters["keep-alives out"] += 1
    garbage = tcb.config.keepalive is not None and tcb.config.keepalive.garbage
    out.append(segment(tcb, tcb.snd.nxt - 1, ACK, b"\0" if garbage else b"", now))


def probe_tail(tcb: Tcb, now: float, out: list[Segment]) -> None:
    """Ask the peer by one segment what has arrived: one that it has never seen, if the windows but for cwnd let it, or
    the last one once more (RFC 8985, 7.3)."""
    snd, probe = tcb.snd, tcb.loss_probe
    probe.owed = False
    new = snd.nxt < tcb.end and window.usable(tcb) > 0
    position = snd.nxt if new else max(snd.una, snd.nxt - full_size(tcb))
    if tcb.flight_size == 0 or position >= snd.una + snd.wnd:
        return
    tcb.counters["loss probes"] += 1
    probe.flight_size = tcb.flight_size
    out.append(segment_at(tcb, position, snd.una + snd.wnd if new else resend_limit(tcb, snd.nxt), now))
    probe.end, probe.again, probe.sampled = snd.nxt, not new, False


def restart_after_idle(tcb: Tcb, now: float) -> None:
    """After more than one RTO without sending, what the congestion window knew is stale (RFC 5681, 4.1). A window of
    the peer's that was closed for so long is no better."""
    if now - tcb.last_sent > tcb.rtt.rto and tcb.snd.nxt < tcb.end and tcb.flight_size == tcb.recovery.lost_octets:
        before = tcb.congestion.cwnd
        tcb.congestion.on_idle(now)
        if tcb.congestion.cwnd != before:
            tcb.congestion_changed("idle", now)


def arm_timers(tcb: Tcb, now: float) -> None:
    """One of two timers watches over what the peer has not acknowledged: the retransmission timer what is in flight
    (RFC 6298, 5.1), the persist timer what the windows hold back (RFC 9293, 3.8.6.1), unless it is only pacing that
    does; and above both, how long the user will wait."""
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
    blocks, accurate = selective_ack.count(tcb), tcb.ecn.accurate is not None
    size = tcb.smss
    if blocks or accurate or tcb.config.user_timeout_option is not None:
        marks = accurate_ecn.option(tcb, selective_ack.wanted(tcb)) if accurate else None
        size -= feedback_octets(None if marks is None else len(marks.counters), blocks)
        size -= 0 if user_timeout.due(tcb) is None else user_timeout.OCTETS
    return size if size > 0 else 1


def segment_at(tcb: Tcb, position: int, limit: int, now: float, larger: int = 0, *, cut: bool = False) -> Segment:
    """Build the segment that begins at *position*, of full size at most, or so many octets *larger*, which may be *cut*
    on its way into segments of full size, and ending at *limit*; and move SND.NXT over it.

    SYN comes first, then text, then FIN, which the last text carries. Only where *limit* allows is something left out.
    """
    snd = tcb.snd
    again = position < snd.nxt
    if position == snd.iss:
        seg = segment(tcb, position, SYN if tcb.state is State.SYN_SENT else SYN | ACK, b"", now)
    else:
        full = full_size(tcb)
        size = full + larger if full + larger < limit - position else limit - position
        data = tcb.send_buffer.peek(position, size)
        if cut and full < len(data) < size:
            data = data[: len(data) // full * full]  # more follows
        end = position + len(data)
        packet = full if cut and full < len(data) else len(data)
        if (mss := tcb.snd.mss - full + packet) > tcb.path.sent:
            path_mtu.sent(tcb, mss, end)
        flags = ACK
        if data and window.last_for_now(tcb, tcb.send_buffer.end - end, full):
            flags |= PSH  # (RFC 9293, 3.9.1.2, MUST-61)
        if end == snd.fin and end < limit:
            flags |= FIN
        seg = segment(tcb, position, flags, data, now)
        if packet < len(data):
            seg.mss = full
    end = position + seg.len
    if end > snd.nxt:
        snd.nxt = end
    if now < tcb.began:
        tcb.began = now
    if again:
        undo.resent(tcb, position, end, now)
        path_probing.resent(tcb, position, end)
        tcb.timed = None  # Karn: an acknowledgment would not say which transmission it answers
        tcb.deliveries.on_resent(end, snd.nxt, now)
    else:
        tcb.deliveries.on_sent(snd.nxt, now)
        if tcb.timed is None:
            tcb.timed = (position + 1 if seg.flags & SYN else snd.nxt, now)
    tcb.recovery.on_sent(position, end, now)
    tcb.last_sent = now
    pacing.charge(tcb, len(seg.data), now)
    return seg


def segment(tcb: Tcb, position: int, flags: int, data: bytes | memoryview, now: float) -> Segment:
    """Fill in what every segment carries: acknowledgment, window, options. It settles whatever acknowledgment was
    owed."""
    rcv = tcb.rcv
    retransmission = position < tcb.snd.nxt and bool(data or flags & (SYN | FIN))
    if flags & SYN:
        flags |= ecn.in_syn(tcb)
        options = syn_options(tcb, now)
        data = fast_open.text(tcb, options)
        wnd = window.offer_in_syn(tcb)
    else:
        options = ordinary_options(tcb, now)
        wnd = window.offer(tcb)
    seg = Segment(wrap(position), wrap(rcv.nxt) if flags & ACK else 0, flags, wnd, options, data)
    if flags & ACK:
        rcv.acked = rcv.nxt
        tcb.ack_now = False
        tcb.timers.delayed_ack = NEVER
    urgency.mark(tcb, seg, position)
    if tcb.ecn.enabled and not flags & SYN:
        ecn.mark(tcb, seg, position)
    return sent(tcb, seg, now, retransmission=retransmission)


def sent(tcb: Tcb, seg: Segment, now: float, *, retransmission: bool = False) -> Segment:
    """Say what IP shall do with a segment that is about to leave (RFC 9293, 3.9.1.9, SHLD-22); sign, count and show
    it."""
    seg.traffic_class |= tcb.config.dscp << 2
    seg.ttl = tcb.config.ttl
    if tcb.authentication is not None:
        tcb.authentication.sign(seg, tcb)
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
    stamps = timestamps.wanted(tcb, config.sack) if first else tcb.timestamps.enabled
    options = Options(
        mss=tcb.rcv.mss,
        window_scale=window.scale_for(config.receive_buffer) if scaling else None,
        sack_permitted=config.sack if first else tcb.sack_permitted,
        timestamps=(timestamps.clock(tcb, now), tcb.timestamps.echo) if stamps else None,
        user_timeout=user_timeout.advertised(config) if tcb.signature_octets <= ROOM_BESIDE_SYN else None,
    )
    cookie = fast_open.option(tcb, options)
    if tcb.ecn.accurate is not None:
        others = tcb.signature_octets + SYN_OCTETS + (user_timeout.OCTETS if options.user_timeout is not None else 0)
        others += 2 + len(cookie) if cookie is not None else 0
        options.accurate_ecn = accurate_ecn.option_in_syn_ack(tcb, others)
    return options if cookie is None else replace(options, fast_open=cookie)


def ordinary_options(tcb: Tcb, now: float) -> Options:
    stamps = timestamps.option(tcb, now)
    seconds = user_timeout.due(tcb)
    marks = accurate_ecn.option(tcb, selective_ack.wanted(tcb)) if tcb.ecn.accurate is not None else None
    blocks = selective_ack.write(tcb)
    tcb.user_timeout_owed = tcb.user_timeout_owed and seconds is None
    if not stamps and not blocks and seconds is None and marks is None:
        return NO_OPTIONS
    return Options(timestamps=stamps, sack=blocks, user_timeout=seconds, accurate_ecn=marks)
