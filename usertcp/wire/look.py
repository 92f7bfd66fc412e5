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


_BARE: Final = struct.Struct("!I2xHxB2xQQIH6xI")
"""Of IPv4 and TCP with timestamps: version to total length, fragment, protocol, addresses, ports and SEQ, ACK, offset
and flags, the beginning of the options."""
_Bare = tuple[int, int, int, int, int, int, int, int]
_Whose = tuple[int, int, int]
"""Addresses, ports and SEQ, ACK."""
_NOBODY: Final[_Whose] = (0, 0, 0)
_VERSION_TO_LENGTH: Final = 0x4500_0034
_OFFSET_AND_ACK: Final = 0x8010


def runs(packets: Sequence[Buffer]) -> list[int]:
    """How many packets in a row acknowledge, each more than the one before, and say nothing else: a sender of
    super-segments gets many at a time, and may have to read the last of them only. 1 for every other packet. Of what
    differs, only packets like most are looked for."""
    lengths: list[int] = []
    last = _NOBODY
    for packet in packets:
        this = _bare(packet)
        if this[1] and this[0] == last[0] and this[1] == last[1] and 0 < (this[2] - last[2]) & MASK < HALF:
            lengths[-1] += 1
        else:
            lengths.append(1)
        last = this
    return lengths


def _bare(packet: Buffer) -> _Whose:
    """Whose packet it is if it does nothing but acknowledge; nobody's if it does more, or is none."""
    if len(packet) < _VERSION_TO_LENGTH & 0xFFFF:
        return _NOBODY
    bare: _Bare = _BARE.unpack_from(packet)
    head, fragment, protocol, addresses, ports_and_seq, ack, offset_flags, options = bare
    if (
        head != _VERSION_TO_LENGTH
        or fragment & (MORE_FRAGMENTS | OFFSET)
        or protocol != TCP
        or offset_flags != _OFFSET_AND_ACK
        or options != ALIGNED_TIMESTAMPS
    ):
        return _NOBODY
    return addresses, ports_and_seq, ack
