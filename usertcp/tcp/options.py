"""TCP options as values (RFC 9293, 3.2; RFC 7323; RFC 2018). How they look in octets is the codec's business."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True, unsafe_hash=True)
class Options:
    """The options of one segment. What is absent is None, False or empty.

    A value: segments share it, nobody changes it. (Not frozen, because building a frozen one costs five times as much.)
    """

    mss: int | None = None
    """Maximum segment size, octets (RFC 9293, 3.7.1). Only meaningful with SYN."""
    window_scale: int | None = None
    """Shift count (RFC 7323, 2). As it came: the core clamps it to 14. Only meaningful with SYN."""
    sack_permitted: bool = False
    """RFC 2018, 2. Only meaningful with SYN."""
    timestamps: tuple[int, int] | None = None
    """(TSval, TSecr), 32 bits each (RFC 7323, 3)."""
    sack: tuple[tuple[int, int], ...] = ()
    """Blocks (left edge, right edge) as 32-bit sequence numbers, the most recent first (RFC 2018, 3)."""
    user_timeout: int | None = None
    """Seconds, 1 to 32,767, or whole minutes up to as many (RFC 5482, 3.3). The reserved 0 is None."""
    unknown: tuple[tuple[int, bytes], ...] = ()
    """(kind, data) of every other option, in their order: ignored by the core, kept for whoever looks (MUST-6)."""


NO_OPTIONS = Options()
