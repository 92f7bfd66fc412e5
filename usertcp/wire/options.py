"""The list of TCP options (RFC 9293, 3.1 and 3.2): values to octets and back, the same for both codecs."""

from __future__ import annotations

import struct
from dataclasses import replace
from itertools import chain
from typing import Final

from usertcp.errors import MalformedPacket
from usertcp.ip.checksum import Buffer
from usertcp.tcp.options import LONGEST, NO_OPTIONS, EcnFeedback, Options, Signature

END: Final = 0
NOP: Final = 1
MSS: Final = 2
WINDOW_SCALE: Final = 3
SACK_PERMITTED: Final = 4
SACK: Final = 5
TIMESTAMPS: Final = 8
MD5_SIGNATURE: Final = 19
USER_TIMEOUT: Final = 28
AUTHENTICATION: Final = 29
FAST_OPEN: Final = 34
ACCURATE_ECN: Final = 172, 174
"""Option kinds. AccECN has two, for two orders of its fields."""

_FORMATS: Final = {MSS: "!H", WINDOW_SCALE: "!B", SACK_PERMITTED: "!", TIMESTAMPS: "!II", USER_TIMEOUT: "!H"}
_LENGTHS: Final = {kind: struct.calcsize(form) for kind, form in _FORMATS.items()}
_TWO_NUMBERS: Final = struct.Struct("!II")
_OF_SYN: Final = struct.Struct("!HHHHIIHBB")
"""A SYN that has everything, as we and Linux write it: MSS, SACK-permitted, timestamps, a NOP and the window scale. In
16 bits each the first three kinds and their lengths, then NOP and the last kind."""
_OfSyn = tuple[int, int, int, int, int, int, int, int, int]
ALIGNED_TIMESTAMPS: Final = 0x0101_080A
"""Two NOPs, and what stands before the two values."""
_TIMESTAMPS: Final = struct.Struct("!III")
_ALIGNED: Final = ALIGNED_TIMESTAMPS.to_bytes(4, "big")
_ALIGNED_SACK: Final = b"\x01\x01\x05"
_SACK_BEHIND_TIMESTAMPS: Final = {n: struct.Struct(f"!III4B{2 * n}I") for n in range(1, 4)}
"""By the number of blocks."""


def layout(options: Options) -> list[tuple[int, tuple[int, ...] | bytes]]:
    """The list to send, as (kind, values) or, for octets that mean nothing to us, (kind, data).

    Order and alignment are Linux's: every value starts on its natural boundary, a SYN with everything takes 20 octets.

    Raises:
      ValueError: more than 40 octets.
    """
    items: list[tuple[int, tuple[int, ...] | bytes]] = []
    if options.signature is not None:
        items += signature_items(options.signature)
    if options.mss is not None:
        items.append((MSS, (options.mss,)))
    if options.sack_permitted:
        items += [(SACK_PERMITTED, ())] if options.timestamps else [(NOP, ()), (NOP, ()), (SACK_PERMITTED, ())]
    if options.timestamps:
        items += [] if options.sack_permitted else [(NOP, ()), (NOP, ())]
        items.append((TIMESTAMPS, options.timestamps))
    if options.window_scale is not None:
        items += [(NOP, ()), (WINDOW_SCALE, (options.window_scale,))]
    if options.user_timeout is not None:
        items.append((USER_TIMEOUT, (user_timeout_field(options.user_timeout),)))
    if options.accurate_ecn is not None:
        order, counters = options.accurate_ecn
        items.append((ACCURATE_ECN[order], b"".join(counter.to_bytes(3, "big") for counter in counters)))
    if options.sack:
        items += [(NOP, ())] * (-(sum(_size(kind, value) for kind, value in items) + 2) % 4)
        items += [(SACK, tuple(edge for block in options.sack for edge in block))]
    if options.fast_open is not None:
        items.append((FAST_OPEN, options.fast_open))
    items += options.unknown
    if sum(_size(kind, value) for kind, value in items) > LONGEST:
        raise ValueError(f"more than {LONGEST} octets of options")
    return items


