"""SEGMENT ARRIVES (RFC 9293, 3.10.7): a function for each step, in the RFC's order.

Numbers of the segment are positions here. A step changes the TCB and returns; to stop, it raises `Discard` with the
reason. CLOSED, where there is no TCB, is `reset.answer`."""

from __future__ import annotations

from usertcp.errors import ConnectionAborted, ConnectionRefused, ConnectionReset
from usertcp.tcp import (
    accurate_ecn,
    acknowledgment,
    auto_tuning,
    challenge_ack,
    delayed_ack,
    ecn,
    negotiation,
    reset,
    selective_ack,
    timestamps,
    urgency,
    user_timeout,
)
from usertcp.tcp.segment import ACK, FIN, RST, SYN, Segment
from usertcp.tcp.state import RECEIVING, Event, State
from usertcp.tcp.tcb import Discard, Tcb


def segment_arrives(tcb: Tcb, seg: Segment, now: float) -> None:
    """Process one segment in any state but CLOSED. Raises Discard where the RFC says to drop it."""
    if tcb.state is State.LISTEN:
        in_listen(tcb, seg, now)
    elif tcb.state is State.SYN_SENT:
        in_syn_sent(tcb, seg, now)
    else:
        in_other_states(tcb, seg, now)
    user_timeout.take(tcb, seg, now)


def reply_reset(tcb: Tcb, seg: Segment) -> None:
    """Answer by a RST without ending the connection (RFC 9293, 3.5.2, second group)."""
    if (rst := reset.answer(seg)) is not None:
        tcb.replies.append(rst)


# LISTEN


def in_listen(tcb: Tcb, seg: Segment, now: float) -> None:
    """RFC 9293, 3.10.7.2. What comes with the SYN is held until ESTABLISHED. With a Fast Open option it is taken at
    once, or dropped if that is not to be (RFC 7413, 4.2.2)."""
    if seg.flags & RST:
        raise Discard("RST in LISTEN")
    if seg.flags & ACK:
        reply_reset(tcb, seg)
        raise Discard("ACK in LISTEN: nothing was sent that it could acknowledge")
    if not seg.flags & SYN:
        raise Discard("neither SYN nor ACK in LISTEN")
    negotiation.take_syn(tcb, seg, now)
    tcb.passive = True
    tcb.enter(Event.RCV_SYN, now)
    if tcb.fast_open is None:
        hold(tcb, seg)
    elif tcb.fast_open.done:
        acknowledgment.start_sending(tcb)
        urgency.check_urg_bit(tcb, seg)
        seventh_process_segment_text(tcb, seg, now)


def hold(tcb: Tcb, seg: Segment) -> None:
    """Keep the text and the FIN that came with a SYN."""
    if seg.data or seg.flags & FIN:
        tcb.held = seg


# SYN-SENT


def in_syn_sent(tcb: Tcb, seg: Segment, now: float) -> None:
    """RFC 9293, 3.10.7.3."""
    snd = tcb.snd
    if seg.flags & ACK and not snd.iss < seg.ack <= snd.nxt:
        reply_reset(tcb, seg)
        raise Discard("acknowledges something other than our SYN")
    if seg.flags & RST:
        if not seg.flags & ACK:
            raise Discard("RST in SYN-SENT that does not acknowledge our SYN")
        tcb.fail(Event.RCV_RST, ConnectionRefused(describe(tcb)), now)
        return
    if not seg.flags & SYN:
        raise Discard("neither SYN nor RST in SYN-SENT")
    negotiation.take_syn(tcb, seg, now)
    if seg.flags & ACK:
        acknowledgment.acknowledge(tcb, seg, now)
        tcb.enter(Event.RCV_SYN_ACK, now)
        if tcb.ecn.enabled:
            ecn.handshake_done(tcb, now)
        tcb.ack_now = True
        urgency.check_urg_bit(tcb, seg)
        seventh_process_segment_text(tcb, seg, now)
        eighth_check_fin_bit(tcb, now)
    else:
        hold(tcb, seg)
        tcb.enter(Event.RCV_SYN, now)
        tcb.recovery.take_for_lost(snd.iss, snd.nxt)  # the SYN,ACK that is due carries our SYN once more


def describe(tcb: Tcb) -> str:
    return f"{tcb.flow.remote} port {tcb.flow.remote_port}"


