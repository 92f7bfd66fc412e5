"""A look at a packet, before a codec reads it."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final, NamedTuple

from usertcp.ip import extension
from usertcp.ip.checksum import Buffer
from usertcp.ip.header import ICMP, ICMPV6, MORE_FRAGMENTS, OFFSET, TCP
from usertcp.tcp.sequence import HALF, MASK

_LOOK: Final = struct.Struct("!B5xHxB10xHH")
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


_BARE: Final = struct.Struct("!I2xHxB2xQIIIH6xI")
"""Of IPv4 and TCP with timestamps: version to total length, fragment, protocol, addresses, ports, SEQ, ACK, offset and
flags, the beginning of the options."""
_VERSION_TO_LENGTH: Final = 0x4500_0034
_OFFSET_AND_ACK: Final = 0x8010
_ALIGNED_TIMESTAMPS: Final = 0x0101_080A


def runs(packets: Sequence[Buffer]) -> list[int]:
    """How many packets in a row acknowledge, each more than the one before, and say nothing else: a sender of
    super-segments gets many at a time, and may have to read the last of them only. 1 for every other packet. Of what
    differs, only packets like most are looked for."""
    lengths: list[int] = []
    last: tuple[int, int, int, int] | None = None
    for packet in packets:
        this = _bare(packet)
        if this is not None and last is not None and this[:3] == last[:3] and 0 < (this[3] - last[3]) & MASK < HALF:
            lengths[-1] += 1
        else:
            lengths.append(1)
        last = this
    return lengths


def _bare(packet: Buffer) -> tuple[int, int, int, int] | None:
    """Addresses, ports, SEQ and ACK of a packet that does nothing but acknowledge; None if it does more, or is none."""
    if len(packet) < _VERSION_TO_LENGTH & 0xFFFF:
        return None
    head, fragment, protocol, addresses, ports, seq, ack, offset_flags, options = _BARE.unpack_from(packet)
    if (
        head != _VERSION_TO_LENGTH
        or fragment & (MORE_FRAGMENTS | OFFSET)
        or protocol != TCP
        or offset_flags != _OFFSET_AND_ACK
        or options != _ALIGNED_TIMESTAMPS
    ):
        return None
    return addresses, ports, seq, ack
