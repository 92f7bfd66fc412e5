"""What a packet must pass before either codec reads a segment from it."""

from __future__ import annotations

from typing import Final

from usertcp.errors import MalformedPacket
from usertcp.ip.checksum import MODULUS, Buffer, checksum, pseudo_header
from usertcp.ip.header import TCP, Header

TCP_HEADER: Final = 20
"""Octets of a TCP header without options."""


def verify_tcp(packet: Buffer, header: Header, unfinished_checksum: bool) -> int:
    """Check the lengths and the checksum of the TCP segment in a packet (RFC 9293, 3.1, MUST-3).

    Returns:
      The index of the segment's data.

    Raises:
      MalformedPacket: the reason.
    """
    start, end = header.start, header.end
    if header.fragment and (header.fragment.offset or header.fragment.more):
        raise MalformedPacket("a fragment")
    if end - start < TCP_HEADER:
        raise MalformedPacket("TCP header cut short")
    data = start + (packet[start + 12] >> 4) * 4
    if not start + TCP_HEADER <= data <= end:
        raise MalformedPacket("TCP data offset does not fit the segment")
    pseudo = pseudo_header(header.source, header.destination, TCP, end - start)
    if not (unfinished_checksum and is_unfinished(packet, start, pseudo)) and checksum(packet[start:end], pseudo):
        raise MalformedPacket("bad TCP checksum")
    return data


def is_unfinished(packet: Buffer, start: int, pseudo: int) -> bool:
    """Is the checksum of the TCP segment at *start* only the sum of its pseudo-header, not complemented? Linux leaves
    the rest to the interface that sends; for a super-segment the length is that of the whole."""
    return (packet[start + 16] << 8 | packet[start + 17]) % MODULUS == pseudo