# Other states


def in_other_states(tcb: Tcb, seg: Segment, now: float) -> None:
    """RFC 9293, 3.10.7.4."""
    first_check_sequence_number(tcb, seg, now)
    second_check_rst_bit(tcb, seg, now)
    if tcb.state in (State.CLOSED, State.LISTEN):
        return
    # Third, security and compartment: not supported, nothing to check.
    fourth_check_syn_bit(tcb, seg, now)
    fifth_check_ack_field(tcb, seg, now)
    if tcb.ecn.enabled:
        ecn.take(tcb, seg, now)
    urgency.check_urg_bit(tcb, seg)  # sixth
    seventh_process_segment_text(tcb, seg, now)
    eighth_check_fin_bit(tcb, now)


def acceptable(tcb: Tcb, seg: Segment) -> bool:
    """The four cases of Table 6, and one allowance: text that stands at RCV.NXT before a closed window is not taken,
    but its ACK and RST are (3.10.7.4: "special allowance should be made")."""
    rcv = tcb.rcv
    if crossing(tcb, seg):
        return True
    if not rcv.wnd:
        return seg.seq == rcv.nxt
    return rcv.nxt <= seg.seq < rcv.edge or (seg.len > 0 and rcv.nxt <= seg.seq + seg.len - 1 < rcv.edge)


def crossing(tcb: Tcb, seg: Segment) -> bool:
    """Is this the SYN,ACK of a simultaneous open? Its SYN has been taken before, so SEG.SEQ is left of the window;
    yet its ACK is what Figure 7 of the RFC has us enter ESTABLISHED by."""
    if tcb.state is not State.SYN_RECEIVED or tcb.passive:
        return False
    return seg.flags & (SYN | ACK | RST) == SYN | ACK and seg.seq == tcb.rcv.irs


def answers_probe(tcb: Tcb, seg: Segment) -> bool:
    """Does this acknowledge our probe of a closed window, from a peer that probes ours? If each has taken the other's
    octet, neither knows it, and both name a SEQ one to the left of the window (`output.acceptable_seq`). Somebody has
    to believe the ACK, or they answer each other for ever."""
    snd = tcb.snd
    probing = not snd.wnd and seg.flags & (ACK | RST) == ACK
    return probing and seg.seq == tcb.rcv.nxt - 1 and snd.una < seg.ack <= snd.nxt


def from_the_edge(tcb: Tcb, seg: Segment) -> bool:
    """Does this acknowledge something new, from a peer that has filled the window, of which we miss the beginning? Its
    SND.NXT is the right edge then, and Table 6 discards whatever names that SEQ: of two ends that have filled each
    other's window, neither could go on until the other one's text gets through. Linux takes any bare acknowledgment at
    the edge. Here it ends nothing, as Table 6 has it, unless something that lies beyond RCV.NXT proves the peer right.
    """
    snd, rcv = tcb.snd, tcb.rcv
    bare = not seg.len and seg.flags & (ACK | RST) == ACK
    harmless = (tcb.state in RECEIVING or tcb.state is State.SYN_RECEIVED) and seg.ack <= tcb.send_buffer.end
    heard = harmless or tcb.receive_buffer.holes > 0
    return bare and heard and seg.seq == rcv.edge and snd.una < seg.ack <= snd.nxt


def first_check_sequence_number(tcb: Tcb, seg: Segment, now: float) -> None:
    timestamps.check(tcb, seg, now)
    if not tcb.syn_acked and seg.flags & (SYN | ACK | RST) == SYN and seg.seq == tcb.rcv.irs:
        same_syn_again(tcb, seg, now)
    if not acceptable(tcb, seg):
        if not (answers_probe(tcb, seg) or from_the_edge(tcb, seg)):
            refuse(tcb, seg, now)
        tcb.ack_now = True


def same_syn_again(tcb: Tcb, seg: Segment, now: float) -> None:
    """Our SYN,ACK was lost. A bare acknowledgment, as for other old segments, would mean nothing to a peer in SYN-SENT;
    so the SYN,ACK is sent again. Text that came with the SYN is held already."""
    if not ecn.syn_again(tcb, seg):
        reason = "asks for classic and for accurate ECN in one handshake"
        tcb.abort(Event.ABORT, ConnectionAborted(reason), now)
        raise Discard(reason)
    timestamps.remember(tcb, seg, now)
    tcb.recovery.take_for_lost(tcb.snd.iss, tcb.snd.nxt)
    raise Discard("the same SYN again")