def signature_items(signature: Signature) -> list[tuple[int, tuple[int, ...] | bytes]]:
    if signature.key_ids is None:
        return [(NOP, ()), (NOP, ()), (MD5_SIGNATURE, signature.digest)]
    return [(AUTHENTICATION, bytes(signature.key_ids) + signature.digest), *[(NOP, ())] * (-len(signature.digest) % 4)]


def _size(kind: int, value: tuple[int, ...] | bytes) -> int:
    if kind <= NOP:
        return 1
    return 2 + (_LENGTHS.get(kind, 4 * len(value)) if isinstance(value, tuple) else len(value))


def write(options: Options) -> bytes:
    """The octets of the list, padded with zeros to a multiple of four (RFC 9293, 3.1, MUST-69)."""
    if options is NO_OPTIONS:
        return b""
    if options.timestamps and _not_of_syn(options) and _nothing_rare(options):
        if not options.sack:
            return _TIMESTAMPS.pack(ALIGNED_TIMESTAMPS, *options.timestamps)
        if (form := _SACK_BEHIND_TIMESTAMPS.get(len(options.sack))) is not None:
            length = form.size - 14
            edges = chain.from_iterable(options.sack)
            return form.pack(ALIGNED_TIMESTAMPS, *options.timestamps, NOP, NOP, SACK, length, *edges)
    if (octets := _all_of_syn(options)) is not None:
        return octets
    octets = b""
    for kind, value in layout(options):
        if kind <= NOP:
            octets += bytes((kind,))
            continue
        data = struct.pack(_FORMATS.get(kind, f"!{len(value)}I"), *value) if isinstance(value, tuple) else value
        octets += bytes((kind, 2 + len(data))) + data
    return octets + bytes(-len(octets) % 4)


def _all_of_syn(options: Options) -> bytes | None:
    """The octets, if there is exactly what `_OF_SYN` has."""
    stamps, mss, scale = options.timestamps, options.mss, options.window_scale
    if stamps is None or mss is None or scale is None or not options.sack_permitted or options.sack:
        return None
    value, echo = stamps
    return _OF_SYN.pack(0x0204, mss, 0x0402, 0x080A, value, echo, 0x0103, 3, scale) if _nothing_rare(options) else None


def only_timestamps(options: Options) -> tuple[int, int] | None:
    """The timestamps, if there is nothing else, as in nearly every segment."""
    return options.timestamps if not options.sack and _not_of_syn(options) and _nothing_rare(options) else None


def _not_of_syn(options: Options) -> bool:
    """Is there none that only comes with a SYN?"""
    return options.mss is None and options.window_scale is None and not options.sack_permitted


def _nothing_rare(options: Options) -> bool:
    """Is there none but those that most connections have?"""
    return (
        options.user_timeout is None
        and options.signature is None
        and options.fast_open is None
        and options.accurate_ecn is None
        and not options.unknown
    )


def signed(options: Options, header: bytes, data: bytes | memoryview) -> Options:
    """The options of a segment to be sent, with the digest for its octets if there is one to be made.

    Args:
      header: TCP's, with these options; the checksum does not matter.
    """
    signature = options.signature
    if signature is None or signature.sign is None:
        return options
    return replace(options, signature=Signature(signature.sign(header, data), signature.key_ids))


def split(octets: bytes) -> list[tuple[int, bytes]]:
    """Every option but NOP and End of Option List, as (kind, data), from any boundary (RFC 9293, 3.2, MUST-64).

    What follows End of Option List is padding and ignored.

    Raises:
      MalformedPacket: an illegal length (MUST-7): less than 2, past the header's end, or not that of a known kind; more
        than one signature (RFC 5925, 2.2).
    """
    items = []
    at, end = 0, len(octets)
    while at < end and octets[at] != END:
        kind = octets[at]
        if kind == NOP:
            at += 1
            continue
        length = octets[at + 1] if at + 1 < end else 0
        if length < 2 or at + length > end:
            raise MalformedPacket(f"TCP option {kind} has the illegal length {length}")
        data = octets[at + 2 : at + length]
        if not _right_length(kind, len(data)):
            raise MalformedPacket(f"TCP option {kind} has the wrong length {length}")
        items.append((kind, data))
        at += length
    if sum(kind in (MD5_SIGNATURE, AUTHENTICATION) for kind, _ in items) > 1:
        raise MalformedPacket("more than one signature among the TCP options")
    return items


