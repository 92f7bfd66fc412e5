"""Numbers that a connection begins with, hard to guess from outside (RFC 6528; RFC 7323, 5.4)."""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2s
from typing import Final

from usertcp.tcp.segment import Flow
from usertcp.tcp.sequence import wrap

TICKS_PER_SECOND: Final = 250_000
"""M ticks every 4 microseconds and wraps after 4.77 hours (RFC 9293, 3.4.1)."""


def isn(secret: bytes, flow: Flow, now: float) -> int:
    """The initial sequence number, M + F: a clock, plus what only we can compute of the pair of sockets (RFC 6528, 3).

    A new incarnation of the same pair begins beyond where the clock was at the old one; different pairs share nothing
    that can be seen.

    Args:
      secret: up to 32 octets, the same for as long as the stack lives.
      now: seconds of a clock that never goes back.

    Returns:
      32 bits.
    """
    return wrap(int(now * TICKS_PER_SECOND) + (_of_pair(secret, flow) >> 32))


def timestamp_offset(secret: bytes, flow: Flow) -> int:
    """What to add to the timestamp clock for this pair of sockets: 32 bits (RFC 7323, 5.4).

    It tells the peer nothing about our uptime or our other connections, and is the same for every incarnation of the
    pair, so that the timestamps of the next one continue where the last one's ended: what RFC 6191 and the peer's
    PAWS go by.
    """
    return wrap(_of_pair(secret, flow))


@lru_cache(16)
def _of_pair(secret: bytes, flow: Flow) -> int:
    """64 bits, for both, since a new connection asks for one right after the other."""
    return _digest(secret, b"pair", f"{flow.local} {flow.local_port} {flow.remote} {flow.remote_port}", 8)


def prf(secret: bytes, purpose: bytes, flow: Flow, *more: int) -> int:
    """32 bits that nobody can tell without the secret; for each *purpose*, up to 8 octets, others."""
    return _digest(secret, purpose, " ".join(map(str, (*flow, *more))), 4)


def _digest(secret: bytes, purpose: bytes, text: str, octets: int) -> int:
    return int.from_bytes(blake2s(text.encode(), key=secret, person=purpose, digest_size=octets).digest(), "big")
