"""The lab's codec: every packet is crafted and dissected with Scapy, every field visible and editable."""

from __future__ import annotations

from struct import pack
from typing import Any

from scapy.layers.inet import ICMP, IP, TCP, IPerror, TCPerror
from scapy.layers.inet6 import (
    ICMPv6DestUnreach,
    ICMPv6PacketTooBig,
    ICMPv6ParamProblem,
    ICMPv6TimeExceeded,
    IPerror6,
    IPv6,
)
from scapy.packet import Packet, Raw

from usertcp.errors import MalformedPacket
from usertcp.ip import header as ip
from usertcp.ip.checksum import Buffer
from usertcp.ip.header import Header, parse
from usertcp.ip.icmp import FRAGMENTATION_NEEDED, UNREACHABLE, Error, parse_error
from usertcp.tcp.options import NO_OPTIONS, Options, Signature
from usertcp.tcp.segment import FLAGS, Flow, Segment
from usertcp.wire import IcmpError
from usertcp.wire.options import (
    ACCURATE_ECN,
    AUTHENTICATION,
    FAST_OPEN,
    MD5_SIGNATURE,
    MSS,
    NOP,
    SACK,
    SACK_PERMITTED,
    TIMESTAMPS,
    USER_TIMEOUT,
    WINDOW_SCALE,
    ecn_feedback,
    is_cookie,
    layout,
    signed,
    split,
    user_timeout_seconds,
)
from usertcp.wire.verify import TCP_HEADER, verify_tcp

_NAMES = {
    NOP: "NOP",
    MSS: "MSS",
    WINDOW_SCALE: "WScale",
    SACK_PERMITTED: "SAckOK",
    SACK: "SAck",
    TIMESTAMPS: "Timestamp",
    MD5_SIGNATURE: "MD5",
    USER_TIMEOUT: "UTO",
    AUTHENTICATION: "AO",
    FAST_OPEN: "TFO",
}
"""What Scapy calls the options that we know."""

_ICMPV6_ERRORS = {1: ICMPv6DestUnreach, 2: ICMPv6PacketTooBig, 3: ICMPv6TimeExceeded, 4: ICMPv6ParamProblem}
_FIXED_HEADER = {4: 20, 6: 40}
"""Octets of an IP header without options or extension headers, by version."""


class ScapyCodec:
    """Scapy reads and writes all values. What is malformed is found before, since Scapy forgives most of it."""

    def __init__(self, ttl: int = 64) -> None:
        """Packets leave with *ttl* as IPv4 time to live or IPv6 hop limit, unless the segment has another (RFC 9293,
        3.9.2, MUST-49)."""
        self.ttl = ttl

    def craft(self, flow: Flow, seg: Segment) -> Packet:
        """The packet that `encode` makes, as a Scapy packet to look at and edit; lengths and checksums are open."""
        ttl = self.ttl if seg.ttl is None else seg.ttl
        if ":" in flow.local:
            network = IPv6(src=flow.local, dst=flow.remote, hlim=ttl, tc=seg.traffic_class)
        else:
            network = IP(src=flow.local, dst=flow.remote, ttl=ttl, tos=seg.traffic_class, id=0, flags="DF")
        tcp = TCP(
            sport=flow.local_port,
            dport=flow.remote_port,
            seq=seg.seq,
            ack=seg.ack,
            flags=seg.flags,
            window=seg.wnd,
            urgptr=seg.up,
            options=_to_scapy(seg.options),
        )
        if seg.options.signature is not None:
            tcp.options = _to_scapy(signed(seg.options, bytes(tcp), seg.data))
        packet = network / tcp
        return packet / Raw(bytes(seg.data)) if seg.data else packet

    def encode(self, flow: Flow, seg: Segment) -> bytes:
        """See `Codec.encode`.

        Raises:
          ValueError: more than 40 octets of options.
          struct.error: a value that does not fit its field.
        """
        return bytes(self.craft(flow, seg))

    def decode(self, packet: Buffer, *, unfinished_checksum: bool = False) -> tuple[Flow, Segment] | IcmpError | None:
        """See `Codec.decode`."""
        packet = bytes(packet)
        header = parse(packet)
        try:
            if header.protocol == ip.TCP:
                return _read_segment(packet, header, verify_tcp(packet, header, unfinished_checksum))
            error = parse_error(packet)
            return _read_error(packet, header, error) if error else None
        except MalformedPacket:
            raise
        except Exception as error:
            raise MalformedPacket(f"Scapy cannot read it: {error}") from error