def user_timeout_field(seconds: int) -> int:
    """A bit for the granularity, and 15 for the number (RFC 5482, 3.3): seconds, or minutes where those do not fit."""
    return seconds if seconds <= 0x7FFF else 0x8000 | -(-seconds // 60)


def user_timeout_seconds(field: int) -> int | None:
    """The reverse; None for the reserved values (RFC 5482, 3.4)."""
    return (field & 0x7FFF) * (60 if field & 0x8000 else 1) or None


def is_cookie(data: bytes) -> bool:
    """Is this what a Fast Open option may hold? If not, it is to be ignored (RFC 7413, 4.1.1)."""
    return not data or (4 <= len(data) <= 16 and len(data) % 2 == 0)


def ecn_feedback(kind: int, data: bytes) -> EcnFeedback:
    """Of any length: whole fields count, and what is left over is padding (RFC 9768, 3.2.3)."""
    counters = (int.from_bytes(data[at : at + 3], "big") for at in range(0, min(len(data) // 3, 3) * 3, 3))
    return EcnFeedback(ACCURATE_ECN.index(kind), tuple(counters))


def _right_length(kind: int, octets: int) -> bool:
    if kind == SACK:
        return octets > 0 and octets % 8 == 0
    if kind == MD5_SIGNATURE:
        return octets == 16
    if kind == AUTHENTICATION:  # (RFC 5925, 2.2)
        return octets >= 2
    return _LENGTHS.get(kind, octets) == octets


def read_from(packet: Buffer, at: int, end: int) -> Options:
    """`read` what stands from *at* to *end* in a packet. Nearly every segment has timestamps and nothing else.

    Raises:
      MalformedPacket: as `split`.
    """
    if end - at == _TIMESTAMPS.size:
        three: tuple[int, int, int] = _TIMESTAMPS.unpack_from(packet, at)
        kind, value, echo = three
        if kind == ALIGNED_TIMESTAMPS:
            return Options(timestamps=(value, echo))
    return read(bytes(packet[at:end])) if end > at else NO_OPTIONS


def read(octets: bytes) -> Options:
    """The values of a list of options. Of an option that comes twice the last counts, as in Linux.

    Raises:
      MalformedPacket: as `split`.
    """
    if not octets:
        return NO_OPTIONS
    if len(octets) == _OF_SYN.size:
        all_of: _OfSyn = _OF_SYN.unpack(octets)
        first, mss, second, third, value, echo, fourth, length, scale = all_of
        if (first, second, third, fourth, length) == (0x0204, 0x0402, 0x080A, 0x0103, 3):
            return Options(mss=mss, window_scale=scale, sack_permitted=True, timestamps=(value, echo))
    blocks = len(octets) - 16
    aligned = octets.startswith(_ALIGNED) and octets[12:15] == _ALIGNED_SACK
    if aligned and blocks > 0 and blocks % 8 == 0 and octets[15] == 2 + blocks:
        return Options(
            timestamps=_TWO_NUMBERS.unpack_from(octets, 4), sack=tuple(_TWO_NUMBERS.iter_unpack(octets[16:]))
        )
    options = Options()
    unknown = []
    for kind, data in split(octets):
        if kind == MSS:
            options.mss = int.from_bytes(data, "big")
        elif kind == WINDOW_SCALE:
            options.window_scale = data[0]
        elif kind == SACK_PERMITTED:
            options.sack_permitted = True
        elif kind == TIMESTAMPS:
            options.timestamps = struct.unpack("!II", data)
        elif kind == SACK:
            options.sack = tuple(struct.iter_unpack("!II", data))
        elif kind == USER_TIMEOUT:
            options.user_timeout = user_timeout_seconds(int.from_bytes(data, "big"))
        elif kind == MD5_SIGNATURE:
            options.signature = Signature(data)
        elif kind == AUTHENTICATION:
            options.signature = Signature(data[2:], (data[0], data[1]))
        elif kind == FAST_OPEN and is_cookie(data):
            options.fast_open = data
        elif kind in ACCURATE_ECN:
            options.accurate_ecn = ecn_feedback(kind, data)
        else:
            unknown.append((kind, data))
    options.unknown = tuple(unknown)
    return options
