"""TCP options as values (RFC 9293, 3.2; RFC 7323; RFC 2018 ...). How they look in octets is the codec's business."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from usertcp.compiled import mypyc_attr

LONGEST: Final = 40
"""What the data offset leaves for options, octets."""


def sack_room(others: int) -> int:
    """How many SACK blocks fit beside options that take so many octets (RFC 2018, 3)."""
    return max(LONGEST - others - 4, 0) // 8


def feedback_octets(counters: int | None, blocks: int) -> int:
    """What an AccECN option with so many counters, or none, and a SACK option with so many blocks take together, with
    padding."""
    octets = 0 if counters is None else 2 + 3 * counters
    if blocks:
        octets += -(octets + 2) % 4 + 2 + 8 * blocks
    return octets + -octets % 4


ORDERS: Final = (("e0b", "ceb", "e1b"), ("e1b", "ceb", "e0b"))
"""Of the counters in the two AccECN options."""


class EcnFeedback(NamedTuple):
    """An AccECN option (RFC 9768, 3.2.3)."""

    order: int
    """0: ECT(0), CE, ECT(1). 1: the other way round."""
    counters: tuple[int, ...]
    """Octets of text that came with each, modulo 2**24. Those at the end may be left out."""


@dataclass(slots=True, unsafe_hash=True)
class Signature:
    """Proves who sent a segment (RFC 2385; RFC 5925). It is of the octets of header and text, which only a codec sees:
    the core gives it a function that signs them, and gets those that came."""

    digest: bytes
    """Of MD5, 16 octets, or a MAC of any length. Of a segment to be sent, zeros in place of what `sign` will say."""
    key_ids: tuple[int, int] | None = None
    """(KeyID, RNextKeyID) of the TCP Authentication Option (RFC 5925, 2.2). None: it is of MD5."""
    sign: Callable[[bytes, bytes | memoryview], bytes] | None = field(default=None, compare=False, repr=False)
    """Of a segment to be sent: (TCP header with options, text) to the digest. None: send `digest` as it is."""
    header: bytes = field(default=b"", compare=False, repr=False)
    """Of a segment that came: its TCP header with options, as octets."""

    def __str__(self) -> str:
        return "md5" if self.key_ids is None else "ao={}/{}".format(*self.key_ids)


@mypyc_attr(acyclic=True, free_list_len=1)
@dataclass(slots=True, unsafe_hash=True, init=False)
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
    signature: Signature | None = None
    fast_open: bytes | None = None
    """A cookie of 4 to 16 octets, or b"", which asks for one (RFC 7413, 4.1.1). Only meaningful with SYN."""
    accurate_ecn: EcnFeedback | None = None
    unknown: tuple[tuple[int, bytes], ...] = ()
    """(kind, data) of every other option, in their order: ignored by the core, kept for whoever looks (MUST-6)."""

    def __init__(
        self,
        mss: int | None = None,
        window_scale: int | None = None,
        sack_permitted: bool = False,
        timestamps: tuple[int, int] | None = None,
        sack: tuple[tuple[int, int], ...] = (),
        user_timeout: int | None = None,
        signature: Signature | None = None,
        fast_open: bytes | None = None,
        accurate_ecn: EcnFeedback | None = None,
        unknown: tuple[tuple[int, bytes], ...] = (),
    ) -> None:
        # What the decorator would write: see `Segment`.
        self.mss = mss
        self.window_scale = window_scale
        self.sack_permitted = sack_permitted
        self.timestamps = timestamps
        self.sack = sack
        self.user_timeout = user_timeout
        self.signature = signature
        self.fast_open = fast_open
        self.accurate_ecn = accurate_ecn
        self.unknown = unknown


NO_OPTIONS: Final = Options()
