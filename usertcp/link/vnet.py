"""The virtio-net header: how a kernel and a program tell each other what is still to be done to a packet.

Linux puts it in front of each packet of a packet socket with PACKET_VNET_HDR and of a TUN device with IFF_VNET_HDR,
both ways. It says whether the checksum is left to be finished, and into segments of which size a larger one is to be
cut.
"""

from __future__ import annotations

import struct
from typing import Final

from usertcp.link import Buffer

HEADER: Final = struct.Struct("=BBHHHH")
"""flags, gso_type, hdr_len, gso_size, csum_start, csum_offset."""
SIZE: Final = HEADER.size
NOTHING: Final = bytes(SIZE)
"""Of a packet that is finished."""

NEEDS_CSUM = 1
"""The checksum covers the pseudo-header only."""
GSO_NONE, GSO_TCPV4, GSO_TCPV6 = 0, 1, 4
CHECKSUM_AT = 16
"""Of the checksum in a TCP header."""
IP_HEADER = {4: 20, 6: 40}


def unfinished(headers: Buffer, link_header: int, segment_size: int) -> bytes:
    """The header for a packet whose TCP checksum is left to be finished.

    Args:
      headers: of IP and of TCP, without IP options or extension headers.
      link_header: octets of the link's own header between this one and that of IP.
      segment_size: octets of text in each segment that is to be cut from it; 0 if it is one.
    """
    version = headers[0] >> 4
    start = link_header + IP_HEADER[version]
    gso = GSO_NONE
    if segment_size:
        gso = GSO_TCPV4 if version == 4 else GSO_TCPV6
    return HEADER.pack(NEEDS_CSUM, gso, link_header + len(headers), segment_size, start, CHECKSUM_AT)
