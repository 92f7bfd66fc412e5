"""Probing a closed window, and the override of the silly-window rules (RFC 9293, 3.8.6.1 and 3.8.6.2.1)."""

from __future__ import annotations

from typing import Final

from usertcp.tcp.tcb import Tcb

OVERRIDE: Final = 0.5
"""Seconds that the silly-window rules may hold data back while the window is open: 0.1 to 1 (RFC 9293, 3.8.6.2.1)."""


def interval(tcb: Tcb) -> float:
    """Seconds to the next probe: one RTO, then doubling (SHLD-29, SHLD-30)."""
    if tcb.snd.wnd:
        return OVERRIDE
    return float(min(tcb.rtt.rto * 2.0 ** min(tcb.probes, 16), tcb.config.rto_max))
