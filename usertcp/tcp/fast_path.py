"""The short way for what is expected: Jacobson's header prediction, and its counterpart for sending.

In ESTABLISHED, and while our FIN waits for its acknowledgment, as long as nothing is lost, missing or asked for, most
segments that arrive are the next in order and say nothing special, and most that leave carry new text, or acknowledge.
For these the steps of `segment_arrives` and of `output` come down to what is written here: what they would do, without
asking what is known. Everything else is left to them, untouched. That both ways do the same, to every variable of the
TCB, a test shows by going both.
"""

from __future__ import annotations

from typing import Final

from usertcp.tcp import auto_tuning, cwnd_validation, delayed_ack, loss_detection, output, path_mtu, window
from usertcp.tcp.acknowledgment import learn
from usertcp.tcp.options import Options
from usertcp.tcp.recovery.sack import Sack
from usertcp.tcp.segment import ACK, PSH, Segment
from usertcp.tcp.sequence import HALF, MASK
from usertcp.tcp.state import State
from usertcp.tcp.tcb import NEVER, Tcb
from usertcp.tcp.timestamps import clock, round_trip

ESTABLISHED: Final = State.ESTABLISHED
FIN_WAIT_1: Final = State.FIN_WAIT_1


def calm(tcb: Tcb) -> Sack | None:
    """The loss recovery, if it has nothing to do, and there is nothing else that a segment would have to wait for, to
    mention or to clear up."""
    state, snd, recovery, config = tcb.state, tcb.snd, tcb.recovery, tcb.config
    if (
        (state is ESTABLISHED or state is FIN_WAIT_1)
        and type(recovery) is Sack
        and recovery.quiet(snd.una)
        and tcb.timestamps.enabled
        and tcb.rcv.fin is None
        and not tcb.receive_buffer.holes
        and tcb.duplicate is None
        and snd.up <= snd.una
        and snd.wnd > 0
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
    ):
        return recovery
    return None


def segment_arrives(tcb: Tcb, seg: Segment, now: float) -> bool:
    """Process a segment, its numbers as on the wire, if it is the next in order, acknowledges something or has text,
    and says no more. Returns whether it was."""
    snd, rcv, options = tcb.snd, tcb.rcv, seg.options
    nxt, una, stamps, octets = rcv.nxt, snd.una, options.timestamps, len(seg.data)
    acked = (seg.ack - una) & MASK
    if (
        seg.flags & ~PSH != ACK
        or seg.seq != nxt & MASK
        or stamps is None
        or acked > snd.nxt - una
        or (snd.fin is not None and acked > snd.fin - una)
        or not (acked or octets)
        or not seg.wnd
        or nxt >= rcv.edge
        or nxt + octets > rcv.edge
        or (stamps[0] - tcb.timestamps.recent) & MASK >= HALF
        or options.sack
        or options.signature is not None
        or options.user_timeout is not None
        or options.accurate_ecn is not None
        or (recovery := calm(tcb)) is None
    ):
        return False
    if nxt == rcv.acked:
        timestamps = tcb.timestamps
        timestamps.recent = timestamps.echo = stamps[0]
        timestamps.recent_at = now
    if acked:
        acknowledged(tcb, seg, acked, now)
    if acked or snd.wl1 < nxt or (snd.wl1 == nxt and snd.wl2 <= una):
        wnd = snd.wnd = seg.wnd << snd.scale
        snd.wl1, snd.wl2 = nxt, snd.una
        tcb.probes = 0
        if wnd > snd.max_wnd:
            snd.max_wnd = wnd
    if acked or snd.nxt > una:
        elapsed = round_trip(tcb, seg, now)
        echo, smss = None if elapsed is None else now - elapsed, snd.mss - tcb.option_octets
        if recovery.advance(una, snd.una, snd.nxt, smss, echo, tcb.rtt.srtt, now):
            loss_detection.begin_recovery(tcb, now)
        loss_detection.set_reordering_timer(tcb)
    if acked:
        loss_detection.schedule_probe(tcb, now)
    if octets:
        tcb.receive_buffer.write(nxt, seg.data)
        rcv.nxt = nxt + octets
        tcb.counters["octets in"] += octets
        if tcb.config.auto_tuning:
            auto_tuning.text_arrived(tcb, seg, now)
        delayed_ack.text_accepted(tcb, seg, now)
    return True


def acknowledged(tcb: Tcb, seg: Segment, acked: int, now: float) -> None:
    """So many octets, of text only (compare `acknowledgment.newly_acknowledged`)."""
    snd, timers, config, rtt = tcb.snd, tcb.timers, tcb.config, None
    una = snd.una + acked
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
    learn(tcb, acked, now)
    if una - acked < tcb.cwnd_used or not config.cwnd_validation:
        tcb.congestion.on_ack(acked, now)
    if config.auto_tuning:
        auto_tuning.acknowledged(tcb)
    tcb.retransmissions = tcb.resent = 0
    tcb.icmp_error = None
    timers.retransmit = now + tcb.rtt.rto if una < snd.nxt else NEVER
    timers.persist = NEVER
    patience = config.r2 if config.user_timeout is None else config.user_timeout
    timers.user = now + patience if una < tcb.end else NEVER


def new_segments(tcb: Tcb, now: float) -> list[Segment]:
    """The segments that are due: with text that is sent for the first time, if nothing is to be heeded but the two
    windows and Nagle, or else an acknowledgment alone. None of them if anything else is to be done."""
    snd, congestion, config = tcb.snd, tcb.congestion, tcb.config
    waiting, full = tcb.end - snd.nxt, snd.mss - tcb.option_octets
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
        usable = snd.una + snd.wnd - snd.nxt
        size = waiting if waiting < full else full
        if usable < size:
            size = usable
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
    options = Options(timestamps=(clock(tcb, now), tcb.timestamps.echo))
    seg = Segment(tcb.snd.nxt & MASK, rcv.nxt & MASK, ACK, window.offer(tcb), options)
    seg.traffic_class, seg.ttl = config.dscp << 2, config.ttl
    rcv.acked = rcv.nxt
    tcb.ack_now = False
    tcb.timers.delayed_ack = NEVER
    tcb.counters["segments out"] += 1
    return seg
