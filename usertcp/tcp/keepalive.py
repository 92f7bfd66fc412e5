"""Keep-alives: asking a peer that says nothing whether it is still there (RFC 9293, 3.8.4)."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Final

from usertcp.errors import ConnectionTimedOut
from usertcp.tcp.state import SYNCHRONIZED, Event, State

if TYPE_CHECKING:
    from usertcp.tcp.tcb import Tcb

WATCHED: Final = SYNCHRONIZED - {State.TIME_WAIT}
"""States in which a peer that is gone would be waited for."""


@dataclass(slots=True, frozen=True, kw_only=True)
class KeepAlive:
    """How to ask. The times are Linux's; they find a dead peer after two hours and eleven minutes."""

    idle: float = 7200.0
    """Seconds without a segment from the peer until the first probe. RFC 9293 wants two hours, unless the user asks
    for less (MUST-27, MUST-28)."""
    interval: float = 75.0
    """Seconds between probes that are not answered."""
    count: int = 9
    """The connection is given up when so many in a row were not answered. More than one, for each may have been lost
    (MUST-29)."""
    garbage: bool = False
    """Put an octet into the probe, for a peer so erroneous that it does not answer one without (MAY-6). It repeats a
    position that the peer has acknowledged, so a right one takes it for an old one."""

    def __post_init__(self) -> None:
        if self.idle <= 0 or self.interval <= 0 or self.count < 2:
            raise ValueError("keep-alives: idle and interval must be positive, count at least 2")


def heard(tcb: Tcb, now: float) -> None:
    """A segment came, whatever it says: the peer is there."""
    settings = tcb.config.keepalive
    if settings is not None and tcb.state in WATCHED:
        tcb.keepalive_probes = 0
        tcb.timers.keepalive = now + settings.idle


def expired(tcb: Tcb, now: float) -> None:
    """Probe, if there is silence because nobody has anything to say; if we wait for an acknowledgment, the
    retransmission and persist timers do the asking (MUST-26)."""
    settings = tcb.config.keepalive
    if settings is None:
        return
    if tcb.snd.una < tcb.end:
        tcb.timers.keepalive = now + settings.idle
    elif tcb.keepalive_probes >= settings.count:
        tcb.abort(Event.TIMEOUT, ConnectionTimedOut(f"{settings.count} keep-alives were not answered"), now)
    else:
        tcb.keepalive_probes += 1
        tcb.keepalive_owed = True
        tcb.timers.keepalive = now + settings.interval


def configured(tcb: Tcb, now: float) -> None:
    """Keep-alives were switched on, off or to other times (MUST-24): the silence counts from now."""
    tcb.timers.keepalive = inf
    heard(tcb, now)
