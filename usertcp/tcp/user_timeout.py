"""The user timeout option: telling the peer how long we wait for it, so that it may wait as long for us (RFC 5482)."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, inf
from typing import TYPE_CHECKING, Final

from usertcp.tcp.segment import Segment

if TYPE_CHECKING:
    from usertcp.tcp.config import Config
    from usertcp.tcp.tcb import Tcb

OCTETS: Final = 4
"""The option's length (3.3)."""
LONGEST: Final = 32767 * 60
"""What 15 bits of minutes can say, seconds."""


@dataclass(slots=True, frozen=True, kw_only=True)
class UserTimeoutOption:
    """How to use the option. The names in capitals are the RFC's (3 and 3.1)."""

    advertise: float | None = None
    """ADV_UTO, seconds. None: how long we do wait, `Config.user_timeout` or `r2`."""
    changeable: bool | None = None
    """CHANGEABLE: may the peer's option change how long we wait? None: unless `Config.user_timeout` says how long."""
    at_least: float = 100.0
    """L_LIMIT, seconds: however soon the peer would give up. Twice the RTO counts if it is more."""
    at_most: float = 3600.0
    """U_LIMIT, seconds: a peer shall not have us keep a dead connection for weeks (6)."""

    def __post_init__(self) -> None:
        if not 0 < self.at_least <= self.at_most or (self.advertise is not None and self.advertise <= 0):
            raise ValueError("user timeout option: advertise and at_least must be positive, at_most no less")


def advertised(config: Config) -> int | None:
    """What to tell the peer, whole seconds; None if the option is not in use."""
    option = config.user_timeout_option
    if option is None:
        return None
    seconds = option.advertise or config.user_timeout or config.r2
    return ceil(min(seconds, LONGEST))


def due(tcb: Tcb) -> int | None:
    """What the next segment without SYN is to say: the first one repeats what our SYN said, and so does the next after
    each change (3). Not beside SACK blocks, which may leave no room."""
    if tcb.config.user_timeout_option is None or not tcb.user_timeout_owed:
        return None
    blocks = tcb.receive_buffer.holes or tcb.duplicate is not None
    return None if blocks else advertised(tcb.config)


def take(tcb: Tcb, seg: Segment, now: float) -> None:
    """Take what an acceptable segment says, and go on waiting accordingly."""
    if tcb.config.user_timeout_option is None or seg.options.user_timeout is None:
        return
    before = adopted(tcb)
    tcb.remote_user_timeout = seg.options.user_timeout
    after = adopted(tcb)
    if after is not None and after != before:
        tcb.user_timeout_owed = True
        if tcb.syn_acked and tcb.timers.user != inf:
            tcb.timers.user = now + after


def adopted(tcb: Tcb) -> float | None:
    """USER_TIMEOUT, seconds, after what both ends have said; None if that changes nothing (3.1).

    For a synchronized connection only (3.3).
    """
    config, remote = tcb.config, tcb.remote_user_timeout
    option, ours = config.user_timeout_option, advertised(config)
    if option is None or ours is None or remote is None:
        return None
    changeable = config.user_timeout is None if option.changeable is None else option.changeable
    return min(option.at_most, max(ours, remote, option.at_least, 2 * tcb.rtt.rto)) if changeable else None
