"""The short way for what is expected: Jacobson's header prediction, and its counterpart for sending.

In ESTABLISHED, and while our FIN waits for its acknowledgment, as long as nothing is lost, missing or asked for, most
segments that arrive are the next in order and say nothing special, and most that leave carry new text, or acknowledge.
For these the steps of `segment_arrives` and of `output` come down to what is written here: what they would do, without
asking what is known. Everything else is left to them, untouched. That both ways do the same, to every variable of the
TCB, a test shows by going both.
"""

from __future__ import annotations

from usertcp.tcp import (
    auto_tuning,
    cwnd_validation,
    delayed_ack,
    loss_detection,
    output,
    path_mtu,
    selective_ack,
    window,
)
from usertcp.tcp.acknowledgment import learn
from usertcp.tcp.options import Options
from usertcp.tcp.recovery.sack import Sack
from usertcp.tcp.segment import ACK, PSH, Segment
from usertcp.tcp.sequence import HALF, MASK
from usertcp.tcp.state import State
from usertcp.tcp.tcb import NEVER, Tcb
from usertcp.tcp.timeouts import patience
from usertcp.tcp.timestamps import clock, round_trip


def calm(tcb: Tcb) -> bool:
    """Is there nothing that any segment would have to wait for, to mention or to clear up?"""
    recovery, config = tcb.recovery, tcb.config
    return (
        (tcb.state is State.ESTABLISHED or tcb.state is State.FIN_WAIT_1)
        and type(recovery) is Sack
        and recovery.quiet(tcb.snd.una)
        and tcb.timestamps.enabled
        and tcb.rcv.fin is None
        and not tcb.receive_buffer.holes
        and tcb.duplicate is None
        and tcb.snd.up <= tcb.snd.una
        and tcb.snd.wnd > 0
        and tcb.reduction is None
        and tcb.frto is None
        and tcb.search is None
        and tcb.loss_probe.end is None
        and not (tcb.loss_probe.owed or tcb.probe_owed or tcb.keepalive_owed or tcb.replies)
        and tcb.held is None
        and tcb.user_reads
        and not tcb.ecn.enabled
        and not tcb.memory.short
        and tcb.authentication is None
        and tcb.trace is None
        and config.keepalive is None
        and config.user_timeout_option is None
    )


def segment_arrives(tcb: Tcb, seg: Segment, now: float) -> bool:
    """Process a segment, its numbers as on the wire, if it is the next in order, acknowledges something or has text,
    and says no more. Returns whether it was."""
    snd, rcv, options = tcb.snd, tcb.rcv, seg.options
    stamps, octets, acked = options.timestamps, len(seg.data), (seg.ack - snd.una) & MASK
    if (
        seg.flags & ~PSH != ACK
        or seg.seq != rcv.nxt & MASK
        or stamps is None
        or acked > (snd.nxt if snd.fin is None else min(snd.nxt, snd.fin)) - snd.una
        or not (acked or octets)
        or not seg.wnd
        or rcv.nxt >= rcv.edge
        or rcv.nxt + octets > rcv.edge
        or (stamps[0] - tcb.timestamps.recent) & MASK >= HALF
        or options.sack
        or options.signature is not None
        or options.user_timeout is not None
        or options.accurate_ecn is not None
        or not calm(tcb)
    ):
        return False
    if rcv.nxt == rcv.acked:
        tcb.timestamps.recent, tcb.timestamps.recent_at = stamps[0], now
    before = snd.una
    if acked:
        acknowledged(tcb, seg, acked, now)
    if acked or snd.wl1 < rcv.nxt or (snd.wl1 == rcv.nxt and snd.wl2 <= before):
        snd.wnd = seg.wnd << snd.scale
        snd.wl1, snd.wl2 = rcv.nxt, snd.una
        snd.max_wnd = max(snd.max_wnd, snd.wnd)
        tcb.probes = 0
    if acked or snd.nxt > snd.una:
        loss_detection.look(tcb, selective_ack.read(tcb, seg, False, now), now)
    if acked:
        loss_detection.schedule_probe(tcb, now)
    if octets:
        tcb.receive_buffer.write(rcv.nxt, seg.data)
        rcv.nxt += octets
        tcb.counters["octets in"] += octets
        if tcb.config.auto_tuning:
            auto_tuning.text_arrived(tcb, seg, now)
        delayed_ack.text_accepted(tcb, seg, now)
    return True