def refuse(tcb: Tcb, seg: Segment, now: float) -> None:
    """Acknowledge an unacceptable segment, unless it is a RST, and discard it.

    A FIN that comes again in TIME-WAIT ends up here, for RCV.NXT is past it; so the restart of 2 MSL that the RFC
    writes down at the fifth and the eighth step has its place here.
    """
    if seg.flags & RST:
        raise Discard("RST outside the window")
    timestamps.comes_again(tcb, seg)
    if tcb.state is State.TIME_WAIT and seg.flags & FIN and seg.seq + seg.len - 1 == tcb.rcv.fin:
        tcb.timers.time_wait = now + 2 * tcb.config.msl
        tcb.ack_now = True
        raise Discard("the same FIN again: acknowledged, 2 MSL begin anew")
    if tcb.ecn.accurate is not None:
        accurate_ecn.heard_before(tcb, seg)
    selective_ack.notice(tcb, seg.seq + bool(seg.flags & SYN), seg.data)
    challenge_ack.answer(tcb, seg, now)
    raise Discard("outside the receive window")


def second_check_rst_bit(tcb: Tcb, seg: Segment, now: float) -> None:
    """RFC 5961, 3: only the exact SEQ resets. RFC 1337: in TIME-WAIT not even that."""
    if not seg.flags & RST:
        return
    if seg.seq < tcb.rcv.nxt:
        raise Discard("RST to the left of the window")
    if seg.seq > tcb.rcv.nxt:
        challenge_ack.send(tcb, now)
        raise Discard("RST in the window, but not at RCV.NXT: challenged")
    if tcb.state is State.SYN_RECEIVED:
        if tcb.fast_opened:
            tcb.fail(Event.RCV_RST, ConnectionReset("by the peer"), now)
        elif tcb.passive:
            tcb.enter(Event.RETURN_TO_LISTEN, now)
        else:
            tcb.fail(Event.RCV_RST, ConnectionRefused(describe(tcb)), now)
    elif tcb.state is State.TIME_WAIT:
        if tcb.config.time_wait_ignores_rst:
            raise Discard("RST in TIME-WAIT")
        tcb.enter(Event.RCV_RST, now)
    elif tcb.state in (State.CLOSING, State.LAST_ACK) and not tcb.send_buffer:
        tcb.enter(Event.RCV_RST, now)
    else:
        tcb.fail(Event.RCV_RST, ConnectionReset("by the peer"), now)


def fourth_check_syn_bit(tcb: Tcb, seg: Segment, now: float) -> None:
    """RFC 5961, 4: a challenge ACK, whatever SEQ. TIME-WAIT's new incarnations (RFC 6191) have been sorted out by the
    endpoint."""
    if not seg.flags & SYN or crossing(tcb, seg):
        return
    if tcb.state is State.SYN_RECEIVED and tcb.passive and not tcb.fast_opened and seg.seq >= tcb.rcv.nxt:
        tcb.enter(Event.RETURN_TO_LISTEN, now)
        raise Discard("another SYN in SYN-RECEIVED: back to LISTEN")
    challenge_ack.send(tcb, now)
    raise Discard("SYN in a synchronized state: challenged")


def fifth_check_ack_field(tcb: Tcb, seg: Segment, now: float) -> None:
    """RFC 5961, 5 first; then what the segment acknowledges, and what follows from it for the state."""
    snd = tcb.snd
    if not seg.flags & ACK:
        raise Discard("no ACK")
    if tcb.state is State.SYN_RECEIVED:
        if not snd.una < seg.ack <= snd.nxt:
            reply_reset(tcb, seg)
            raise Discard("does not acknowledge our SYN")
        acknowledgment.acknowledge(tcb, seg, now)
        tcb.enter(Event.RCV_ACK_OF_SYN, now)
        if tcb.close_queued:
            tcb.close(now)
    elif snd.una - snd.max_wnd <= seg.ack <= snd.nxt:
        acknowledgment.acknowledge(tcb, seg, now)
        if tcb.fin_acked and tcb.state in (State.FIN_WAIT_1, State.CLOSING, State.LAST_ACK):
            tcb.enter(Event.RCV_ACK_OF_FIN, now)
    else:
        challenge_ack.send(tcb, now)
        raise Discard("acknowledges what was never sent" if seg.ack > snd.nxt else "acknowledgment too old")
    timestamps.remember(tcb, seg, now)
    release_held(tcb, now)


