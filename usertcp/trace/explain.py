"""A sentence for each step of a connection, with the place in the RFC where it is laid down."""

from __future__ import annotations

import re

from usertcp.tcp.segment import ACE, ACK, CE, CWR, ECE, ECN_BITS, FIN, RST, SYN, Segment
from usertcp.tcp.state import Event, State
from usertcp.trace.rows import Row

S, E = State, Event

TRANSITIONS: dict[State, dict[Event, str]] = {
    S.CLOSED: {
        E.PASSIVE_OPEN: "We wait for somebody to call: a passive OPEN (3.10.1).",
        E.ACTIVE_OPEN: (
            "We call. SYN announces the number from which our octets are counted, chosen so that nobody can guess it, "
            "and takes up one number itself (3.4.1, 3.5)."
        ),
    },
    S.LISTEN: {
        E.RCV_SYN: (
            "Somebody calls. Our own SYN acknowledges that one: both directions are numbered on their own (3.5)."
        ),
        E.SEND: "Sending turns the passive OPEN into an active one (3.10.2).",
        E.ACTIVE_OPEN: "We stop waiting and call ourselves (3.10.1).",
        E.CLOSE: "We stop waiting for callers (3.10.4).",
        E.ABORT: "We stop waiting for callers (3.10.5).",
    },
    S.SYN_SENT: {
        E.RCV_SYN: (
            "The peer called us while we called it: a simultaneous open. Each acknowledges the other's SYN, and one "
            "connection comes of it, not two (3.5, Figure 7)."
        ),
        E.RCV_SYN_ACK: (
            "The peer has acknowledged our SYN and sent its own. We acknowledge that: the third part of the handshake, "
            "without which the peer could not tell our SYN from an old duplicate (3.5)."
        ),
        E.CLOSE: "Closed before the peer answered: nothing has to be said (3.10.4).",
        E.RCV_RST: "A RST answers our SYN: nobody listens at that port (3.5.2, 3.10.7.3).",
    },
    S.SYN_RECEIVED: {
        E.RCV_ACK_OF_SYN: "Our SYN is acknowledged: both sides know both first numbers (3.10.7.4, fifth).",
        E.CLOSE: "Closed before the handshake ended: our FIN goes out all the same (3.10.4).",
        E.RETURN_TO_LISTEN: "The call was not meant, so we wait for the next one (3.10.7.4, second).",
    },
    S.ESTABLISHED: {
        E.CLOSE: (
            "We have no more to send. FIN says so, and takes up one number, so that it can be acknowledged and sent "
            "again. The peer may go on sending (3.6)."
        ),
        E.RCV_FIN: "The peer has no more to send. We may go on sending until our own CLOSE (3.6).",
    },
    S.FIN_WAIT_1: {
        E.RCV_ACK_OF_FIN: (
            "The peer knows that we have finished; now it is its turn. Until then the connection is half closed and "
            "data still comes in (3.6)."
        ),
        E.RCV_FIN: "Both sides said FIN before either had heard the other: a simultaneous close (3.6, Figure 13).",
    },
    S.FIN_WAIT_2: {
        E.RCV_FIN: (
            "The peer has finished too. Our last ACK may be lost, and old segments may still be under way, so we "
            "remember the connection for 2 MSL (3.6.1)."
        ),
    },
    S.CLOSE_WAIT: {
        E.CLOSE: "Now we have finished as well, and only the acknowledgment of our FIN is missing (3.6).",
    },
    S.CLOSING: {
        E.RCV_ACK_OF_FIN: (
            "Our FIN is acknowledged. The peer may not know that we have its FIN, so we stay for 2 MSL (3.6.1)."
        ),
    },
    S.LAST_ACK: {
        E.RCV_ACK_OF_FIN: (
            "Our FIN is acknowledged: nobody owes anything any more. The peer, which closed first, is the one that "
            "waits out TIME-WAIT (3.6)."
        ),
    },
    S.TIME_WAIT: {
        E.TIMEOUT_2MSL: "Whatever was under way has died out: the pair of sockets is free again (3.6.1).",
        E.ABORT: "We do not wait for the end of 2 MSL (3.10.5).",
        E.RCV_RST: "A RST ends TIME-WAIT early: the hazard that RFC 1337 warns of.",
        E.RCV_SYN: (
            "A new call that cannot be taken for an old segment: the pair of sockets begins another life (RFC 6191)."
        ),
    },
}
"""By state and event. Numbers in parentheses are sections of RFC 9293, unless another is named."""

ENDS: dict[Event, str] = {
    E.ABORT: "We give the connection up: RST tells the peer, and nothing more is sent or kept (3.10.5).",
    E.RCV_RST: "The peer gave the connection up, or never had it (3.5.2, 3.10.7.4).",
    E.TIMEOUT: "Nobody has answered for too long, so we give up (3.8.3, 3.10.8).",
}
"""For the events that end a connection in any state."""