def acknowledged(tcb: Tcb, seg: Segment, acked: int, now: float) -> None:
    """So many octets, of text only (compare `acknowledgment.newly_acknowledged`)."""
    snd, timers = tcb.snd, tcb.timers
    una = snd.una + acked
    rtt = None
    if tcb.timed is None:
        rtt = round_trip(tcb, seg, now)
    elif una >= tcb.timed[0]:
        rtt, tcb.timed = now - tcb.timed[1], None
    if rtt is not None:
        tcb.rtt.sample(rtt)
        tcb.loss_probe.sampled = True
    snd.una = una
    tcb.send_buffer.release(una)
    if una >= tcb.path.sent_end:
        path_mtu.acknowledged(tcb)
    tcb.recovery.on_ack(una, snd.nxt, acked, tcb.smss)
    learn(tcb, acked, now)
    if cwnd_validation.may_grow(tcb, acked):
        tcb.congestion.on_ack(acked, now)
    if tcb.config.auto_tuning:
        auto_tuning.acknowledged(tcb)
    tcb.retransmissions = 0
    tcb.icmp_error = None
    timers.retransmit = now + tcb.rtt.rto if una < snd.nxt else NEVER
    timers.persist = NEVER
    timers.user = now + patience(tcb) if una < tcb.end else NEVER


def new_segments(tcb: Tcb, now: float) -> list[Segment]:
    """The segments that are due: with text that is sent for the first time, if nothing is to be heeded but the two
    windows and Nagle, or else an acknowledgment alone. None of them if anything else is to be done."""
    snd, congestion, config = tcb.snd, tcb.congestion, tcb.config
    waiting, full = tcb.end - snd.nxt, tcb.smss
    if not waiting:
        return [bare(tcb, now)] if tcb.ack_now and snd.nxt == snd.una and calm(tcb) else []
    if (
        snd.fin is not None
        or (waiting > full and tcb.offload)
        or config.pacing
        or congestion.pacing_rate is not None
        or tcb.release_at > now
        or (snd.nxt == snd.una and now - tcb.last_sent > tcb.rtt.rto)
        or not calm(tcb)
    ):
        return []
    out: list[Segment] = []
    while waiting:
        size = min(waiting, full, snd.una + snd.wnd - snd.nxt)
        if size <= 0 or size > snd.una + congestion.cwnd - snd.nxt or not window.worth_sending(tcb, size, full):
            break
        waiting -= size
        out.append(with_text(tcb, size, now, PSH * window.last_for_now(tcb, waiting, full)))
    if out:
        tcb.last_sent = now
        cwnd_validation.note_use(tcb)
        output.arm_timers(tcb, now)
        loss_detection.schedule_probe(tcb, now)
    return out


def with_text(tcb: Tcb, size: int, now: float, psh: int) -> Segment:
    """The segment with the next *size* octets; SND.NXT is moved over them."""
    seg, left = bare(tcb, now), tcb.snd.nxt
    end = tcb.snd.nxt = left + size
    seg.flags |= psh
    seg.data = tcb.send_buffer.peek(left, size)
    if tcb.option_octets + size > tcb.path.sent:
        path_mtu.sent(tcb, tcb.option_octets + size, end)
    tcb.counters["octets out"] += size
    tcb.deliveries.on_sent(end, now)
    if tcb.timed is None:
        tcb.timed = (end, now)
    tcb.recovery.on_sent(left, end, now)
    return seg


def bare(tcb: Tcb, now: float) -> Segment:
    """The next segment, without text. It settles what acknowledgment was owed."""
    rcv, config = tcb.rcv, tcb.config
    options = Options(timestamps=(clock(tcb, now), tcb.timestamps.recent))
    seg = Segment(tcb.snd.nxt & MASK, rcv.nxt & MASK, ACK, window.offer(tcb), options)
    seg.traffic_class, seg.ttl = config.dscp << 2, config.ttl
    rcv.acked = rcv.nxt
    tcb.ack_now = False
    tcb.timers.delayed_ack = NEVER
    tcb.counters["segments out"] += 1
    return seg
