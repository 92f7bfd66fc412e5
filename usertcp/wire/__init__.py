"""Octets to segments and back: one `Codec` protocol, two implementations.

`usertcp.wire.scapy.ScapyCodec` crafts and dissects every packet with Scapy: the lab's default, every field visible and
editable. `usertcp.wire.fast.FastCodec` does the same with `struct`.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from usertcp.ip.checksum import Buffer
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
