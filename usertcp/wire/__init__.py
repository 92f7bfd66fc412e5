"""Octets to segments and back: one `Codec` protocol, two implementations.

`usertcp.wire.scapy.ScapyCodec` crafts and dissects every packet with Scapy: the lab's default, every field visible and
editable. `usertcp.wire.fast.FastCodec` does the same with `struct`.
"""

from __future__ import annotations

import struct
from typing import NamedTuple, Protocol

from usertcp.ip import extension
from usertcp.ip.checksum import Buffer
from usertcp.ip.header import ICMP, ICMPV6, MORE_FRAGMENTS, OFFSET, TCP
from usertcp.tcp.segment import Flow, Segment


class IcmpError(NamedTuple):
    """An ICMP or ICMPv6 error about a TCP segment of ours (RFC 792, RFC 4443; RFC 5927, 4)."""

    source: str
    """Who sent it."""
    flow: Flow
    """The connection, from our side, read from the quoted packet."""
    seq: int
    """SEQ of the quoted segment, 32 bits: the core checks that it is in flight."""
    version: int
    """4 or 6."""
    type: int
    code: int
    mtu: int
    """Next-hop MTU of "fragmentation needed" and "packet too big", octets; else 0."""


class Codec(Protocol):
    """Packets are whole IP packets, IPv4 or IPv6, without a link header."""

    def encode(self, flow: Flow, seg: Segment) -> bytes:
        """One IP packet from `flow.local` to `flow.remote`, checksums complete, don't-fragment set.

        A segment larger than the link's MTU is the caller's mistake, not checked here.
        """
        ...

    def decode(self, packet: Buffer, *, unfinished_checksum: bool = False) -> tuple[Flow, Segment] | IcmpError | None:
        """What a whole (reassembled) packet holds, seen from the receiver: `flow.local` is the packet's destination.

        Args:
          unfinished_checksum: also accept a TCP checksum that covers the pseudo-header only, as a kernel
            leaves it for an interface to finish.

        Returns:
          A flow and a segment; an ICMP error about a TCP segment; None for what is not ours to read (another
          protocol, an ICMP message that is no error or does not quote TCP).

        Raises:
          MalformedPacket: bad version, length, checksum or option. Nothing else, whatever the octets.
        """
        ...


_LOOK = struct.Struct("!B5xHxB10xHH")
"""Of an IPv4 header without options: version and length, fragment, protocol; and the ports behind it."""


class Ports(NamedTuple):
    """What `ports` saw."""

    protocol: int
    """The IP protocol number; in IPv6 the first next header."""
    source: int
    """TCP source port; 0 if a look does not show it."""
    destination: int
    """TCP destination port; 0 if a look does not show it."""


def ports(packet: Buffer) -> Ports | None:
    """A cheap look that spares the codecs traffic that is not ours; verifies nothing, raises nothing.

    Returns:
      None for what `Codec.decode` has no use for: neither TCP, nor ICMP, nor hidden behind IPv6 extension headers.
      Ports are 0 where it takes more than a look: ICMP, fragments, extension headers, octets too few or not IP at all.
    """
    if len(packet) < _LOOK.size:
        return Ports(0, 0, 0)
    version_ihl, fragment, protocol, source, destination = _LOOK.unpack_from(packet)
    if version_ihl == 0x45 and protocol == TCP and not fragment & (MORE_FRAGMENTS | OFFSET):
        return Ports(TCP, source, destination)
    version = version_ihl >> 4
    if version == 4:
        at = (version_ihl & 15) * 4
        if protocol not in (TCP, ICMP):
            return None
        fragmented = fragment & (MORE_FRAGMENTS | OFFSET)
    elif version == 6:
        protocol, at, fragmented = packet[6], 40, 0
        if protocol not in (TCP, ICMPV6) and protocol not in extension.KINDS:
            return None
    else:
        return Ports(0, 0, 0)
    if protocol != TCP or fragmented or len(packet) < at + 4:
        return Ports(protocol, 0, 0)
    return Ports(TCP, packet[at] << 8 | packet[at + 1], packet[at + 2] << 8 | packet[at + 3])
