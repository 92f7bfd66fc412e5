"""Every state times every kind of segment, against an oracle.

The oracle is 3.10.7 of RFC 9293 read line by line, with RFC 5961 where 3.10.7 points to it. It knows nothing of our
code. Numbers are relative throughout, as in `builders`; for LISTEN and SYN-SENT, which have no RCV.NXT yet, any SEQ is
as good as another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import product

import pytest

from tests.tcp import builders
from tests.tcp.builders import MSS, WINDOW, Bench
from usertcp.errors import ConnectionRefused, ConnectionReset, TcpError
from usertcp.tcp.options import Options
from usertcp.tcp.segment import ACK, FIN, PSH, RST, SYN, flag_names
from usertcp.tcp.state import State

SENT_BEFORE = b"0123456789"
READ_BEFORE = 20
"""Octets that the peer has sent before; so the left edge of the window is not the left edge of all."""


def text(begin: int, end: int) -> bytes:
    """The peer's octets at these positions: the same whenever they are sent."""
    return bytes(97 + position % 26 for position in range(begin, end))


@dataclass
class Variables:
    """What the RFC's conditions are about."""

    state: State
    una: int
    nxt: int
    rcv_nxt: int
    edge: int
    """RCV.NXT + RCV.WND."""
    max_wnd: int
    fin: int | None = None
    """Position of our FIN."""
    passive: bool = False

    @property
    def text_end(self) -> int:
        """RCV.NXT, the peer's FIN not counted."""
        return self.rcv_nxt - (self.state in {State.CLOSE_WAIT, State.CLOSING, State.LAST_ACK, State.TIME_WAIT})


@dataclass
class Arriving:
    flags: int
    seq: int
    ack: int
    octets: int

    @property
    def len(self) -> int:
        return self.octets + bool(self.flags & SYN) + bool(self.flags & FIN)

    def __str__(self) -> str:
        ack = f"<ACK={self.ack}>" if self.flags & ACK else ""
        return f"<SEQ={self.seq}>{ack}<CTL={','.join(flag_names(self.flags))}> with {self.octets} octets"


@dataclass
class Outcome:
    state: State
    sent: list[str]
    text: bytes
    """All that the user can read."""
    error: type[TcpError] | None = None


# The oracle


def expected(v: Variables, seg: Arriving) -> Outcome:
    if v.state is State.LISTEN:
        return in_listen(v, seg)
    if v.state is State.SYN_SENT:
        return in_syn_sent(v, seg)
    return in_other_states(v, seg)


def acknowledgment(v: Variables) -> str:
    return f"<SEQ={v.nxt}><ACK={v.rcv_nxt}><CTL=ACK>"


def reset(seg: Arriving) -> str:
    """3.5.2, for a segment with ACK."""
    return f"<SEQ={seg.ack}><CTL=RST>"


def unchanged(v: Variables, *sent: str) -> Outcome:
    return Outcome(v.state, list(sent), text(1, v.text_end))


def in_listen(v: Variables, seg: Arriving) -> Outcome:
    """3.10.7.2."""
    if seg.flags & RST:
        return unchanged(v)
    if seg.flags & ACK:
        return unchanged(v, reset(seg))
    if seg.flags & SYN:
        return Outcome(State.SYN_RECEIVED, [f"<SEQ=0><ACK={seg.seq + 1}><CTL=SYN,ACK>"], b"")
    return unchanged(v)


def in_syn_sent(v: Variables, seg: Arriving) -> Outcome:
    """3.10.7.3."""
    if seg.flags & ACK and (seg.ack <= 0 or seg.ack > v.nxt):
        return unchanged(v) if seg.flags & RST else unchanged(v, reset(seg))
    if seg.flags & RST:
        return Outcome(State.CLOSED, [], b"", ConnectionRefused) if seg.flags & ACK else unchanged(v)
    if not seg.flags & SYN:
        return unchanged(v)
    if not seg.flags & ACK:
        return Outcome(State.SYN_RECEIVED, [f"<SEQ=0><ACK={seg.seq + 1}><CTL=SYN,ACK>"], b"")
    end = seg.seq + seg.len
    state = State.CLOSE_WAIT if seg.flags & FIN else State.ESTABLISHED
    return Outcome(state, [f"<SEQ=1><ACK={end}><CTL=ACK>"], text(seg.seq + 1, seg.seq + 1 + seg.octets))


