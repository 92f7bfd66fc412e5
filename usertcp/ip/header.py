"""The headers of IPv4 (RFC 791) and IPv6 (RFC 8200), read and built."""

from __future__ import annotations

import struct
from socket import AF_INET, AF_INET6, inet_ntop, inet_pton
from typing import Final, NamedTuple

from usertcp.errors import MalformedPacket
from usertcp.ip import extension
from usertcp.ip.checksum import Buffer, checksum

ICMP: Final = 1
TCP: Final = 6
ICMPV6: Final = 58
"""Protocol numbers."""

MORE_FRAGMENTS: Final = 0x2000
DONT_FRAGMENT: Final = 0x4000
OFFSET: Final = 0x1FFF
"""Parts of the flags and fragment offset field of IPv4."""

LARGEST: Final = 65535
"""What a 16-bit length can say, octets."""

_IPV4: Final = struct.Struct("!BBHHHBBH4s4s")
_IPV6: Final = struct.Struct("!IHBB16s16s")


class Fragment(NamedTuple):
    """Which part of a datagram a packet carries."""

    identification: int
    offset: int
    """Where its data belongs in the datagram's, octets."""
    more: bool
    """It is not the last."""
    header: int
    """Index of the IPv6 fragment header; in IPv4 the same as `start`. What is before it goes with every fragment."""
    start: int
    """Index of its data."""
    protocol: int
    """What the datagram holds after the headers that go with every fragment. Only the first fragment's counts."""


class Header(NamedTuple):
    """What a receiver needs to know of an IP header. Indexes are into the packet."""

    version: int
    source: bytes
    destination: bytes
    protocol: int
    """Of the payload, after any extension headers."""
    start: int
    """Index of the payload."""
    end: int
    """Index after the payload; what follows is padding of the link."""
    fragment: Fragment | None
    traffic_class: int = 0
    """DSCP and ECN (RFC 2474, RFC 3168); in IPv4 the "type of service". Not read from what an ICMP error quotes."""

    @property
    def addresses(self) -> tuple[str, str]:
        """Source and destination as text in canonical form."""
        family = AF_INET if self.version == 4 else AF_INET6
        return inet_ntop(family, self.source), inet_ntop(family, self.destination)


def parse(packet: Buffer) -> Header:
    """Read the header of an IPv4 or IPv6 packet.

    IPv4 options are skipped, whatever they hold (RFC 9293, 3.9.2, MUST-50). IPv6 extension headers are walked as a
    destination does.

    Raises:
      MalformedPacket: bad version, lengths, IPv4 checksum, or an extension header that asks to be discarded.
    """
    version = packet[0] >> 4 if packet else 0
    if version == 4:
        return _parse_ipv4(packet)
    if version == 6:
        return _parse_ipv6(packet)
    raise MalformedPacket("neither IPv4 nor IPv6")


def _parse_ipv4(packet: Buffer) -> Header:
    if len(packet) < _IPV4.size:
        raise MalformedPacket("IPv4 header cut short")
    version_ihl, tos, end, identification, flags_offset, _, protocol, _, source, destination = _IPV4.unpack_from(packet)
    start = (version_ihl & 15) * 4
    if not _IPV4.size <= start <= end <= len(packet):
        raise MalformedPacket("IPv4 lengths do not fit the packet")
    if checksum(packet[:start]):
        raise MalformedPacket("bad IPv4 header checksum")
    fragment = None
    if flags_offset & (MORE_FRAGMENTS | OFFSET):
        more = bool(flags_offset & MORE_FRAGMENTS)
        fragment = Fragment(identification, (flags_offset & OFFSET) * 8, more, start, start, protocol)
    return Header(4, source, destination, protocol, start, end, fragment, tos)


def _parse_ipv6(packet: Buffer) -> Header:
    if len(packet) < _IPV6.size:
        raise MalformedPacket("IPv6 header cut short")
    first, length, protocol, _, source, destination = _IPV6.unpack_from(packet)
    start, end = _IPV6.size, _IPV6.size + length
    if end > len(packet):
        raise MalformedPacket("IPv6 payload length does not fit the packet")
    fragment = None
    for kind, at, after, following in extension.headers(packet, protocol, start, end):
        start, protocol = after, following
        if kind == extension.FRAGMENT:
            if fragment:
                raise MalformedPacket("more than one IPv6 fragment header")
            offset_more, identification = struct.unpack_from("!HI", packet, at + 2)
            fragment = Fragment(identification, offset_more & 0xFFF8, bool(offset_more & 1), at, start, protocol)
        else:
            extension.check(packet, kind, at, start)
    return Header(6, source, destination, protocol, start, end, fragment, first >> 20 & 0xFF)


def build(
    source: str,
    destination: str,
    protocol: int,
    length: int,
    *,
    ttl: int = 64,
    df: bool = True,
    identification: int = 0,
) -> bytes:
    """The IP header for a payload of *length* octets, of the family of the addresses.

    IPv6 has neither *df*, don't-fragment, nor *identification*.
    """
    if ":" in source:
        return _IPV6.pack(6 << 28, length, protocol, ttl, inet_pton(AF_INET6, source), inet_pton(AF_INET6, destination))
    flags = DONT_FRAGMENT if df else 0
    addresses = inet_pton(AF_INET, source), inet_pton(AF_INET, destination)
    header = _IPV4.pack(0x45, 0, _IPV4.size + length, identification, flags, ttl, protocol, 0, *addresses)
    return header[:10] + checksum(header).to_bytes(2, "big") + header[12:]
