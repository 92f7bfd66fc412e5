"""The codec for throughput: `struct`, and what many packets have in common is worked out once."""

from __future__ import annotations

import struct
from functools import lru_cache
from socket import AF_INET, AF_INET6, inet_ntop, inet_pton
from typing import Final

from usertcp.ip.checksum import MODULUS, Buffer, checksum, pseudo_header
from usertcp.ip.header import DONT_FRAGMENT, MORE_FRAGMENTS, OFFSET, TCP, parse
from usertcp.ip.icmp import parse_error
from usertcp.tcp.segment import FIN, FLAGS, PSH, Flow, Segment
from usertcp.tcp.sequence import wrap
from usertcp.tcp.super_segment import PACKET
from usertcp.wire import IcmpError
from usertcp.wire.options import ALIGNED_TIMESTAMPS, only_timestamps, read_from, signed, write
from usertcp.wire.verify import TCP_HEADER, verify_tcp

_TCP: Final = struct.Struct("!HHIIHHHH")
_IPV4: Final = struct.Struct("!BBHHHBBH4s4s")
_FIELDS: Final = struct.Struct("!IIIHH2xH")
"""What is to be known of a TCP header: all but the checksum."""
_PLAIN: Final = struct.Struct("!5I3I4H")
"""An IPv4 header without options, in words, and the TCP header behind it."""
_Plain = tuple[int, int, int, int, int, int, int, int, int, int, int, int]
"""Said to be so, for the compiler: operations on what may be anything are slow."""
_TCP_AND_TIMESTAMPS: Final = struct.Struct("!HHIIHHHHIII")
_IPV6: Final = struct.Struct("!IHBB16s16s")
_SEQ: Final = struct.Struct("!I")
SEQ_AT: Final = {4: 24, 6: 44}
"""Of SEQ in a packet, by the version of IP."""
FLOWS: Final = 1 << 14
"""Flows that are remembered: to make the text of addresses would cost as much as all else."""
HEADERS: Final = 1 << 12
"""IP headers that are remembered: those of a connection differ in the length only."""


@lru_cache(HEADERS)
def _ip_header(local: str, remote: str, length: int, ttl: int, traffic_class: int) -> tuple[bytes, int]:
    """The IP header before *length* octets of TCP, and the sum of their pseudo-header."""
    family = AF_INET6 if ":" in local else AF_INET
    source, destination = inet_pton(family, local), inet_pton(family, remote)
    pseudo = pseudo_header(source, destination, TCP, length)
    if family == AF_INET6:
        return _IPV6.pack(6 << 28 | traffic_class << 20, length, TCP, ttl, source, destination), pseudo
    fields = 0x45, traffic_class, _IPV4.size + length, 0, DONT_FRAGMENT, ttl, TCP
    own = checksum(_IPV4.pack(*fields, 0, source, destination))
    return _IPV4.pack(*fields, own, source, destination), pseudo


@lru_cache(FLOWS)
def flow_of(octets: int, source: int, destination: int, ports: int) -> Flow:
    """As whoever receives it sees it. Addresses of so many octets; the source port stands before the other."""
    return Flow(_text(octets, destination), ports & 0xFFFF, _text(octets, source), ports >> 16)


@lru_cache(FLOWS)
def _text(octets: int, address: int) -> str:
    return inet_ntop(AF_INET if octets == 4 else AF_INET6, address.to_bytes(octets, "big"))


