"""The virtio-net header: how a kernel and a program tell each other what is still to be done to a packet.

Linux puts it in front of each packet of a packet socket with PACKET_VNET_HDR and of a TUN device with IFF_VNET_HDR,
both ways. It says whether the checksum is left to be finished, and into segments of which size a larger one is to be
cut.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Final

from usertcp.errors import MalformedPacket
from usertcp.ip.checksum import checksum, pseudo_header
from usertcp.ip.header import TCP, Header, parse
from usertcp.link import Buffer

HEADER: Final = struct.Struct("=BBHHHH")
"""flags, gso_type, hdr_len, gso_size, csum_start, csum_offset."""
SIZE: Final[int] = HEADER.size
NOTHING: Final[bytes] = bytes(SIZE)
"""Of a packet that is finished."""

NEEDS_CSUM: Final = 1
"""The checksum covers the pseudo-header only."""
GSO_NONE, GSO_TCPV4, GSO_TCPV6 = 0, 1, 4
CHECKSUM_AT: Final = 16
"""Of the checksum in a TCP header."""
IP_HEADER, TCP_HEADER = {4: 20, 6: 40}, 20
FIN, PSH, CWR = 0x01, 0x08, 0x80
"""Flags that not every segment has: the last alone, the last alone, the first alone."""


def unfinished(
    packets: Sequence[tuple[bytes, Buffer]], segment_size: int, link_header: bytes = b""
) -> list[list[Buffer]]:
    """What is given to the kernel for packets that leave the checksum of TCP to it, each in two parts.

    Args:
      packets: see `Link.send_unfinished`; without IP options or extension headers.
      segment_size: octets of text in each segment that is to be cut from them.
      link_header: the link's own header, between this one and that of IP.
    """
    frames: list[list[Buffer]] = []
    begin, size = b"", -1
    for headers, text in packets:
        of_this = segment_size if len(text) > segment_size else 0
        if of_this != size:
            size = of_this
            begin = _unfinished(headers[0] >> 4, len(headers), size, link_header)
        frames.append([begin + headers, text])
    return frames


@lru_cache
def _unfinished(version: int, length: int, segment_size: int, link_header: bytes) -> bytes:
    gso = GSO_NONE
    if segment_size:
        gso = GSO_TCPV4 if version == 4 else GSO_TCPV6
    before = len(link_header)
    fields = NEEDS_CSUM, gso, before + length, segment_size, before + IP_HEADER[version], CHECKSUM_AT
    return HEADER.pack(*fields) + link_header


def segments(packet: Buffer) -> Iterator[bytes]:
    """A TCP packet as it is on a wire: cut into segments, and each with a complete checksum.

    Args:
      packet: a view of a buffer that begins with the header.
    """
    flags, gso, _, size, _, _ = HEADER.unpack_from(memoryview(packet).obj)
    found = whole(packet) if flags & NEEDS_CSUM or gso else None
    if found is None:
        yield bytes(packet)
        return
    header, text = found
    step = size or len(packet)
    for begin in range(text, max(header.end, text + 1), step):
        segment = bytearray(packet[:text])
        segment += packet[begin : min(begin + step, header.end)]
        finish(segment, header, begin - text, last=begin + step >= header.end)
        yield bytes(segment)


def whole(packet: Buffer) -> tuple[Header, int] | None:
    """The IP header of a packet, and where the text of its TCP segment begins; None if it holds no such segment."""
    try:
        header = parse(packet)
    except MalformedPacket:
        return None
    if header.protocol != TCP or header.end < header.start + TCP_HEADER:
        return None
    text = header.start + (packet[header.start + 12] >> 4) * 4
    return (header, text) if header.start + TCP_HEADER <= text <= header.end else None


def finish(segment: bytearray, header: Header, left: int, *, last: bool) -> None:
    """Set what the headers of a segment do not have in common with those of the whole.

    Args:
      left: octets of text in the segments before it.
    """
    if header.version == 4:
        struct.pack_into("!H", segment, 2, len(segment))
        struct.pack_into("!H", segment, 10, 0)
        struct.pack_into("!H", segment, 10, checksum(segment[: header.start]))
    else:
        struct.pack_into("!H", segment, 4, len(segment) - IP_HEADER[6])
    tcp = header.start
    sequence_number = int.from_bytes(segment[tcp + 4 : tcp + 8], "big") + left & 0xFFFF_FFFF
    struct.pack_into("!I", segment, tcp + 4, sequence_number)
    segment[tcp + 13] &= ~((CWR if left else 0) | (0 if last else FIN | PSH))
    pseudo = pseudo_header(header.source, header.destination, header.protocol, len(segment) - tcp)
    struct.pack_into("!H", segment, tcp + CHECKSUM_AT, 0)
    struct.pack_into("!H", segment, tcp + CHECKSUM_AT, checksum(segment[tcp:], pseudo))
