"""Accurate ECN (RFC 9768): the receiver tells how many packets came marked, not only that some did.

Three bits of the header, AE, CWR and ECE, are a counter, ACE, in every segment without SYN; the AccECN option counts
octets of text where it fits. In the handshake the same bits say what became of the ECN field of the peer's SYN. What
an acknowledgment says is heeded once in a window, as with classic ECN: see `usertcp.tcp.ecn`, which calls all this.
"""

from __future__ import annotations

from typing import Final

from usertcp.tcp import user_timeout
from usertcp.tcp.options import LONGEST, ORDERS, EcnFeedback, feedback_octets
from usertcp.tcp.segment import ACE, ACK, AE, AGREES, CE, CWR, ECE, ECN_BITS, ECT0, ECT1, FIN, NOT_ECT, SYN, Segment
from usertcp.tcp.state import State
from usertcp.tcp.tcb import AccurateEcn, EcnCounters, Tcb
from usertcp.tcp.timestamps import older

REFLECTED: Final = {NOT_ECT: CWR, ECT1: CWR | ECE, ECT0: AE, CE: AE | CWR}
"""What a SYN,ACK says of the SYN's ECN field, and agrees by (Table 2); and what the acknowledgment of it says of its
own (Table 3): the handshake encoding."""
RESERVED: Final = AE | ECE
"""In a SYN,ACK, for later versions: it agrees too, and says that the field came unchanged (3.1.3)."""
SEEN_AS: Final = {bits: codepoint for codepoint, bits in REFLECTED.items()}

COUNTER_OF: Final = {ECT0: "e0b", CE: "ceb", ECT1: "e1b"}
INITIAL: Final = EcnCounters()
MODULUS_OF_ACE: Final = 8
MODULUS: Final = 1 << 24
"""Of a counter in the option."""
FEW: Final = 4.0
"""Packets: where acknowledgments cover so many on average, each of them could hide a turn of ACE, and cannot all."""


# Negotiation


def agreed(tcb: Tcb, seg: Segment) -> bool:
    """Does the first SYN ask for AccECN, or the first SYN,ACK agree? Any combination that means nothing else asks as
    well (3.1.2, 3.1.3)."""
    if tcb.config.ecn != "accurate" or tcb.state not in (State.LISTEN, State.SYN_SENT):
        return False
    bits = seg.flags & ACE
    return bits in AGREES if seg.flags & ACK else bits not in (0, CWR | ECE)


def begin(tcb: Tcb, seg: Segment) -> None:
    """Enter AccECN mode, never to leave it (3.1.5). As the client, look whether our SYN arrived as it was sent: if not,
    ECT is not safe on this path (3.2.2.3)."""
    tcb.ecn.enabled = tcb.ecn.may_mark = True
    tcb.ecn.accurate = accurate = AccurateEcn(in_handshake=not seg.flags & ACK)
    if not seg.flags & ACK:
        accurate.introductions = 1
        accurate.codepoint = seg.traffic_class & ECN_BITS
        return
    bits = seg.flags & ACE
    if bits not in (REFLECTED[NOT_ECT], RESERVED):
        tcb.counters["ECN field of our SYN altered"] += 1
        tcb.ecn.may_mark = False
    accurate.marked = bits == REFLECTED[CE]
    accurate.introductions = 2
    read_option(accurate, seg)
    take_syn_ack(tcb, seg)


def take_syn_ack(tcb: Tcb, seg: Segment) -> None:
    """A SYN,ACK has come, once more or crossing ours. The acknowledgment says how its ECN field arrived, that of the
    latest, whatever it says itself; a mark counts but once (3.1.5, 3.2.2.2). If one that crosses ours does not agree,
    who sent it may not be in the mode although his SYN asked for it, so nothing is ECT any more (3.1.5)."""
    accurate = tcb.ecn.accurate
    assert accurate is not None
    crossing, accurate.in_handshake = accurate.in_handshake, False
    if crossing and seg.flags & ACE not in AGREES:
        tcb.ecn.may_mark = False
    accurate.codepoint = seg.traffic_class & ECN_BITS
    accurate.reflect = not crossing  # a peer in ESTABLISHED takes the bits for the counter
    if accurate.codepoint == CE:
        accurate.r.cep = INITIAL.cep + 1 if accurate.r.cep == INITIAL.cep else accurate.r.cep


def handshake_done(tcb: Tcb, accurate: AccurateEcn) -> None:
    """As the client. Our SYN is no packet that ACE could count."""
    accurate.segments = accurate.segments_then = tcb.deliveries.segments
    accurate.delivered = accurate.delivered_then = tcb.deliveries.delivered


