"""Fragments: making them on request, and putting them together again (RFC 791, 3.2; RFC 8200, 4.5).

Whoever sends fragments may be hostile, so a `Reassembler` is bounded in datagrams, in fragments of each, in octets and
in time, and refuses a datagram altogether once two of its fragments overlap (RFC 5722; we hold IPv4 to it too).
"""

from __future__ import annotations

import struct
from bisect import bisect
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final
from zlib import crc32

from usertcp.errors import MalformedPacket
from usertcp.ip import extension
from usertcp.ip.checksum import Buffer, checksum
from usertcp.ip.header import DONT_FRAGMENT, ICMPV6, LARGEST, MORE_FRAGMENTS, TCP, Fragment, Header, parse

TIMEOUT: Final = {4: 30.0, 6: 60.0}
"""How long the fragments of a datagram are kept for the missing ones, seconds. IPv4: Linux's; IPv6: RFC 8200, 4.5."""

NOT_ECT, CE = 0, 3
"""ECN codepoints (RFC 3168, 5)."""
_IPV6_HEADER: Final = 40


def fragment(packet: bytes, mtu: int) -> list[bytes]:
    """Cut a packet into fragments of at most *mtu* octets; one that fits comes back alone, as it is.

    Don't-fragment is cleared. A packet without an identification gets one from its content, so that fragmenting stays
    a function of its arguments. A fragment can be fragmented again.

    Raises:
      MalformedPacket: it is no IP packet.
      ValueError: *mtu* leaves no room for 8 octets of data.
    """
    header = parse(packet)
    if header.fragment:
        _check(packet, header, header.fragment)
    packet = packet[: header.end]
    if len(packet) <= mtu:
        return [packet]
    cut = _cut_ipv4 if header.version == 4 else _cut_ipv6
    return list(cut(packet, header, mtu))


def _cut_ipv4(packet: bytes, header: Header, mtu: int) -> Iterator[bytes]:
    identification = int.from_bytes(packet[4:6], "big") or crc32(packet) % LARGEST + 1
    base, last = (header.fragment.offset, not header.fragment.more) if header.fragment else (0, True)
    head, data = packet[: header.start], packet[header.start :]
    for at, piece, is_last in _pieces(data, mtu - len(head)):
        flags_offset = (base + at) // 8 | (0 if is_last and last else MORE_FRAGMENTS)
        yield _ipv4(head, piece, identification, flags_offset)
        if at == 0:
            head = head[:20] + _copied_options(head[20:])


def _cut_ipv6(packet: bytes, header: Header, mtu: int) -> Iterator[bytes]:
    part = header.fragment or _unfragmented(packet, header)
    data = packet[part.start :]
    for at, piece, is_last in _pieces(data, mtu - part.header - 8):
        offset_more = part.offset + at | (0 if is_last and not part.more else 1)
        fragment_header = struct.pack("!BxHI", part.protocol, offset_more, part.identification)
        yield _ipv6(packet, part, extension.FRAGMENT, fragment_header + piece)


def _unfragmented(packet: bytes, header: Header) -> Fragment:
    """The whole of an IPv6 packet, as a fragment. Routers on the way look at everything up to a routing header."""
    at, protocol = _IPV6_HEADER, packet[6]
    for kind, _, after, following in extension.headers(packet, protocol, at, header.end):
        if kind in (extension.HOP_BY_HOP, extension.ROUTING):
            at, protocol = after, following
    return Fragment(crc32(packet), 0, False, at, at, protocol)


def _pieces(data: bytes, room: int) -> Iterator[tuple[int, bytes, bool]]:
    """Offset, octets, is it the last; all but the last are a multiple of 8 long."""
    room -= room % 8
    if room < 8:
        raise ValueError("the MTU leaves no room for 8 octets of data")
    for at in range(0, len(data), room):
        yield at, data[at : at + room], at + room >= len(data)


def _copied_options(options: bytes) -> bytes:
    """The IPv4 options that every fragment carries: those with the copied flag (RFC 791, 3.1), padded."""
    copied, at = b"", 0
    while at + 1 < len(options) and options[at] != 0:
        length = 1 if options[at] == 1 else max(options[at + 1], 2)
        if options[at] & 0x80:
            copied += options[at : at + length]
        at += length
    return copied + bytes(-len(copied) % 4)