def release_held(tcb: Tcb, now: float) -> None:
    """Once our SYN is acknowledged, process what came with the peer's (RFC 9293, 3.10.7.2, third)."""
    if tcb.held is not None and tcb.syn_acked:
        held, tcb.held = tcb.held, None
        urgency.check_urg_bit(tcb, held)
        seventh_process_segment_text(tcb, held, now)
        eighth_check_fin_bit(tcb, now)


def seventh_process_segment_text(tcb: Tcb, seg: Segment, now: float) -> None:
    """Keep the part of the text that lies in the window; remember where the FIN is, if that lies in the window too."""
    rcv = tcb.rcv
    begin = seg.seq + bool(seg.flags & SYN)
    end = begin + len(seg.data)
    if tcb.state not in RECEIVING and not (tcb.state is State.SYN_RECEIVED and tcb.fast_opened):
        return
    if seg.flags & FIN:
        remember_fin(tcb, begin, end)
    right = rcv.edge if rcv.fin is None else min(rcv.edge, rcv.fin)
    text = seg.data if end <= right else seg.data[: max(right - begin, 0)]
    if len(text) < len(seg.data):
        tcb.ack_now = True  # not all of it was taken: the peer should know where the window ends
    selective_ack.notice(tcb, begin, text)
    if not text or begin + len(text) <= rcv.nxt:
        return
    if not tcb.user_reads:
        tcb.abort(Event.ABORT, ConnectionAborted("data arrived for a user who has closed"), now)
        raise Discard("nobody is left to read this text: reset")
    before, holes = rcv.nxt, tcb.receive_buffer.holes
    if tcb.memory.short and not tcb.memory.admits(tcb, begin):
        tcb.ack_now = True
        raise Discard("the stack has no memory for it")
    if not tcb.receive_buffer.write(begin, text):
        tcb.ack_now = True
        raise Discard("too many separate pieces out of order")
    rcv.nxt = tcb.receive_buffer.nxt
    tcb.counters["octets in"] += rcv.nxt - before
    if tcb.config.auto_tuning:
        auto_tuning.text_arrived(tcb, seg, now)
    if holes or rcv.nxt == before:
        tcb.ack_now = True  # a hole was made, filled or is still there: the sender needs to know (RFC 5681, 4.2)
    else:
        delayed_ack.text_accepted(tcb, seg, now)


def remember_fin(tcb: Tcb, begin: int, position: int) -> None:
    """Note the position of a FIN, whose text begins at *begin*. It takes effect at the eighth step, when everything
    before it has arrived.

    One that the window cuts off will come again. Of two that contradict each other, or of a FIN and text behind it, one
    is a forgery or a mistake: that which comes first counts, unless the other is in order when it comes. Who sent it
    goes on sending it until it is acknowledged, and nobody may keep a stream from ending by what he puts behind its
    end.
    """
    rcv, buffer = tcb.rcv, tcb.receive_buffer
    tcb.ack_now = True  # also when it is known, and comes again because of a hole before it (RFC 5681, 4.2)
    if position >= rcv.edge or position == rcv.fin:
        return
    if position < rcv.nxt:
        raise Discard("FIN before text that has already arrived")
    beyond = rcv.fin is not None or (buffer.holes > 0 and buffer.ranges[-1][1] > position)
    if beyond and begin > rcv.nxt:
        raise Discard("FIN where another is known, or text behind it")
    if beyond:
        buffer.drop_out_of_order()
    rcv.fin = position


def eighth_check_fin_bit(tcb: Tcb, now: float) -> None:
    """Take the FIN once RCV.NXT reaches it, which may be later than its segment."""
    if tcb.rcv.nxt == tcb.rcv.fin and tcb.state in RECEIVING:
        tcb.rcv.nxt += 1
        tcb.ack_now = True
        tcb.enter(Event.RCV_FIN, now)
