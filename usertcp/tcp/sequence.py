"""Sequence numbers (RFC 9293, 3.4).

On the wire they are 32 bits and compare modulo 2**32. In the core they are positions: plain ints that only grow, so
that `snd.una < seg.ack <= snd.nxt` is written as the RFC writes it. `unwrap` turns the first into the second on
arrival, `wrap` the second into the first on the way out; nothing between them masks or wraps.
"""

from typing import Final

MODULUS: Final = 1 << 32
HALF: Final = 1 << 31
MASK: Final = MODULUS - 1


def wrap(position: int) -> int:
    """The 32-bit sequence number of a position."""
    return position & MASK


def unwrap(number: int, near: int) -> int:
    """The position of a 32-bit sequence number: the one closest to the position *near*.

    Exact while the true distance is below 2**31 octets; at exactly 2**31 the older position is taken, so that what
    cannot be told apart is never taken for new.
    """
    return near + ((number - near + HALF) & MASK) - HALF
