"""The SACK option of our acknowledgments, and of the peer's (RFC 2018; RFC 2883)."""

from __future__ import annotations

from usertcp.tcp import accurate_ecn, timestamps
from usertcp.tcp.options import feedback_octets, sack_room
from usertcp.tcp.recovery import News, Span
from usertcp.tcp.segment import Segment
from usertcp.tcp.sequence import unwrap, wrap
from usertcp.tcp.tcb import Tcb


def notice(tcb: Tcb, begin: int, text: bytes | memoryview) -> None:
    """Some text arrives: if octets of it are here already, the next acknowledgment reports the first run of them (RFC
    2883, 4)."""
    if not (tcb.sack_permitted and tcb.config.dsack and text):
        return
    end, nxt, buffer = begin + len(text), tcb.rcv.nxt, tcb.receive_buffer
    if begin < nxt:
        tcb.duplicate = (begin, min(end, nxt)) if begin >= tcb.oldest else None
    elif buffer.holes and (found := buffer.overlap(begin, end)) is not None:
        tcb.duplicate = found[0]


def count(tcb: Tcb) -> int:
    """How many blocks the next segment carries: as many as fit beside what every segment carries. Beside AccECN's
    option, two at least. An acknowledgment of acknowledgments has none, lest it be taken for one of text (RFC 9768,
    3.2.2.5.1)."""
    if not tcb.receive_buffer.holes and tcb.duplicate is None and tcb.rcv.fin is None:
        return 0
    blocks = wanted(tcb)
    if not blocks:
        return 0
    if tcb.ecn.accurate is not None:
        if tcb.ecn.accurate.of_acks:
            return 0
        if (option := accurate_ecn.option(tcb, blocks)) is not None:
            return min(blocks, sack_room(tcb.option_octets + feedback_octets(len(option.counters), 0)))
    return min(blocks, sack_room(tcb.option_octets))


def wanted(tcb: Tcb) -> int:
    """How many blocks there would be to send."""
    if not tcb.sack_permitted:
        return 0
    return tcb.receive_buffer.holes + (tcb.duplicate is not None) + (tcb.rcv.fin is not None and fin_alone(tcb))


def fin_alone(tcb: Tcb) -> bool:
    """Has a FIN arrived beyond a hole, with no text in front of it?"""
    fin, ranges = tcb.rcv.fin, tcb.receive_buffer.ranges
    return fin is not None and fin > tcb.rcv.nxt and (not ranges or ranges[-1][1] < fin)


def write(tcb: Tcb) -> tuple[Span, ...]:
    """The blocks of the segment that is being built: what arrived twice and the range around it (RFC 2883, 4), then
    the ranges, that of the latest arrival first (RFC 2018, 4). A FIN has a number like text; once it is in a block, the
    peer need not send it again."""
    n = count(tcb)
    if not n:
        return ()
    blocks, fin = tcb.receive_buffer.sack_blocks(n), tcb.rcv.fin
    duplicate, tcb.duplicate = tcb.duplicate, None
    if duplicate is not None and (around := tcb.receive_buffer.overlap(*duplicate)) is not None:
        blocks = (around[1], *(block for block in blocks if block != around[1]))
    if fin is not None:
        blocks = tuple((left, right + (right == fin)) for left, right in blocks)
        blocks = (*blocks, (fin, fin + 1)) if fin_alone(tcb) else blocks
    first = () if duplicate is None else (duplicate,)
    return tuple((wrap(left), wrap(right)) for left, right in (*first, *blocks)[:n])


def read(tcb: Tcb, seg: Segment, duplicate: bool, now: float) -> News:
    """The peer's blocks, as positions; those that cannot be true are left out. The first may report what arrived twice:
    it lies below SEG.ACK, or within the second (RFC 2883, 5)."""
    elapsed = timestamps.round_trip(tcb, seg, now)
    news = News(duplicate, [], None, None if elapsed is None else now - elapsed, tcb.rtt.srtt)
    if not (tcb.sack_permitted and seg.options.sack):
        return news
    snd = tcb.snd
    spans = [(unwrap(left, snd.una), unwrap(right, snd.una)) for left, right in seg.options.sack]
    spans = [(left, right) for left, right in spans if snd.iss < left < right <= snd.nxt]
    if spans and (spans[0][1] <= seg.ack or (len(spans) > 1 and within(spans[0], spans[1]))):
        dsack = spans.pop(0)
        if dsack[0] >= snd.una - snd.max_wnd:  # else older than anything that we may have sent again lately
            news.dsack = dsack
            tcb.counters["segments that arrived twice"] += 1
    news.blocks = [span for span in spans if span[0] > snd.una]
    return news


def within(inner: Span, outer: Span) -> bool:
    return outer[0] <= inner[0] and inner[1] <= outer[1]