def heard_before(tcb: Tcb, seg: Segment) -> None:
    """What we have acknowledged comes again. If that happens twice in a row to what a segment with the option has
    acknowledged, such segments do not get through, and there are no more of them (3.2.3.2.2).

    Or it is a SYN,ACK: our first acknowledgment was lost.
    """
    accurate = tcb.ecn.accurate
    assert accurate is not None
    if accurate.option_sent and not accurate.doubted:
        accurate.doubted = True
        accurate.doubts += 1
        accurate.sends_option = accurate.doubts < 2
    again = seg.flags & (SYN | ACK) == SYN | ACK and seg.seq == tcb.rcv.irs and seg.ack == tcb.snd.iss + 1
    if again and not tcb.passive:
        accurate.introductions = 0
        take_syn_ack(tcb, seg)


def syn_again(tcb: Tcb, seg: Segment) -> None:
    """In SYN-RECEIVED the SYN comes again: our SYN,ACK was lost, perhaps for its option (3.2.3.2.2). The next one says
    how this SYN arrived; one that does not ask any more forbids us ECT (3.1.5)."""
    accurate = tcb.ecn.accurate
    assert accurate is not None
    accurate.codepoint = seg.traffic_class & ECN_BITS
    accurate.introductions = 0
    if not seg.flags & ACE:
        tcb.ecn.may_mark = False


def in_syn_ack(tcb: Tcb, accurate: AccurateEcn) -> int:
    """The bits of our SYN,ACK. The second time that it goes out it has no option, the third time it says nothing, in
    case that this is what it was dropped for; and then nothing of ours is ECT (3.2.3.2.2, 3.1.5)."""
    if tcb.retransmissions:
        accurate.introductions = 0
    if tcb.retransmissions > 1:
        tcb.ecn.may_mark = False
        return 0
    return REFLECTED[accurate.codepoint]


# What is sent


def feed_back(tcb: Tcb, accurate: AccurateEcn, seg: Segment) -> None:
    """Set the bits of a segment without SYN: the lowest three of r.cep, or in the handshake encoding how the SYN,ACK
    arrived, which only a bare acknowledgment says (3.2.2.1, 3.2.2.2)."""
    if accurate.reflect and bare(seg):
        seg.flags |= REFLECTED[accurate.codepoint]
    else:
        seg.flags |= (accurate.r.cep & 7) << 6
    accurate.reflect = accurate.of_acks = False
    accurate.unreported = 0
    option = seg.options.accurate_ecn
    accurate.option_sent = accurate.option_sent or option is not None
    if option is not None:
        accurate.doubts = accurate.doubts if accurate.doubted else 0
        accurate.doubted = False
        accurate.introductions = max(accurate.introductions - 1, 0)
        for name in ORDERS[option.order][: len(option.counters)]:
            setattr(accurate.told, name, getattr(accurate.r, name))


def option_in_syn_ack(tcb: Tcb, others: int) -> EcnFeedback | None:
    """To see whether it gets through (3.2.3.2.1), where *others* leave room."""
    accurate = tcb.ecn.accurate
    if accurate is None or not accurate.introductions or tcb.state is State.SYN_SENT:
        return None
    fits = (LONGEST - others - 2) // 3
    return shown(accurate, 0, min(fits, 3)) if fits >= 0 else None


def option(tcb: Tcb, blocks: int) -> EcnFeedback | None:
    """The option of the next segment without SYN: all counters that have ever changed, if one has since they were told
    last (3.2.3.3); and in the client's first segments, to see whether it gets through (3.2.3.2.1). Where there is no
    room, at least those that changed, or nothing. Of the SACK blocks that are wanted two come first, others do not."""
    accurate = tcb.ecn.accurate
    if accurate is None or not accurate.sends_option:
        return None
    r, told = accurate.r, accurate.told
    order = int(r.e0b == INITIAL.e0b and r.e1b > INITIAL.e1b)
    need = wanted = 0
    for place, name in enumerate(ORDERS[order], 1):
        if getattr(r, name) != getattr(told, name):
            need = place
        if getattr(r, name) != getattr(INITIAL, name):
            wanted = place
    if accurate.introductions:
        wanted = 3
    elif not need:
        return None
    room = LONGEST - tcb.option_octets - (user_timeout.OCTETS if user_timeout.due(tcb) is not None else 0)
    while wanted >= need and feedback_octets(wanted, min(blocks, 2)) > room:
        wanted -= 1
    return shown(accurate, order, wanted) if wanted >= need else None


def shown(accurate: AccurateEcn, order: int, counters: int) -> EcnFeedback:
    return EcnFeedback(order, tuple(getattr(accurate.r, name) % MODULUS for name in ORDERS[order][:counters]))


def timed_out(tcb: Tcb, accurate: AccurateEcn) -> None:
    """The retransmission timer expired. If it is our first text that was lost, it may be for its option (3.2.3.2.2)."""
    if tcb.snd.una == tcb.snd.iss + 1:
        accurate.introductions = 0