def _ipv4(head: bytes, data: bytes, identification: int, flags_offset: int) -> bytes:
    """A packet with the header *head*, but other lengths, identification and fragment field."""
    lengths = struct.pack("!BBHHH", 0x40 | len(head) // 4, head[1], len(head) + len(data), identification, flags_offset)
    head = lengths + head[8:10] + b"\0\0" + head[12:]
    return head[:10] + checksum(head).to_bytes(2, "big") + head[12:] + data


def _ipv6(packet: bytes, part: Fragment, protocol: int, data: bytes) -> bytes:
    """A packet with what *packet* has before its fragment header; *data* begins with a *protocol* header."""
    head = bytearray(packet[: part.header])
    named_at = 6
    for kind, at, after, _ in extension.headers(packet, packet[6], _IPV6_HEADER, len(packet)):
        if kind == extension.FRAGMENT or after > part.header:
            break
        named_at = at
    head[named_at] = protocol
    struct.pack_into("!H", head, 4, len(head) - _IPV6_HEADER + len(data))
    return bytes(head) + data


@dataclass(slots=True)
class _Datagram:
    """Fragments of one datagram."""

    expires: float
    offsets: list[int] = field(default_factory=list)
    """Where its pieces begin, sorted."""
    pieces: list[bytes] = field(default_factory=list)
    """The data at each offset."""
    first: tuple[bytes, Fragment] | None = None
    """The packet whose headers the datagram gets."""
    size: int | None = None
    """Octets of data in all, once the last fragment has come."""
    octets: int = 0
    codepoints: int = 0
    """A bit for each ECN codepoint that its fragments had."""
    refused: bool = False


class Reassembler:
    """Puts datagrams together again from their fragments.

    Full, it gives up the datagram that waits longest: a flood then costs others their datagrams, never us our memory.
    """

    def __init__(self, *, max_datagrams: int = 64, max_fragments: int = 256, max_octets: int = 1 << 20) -> None:
        """Set the bounds: datagrams in the making, fragments of each, octets of data of all (at least 65535)."""
        self.max_datagrams = max_datagrams
        self.max_fragments = max_fragments
        self.max_octets = max(max_octets, LARGEST)
        self._datagrams: dict[tuple[bytes, bytes, int, int], _Datagram] = {}
        self._octets = 0
        self._counters = dict.fromkeys(
            ("fragments", "fragments_refused", "reassembled", "reassemblies_timed_out", "reassemblies_evicted"), 0
        )

    def add(self, packet: Buffer, now: float) -> Buffer | None:
        """Take a packet that came in.

        Returns:
          The packet itself if it is no fragment; the whole datagram, as one packet that never was fragmented, if this
          was the last piece missing; else None.

        Raises:
          MalformedPacket: it is no IP packet, or a fragment that was refused, and why. Nothing else, whatever the
            octets.
        """
        if not _may_be_fragment(packet):
            return packet
        packet = bytes(packet)
        header = parse(packet)
        part = header.fragment
        if part is None:
            return packet
        self._expire(now)
        self._counters["fragments"] += 1
        try:
            whole = self._take(packet, header, part, now)
        except MalformedPacket:
            self._counters["fragments_refused"] += 1
            raise
        self._counters["reassembled"] += whole is not None
        return whole

    def counters(self) -> dict[str, int]:
        """What came, what became of it, and what is held right now: name to count."""
        return {**self._counters, "reassemblies_pending": len(self._datagrams), "octets_pending": self._octets}

    def _take(self, packet: bytes, header: Header, part: Fragment, now: float) -> bytes | None:
        _check(packet, header, part)
        data = packet[part.start : header.end]
        if part.offset == 0 and not part.more:
            return _join(packet, part, data)  # An atomic fragment: on its own, whatever else has its name (RFC 6946).
        key = header.source, header.destination, header.protocol if header.version == 4 else 0, part.identification
        while self._octets + len(data) > self.max_octets:
            self._evict_oldest()
        if key not in self._datagrams:
            if len(self._datagrams) >= self.max_datagrams:
                self._evict_oldest()
            self._datagrams[key] = _Datagram(now + TIMEOUT[header.version])
        datagram = self._datagrams[key]
        if datagram.refused:
            raise MalformedPacket("fragment of a datagram that was refused")
        try:
            self._insert(datagram, part, data)
        except MalformedPacket:
            self._forget_pieces(datagram)
            datagram.refused = True  # Stays until its time is over, so that its other fragments meet the same fate.
            raise
        if part.offset == 0 and datagram.first is None:
            datagram.first = packet[: part.start], part
        datagram.codepoints |= 1 << (header.traffic_class & 3)
        if datagram.octets != datagram.size or datagram.first is None:
            return None
        head, first = datagram.first
        whole, codepoints = b"".join(datagram.pieces), datagram.codepoints
        self._forget_pieces(datagram)
        del self._datagrams[key]
        return _join(_marked(head, codepoints), first, whole)

    def _insert(self, datagram: _Datagram, part: Fragment, data: bytes) -> None:
        """Put a piece in its place. Any refusal here refuses the datagram."""
        offsets, pieces = datagram.offsets, datagram.pieces
        end = part.offset + len(data)
        index = bisect(offsets, part.offset)
        if index and offsets[index - 1] == part.offset and pieces[index - 1] == data:
            return  # Duplicated on the way: RFC 8200, 4.5 allows to ignore an exact duplicate.
        if index and offsets[index - 1] + len(pieces[index - 1]) > part.offset:
            raise MalformedPacket("overlapping fragments")
        if index < len(offsets) and offsets[index] < end:
            raise MalformedPacket("overlapping fragments")
        if len(offsets) >= self.max_fragments:
            raise MalformedPacket(f"more than {self.max_fragments} fragments")
        if not part.more:
            if datagram.size is not None or index < len(offsets):
                raise MalformedPacket("fragments disagree about the end of their datagram")
            datagram.size = end
        elif datagram.size is not None and end > datagram.size:
            raise MalformedPacket("fragments disagree about the end of their datagram")
        offsets.insert(index, part.offset)
        pieces.insert(index, data)
        datagram.octets += len(data)
        self._octets += len(data)

    def _forget_pieces(self, datagram: _Datagram) -> None:
        self._octets -= datagram.octets
        datagram.octets = 0
        datagram.offsets, datagram.pieces, datagram.first = [], [], None

    def _evict_oldest(self) -> None:
        oldest = next(iter(self._datagrams))
        self._forget_pieces(self._datagrams.pop(oldest))
        self._counters["reassemblies_evicted"] += 1

    def _expire(self, now: float) -> None:
        for key in [key for key, datagram in self._datagrams.items() if datagram.expires <= now]:
            self._forget_pieces(self._datagrams.pop(key))
            self._counters["reassemblies_timed_out"] += 1


def _may_be_fragment(packet: Buffer) -> bool:
    """A look that spares nearly every packet the rest."""
    if packet[:1] == b"\x45" and len(packet) >= 20:
        return bool(packet[6] & 0x3F or packet[7])
    return not (packet[:1] and packet[0] >> 4 == 6 and len(packet) > 6 and packet[6] in (TCP, ICMPV6))


def _check(packet: bytes, header: Header, part: Fragment) -> None:
    """Refuse a fragment that cannot be part of any datagram."""
    length = header.end - part.start
    if part.more and length % 8:
        raise MalformedPacket("fragment with more to come is no multiple of 8 octets long")
    if not length:
        raise MalformedPacket("fragment without data")
    outside = part.header if header.version == 4 else part.header - _IPV6_HEADER
    if outside + part.offset + length > LARGEST:
        raise MalformedPacket("fragment reaches past 65535 octets")
    if header.version == 6 and part.offset == 0 and header.protocol == TCP and header.end - header.start < 20:
        raise MalformedPacket("first IPv6 fragment does not hold the whole header chain")  # RFC 8200, 4.5; RFC 7112


def _marked(head: bytes, codepoints: int) -> bytes:
    """The headers of the first fragment, with CE if any fragment has it (RFC 3168, 5.3)."""
    if not codepoints & 1 << CE:
        return head
    if codepoints & 1 << NOT_ECT:
        raise MalformedPacket("some fragments are marked, and others may not be (ECN)")
    return bytes((head[0], head[1] | (CE if head[0] >> 4 == 4 else CE << 4))) + head[2:]


def _join(packet: bytes, first: Fragment, data: bytes) -> bytes:
    """The whole datagram, with the headers of its first fragment."""
    if packet[0] >> 4 == 6:
        if first.header - _IPV6_HEADER + len(data) > LARGEST:
            raise MalformedPacket("fragments make more than 65535 octets")
        return _ipv6(packet, first, first.protocol, data)
    if first.header + len(data) > LARGEST:
        raise MalformedPacket("fragments make more than 65535 octets")
    identification = int.from_bytes(packet[4:6], "big")
    return _ipv4(packet[: first.header], data, identification, packet[6] << 8 & DONT_FRAGMENT)
