"""Pacing: segments leave one by one at a rate, where a window that opens would let them out in a burst.

The rate is the controller's own, if it has one, or with `Config.pacing` what sends its window in less than a round
trip, as kernels do. No task and no tick: what must wait sets a timer, like everything else that happens later.
"""

from __future__ import annotations

from typing import Final

from usertcp.tcp.tcb import Tcb

IN_SLOW_START: Final = 2.0
IN_CONGESTION_AVOIDANCE: Final = 1.2
"""Windows per round trip (Linux's): more than one, or the window could never be filled and so never grow."""


def rate(tcb: Tcb) -> float | None:
    """Octets per second, or None for as fast as the windows allow."""
    congestion, srtt = tcb.congestion, tcb.rtt.srtt
    if congestion.pacing_rate is not None or not tcb.config.pacing or not srtt:
        return congestion.pacing_rate
    factor = IN_SLOW_START if congestion.cwnd < congestion.ssthresh else IN_CONGESTION_AVOIDANCE
    return factor * congestion.cwnd / srtt


def must_wait(tcb: Tcb, now: float) -> bool:
    """Is it too early to send? Then the timer says when it will not be."""
    if now >= tcb.release_at:
        return False
    tcb.timers.pacing = tcb.release_at
    return True


def charge(tcb: Tcb, octets: int, now: float) -> None:
    """So much leaves now.

    Timers are late. What was lost by it is made up for in the next gap, of which half remains at least (so does
    Linux).
    """
    if octets and (per_second := rate(tcb)) is not None:
        gap = octets / per_second
        late = max(now - tcb.release_at, 0)
        tcb.release_at = max(tcb.release_at, now) + gap - min(late, gap / 2)