# What arrives: the receiver


def count(tcb: Tcb, accurate: AccurateEcn, seg: Segment) -> None:
    """Count an acceptable segment by its ECN field (3.2), and acknowledge at once text that is marked after something
    that was not, and any two marks, or three where there is no text to be acknowledged (3.2.2.5.1).

    A segment that was put together of several counts as many as it must have been.
    """
    codepoint, octets = seg.traffic_class & ECN_BITS, len(seg.data)
    before, accurate.last = accurate.last, codepoint
    if octets:
        accurate.of_acks = False
        if codepoint != NOT_ECT:
            name = COUNTER_OF[codepoint]
            setattr(accurate.r, name, getattr(accurate.r, name) + octets)
    if codepoint != CE:
        return
    packets = -(-octets // max(tcb.rcv.mss - tcb.option_octets, 1)) or 1
    accurate.r.cep += packets
    accurate.unreported += packets
    tcb.counters["CE in"] += packets
    many = 2 if octets or tcb.rcv.nxt > tcb.rcv.acked else 3
    if accurate.unreported >= many and not octets and not tcb.ack_now:
        accurate.of_acks = True
    if accurate.unreported >= many or (octets and before != CE):
        tcb.ack_now = True


# What arrives: the sender


def news(accurate: AccurateEcn, seg: Segment) -> int:
    """By how much a segment moves ACE."""
    return (seg.ace - accurate.s.cep) & 7


def says_congested(accurate: AccurateEcn, seg: Segment) -> bool:
    return accurate.heeded is not False and not accurate.in_handshake and news(accurate, seg) > 0


def read(tcb: Tcb, accurate: AccurateEcn, seg: Segment) -> tuple[int, int]:
    """Take what a segment says of ours, unless a later one has said it before.

    Returns:
      (octets of ours that have newly arrived, in order or not; how many of them were marked).
    """
    delivered = tcb.deliveries.delivered - accurate.delivered
    packets = max(tcb.deliveries.segments - accurate.segments, -(-delivered // tcb.smss))
    if repeats_handshake(tcb, accurate, seg) or not later(accurate, seg, delivered):
        return 0, 0
    accurate.delivered, accurate.segments = tcb.deliveries.delivered, tcb.deliveries.segments
    if accurate.in_handshake:
        accurate.in_handshake = False
        accurate.introductions = 0
        if bare(seg):
            return delivered, read_handshake(tcb, accurate, seg)
    if accurate.heeded is None:
        accurate.heeded = packets >= MODULUS_OF_ACE - INITIAL.cep or counts_marks(seg) or not zeroed(tcb, seg)
    if not accurate.heeded:
        return delivered, 0
    before, ceb, known, least = accurate.s.cep, accurate.s.ceb, read_option(accurate, seg), news(accurate, seg)
    if least and delivered and accurate.has_option and seg.options.accurate_ecn is None and bare(seg):
        accurate.has_option = None  # beside a mark it would have come, if it still did (3.2.3.3)
    accurate.s.cep += increment(tcb, accurate, least, packets, known)
    accurate.average += (packets - accurate.average) / 8 if packets else 0
    if known:
        reconcile(tcb, accurate)
        return delivered, accurate.s.ceb - ceb or (accurate.s.cep - before) * bool(delivered)
    return delivered, min((accurate.s.cep - before) * tcb.smss, max(delivered, 1))


def bare(seg: Segment) -> bool:
    """An acknowledgment and no more: only such a one has the handshake encoding (3.2.2.1)."""
    return not (seg.data or seg.flags & FIN or seg.options.sack)


def repeats_handshake(tcb: Tcb, accurate: AccurateEcn, seg: Segment) -> bool:
    """Our SYN,ACK went out twice, so that the client acknowledges it twice, both times in the handshake encoding, and
    the timestamp of the second is newer. Read as a counter it would be marks that there were none (3.2.2.2). What else
    acknowledges no more than that may wait for the next."""
    return tcb.passive and not accurate.in_handshake and seg.ack == tcb.snd.iss + 1 and bare(seg)


def later(accurate: AccurateEcn, seg: Segment, delivered: int) -> bool:
    """Was it sent after all that were read before? What it acknowledges tells, then its timestamp (A.1). Where these
    are the same, SACK blocks with news do, unless a counter of the option has gone back: segments that overtake each
    other need not have the same blocks."""
    stamps = seg.options.timestamps
    if seg.ack != accurate.acked:
        newer = seg.ack > accurate.acked
    elif stamps is not None and stamps[0] != accurate.tsval:
        newer = accurate.tsval is None or older(accurate.tsval, stamps[0])
    else:
        newer = delivered > 0 and not goes_back(accurate, seg)
    if newer:
        accurate.acked = seg.ack
        accurate.tsval = None if stamps is None else stamps[0]
    return newer


def goes_back(accurate: AccurateEcn, seg: Segment) -> bool:
    told = seg.options.accurate_ecn
    if told is None:
        return False
    counters = zip(ORDERS[told.order], told.counters, strict=False)
    return any((counter - getattr(accurate.s, name)) % MODULUS >= MODULUS // 2 for name, counter in counters)


def zeroed(tcb: Tcb, seg: Segment) -> bool:
    """Is the first ACE zero? It begins at 5, so that something on the path, or the peer, takes the bits away, unless so
    many packets have arrived that three could be marked, or marks have been counted of which this acknowledgment does
    not tell; then nothing is ECT, and nothing believed (3.2.2.4)."""
    if seg.ace:
        return False
    tcb.counters["ACE zeroed"] += 1
    tcb.ecn.may_mark = False
    return True


def counts_marks(seg: Segment) -> bool:
    """Has its option any octets with CE? They stand second in both orders."""
    told = seg.options.accurate_ecn
    return told is not None and any(told.counters[1:2])


def read_handshake(tcb: Tcb, accurate: AccurateEcn, seg: Segment) -> int:
    """The acknowledgment of our SYN,ACK, Table 4. Zero: the peer is not in AccECN mode, whatever the reason. Another
    field than we sent: ECT is not safe on this path (3.2.2.3). Returns octets, or what stands for them."""
    if not seg.flags & ACE:
        accurate.heeded = not zeroed(tcb, seg)
        return 0
    read_option(accurate, seg)
    if SEEN_AS.get(seg.flags & ACE, NOT_ECT) != NOT_ECT:
        tcb.counters["ECN field of our SYN,ACK altered"] += 1
        tcb.ecn.may_mark = False
    if seg.flags & ACE != REFLECTED[CE]:
        return 0
    accurate.s.cep += 1
    return 1


def read_option(accurate: AccurateEcn, seg: Segment) -> bool:
    """Take the counters of the option (3.2.3.1). If there is none, or if the first one begins with zeros, where no
    counter but CE's does, nothing is known (3.2.3.2.3, 3.2.3.2.4). Says whether the octets with CE are."""
    told = seg.options.accurate_ecn
    if told is None or accurate.has_option is False:
        return False
    counters = dict(zip(ORDERS[told.order], told.counters, strict=False))
    if accurate.has_option is None:
        accurate.has_option = counters.get("e0b", 1) > 0 and counters.get("e1b", 1) > 0
        if not accurate.has_option:
            return False
    s = accurate.s
    for name, counter in counters.items():
        setattr(s, name, getattr(s, name) + (counter - getattr(s, name)) % MODULUS)
    return "ceb" in counters


def increment(tcb: Tcb, accurate: AccurateEcn, least: int, packets: int, known: bool) -> int:
    """How many marks there were, if ACE may have gone round (3.2.2.5.2, A.2).

    The option tells: so many octets do not fit into fewer segments. A peer that sends it does so whenever there is a
    mark. If it does not come, or no more, the worst is assumed that *packets* acknowledged at once allow, unless so
    many are the rule, or nothing of ours may be marked.
    """
    if known:
        marks, octets = accurate.s.cep + least - accurate.cep_then, accurate.s.ceb - accurate.ceb_then
        turns = -(-max(-(-octets // tcb.smss) - marks, 0) // 8)
        return least + 8 * turns if marks + 8 * turns <= covered(tcb, accurate) else least
    if accurate.has_option or packets < 8 or accurate.average >= FEW or not tcb.ecn.may_mark:
        return least
    return packets - (packets - least) % 8


def reconcile(tcb: Tcb, accurate: AccurateEcn) -> None:
    """Marked octets without a marked packet, though too few were acknowledged for ACE to go round: something alters the
    feedback, so nothing is ECT any more (3.2.3.2.5)."""
    s = accurate.s
    if covered(tcb, accurate) < 8 and s.ceb > accurate.ceb_then and s.cep == accurate.cep_then:
        tcb.counters["ECN feedback that contradicts itself"] += 1
        tcb.ecn.may_mark = False
    accurate.ceb_then, accurate.cep_then = s.ceb, s.cep
    accurate.segments_then, accurate.delivered_then = tcb.deliveries.segments, tcb.deliveries.delivered


def covered(tcb: Tcb, accurate: AccurateEcn) -> int:
    """How many packets may have arrived since the last option. Beyond a hole nobody knows without SACK, and not for
    certain with it."""
    octets = tcb.deliveries.delivered - accurate.delivered_then
    if tcb.recovery.sacked_octets or not tcb.sack_permitted:
        octets += tcb.flight_size
    return max(tcb.deliveries.segments - accurate.segments_then, -(-octets // tcb.smss))
