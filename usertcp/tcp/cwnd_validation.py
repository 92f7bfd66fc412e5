"""A congestion window that is not used says nothing of the path, so it does not grow (RFC 7661, 1; RFC 9438, 5.8).

In use is what is sent while less than a segment's room is left, as kernels have it. What a sender does not use for
longer than the RTO it loses anyhow (RFC 5681, 4.1), long before the five minutes of RFC 7661, 4.4.
"""

from __future__ import annotations

from usertcp.tcp.tcb import NEVER, Tcb


def note_use(tcb: Tcb) -> None:
    """After sending: if the window is full, it is its size that limits all that is in flight. If pacing does not hold
    anything back either, it is somebody else: the user, or the peer's window."""
    snd = tcb.snd
    flight_size = snd.nxt - snd.una
    if flight_size > tcb.congestion.cwnd - tcb.smss:
        tcb.cwnd_used = snd.nxt
    elif tcb.timers.pacing == NEVER:
        tcb.deliveries.on_limited(flight_size)


def may_grow(tcb: Tcb, acked: int) -> bool:
    """Were any of the *acked* octets before SND.UNA in flight with the window in use?"""
    return tcb.snd.una - acked < tcb.cwnd_used or not tcb.config.cwnd_validation