class FastCodec:
    """Encodes and decodes as `ScapyCodec` does, octet for octet, without Scapy."""

    def __init__(self, ttl: int = 64) -> None:
        """Packets leave with *ttl* as IPv4 time to live or IPv6 hop limit, unless the segment has another (RFC 9293,
        3.9.2, MUST-49)."""
        self.ttl = ttl

    def encode(self, flow: Flow, seg: Segment) -> bytes:
        """See `Codec.encode`.

        Raises:
          ValueError: more than 40 octets of options.
          struct.error: a value that does not fit its field.
        """
        options = write(seg.options)
        rest = options + seg.data
        offset_flags = (TCP_HEADER + len(options)) << 10 | seg.flags
        local, local_port, remote, remote_port = flow
        if seg.options.signature is not None:
            header = _TCP.pack(local_port, remote_port, seg.seq, seg.ack, offset_flags, seg.wnd, 0, seg.up) + options
            rest = write(signed(seg.options, header, seg.data)) + seg.data
        ttl = self.ttl if seg.ttl is None else seg.ttl
        ip, pseudo = _ip_header(local, remote, TCP_HEADER + len(rest), ttl, seg.traffic_class)
        fields = local_port + remote_port + seg.seq + seg.ack + offset_flags + seg.wnd + seg.up
        own = checksum(rest, pseudo + fields)
        return ip + _TCP.pack(local_port, remote_port, seg.seq, seg.ack, offset_flags, seg.wnd, own, seg.up) + rest

    def headers(self, flow: Flow, seg: Segment) -> bytes:
        """The headers of a packet whose text stands elsewhere and whose TCP checksum is left to the link: as yet it is
        the sum of the pseudo-header. For segments without a signature."""
        stamps = only_timestamps(seg.options)
        options = write(seg.options) if stamps is None else b""
        header = TCP_HEADER + len(options) if stamps is None else _TCP_AND_TIMESTAMPS.size
        offset_flags = header << 10 | seg.flags
        local, local_port, remote, remote_port = flow
        ttl = self.ttl if seg.ttl is None else seg.ttl
        ip, pseudo = _ip_header(local, remote, header + len(seg.data), ttl, seg.traffic_class)
        if stamps is None:
            tcp = _TCP.pack(local_port, remote_port, seg.seq, seg.ack, offset_flags, seg.wnd, pseudo, seg.up)
            return ip + tcp + options
        value, echo = stamps
        return ip + _TCP_AND_TIMESTAMPS.pack(
            local_port, remote_port, seg.seq, seg.ack, offset_flags, seg.wnd, pseudo, seg.up,
            ALIGNED_TIMESTAMPS, value, echo,
        )  # fmt: skip

    def unfinished(self, flow: Flow, seg: Segment) -> list[tuple[bytes, Buffer]]:
        """The packets of a segment, or of a super-segment, of no more text than fits into one: the headers, as from
        `headers`, and the text."""
        if len(seg.data) <= seg.mss or not seg.mss:
            return [(self.headers(flow, seg), seg.data)]
        packets: list[tuple[bytes, Buffer]] = []
        size, data, flags = max(PACKET // seg.mss, 1) * seg.mss, seg.data, seg.flags & ~(FIN | PSH)
        part = Segment(
            seg.seq, seg.ack, flags, seg.wnd, seg.options, data[:size], seg.up, seg.traffic_class, seg.ttl, seg.mss
        )
        headers = self.headers(flow, part)
        before_seq = SEQ_AT[headers[0] >> 4]
        first, rest = headers[:before_seq], headers[before_seq + _SEQ.size :]
        left = 0
        while left + size < len(data):
            packets.append((first + _SEQ.pack(wrap(seg.seq + left)) + rest, data[left : left + size]))
            left += size
        part.seq, part.flags, part.data = wrap(seg.seq + left), seg.flags, data[left:]
        packets.append((self.headers(flow, part), part.data))
        return packets

    def decode(self, packet: Buffer, *, unfinished_checksum: bool = False) -> tuple[Flow, Segment] | IcmpError | None:
        """See `Codec.decode`. The text of a packet that is a view is one too."""
        return _decode_plain(packet, unfinished_checksum) or _decode_any(packet, unfinished_checksum)


def _decode_plain(packet: Buffer, unfinished_checksum: bool) -> tuple[Flow, Segment] | None:
    """What nearly every packet is, IPv4 without options, and TCP, whole and intact. None: it is not."""
    if len(packet) < 40:
        return None
    plain: _Plain = _PLAIN.unpack_from(packet)
    first, second, third, source, destination, ports, seq, ack, offset_flags, wnd, own, up = plain
    data, end = 20 + (offset_flags >> 12) * 4, first & 0xFFFF
    if first >> 24 != 0x45 or third >> 16 & 0xFF != TCP or second & (MORE_FRAGMENTS | OFFSET):
        return None
    if not 40 <= data <= end <= len(packet) or (first + second + third + source + destination) % MODULUS:
        return None
    pseudo = source + destination + TCP + end - 20
    if unfinished_checksum and (own - pseudo) % MODULUS == 0:  # See `is_unfinished`.
        pass
    elif checksum(packet[20:end], pseudo):
        return None
    seg = _segment(packet, 20, data, end, first >> 16 & 0xFF, seq, ack, offset_flags, wnd, up)
    return flow_of(4, source, destination, ports), seg


def _decode_any(packet: Buffer, unfinished_checksum: bool) -> tuple[Flow, Segment] | IcmpError | None:
    header = parse(packet)
    if header.protocol != TCP:
        error = parse_error(bytes(packet))
        if error is None:
            return None
        flow = Flow(error.source, error.source_port, error.destination, error.destination_port)
        return IcmpError(error.reporter, flow, error.seq, error.version, error.type, error.code, error.mtu)
    data = verify_tcp(packet, header, unfinished_checksum)
    ports, *fields = _FIELDS.unpack_from(packet, header.start)
    source, destination = int.from_bytes(header.source, "big"), int.from_bytes(header.destination, "big")
    flow = flow_of(len(header.source), source, destination, ports)
    return flow, _segment(packet, header.start, data, header.end, header.traffic_class, *fields)


def _segment(
    packet: Buffer,
    start: int,
    data: int,
    end: int,
    traffic_class: int,
    seq: int,
    ack: int,
    offset_flags: int,
    wnd: int,
    up: int,
) -> Segment:
    """What stands at *start*, its text from *data* to *end*."""
    options = read_from(packet, start + TCP_HEADER, data)
    if options.signature is not None:
        options.signature.header = bytes(packet[start:data])
    text = packet[data:end] if isinstance(packet, memoryview) else bytes(packet[data:end])
    return Segment(seq, ack, offset_flags & FLAGS, wnd, options, text, up, traffic_class)
