"""The Timestamps option: round-trip times, and protection against wrapped sequence numbers (RFC 7323, 3 to 5)."""

from __future__ import annotations

from typing import Final

from usertcp.tcp import challenge_ack
from usertcp.tcp.options import sack_room
from usertcp.tcp.segment import ACK, RST, SYN, Segment
from usertcp.tcp.sequence import HALF, MASK
from usertcp.tcp.tcb import Discard, Tcb

OCTETS: Final = 12
"""The option with its padding (RFC 7323, appendix A)."""
GRANULARITY: Final = 0.001
"""Seconds per tick of TSval."""
VOID_AFTER: Final = 24 * 86400.0
"""TS.Recent is not compared after so many seconds without a segment (RFC 7323, 5.5)."""


def wanted(tcb: Tcb, sack: bool) -> bool:
    """Are they to be offered or agreed to? Not beside a signature that leaves no room for a SACK block then: to know
    what is missing is worth more, as Linux has it too."""
    return tcb.config.timestamps and not (sack and not sack_room(tcb.signature_octets + OCTETS))


def clock(tcb: Tcb, now: float) -> int:
    """TSval: milliseconds, from an offset of the pair of sockets' own (RFC 7323, 5.4)."""
    return (int(now * 1000) + tcb.timestamps.offset) & MASK


def option(tcb: Tcb, now: float) -> tuple[int, int] | None:
    """What goes into each segment, or None if the option was not negotiated."""
    return (clock(tcb, now), tcb.timestamps.echo) if tcb.timestamps.enabled else None


def older(value: int, than: int) -> bool:
    """Is the 32-bit timestamp *value* before *than*?"""
    return (than - value) & MASK < HALF and value != than


def check(tcb: Tcb, seg: Segment, now: float) -> None:
    """PAWS (RFC 7323, 5.3, R1; 3.2 for a segment that lacks the option). A RST is exempt. A SYN without the option may
    come from a peer that has started anew: it goes on, to be challenged (RFC 5961, 4)."""
    state, stamps = tcb.timestamps, seg.options.timestamps
    if not state.enabled or seg.flags & RST:
        return
    if stamps is None:
        if seg.flags & SYN:
            return
        raise Discard("no timestamp, though negotiated")
    if stamps[0] != state.recent and older(stamps[0], state.recent) and now - state.recent_at < VOID_AFTER:
        challenge_ack.answer(tcb, seg, now)
        raise Discard("timestamp older than the last one (PAWS)")


def remember(tcb: Tcb, seg: Segment, now: float) -> None:
    """Take TSval as TS.Recent if the segment covers Last.ACK.sent (RFC 7323, 4.3, and 5.3, R3).

    Not before its ACK is found good, as for all that a segment has to say (RFC 5961, 5): else whoever guesses SEQ makes
    PAWS drop what the peer sends from then on.
    """
    state, stamps = tcb.timestamps, seg.options.timestamps
    if not state.enabled or stamps is None or seg.flags & RST:
        return  # nothing is learned from a RST (RFC 7323, 5.2)
    if seg.seq <= tcb.rcv.acked:
        state.recent = state.echo = stamps[0]
        state.recent_at = now


def comes_again(tcb: Tcb, seg: Segment) -> None:
    """Echo TSval of a segment that has come before: our acknowledgment was lost, as a rule (RFC 7323, appendix H, f).
    Else the peer would take its own timeout for part of the round trip, and the next one would be longer still. Both
    its SEQ and its ACK have to be of lately, lest they be guessed.

    TS.Recent stays as it is, other than in appendix D: on a path that reorders, PAWS would drop what was sent before
    the retransmission and comes later.
    """
    state, stamps, snd = tcb.timestamps, seg.options.timestamps, tcb.snd
    if not state.enabled or stamps is None or not seg.flags & ACK:
        return
    if snd.una - snd.max_wnd <= seg.ack <= snd.nxt and tcb.oldest <= seg.seq <= tcb.rcv.acked:
        state.echo = stamps[0]


def round_trip(tcb: Tcb, seg: Segment, now: float) -> float | None:
    """Seconds since the segment that this one acknowledges was sent, by its TSecr; None without a usable one. What is
    older than the connection is no echo of ours."""
    if not tcb.timestamps.enabled or seg.options.timestamps is None:
        return None
    elapsed = ((clock(tcb, now) - seg.options.timestamps[1]) & MASK) / 1000
    return elapsed if elapsed <= now - tcb.began + GRANULARITY else None
