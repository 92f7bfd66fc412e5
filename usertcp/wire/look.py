"""A look at a packet, before a codec reads it."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final

from usertcp.ip import extension
from usertcp.ip.checksum import Buffer
from usertcp.ip.header import ICMP, ICMPV6, MORE_FRAGMENTS, OFFSET, TCP
from usertcp.tcp.sequence import HALF, MASK
from usertcp.wire.options import ALIGNED_TIMESTAMPS

_LOOK: Final = struct.Struct("!B5xHxB10xHH")
"""Of an IPv4 header without options: version and length, fragment, protocol; and the ports behind it."""
_LOOK_OCTETS: Final[int] = _LOOK.size
_Look = tuple[int, int, int, int, int]

NO_PORT: Final = 0
"""It takes more than a look."""
NOT_FOR_US: Final = -1


def port_of(packet: Buffer) -> int:
    """The TCP destination port, by a cheap look that spares the codecs traffic that is not ours; verifies nothing,
    raises nothing.

    Returns:
      `NO_PORT` for ICMP, fragments, what has extension headers, or octets too few, and for what is not IP at all.
      `NOT_FOR_US` for what `Codec.decode` has no use for: neither TCP, nor ICMP, nor hidden behind extension headers.
    """
    if len(packet) < _LOOK_OCTETS:
        return NO_PORT
    look: _Look = _LOOK.unpack_from(packet)
    version_ihl, fragment, protocol, _, destination = look
    if version_ihl == 0x45 and protocol == TCP and not fragment & (MORE_FRAGMENTS | OFFSET):
        return destination
    version = version_ihl >> 4
    if version == 4:
        at = (version_ihl & 15) * 4
        if protocol not in (TCP, ICMP):
            return NOT_FOR_US
        fragmented = fragment & (MORE_FRAGMENTS | OFFSET)
    elif version == 6:
        protocol, at, fragmented = packet[6], 40, 0
        if protocol not in (TCP, ICMPV6) and protocol not in extension.KINDS:
            return NOT_FOR_US
    else:
        return NO_PORT
    if protocol != TCP or fragmented or len(packet) < at + 4:
        return NO_PORT
    return packet[at + 2] << 8 | packet[at + 3]


_BARE: Final = struct.Struct("!I2xHxB2xQIIIH6xI")
"""Of IPv4 and TCP with timestamps: version to total length, fragment, protocol, addresses, ports, SEQ, ACK, offset and
flags, the beginning of the options."""
_Bare = tuple[int, int, int, int, int, int, int, int, int]
_VERSION_TO_LENGTH: Final = 0x4500_0034
_OFFSET_AND_ACK: Final = 0x8010


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
    bare: _Bare = _BARE.unpack_from(packet)
    head, fragment, protocol, addresses, ports, seq, ack, offset_flags, options = bare
    if (
        head != _VERSION_TO_LENGTH
        or fragment & (MORE_FRAGMENTS | OFFSET)
        or protocol != TCP
        or offset_flags != _OFFSET_AND_ACK
        or options != ALIGNED_TIMESTAMPS
    ):
        return None
    return addresses, ports, seq, ack