def in_other_states(v: Variables, seg: Arriving) -> Outcome:
    """3.10.7.4."""
    # The SYN that is already taken comes again: our SYN,ACK was lost. As SYN,ACK it is line 6 of Figure 7, and the
    # segment is trimmed to what follows the SYN; appendix A.2 says why the first check must not stop it.
    if v.state is State.SYN_RECEIVED and seg.flags & SYN and not seg.flags & RST and seg.seq == v.rcv_nxt - 1:
        if not seg.flags & ACK:
            return unchanged(v, f"<SEQ=0><ACK={v.rcv_nxt}><CTL=SYN,ACK>")
        if not v.passive:
            seg = replace(seg, flags=seg.flags & ~SYN, seq=seg.seq + 1)

    # A peer that has filled our window stands at its edge. If what filled it is lost, a bare ACK is all we hear of it.
    if v.state is State.SYN_RECEIVED and seg.flags == ACK and not seg.len and (seg.seq, seg.ack) == (v.edge, v.nxt):
        return Outcome(State.ESTABLISHED, [acknowledgment(v)], text(1, v.text_end))

    # First, sequence number: Table 6. Text that stands before a closed window is trimmed to nothing, but its ACK and
    # its RST are valid.
    last = seg.seq + seg.len - 1
    if v.edge == v.rcv_nxt:
        acceptable = seg.seq == v.rcv_nxt
    else:
        acceptable = v.rcv_nxt <= seg.seq < v.edge or (seg.len > 0 and v.rcv_nxt <= last < v.edge)
    if not acceptable:
        return unchanged(v) if seg.flags & RST else unchanged(v, acknowledgment(v))

    # Second, RST: RFC 5961, 3.2; in TIME-WAIT RFC 1337.
    if seg.flags & RST:
        if seg.seq < v.rcv_nxt:
            return unchanged(v)
        if seg.seq > v.rcv_nxt:
            return unchanged(v, acknowledgment(v))
        return after_reset(v)

    # Fourth, SYN: RFC 5961, 4.2. Only a SYN in the window can be a new one of a peer that has started anew.
    if seg.flags & SYN:
        if v.state is State.SYN_RECEIVED and v.passive and seg.seq >= v.rcv_nxt:
            return Outcome(State.LISTEN, [], b"")
        return unchanged(v, acknowledgment(v))

    # Fifth, ACK.
    if not seg.flags & ACK:
        return unchanged(v)
    if v.state is State.SYN_RECEIVED:
        if not v.una < seg.ack <= v.nxt:
            return unchanged(v, reset(seg))
        v = replace(v, state=State.ESTABLISHED)
    elif not v.una - v.max_wnd <= seg.ack <= v.nxt:
        return unchanged(v, acknowledgment(v))
    fin_acked = v.fin is not None and seg.ack > v.fin
    if fin_acked and v.state is State.LAST_ACK:
        return Outcome(State.CLOSED, [], text(1, v.text_end))
    if fin_acked and v.state in AFTER_ACK_OF_FIN:
        v = replace(v, state=AFTER_ACK_OF_FIN[v.state])

    # Seventh, text, and eighth, FIN; both only until the peer's FIN.
    if v.state not in AFTER_FIN or seg.len == 0:
        return unchanged(v)
    begin, end = max(seg.seq, v.rcv_nxt), min(seg.seq + seg.octets, v.edge)
    if begin > v.rcv_nxt:
        return unchanged(v, acknowledgment(v))
    taken = max(end, v.rcv_nxt)
    if seg.flags & FIN and taken == seg.seq + seg.octets < v.edge:
        return Outcome(AFTER_FIN[v.state], [f"<SEQ={v.nxt}><ACK={taken + 1}><CTL=ACK>"], text(1, taken))
    return Outcome(v.state, [f"<SEQ={v.nxt}><ACK={taken}><CTL=ACK>"], text(1, taken))


AFTER_ACK_OF_FIN = {State.FIN_WAIT_1: State.FIN_WAIT_2, State.CLOSING: State.TIME_WAIT}
AFTER_FIN = {
    State.ESTABLISHED: State.CLOSE_WAIT,
    State.FIN_WAIT_1: State.CLOSING,
    State.FIN_WAIT_2: State.TIME_WAIT,
}


def after_reset(v: Variables) -> Outcome:
    """A RST at RCV.NXT. In CLOSING and LAST-ACK too the user hears of it, for text is unacknowledged (MUST-12)."""
    if v.state is State.TIME_WAIT:
        return unchanged(v)
    if v.state is State.SYN_RECEIVED:
        state, error = (State.LISTEN, None) if v.passive else (State.CLOSED, ConnectionRefused)
        return Outcome(state, [], b"", error)
    return Outcome(State.CLOSED, [], text(1, v.text_end), ConnectionReset)


# The situations


def exchanged(iss: int, irs: int) -> Bench:
    """ESTABLISHED; the peer's octets are taken and unread, ours in flight."""
    bench = builders.established(iss, irs)
    bench.arrives(ACK, 1, 1, text(1, 1 + READ_BEFORE))
    bench.send(SENT_BEFORE)
    return bench


def closed_by_us(iss: int, irs: int) -> Bench:
    bench = exchanged(iss, irs)
    bench.close()
    return bench


def closed_by_us_and_acked(iss: int, irs: int) -> Bench:
    bench = closed_by_us(iss, irs)
    bench.arrives(ACK, 21, 12)
    return bench


def closed_by_peer(iss: int, irs: int) -> Bench:
    bench = exchanged(iss, irs)
    bench.arrives(FIN | ACK, 21, 1)
    return bench


def closed_by_peer_and_us(iss: int, irs: int) -> Bench:
    bench = closed_by_peer(iss, irs)
    bench.close()
    return bench


def closed_by_both(iss: int, irs: int) -> Bench:
    bench = closed_by_us(iss, irs)
    bench.arrives(FIN | ACK, 21, 1)
    return bench