TIMERS: dict[str, str] = {
    "retransmission timeout": (
        "No acknowledgment came in time. What is oldest goes out again, and the timeout doubles (RFC 6298, 5.4 to 5.6)."
    ),
    "no answer so far": (
        "The last segments may be lost, and nothing behind them would tell. So one goes out to ask (RFC 8985, 7)."
    ),
    "persist timer": (
        "The peer's window has been closed. Its reopening may have been lost, so we try it with an octet (3.8.6.1)."
    ),
}
"""By what the row's text begins with."""


class Explainer:
    """Says each sentence once, the first time that its step is seen."""

    def __init__(self) -> None:
        self._said: set[str] = set()

    def sentences(self, row: Row) -> list[str]:
        """What there is to say about a row of a ladder."""
        sentences = [re.sub(r"\((?=\d)", "(RFC 9293, ", sentence) for sentence in _sentences(row)]
        fresh = [sentence for sentence in sentences if sentence not in self._said]
        self._said.update(fresh)
        return fresh


def transition(state: State, event: Event) -> str:
    """The sentence for one row of the table of transitions."""
    return TRANSITIONS[state].get(event) or ENDS[event]


def _sentences(row: Row) -> list[str]:
    said = [transition(old, event) for old, event, _ in row.states]
    said += [sentence for start, sentence in TIMERS.items() if row.text.startswith(start)]
    if row.seg and (sentence := _segment(row, row.seg)) and not (said and sentence in ORDINARY):
        said.append(sentence)
    return said


SYN_ACK = "The answer to a SYN: it is acknowledged, and the other direction gets its first number (3.5)."
DATA = "Data: SEQ numbers its first octet. It is kept for sending again until it is acknowledged (3.4, 3.8.1)."
BARE_ACK = "ACK is the number of the octet expected next: all before it has arrived (3.4)."
ORDINARY = {SYN_ACK, DATA, BARE_ACK}
"""What goes without saying where a state has changed."""


def _segment(row: Row, seg: Segment) -> str:
    """The sentence for a segment by itself; of several, the most telling."""
    if row.injected:
        return "Neither end has sent this: it was put into the path."
    if row.lost:
        return "The path has lost it. Its sender will notice only by what does not come back (3.8.1)."
    if row.bad:
        return "What fails a check is dropped, and mostly answered by an ACK that says what we do expect (3.10.7.4)."
    if "again" in row.tags or "resent" in row.tags:
        return "The same numbers as before: the receiver knows it for a repetition and takes nothing twice (3.4)."
    if seg.options.sack:
        return "The SACK blocks name what has arrived beyond a gap (RFC 2018)."
    if seg.flags & RST:
        return "A RST that belongs to no connection says: there is none such here (3.5.2)."
    if sentence := _congestion(seg, row.accurate_ecn):
        return sentence
    if seg.flags & SYN:
        return SYN_ACK if seg.flags & ACK else _signature(seg)
    if seg.wnd == 0:
        return "The window is closed: nothing more may be sent for now (3.8.6)."
    if seg.data:
        return DATA
    return "" if seg.flags & FIN else BARE_ACK


def _signature(seg: Segment) -> str:
    """How its sender proves who it is."""
    if seg.options.signature is None:
        return ""
    if seg.options.signature.key_ids is None:
        return (
            "md5: a digest of the segment and of a key that both ends have. Without it, nothing counts (RFC 2385, 2.0)."
        )
    return (
        "ao: a MAC of the segment, by a key made for this connection of one that both ends have. Without it, nothing "
        "counts. The numbers are those of that key and of the one to answer with (RFC 5925, 2.2)."
    )


def _congestion(seg: Segment, accurate: bool) -> str:
    """What ECN has to say in a segment."""
    if seg.flags & SYN:
        if seg.flags & (ACE | ACK) == ACE:
            return "AE, CWR and ECE in a SYN ask for congestion to be marked, and the marks counted (RFC 9768, 3.1.1)."
        if accurate:
            return "These bits agree to that, and say how the ECN field of the SYN arrived (RFC 9768, 3.1.1)."
        if seg.flags & (ECE | CWR) == ECE | CWR:
            return (
                "ECE and CWR in a SYN ask for congestion to be marked instead of signalled by loss (RFC 3168, 6.1.1)."
            )
        return "ECE in a SYN,ACK agrees to that (RFC 3168, 6.1.1)." if seg.flags & ECE else ""
    if seg.traffic_class & ECN_BITS == CE:
        return "CE: a router has marked this packet because its queue grows, and has not dropped it (RFC 3168, 5)."
    if accurate:
        told = seg.options.accurate_ecn is not None
        return "ACE counts the packets that came with CE, modulo 8; it began at 5 (RFC 9768, 3.2)." if told else ""
    if seg.flags & CWR:
        return "CWR: the sender has reduced its congestion window, so the echo may stop (RFC 3168, 6.1.2)."
    if seg.flags & ECE:
        return "ECE: the receiver echoes that a packet came with CE, until it sees CWR (RFC 3168, 6.1.3)."
    return ""
