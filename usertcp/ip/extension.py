"""IPv6 extension headers (RFC 8200, 4), as a destination walks them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from usertcp.errors import MalformedPacket
from usertcp.ip.checksum import Buffer

HOP_BY_HOP, ROUTING, FRAGMENT, DESTINATION = 0, 43, 44, 60
KINDS: Final = frozenset({HOP_BY_HOP, ROUTING, FRAGMENT, DESTINATION})

MOST: Final = 8
"""Packets with more headers than this are refused (RFC 8504, 5.3 allows it): nobody sends them in good faith."""


def headers(packet: Buffer, kind: int, at: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Walk the extension headers, the first of which is a *kind* at index *at*.

    Yields:
      kind, index, index after it, kind of the next header; up to the first header that is none of `KINDS`, and none
      after the fragment header of a fragment that is not the first, for there is no header there.

    Raises:
      MalformedPacket: a header reaches past *end*, there are too many, or a hop-by-hop header is not the first.
    """
    first = at
    for _ in range(MOST):
        if kind not in KINDS:
            return
        if at + 8 > end:
            raise MalformedPacket("IPv6 extension header cut short")
        if kind == HOP_BY_HOP and at != first:
            raise MalformedPacket("hop-by-hop options are not the first IPv6 extension header")
        after = at + 8 if kind == FRAGMENT else at + 8 * (packet[at + 1] + 1)
        if after > end:
            raise MalformedPacket("IPv6 extension header cut short")
        yield kind, at, after, packet[at]
        if kind == FRAGMENT and (packet[at + 2] or packet[at + 3] & 0xF8):
            return
        kind, at = packet[at], after
    if kind in KINDS:
        raise MalformedPacket(f"more than {MOST} IPv6 extension headers")


def check(packet: Buffer, kind: int, at: int, after: int) -> None:
    """Refuse what RFC 8200 makes a destination refuse: a route that goes on from here, an option that says so.

    Raises:
      MalformedPacket: the reason.
    """
    if kind == ROUTING:
        if packet[at + 3]:
            raise MalformedPacket("IPv6 routing header with segments left: we are no router")
        return
    option = at + 2
    while option < after:
        if packet[option] == 0:  # Pad1
            option += 1
            continue
        if packet[option] >> 6:
            raise MalformedPacket("unrecognized IPv6 option that asks for the packet to be discarded")
        if option + 2 > after or option + 2 + packet[option + 1] > after:
            raise MalformedPacket("IPv6 option cut short")
        option += 2 + packet[option + 1]