def closed_and_acked_by_both(iss: int, irs: int) -> Bench:
    bench = closed_by_us_and_acked(iss, irs)
    bench.arrives(FIN | ACK, 21, 12)
    return bench


def window_closed(iss: int, irs: int) -> Bench:
    """ESTABLISHED, our window full of what nobody has read."""
    bench = exchanged(iss, irs)
    for begin in range(21, 4001, MSS):
        bench.arrives(ACK, begin, 1, text(begin, min(begin + MSS, 4001)))
    return bench


Build = Callable[[int, int], Bench]
S = State
SITUATIONS: dict[str, tuple[Build, Variables]] = {
    "LISTEN": (builders.listen, Variables(S.LISTEN, 0, 0, 1, 4001, 0)),
    "SYN-SENT": (builders.syn_sent, Variables(S.SYN_SENT, 0, 1, 1, 4001, 0)),
    "SYN-RECEIVED": (builders.syn_received, Variables(S.SYN_RECEIVED, 0, 1, 1, 4001, WINDOW, passive=True)),
    "SYN-RECEIVED, active": (builders.syn_received_active, Variables(S.SYN_RECEIVED, 0, 1, 1, 4001, WINDOW)),
    "ESTABLISHED": (exchanged, Variables(S.ESTABLISHED, 1, 11, 21, 4001, WINDOW)),
    "ESTABLISHED, window closed": (window_closed, Variables(S.ESTABLISHED, 1, 11, 4001, 4001, WINDOW)),
    "FIN-WAIT-1": (closed_by_us, Variables(S.FIN_WAIT_1, 1, 12, 21, 4001, WINDOW, fin=11)),
    "FIN-WAIT-2": (closed_by_us_and_acked, Variables(S.FIN_WAIT_2, 12, 12, 21, 4001, WINDOW, fin=11)),
    "CLOSE-WAIT": (closed_by_peer, Variables(S.CLOSE_WAIT, 1, 11, 22, 4001, WINDOW)),
    "CLOSING": (closed_by_both, Variables(S.CLOSING, 1, 12, 22, 4001, WINDOW, fin=11)),
    "LAST-ACK": (closed_by_peer_and_us, Variables(S.LAST_ACK, 1, 12, 22, 4001, WINDOW, fin=11)),
    "TIME-WAIT": (closed_and_acked_by_both, Variables(S.TIME_WAIT, 12, 12, 22, 4001, WINDOW, fin=11)),
}


def segments(v: Variables, flags: int) -> Iterator[Arriving]:
    """All positions that a condition could tell apart, and one octet to each side of them."""
    seqs = {v.rcv_nxt - 10, v.rcv_nxt - 1, v.rcv_nxt, v.rcv_nxt + 1, v.rcv_nxt + 100, v.edge - 1, v.edge, v.edge + 100}
    acks = {
        v.una - v.max_wnd - 1,
        v.una - v.max_wnd,
        v.una - 1,
        v.una,
        v.una + 1,
        v.una + 5,
        v.nxt - 1,
        v.nxt,
        v.nxt + 1,
    }
    far = v.nxt + 2**31 - 100
    for seq, ack, octets in product(sorted(seqs), sorted(acks | {far}) if flags & ACK else [0], [0, 5, 20]):
        yield Arriving(flags, seq, ack, octets)


def observed(bench: Bench, seg: Arriving) -> Outcome:
    """Deliver the segment and look."""
    data = text(seg.seq + bool(seg.flags & SYN), seg.seq + bool(seg.flags & SYN) + seg.octets)
    bench.take()
    bench.arrives(seg.flags, seg.seq, seg.ack if seg.flags & ACK else None, data, options=Options(mss=MSS))
    sent, state, error = bench.sent(), bench.state, bench.tcp.error
    read = b""
    with suppress(TcpError):
        read = bench.receive()
    return Outcome(state, sent, read, type(error) if error else None)


FLAGS = [flags for flags in range(32) if not flags & PSH]


@pytest.mark.rfc("9293", "3.10.7")
@pytest.mark.rfc("5961", "3.2")
@pytest.mark.rfc("5961", "4.2")
@pytest.mark.rfc("5961", "5.2")
@pytest.mark.parametrize("start", [0, 2**32 - 2])
@pytest.mark.parametrize("flags", FLAGS, ids=lambda flags: ",".join(flag_names(flags)) or "none")
@pytest.mark.parametrize("situation", SITUATIONS)
def test_every_segment_has_the_outcome_that_the_rfc_gives_it(situation: str, flags: int, start: int) -> None:
    build, variables = SITUATIONS[situation]
    wrong = []
    for seg in segments(variables, flags):
        bench = build(start, start)
        assert (bench.state, bench.edge) in ((variables.state, variables.edge), (variables.state, 0))
        is_, should_be = observed(bench, seg), expected(variables, seg)
        if is_ != should_be:
            wrong.append(f"{seg}:\n  is        {is_}\n  should be {should_be}")
    assert not wrong, f"{len(wrong)} segments in {situation}\n" + "\n".join(wrong[:10])
