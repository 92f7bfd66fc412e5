"""Probing for the path MTU upward (RFC 4821; RFC 8899), after silence has brought it down.

A probe is one segment of new text that is larger than the others, with enough of them behind it to tell what became of
it. If it arrives, segments have its size from then on; if it alone is lost, it was too large, and that is no sign of
congestion (RFC 4821, 7.6 and 7.7). Sizes are as in `usertcp.tcp.path_mtu`.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Final

from usertcp.tcp.events import PathMtuChanged
from usertcp.tcp.path_mtu import LIFETIME, NOTHING_EXCEEDED, claimed, path_mtu

if TYPE_CHECKING:
    from usertcp.tcp.icmp import Message
    from usertcp.tcp.tcb import Tcb

FOLLOWERS: Final = 4
"""Full segments that must be able to follow a probe: one more than it takes to prove it lost by counting."""
ENOUGH: Final = 16
"""Octets: for less than that no probe is risked (Linux's tcp_probe_threshold is 8)."""


@dataclass(slots=True)
class Search:
    """For the largest size that arrives. It lies from SND.MSS to `ceiling`."""

    ceiling: int
    halve: bool = False
    """The ceiling is no size that anybody has named, so the middle is tried."""
    probe: tuple[int, int, int] | None = None
    """(left, right, size) of the one in flight."""
    repaired: tuple[int, int] | None = None
    """Where the probe was for whose sake alone there is a fast recovery."""


def begin(tcb: Tcb, now: float) -> None:
    """A black hole is suspected, or a while has passed since it was. What both ends allow is tried first: silence may
    have had another reason. Only SACKs tell what became of a single segment."""
    if not (tcb.config.path_mtu_probing and tcb.sack_permitted) or tcb.snd.mss >= tcb.path.most:
        return
    tcb.search = Search(tcb.path.most)
    tcb.timers.path_mtu = now + LIFETIME


def due(tcb: Tcb) -> int:
    """By how many octets the next segment is to be larger than a full-sized one; 0: not at all. Not while there is
    anything to repair, nor without enough to follow (RFC 4821, 7.4)."""
    search, snd, recovery = tcb.search, tcb.snd, tcb.recovery
    if search is None or search.probe is not None or search.ceiling - snd.mss < ENOUGH:
        return 0
    if tcb.retransmissions or recovery.lost_octets or snd.una < recovery.recover:
        return 0
    size = (snd.mss + search.ceiling + 1) // 2 if search.halve else search.ceiling
    train = size + FOLLOWERS * snd.mss
    ample = min(tcb.send_buffer.end, snd.una + snd.wnd) - snd.nxt >= train and tcb.congestion.cwnd >= train
    return size - snd.mss if ample else 0


def sent(tcb: Tcb, left: int, larger: int) -> None:
    """A probe went out that begins at *left*."""
    assert tcb.search is not None
    tcb.search.probe = (left, tcb.snd.nxt, tcb.snd.mss + larger)
    tcb.counters["path MTU probes"] += 1


def acknowledged(tcb: Tcb, now: float) -> None:
    """SND.UNA has advanced. If over the probe, which was not sent again, then the path takes such segments."""
    search = tcb.search
    if search is None or search.probe is None or tcb.snd.una < search.probe[1]:
        return
    tcb.snd.mss, search.probe = search.probe[2], None
    tcb.congestion.smss = tcb.smss
    if tcb.snd.mss >= tcb.path.most:
        tcb.search = None
        tcb.timers.path_mtu = inf
    if tcb.trace:
        tcb.trace(PathMtuChanged(now, tcb.flow, path_mtu(tcb), "a probe has arrived"))


def resent(tcb: Tcb, left: int, right: int) -> None:
    """These octets are sent again: if the probe's are among them, it has failed."""
    search = tcb.search
    if search is None or search.probe is None or right <= search.probe[0] or search.probe[1] <= left:
        return
    if search.probe[2] <= search.ceiling:
        search.ceiling, search.halve = search.probe[2] - 1, True
    search.probe = None
    tcb.path.sent, tcb.path.sent_end = tcb.snd.mss, inf
    tcb.counters["path MTU probes lost"] += 1


def too_big(tcb: Tcb, message: Message, position: int) -> bool:
    """A router says that the packet with our octet at *position* was larger than its next link takes. If that was the
    probe, its word is the ceiling (RFC 8899, 4.6.2), and the loss is repaired as if nobody had said so. Of a smaller
    segment it cannot be true. False: it is not about what only a probe has exceeded."""
    search, size = tcb.search, claimed(tcb, message)
    if search is None or search.probe is None or size is None:
        return False
    left, right, tried = search.probe
    if not tcb.snd.mss <= size < tried:
        return False
    if left <= position < right:
        search.ceiling, search.halve = size, False
    else:
        tcb.counters[NOTHING_EXCEEDED] += 1
    return True


def alone_lost(tcb: Tcb) -> bool:
    """Fast recovery begins: is the probe all that is lost? Then the window stays (RFC 4821, 7.6.2)."""
    search, recovery = tcb.search, tcb.recovery
    if search is None or search.probe is None:
        return False
    span = search.probe[:2]
    if recovery.next_lost(tcb.snd.nxt) != span or recovery.lost_octets != span[1] - span[0]:
        return False
    search.repaired = span
    return True


def more_lost(tcb: Tcb) -> bool:
    """Has the fast recovery that only repairs a probe found another loss?"""
    search = tcb.search
    if search is None or search.repaired is None:
        return False
    lost = tcb.recovery.next_lost(tcb.snd.nxt)
    if lost is None or (search.repaired[0] <= lost[0] and lost[1] <= search.repaired[1]):
        return False
    search.repaired = None
    return True


def was_repair(tcb: Tcb) -> bool:
    """A fast recovery has ended: had it only a probe to repair?"""
    if tcb.search is None or tcb.search.repaired is None:
        return False
    tcb.search.repaired = None
    return True