def dissect(packet: bytes) -> Packet:
    """A packet's octets as a Scapy packet."""
    return IP(packet) if packet[0] >> 4 == 4 else IPv6(packet)


def _read_segment(packet: bytes, header: Header, data: int) -> tuple[Flow, Segment]:
    fixed = _FIXED_HEADER[header.version]
    if header.start == fixed:
        network = dissect(packet[: header.end])
        tcp = network[TCP]
    else:  # IP options and extension headers Scapy reads in its own way; the segment is where we found it.
        network, tcp = dissect(packet[:fixed]), TCP(packet[header.start : header.end])
    options = _from_scapy(tcp.options, packet[header.start : data])
    flow = Flow(network.dst, tcp.dport, network.src, tcp.sport)
    # The data as it came: Scapy would read it with whatever layer is bound to the port.
    octets = packet[data : header.end]
    traffic_class = network.tos if header.version == 4 else network.tc
    flags = int(tcp.flags) & FLAGS
    return flow, Segment(tcp.seq, tcp.ack, flags, tcp.window, options, octets, tcp.urgptr, traffic_class)


def _read_error(packet: bytes, header: Header, error: Error) -> IcmpError:
    """Each header is dissected on its own, since what an error quotes may be cut short anywhere behind it."""
    fixed = _FIXED_HEADER[header.version]
    message = packet[header.start : error.packet_at]
    icmp = ICMP(message) if header.version == 4 else _ICMPV6_ERRORS[error.type](message)
    quoted = packet[error.packet_at : error.packet_at + fixed]
    about = IPerror(quoted) if header.version == 4 else IPerror6(quoted)
    tcp = TCPerror(packet[error.tcp_at : error.tcp_at + 8])
    mtu = 0
    if error.version == 4 and (icmp.type, icmp.code) == (UNREACHABLE, FRAGMENTATION_NEEDED):
        mtu = icmp.nexthopmtu
    elif isinstance(icmp, ICMPv6PacketTooBig):
        mtu = icmp.mtu
    flow = Flow(about.src, tcp.sport, about.dst, tcp.dport)
    return IcmpError(dissect(packet[:fixed]).src, flow, tcp.seq, header.version, icmp.type, icmp.code, mtu)


def _to_scapy(options: Options) -> list[tuple[str | int, Any]]:
    if options is NO_OPTIONS:
        return []
    return [
        (_NAMES.get(kind, kind), _value(value) if isinstance(value, tuple) else value)
        for kind, value in layout(options)
    ]


def _value(values: tuple[int, ...]) -> Any:
    """Scapy writes a lone value without its tuple, and no value as no octets."""
    if len(values) == 1:
        return values[0]
    return values or b""


def _from_scapy(items: list[tuple[str | int, Any]], header: bytes) -> Options:
    """Scapy's reading of the options in a TCP header that has passed our checks; kinds unknown to us as octets."""
    if not items:
        return NO_OPTIONS
    others = [
        (kind, data)
        for kind, data in split(header[TCP_HEADER:])
        if kind not in _NAMES or (kind == FAST_OPEN and not is_cookie(data))
    ]
    options = Options(unknown=tuple(item for item in others if item[0] not in ACCURATE_ECN))
    for kind, data in others:
        if kind in ACCURATE_ECN:
            options.accurate_ecn = ecn_feedback(kind, data)
    for name, value in items:
        if name == "MSS":
            options.mss = value
        elif name == "WScale":
            options.window_scale = value
        elif name == "SAckOK":
            options.sack_permitted = True
        elif name == "Timestamp":
            options.timestamps = value
        elif name == "UTO":
            options.user_timeout = user_timeout_seconds(value)
        elif name == "MD5":
            options.signature = Signature(value, header=header)
        elif name == "AO":
            options.signature = Signature(value.mac, (value.keyid, value.rnextkeyid), header=header)
        elif name == "SAck":
            options.sack = tuple(zip(value[::2], value[1::2], strict=True))
        elif name == "TFO":
            cookie = value if isinstance(value, bytes) else pack("!II", *value)  # Scapy takes 8 octets for numbers.
            options.fast_open = cookie if is_cookie(cookie) else options.fast_open
    return options
