"""ICMP and ICMPv6 errors about TCP segments (RFC 792, RFC 4443), read and built."""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from usertcp.errors import MalformedPacket
from usertcp.ip import extension
from usertcp.ip.checksum import checksum, pseudo_header
from usertcp.ip.header import ICMP, ICMPV6, OFFSET, TCP, Header, build, parse

UNREACHABLE, SOURCE_QUENCH, TIME_EXCEEDED, PARAMETER_PROBLEM = 3, 4, 11, 12
"""Types of ICMP errors (RFC 792). Source quench is read so that it can be discarded (RFC 9293, 3.9.2.2, MUST-55)."""
UNREACHABLE_V6, PACKET_TOO_BIG_V6, TIME_EXCEEDED_V6, PARAMETER_PROBLEM_V6 = 1, 2, 3, 4
"""Types of ICMPv6 errors (RFC 4443)."""
FRAGMENTATION_NEEDED: Final = 4
"""Code of `UNREACHABLE` that brings a next-hop MTU (RFC 1191, 4)."""

ERRORS: Final = {
    ICMP: frozenset({UNREACHABLE, SOURCE_QUENCH, TIME_EXCEEDED, PARAMETER_PROBLEM}),
    ICMPV6: frozenset({UNREACHABLE_V6, PACKET_TOO_BIG_V6, TIME_EXCEEDED_V6, PARAMETER_PROBLEM_V6}),
}

_ICMP: Final = struct.Struct("!BBHI")
_QUOTED_TCP: Final = struct.Struct("!HHI")
_MIN_MTU_V6: Final = 1280


class Error(NamedTuple):
    """An error about a TCP segment, and what it quotes of that."""

    version: int
    type: int
    code: int
    mtu: int
    """Next-hop MTU of "fragmentation needed" and "packet too big", octets; else 0."""
    reporter: str
    """Who sent the error."""
    source: str
    """Source of the quoted packet, which is whoever gets the error."""
    source_port: int
    destination: str
    destination_port: int
    seq: int
    packet_at: int
    """Index of the quoted packet."""
    tcp_at: int
    """Index of the quoted TCP header, at least 8 octets."""


def parse_error(packet: bytes) -> Error | None:
    """Read an ICMP or ICMPv6 error about a TCP segment.

    Only the first 8 octets of the quoted segment are looked at: RFC 792 promises no more. Of the quoted IP header
    nothing that routers change is verified.

    Returns:
      None if the packet is none: another protocol, a query, a redirect, a quotation of something else.

    Raises:
      MalformedPacket: bad lengths or checksum, or it quotes a packet that its receiver cannot have sent.
    """
    outer = parse(packet)
    if outer.protocol != (ICMP if outer.version == 4 else ICMPV6):
        return None
    if outer.fragment:
        raise MalformedPacket("a fragment")
    at = outer.start
    if outer.end - at < _ICMP.size:
        raise MalformedPacket("ICMP message cut short")
    type_, code, _, rest = _ICMP.unpack_from(packet, at)
    if type_ not in ERRORS[outer.protocol]:
        return None
    length = outer.end - at
    pseudo = pseudo_header(outer.source, outer.destination, ICMPV6, length) if outer.version == 6 else 0
    if checksum(packet[at : outer.end], pseudo):
        raise MalformedPacket("bad ICMP checksum")
    mtu = 0
    if outer.version == 4 and (type_, code) == (UNREACHABLE, FRAGMENTATION_NEEDED):
        mtu = rest & 0xFFFF
    elif outer.version == 6 and type_ == PACKET_TOO_BIG_V6:
        mtu = rest
    at += _ICMP.size
    quoted = _quoted(packet, at, outer)
    if quoted is None:
        return None
    if quoted.source != outer.destination:
        raise MalformedPacket("ICMP error quotes a packet that its receiver did not send")
    source_port, destination_port, seq = _QUOTED_TCP.unpack_from(packet, quoted.start)
    source, destination = quoted.addresses
    reporter, _ = outer.addresses
    ends = (source, source_port, destination, destination_port)
    return Error(outer.version, type_, code, mtu, reporter, *ends, seq, at, quoted.start)


def _quoted(packet: bytes, at: int, outer: Header) -> Header | None:
    """The header of the packet quoted at index *at*, which may be cut short. None if no TCP header follows."""
    version = outer.version
    if at + (20 if version == 4 else 40) > outer.end or packet[at] >> 4 != version:
        raise MalformedPacket("ICMP error quotes no IP header")
    if version == 4:
        start, protocol = at + (packet[at] & 15) * 4, packet[at + 9]
        fragmented = int.from_bytes(packet[at + 6 : at + 8], "big") & OFFSET != 0
        source, destination = packet[at + 12 : at + 16], packet[at + 16 : at + 20]
        if start < at + 20:
            raise MalformedPacket("ICMP error quotes no IP header")
    else:
        start, protocol, fragmented = at + 40, packet[at + 6], False
        source, destination = packet[at + 8 : at + 24], packet[at + 24 : at + 40]
        for kind, header, after, following in extension.headers(packet, protocol, start, outer.end):
            start, protocol = after, following
            if kind == extension.FRAGMENT:
                fragmented = int.from_bytes(packet[header + 2 : header + 4], "big") & 0xFFF8 != 0
    if protocol != TCP or fragmented:
        return None
    if start + _QUOTED_TCP.size > outer.end:
        raise MalformedPacket("ICMP error quotes less than 8 octets of TCP")
    return Header(version, source, destination, protocol, start, outer.end, None)


def build_error(reporter: str, type_: int, code: int, packet: bytes, mtu: int = 0) -> bytes:
    """The error that the router or host *reporter* sends about *packet* to its source: a whole packet.

    As much of *packet* is quoted as RFC 1812, 4.3.2.3 and RFC 4443, 2.4 allow: the error has at most 576 octets in
    IPv4, 1280 in IPv6.

    Raises:
      MalformedPacket: *packet* is no IP packet.
    """
    about = parse(packet)
    source, _ = about.addresses
    if about.version == 4:
        quoted = packet[: min(about.end, 576 - 28)]
        message = _ICMP.pack(type_, code, 0, mtu) + quoted
        protocol, pseudo = ICMP, 0
    else:
        quoted = packet[: min(about.end, _MIN_MTU_V6 - 48)]
        message = _ICMP.pack(type_, code, 0, mtu) + quoted
        header = parse(build(reporter, source, ICMPV6, 0))
        protocol, pseudo = ICMPV6, pseudo_header(header.source, header.destination, ICMPV6, len(message))
    message = message[:2] + checksum(message, pseudo).to_bytes(2, "big") + message[4:]
    return build(reporter, source, protocol, len(message), df=False) + message
