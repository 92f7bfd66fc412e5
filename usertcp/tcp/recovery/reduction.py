"""A reduction of the congestion window that may turn out to have been wrong (RFC 3522; RFC 4015)."""

from __future__ import annotations

from dataclasses import dataclass, field

from usertcp.tcp.recovery.ranges import Ranges


@dataclass(slots=True)
class Reduction:
    """What one reduction of the congestion window did, for as long as it may turn out to have been wrong."""

    timeout: bool
    cwnd: int
    ssthresh: int
    flight_size: int
    rtt: tuple[float | None, float | None]
    """SRTT and RTTVAR before."""
    first: tuple[int, int] | None = None
    """Position and TSval of the first retransmission (RetransmitTS); None before it, and once it is answered."""
    resent: Ranges = field(default_factory=Ranges)
    """What was sent again because of it and was not yet reported as a duplicate."""
    twice: bool = False
    """Something was sent again more than once: then a DSACK proves nothing."""
    end: int = 0
    """SND.NXT at the last retransmission. When that is acknowledged, everything about this has been heard."""
