"""TIME-WAIT and the next incarnation of its pair of sockets (RFC 6191; RFC 9293, 3.6.1, MAY-2)."""

from __future__ import annotations

from usertcp.tcp.config import Config
from usertcp.tcp.segment import Segment
from usertcp.tcp.sequence import unwrap, wrap
from usertcp.tcp.state import State
from usertcp.tcp.tcb import Tcb
from usertcp.tcp.timestamps import older


def may_give_way(tcb: Tcb, seg: Segment, config: Config) -> bool:
    """May this SYN, which found the connection in TIME-WAIT, begin a new one? Not if it could be an old duplicate
    (RFC 6191, 2).

    Timestamps tell if both incarnations have them, or only the new one, whose *config* this is; otherwise SEQ must lie
    beyond the old FIN.
    """
    beyond = unwrap(seg.seq, tcb.rcv.nxt) >= tcb.rcv.nxt
    stamps = seg.options.timestamps if config.timestamps else None
    if stamps is None:
        return beyond
    if not tcb.timestamps.enabled:
        return True
    recent = tcb.timestamps.recent
    return older(recent, than=stamps[0]) or (stamps[0] == recent and beyond)


def may_be_taken(tcb: Tcb, config: Config, now: float) -> bool:
    """May an active OPEN, whose *config* this is, begin a new incarnation? If timestamps keep the two apart: the peer
    sees that our SYN is new (RFC 6191), and PAWS drops what is left of the old one, at both ends (RFC 7323, 5.3)."""
    patience = config.time_wait_reuse
    if patience is None or tcb.state is not State.TIME_WAIT or not (config.timestamps and tcb.timestamps.enabled):
        return False
    return now - tcb.timestamps.recent_at >= patience


def next_iss(tcb: Tcb, iss: int) -> int:
    """*iss*, or if that is not beyond all that the old incarnation sent, one that is (RFC 9293, 3.6.1, MAY-2,
    condition 1)."""
    nxt = tcb.snd.nxt
    return iss if unwrap(iss, nxt) > nxt else wrap(nxt + 1 + tcb.snd.max_wnd)
