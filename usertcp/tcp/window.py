"""Windows: the one we offer, and what the peer's lets us send (RFC 9293, 3.8.6 and 3.7.4; RFC 7323, 2)."""

from __future__ import annotations

from typing import Final

from usertcp.tcp.memory import SHARE
from usertcp.tcp.tcb import Tcb

MAX_SCALE: Final = 14
"""RFC 7323, 2.3."""
UNSCALED_MAX: Final = 65535


def scale_for(buffer: int) -> int:
    """The smallest shift count with which a window of *buffer* octets fits into 16 bits."""
    return min(max(buffer - 1, 1).bit_length() - 16, MAX_SCALE) if buffer > UNSCALED_MAX else 0


def target(tcb: Tcb) -> int:
    """The right edge that the free part of the receive buffer allows, as far as the field can say it."""
    rcv = tcb.rcv
    room = rcv.space
    if tcb.memory.short:
        room = min(room, SHARE * rcv.mss)
    allowed, most = tcb.receive_buffer.unread + room, rcv.nxt + (UNSCALED_MAX << rcv.scale)
    return allowed if allowed < most else most


def offer(tcb: Tcb) -> int:
    """Advance the right edge as far as it should, and return the 16-bit field that says so.

    Silly-window avoidance (3.8.6.2.2, MUST-39): the edge stays until it can move by a segment or half the buffer. It
    never goes back (SHLD-14); so the scaled field is rounded up, at the price of at most one unit more than the
    buffer. A sender of tiny segments could creep on from there unit by unit: at that point it is rounded down
    instead, and `edge` still honours the old promise (RFC 7323, 2.4).
    """
    rcv = tcb.rcv
    allowed = target(tcb)
    gain = allowed - rcv.edge
    if gain >= tcb.snd.mss or gain >= rcv.space // 2:
        rcv.edge = allowed
    wnd, unit = rcv.wnd, 1 << rcv.scale
    field = -(-wnd >> rcv.scale)
    if field > UNSCALED_MAX:
        field = UNSCALED_MAX
    if field * unit > wnd and rcv.nxt + field * unit > allowed + unit:
        field -= 1
    edge = rcv.nxt + field * unit
    if edge > rcv.edge:
        rcv.edge = edge
    return field


def offer_in_syn(tcb: Tcb) -> int:
    """The window of a segment with SYN is never scaled (RFC 7323, 2.2)."""
    field = min(tcb.receive_buffer.unread + tcb.rcv.space - tcb.rcv.nxt, UNSCALED_MAX)
    tcb.rcv.edge = max(tcb.rcv.edge, tcb.rcv.nxt + field)
    return field


def update_owed(tcb: Tcb) -> bool:
    """After a RECEIVE: has so much been freed that the peer must be told at once?

    Only when it may be stuck, that is when the offered window is small, and then as soon as the silly-window rule
    lets it grow to twice its size. Otherwise the next acknowledgment says it.
    """
    wnd, buffer = tcb.rcv.wnd, tcb.rcv.space
    if 2 * wnd >= buffer:
        return False
    gain = target(tcb) - tcb.rcv.edge
    return gain >= wnd and (gain >= tcb.snd.mss or gain >= buffer // 2)


def usable(tcb: Tcb) -> int:
    """U = SND.UNA + SND.WND - SND.NXT: how much new data the peer would take. Negative if it has shrunk its window
    (MUST-34)."""
    snd = tcb.snd
    return snd.una + snd.wnd - snd.nxt


def worth_sending(tcb: Tcb, size: int, full: int) -> bool:
    """The sender's silly-window rules and Nagle's (RFC 9293, 3.8.6.2.1, MUST-38; 3.7.4).

    Args:
      size: what could be sent now, octets: min(D, U) and no more than one segment.
      full: what a full-sized segment would hold.
    """
    if size >= full:
        return True
    urgent = tcb.snd.up > tcb.snd.nxt  # what the peer is urged to read should not wait for it
    idle = tcb.snd.nxt == max(tcb.snd.una, tcb.snd.iss + 1) or urgent or not tcb.config.nagle
    everything = tcb.snd.nxt + size >= tcb.send_buffer.end
    if everything and (idle or tcb.snd.fin is not None):  # after CLOSE nothing can join the last segment
        return True
    return idle and size * 2 >= tcb.snd.max_wnd


def last_for_now(tcb: Tcb, rest: int, full: int) -> bool:
    """Does nothing follow a segment with text until it is acknowledged, *rest* octets being queued behind it?

    Not if Nagle's algorithm holds them; a peer that knows (by PSH) does not delay the acknowledgment.
    """
    return rest == 0 or (rest < full and tcb.config.nagle and tcb.snd.fin is None)
