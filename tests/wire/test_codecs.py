"""What both codecs do, packet by packet. Scapy makes the packets that come in."""

from __future__ import annotations

import struct
from dataclasses import replace

import pytest
from scapy.layers.dns import DNS
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import (
    ICMPv6EchoRequest,
    ICMPv6PacketTooBig,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
)
from scapy.packet import Packet, Raw

from usertcp.errors import MalformedPacket
from usertcp.ip.fragments import Reassembler, fragment
from usertcp.ip.icmp import build_error
from usertcp.tcp.options import EcnFeedback, Options
from usertcp.tcp.segment import ACK, AE, CWR, ECE, FIN, PSH, RST, SYN, URG, Flow, Segment
from usertcp.wire import Codec, IcmpError
from usertcp.wire.fast import FastCodec
from usertcp.wire.look import NO_PORT, NOT_FOR_US, port_of
from usertcp.wire.scapy import ScapyCodec

FLOW4 = Flow("192.0.2.1", 61000, "198.51.100.7", 80)
FLOW6 = Flow("2001:db8::1", 61000, "2001:db8:0:1::7", 80)
SYN_OPTIONS = Options(mss=1460, window_scale=7, sack_permitted=True, timestamps=(0xFFFFFFFF, 0))
SEGMENTS = {
    "SYN": Segment(0, 0, SYN, 65535, SYN_OPTIONS),
    "SYN-ACK": Segment(2**32 - 1, 1, SYN | ACK, 65535, Options(mss=536)),
    "ACK": Segment(1, 2**32 - 1, ACK, 0),
    "data": Segment(5, 6, ACK | PSH, 7, Options(timestamps=(1, 2)), b"hello"),
    "FIN": Segment(5, 6, FIN | ACK, 7, data=b"even"),
    "RST": Segment(5, 0, RST),
    "urgent": Segment(5, 6, URG | ACK, 7, data=b"!", up=1),
    "ECN": Segment(5, 6, ACK | ECE | CWR, 7),
    "AccECN": Segment(5, 6, ACK | AE | ECE, 7, Options(timestamps=(1, 2), accurate_ecn=EcnFeedback(0, (1, 0)))),
    "AccECN in the other order": Segment(5, 6, ACK | AE, 7, Options(accurate_ecn=EcnFeedback(1, (1, 2**24 - 1, 7)))),
    "AccECN without counters": Segment(5, 6, ACK, 7, Options(timestamps=(1, 2), accurate_ecn=EcnFeedback(1, ()))),
    "AccECN beside SACK": Segment(
        5, 6, ACK, 7, Options(timestamps=(1, 2), accurate_ecn=EcnFeedback(0, (1, 0)), sack=((10, 20), (30, 40)))
    ),
    "SACK": Segment(5, 6, ACK, 7, Options(timestamps=(1, 2), sack=((10, 20), (30, 40), (2**32 - 5, 5)))),
    "user timeout": Segment(5, 6, ACK, 7, Options(timestamps=(1, 2), user_timeout=300)),
    "user timeout in minutes": Segment(5, 6, ACK, 7, Options(user_timeout=40_020)),
    "cookie request": Segment(5, 0, SYN, 7, Options(mss=1460, fast_open=b"")),
    "cookie": Segment(5, 0, SYN, 7, Options(mss=1460, fast_open=b"a cookie"), b"text"),
    "long cookie": Segment(5, 0, SYN, 7, Options(fast_open=bytes(16))),
    "unknown options": Segment(5, 6, ACK, 7, Options(unknown=((34, b"sugar"), (253, b"")))),
    "traffic class": Segment(5, 6, ACK, 7, data=b"hello", traffic_class=46 << 2 | 2),
    "everything at its largest": Segment(
        2**32 - 1, 2**32 - 1, 0x1FF, 65535, data=b"\xff" * 65, up=65535, traffic_class=0xFF
    ),
}


@pytest.fixture(params=[ScapyCodec, FastCodec], ids=["scapy", "fast"])
def codec(request: pytest.FixtureRequest) -> Codec:
    made: Codec = request.param()
    return made


FLOWS = pytest.mark.parametrize("flow", [FLOW4, FLOW6], ids=["ipv4", "ipv6"])
EVERY_SEGMENT = pytest.mark.parametrize("seg", SEGMENTS.values(), ids=list(SEGMENTS))


@pytest.mark.rfc("9293", "3.1")
@FLOWS
@EVERY_SEGMENT
def test_a_segment_arrives_as_it_was_sent(codec: Codec, flow: Flow, seg: Segment) -> None:
    assert codec.decode(codec.encode(flow, seg)) == (flow.reversed, seg)


@FLOWS
@EVERY_SEGMENT
def test_both_codecs_write_the_same_octets(flow: Flow, seg: Segment) -> None:
    assert FastCodec().encode(flow, seg) == ScapyCodec().encode(flow, seg)


@pytest.mark.rfc("9293", "3.1", "MUST-2")
@FLOWS
@EVERY_SEGMENT
def test_a_segment_leaves_with_the_checksums_that_scapy_computes(codec: Codec, flow: Flow, seg: Segment) -> None:
    packet = codec.encode(flow, seg)
    dissected = IP(packet) if flow is FLOW4 else IPv6(packet)
    if flow is FLOW4:
        dissected.chksum = None
    dissected[TCP].chksum = None
    assert bytes(dissected) == packet


@pytest.mark.rfc("1191", "3")
def test_ipv4_packets_leave_atomic(codec: Codec) -> None:
    packet = IP(codec.encode(FLOW4, SEGMENTS["data"]))
    assert (packet.id, str(packet.flags), packet.frag, packet.tos, packet.ihl) == (0, "DF", 0, 0, 5)
    assert packet.len == len(bytes(packet))


@pytest.mark.rfc("9293", "3.8.1", "MAY-4")
@FLOWS
def test_the_same_segment_again_is_the_same_packet_to_the_octet(codec: Codec, flow: Flow) -> None:
    first = codec.encode(flow, SEGMENTS["data"])
    codec.encode(flow, SEGMENTS["FIN"])
    assert codec.encode(flow, SEGMENTS["data"]) == first


@pytest.mark.rfc("9293", "3.9.2", "MUST-49")
@pytest.mark.parametrize("made", [ScapyCodec, FastCodec], ids=["scapy", "fast"])
def test_the_time_to_live_is_configurable(made: type[ScapyCodec] | type[FastCodec]) -> None:
    assert IP(made().encode(FLOW4, SEGMENTS["ACK"])).ttl == 64
    assert IP(made(ttl=3).encode(FLOW4, SEGMENTS["ACK"])).ttl == 3
    assert IPv6(made(ttl=255).encode(FLOW6, SEGMENTS["ACK"])).hlim == 255
    other = replace(SEGMENTS["ACK"], ttl=7)
    assert IP(made(ttl=3).encode(FLOW4, other)).ttl == 7
    assert IPv6(made(ttl=3).encode(FLOW6, other)).hlim == 7


@pytest.mark.rfc("9293", "3.9.1.9", "SHLD-22")
def test_the_traffic_class_reaches_ip_unchanged(codec: Codec) -> None:
    assert IP(codec.encode(FLOW4, SEGMENTS["traffic class"])).tos == 0xBA
    assert IPv6(codec.encode(FLOW6, SEGMENTS["traffic class"])).tc == 0xBA


def test_scapy_codec_crafts_packets_that_can_be_edited() -> None:
    packet = ScapyCodec().craft(FLOW4, SEGMENTS["data"])
    packet[TCP].window = 4321
    packet[IP].ttl = 1
    assert ("Timestamp", (1, 2)) in packet[TCP].options
    assert ScapyCodec().decode(bytes(packet)) == (FLOW4.reversed, replace(SEGMENTS["data"], wnd=4321))


def test_the_largest_super_segment_is_read_and_written(codec: Codec) -> None:
    seg = Segment(1, 2, ACK, 3, data=bytes(range(251)) * 260)
    assert codec.decode(codec.encode(FLOW4, seg)) == (FLOW4.reversed, seg)
    with pytest.raises((ValueError, struct.error)):
        codec.encode(FLOW4, Segment(1, 2, ACK, 3, data=bytes(65535)))


@pytest.mark.rfc("9293", "3.7.1", "MUST-14")
@pytest.mark.parametrize("mss", [0, 1, 536, 1220, 1460, 65535])
def test_the_mss_option_is_sent_and_received(codec: Codec, mss: int) -> None:
    packet = codec.encode(FLOW4, Segment(1, 0, SYN, options=Options(mss=mss)))
    assert ("MSS", mss) in IP(packet)[TCP].options
    assert codec.decode(packet) == (FLOW4.reversed, Segment(1, 0, SYN, options=Options(mss=mss)))


@pytest.mark.rfc("9293", "3.2", "MUST-65")
def test_the_mss_option_is_written_only_where_the_core_puts_it(codec: Codec) -> None:
    assert not IP(codec.encode(FLOW4, SEGMENTS["ACK"]))[TCP].options


def from_peer(**fields: object) -> Packet:
    return IP(src="198.51.100.7", dst="192.0.2.1") / TCP(sport=80, dport=61000, flags="A", **fields)


def received(codec: Codec, packet: Packet) -> Segment:
    decoded = codec.decode(bytes(packet))
    assert not isinstance(decoded, IcmpError)
    assert decoded is not None
    _, seg = decoded
    return seg


@pytest.mark.rfc("9293", "3.1", "MUST-5")
@pytest.mark.parametrize("flags", ["S", "SA", "A", "FA", "R", "RA", "PA", "", "FPU"])
def test_options_are_read_in_any_segment(codec: Codec, flags: str) -> None:
    packet = from_peer(options=[("MSS", 1400), ("NOP", None), ("WScale", 3), ("Timestamp", (7, 8))])
    packet[TCP].flags = flags
    assert received(codec, packet).options == Options(mss=1400, window_scale=3, timestamps=(7, 8))


@pytest.mark.rfc("9293", "3.1", "MUST-6")
@pytest.mark.parametrize("kind", [6, 7, 14, 15, 25, 27, 30, 35, 69, 253, 254, 255])
@pytest.mark.parametrize("data", [b"", b"\x01", bytes(range(8)), b"\xff" * 30])
def test_unknown_options_do_not_hinder_the_others(codec: Codec, kind: int, data: bytes) -> None:
    assert received(codec, from_peer(options=[(kind, data), ("MSS", 1400)])).options == Options(
        mss=1400, unknown=((kind, data),)
    )


@pytest.mark.rfc("9293", "3.1", "MUST-7")
@pytest.mark.parametrize("octets", [b"\x02\x00\x05\xb4", b"\xfd\x01\x00\x00", b"\x01\x01\x01\x08", b"\x02\xff\x05\xb4"])
def test_illegal_option_lengths_are_survived(codec: Codec, octets: bytes) -> None:
    packet = bytes(from_peer(dataofs=6) / Raw(octets))
    with pytest.raises(MalformedPacket, match="length"):
        codec.decode(packet)


@pytest.mark.rfc("9293", "3.2", "MUST-64")
def test_options_need_no_alignment(codec: Codec) -> None:
    options = [("NOP", None), ("Timestamp", (7, 8)), ("WScale", 3), ("MSS", 1400)]
    assert received(codec, from_peer(options=options)).options == Options(mss=1400, window_scale=3, timestamps=(7, 8))


def test_of_an_option_that_comes_twice_the_last_counts_in_both_codecs(codec: Codec) -> None:
    options = [("MSS", 1400), ("SAck", (1, 2)), ("MSS", 536), ("SAck", (3, 4))]
    assert received(codec, from_peer(options=options)).options == Options(mss=536, sack=((3, 4),))


def test_reserved_bits_are_ignored(codec: Codec) -> None:
    packet = from_peer(reserved=7)
    packet[TCP].flags = "SN"
    assert received(codec, packet).flags == SYN | AE


@pytest.mark.rfc("9293", "3.1", "MUST-3")
@FLOWS
@pytest.mark.parametrize("at", range(20, 45))
def test_a_segment_with_any_octet_changed_is_refused(codec: Codec, flow: Flow, at: int) -> None:
    packet = bytearray(codec.encode(flow, SEGMENTS["data"]))
    packet[at if flow is FLOW4 else at + 20] ^= 0x10
    with pytest.raises(MalformedPacket):
        codec.decode(bytes(packet))


@pytest.mark.rfc("9293", "3.1", "MUST-3")
def test_a_segment_for_another_address_fails_its_checksum(codec: Codec) -> None:
    packet = IP(codec.encode(FLOW4, SEGMENTS["data"]))
    packet.dst, packet.chksum = "198.51.100.9", None
    with pytest.raises(MalformedPacket, match="bad TCP checksum"):
        codec.decode(bytes(packet))


def left_unfinished(packet: bytes) -> bytes:
    """The packet as Linux hands it over before an interface has finished the TCP checksum (CHECKSUM_PARTIAL)."""
    start = 20 if packet[0] >> 4 == 4 else 40
    words = packet[start - (8 if start == 20 else 32) : start] + struct.pack("!II", len(packet) - start, 6)
    total = sum(int.from_bytes(words[at : at + 2], "big") for at in range(0, len(words), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return packet[: start + 16] + total.to_bytes(2, "big") + packet[start + 18 :]


@FLOWS
@pytest.mark.parametrize("octets", [0, 1, 1460, 60_001])
def test_an_unfinished_checksum_is_accepted_only_where_the_link_says_so(codec: Codec, flow: Flow, octets: int) -> None:
    seg = Segment(1, 2, ACK, 3, data=b"\x01" * octets)
    finished = codec.encode(flow, seg)
    packet = left_unfinished(finished)
    assert codec.decode(packet, unfinished_checksum=True) == (flow.reversed, seg)
    assert codec.decode(finished, unfinished_checksum=True) == (flow.reversed, seg)
    with pytest.raises(MalformedPacket, match="bad TCP checksum"):
        codec.decode(packet)


@FLOWS
def test_a_wrong_checksum_is_refused_where_unfinished_ones_are_accepted(codec: Codec, flow: Flow) -> None:
    packet = bytearray(left_unfinished(codec.encode(flow, SEGMENTS["data"])))
    packet[37 if flow is FLOW4 else 57] ^= 1
    with pytest.raises(MalformedPacket, match="bad TCP checksum"):
        codec.decode(bytes(packet), unfinished_checksum=True)


@FLOWS
@pytest.mark.parametrize("padding", [b"\0" * 6, b"\xff" * 18])
def test_padding_of_the_link_is_no_data(codec: Codec, flow: Flow, padding: bytes) -> None:
    seg = SEGMENTS["ACK"]
    assert codec.decode(codec.encode(flow, seg) + padding) == (flow.reversed, seg)


@pytest.mark.rfc("9293", "3.9.2", "MUST-50")
@pytest.mark.parametrize(
    "options", [b"\x01" * 4, b"\x94\x04\x00\x00", b"\x44\x00\x00\x00", b"\x83\x03\x04" + b"\xff" * 37]
)
def test_ipv4_options_are_ignored(codec: Codec, options: bytes) -> None:
    packet = IP(src="198.51.100.7", dst="192.0.2.1", proto=6, options=[Raw(options)]) / Raw(tcp_of(FLOW4.reversed))
    assert codec.decode(bytes(packet)) == (FLOW4, SEGMENTS["data"])


def tcp_of(flow: Flow) -> bytes:
    return FastCodec().encode(flow, SEGMENTS["data"])[40 if ":" in flow.local else 20 :]


@pytest.mark.parametrize(
    "chain",
    [
        IPv6ExtHdrHopByHop(),
        IPv6ExtHdrDestOpt() / IPv6ExtHdrDestOpt(),
        IPv6ExtHdrRouting(type=4, segleft=0),
        IPv6ExtHdrFragment(id=5) / IPv6ExtHdrDestOpt(),
    ],
    ids=["hop-by-hop", "destination", "routing", "atomic fragment"],
)
def test_ipv6_extension_headers_are_walked(codec: Codec, chain: Packet) -> None:
    chain.lastlayer().nh = 6
    packet = IPv6(src=FLOW6.remote, dst=FLOW6.local) / chain / Raw(tcp_of(FLOW6.reversed))
    assert codec.decode(bytes(packet)) == (FLOW6, SEGMENTS["data"])


@pytest.mark.parametrize(
    ("packet", "reason"),
    [
        (IP() / TCP(dataofs=4), "data offset"),
        (IP() / TCP(dataofs=6), "data offset"),
        (IP() / TCP(dataofs=0), "data offset"),
        (IP(proto=6) / Raw(bytes(19)), "TCP header cut short"),
        (IPv6(nh=6) / Raw(b""), "TCP header cut short"),
        (IP(flags="MF") / TCP(), "a fragment"),
        (IP(frag=3, proto=6) / Raw(bytes(40)), "a fragment"),
        (IPv6() / IPv6ExtHdrFragment(m=1) / TCP(), "a fragment"),
        (IPv6() / IPv6ExtHdrFragment(offset=1, nh=6) / Raw(bytes(40)), "a fragment"),
        (IP(chksum=1) / TCP(), "IPv4 header checksum"),
        (IP(len=45) / TCP(), "lengths"),
    ],
)
def test_what_is_malformed_is_refused_and_the_reason_said(codec: Codec, packet: Packet, reason: str) -> None:
    with pytest.raises(MalformedPacket, match=reason):
        codec.decode(bytes(packet))


@pytest.mark.parametrize(
    "packet",
    [
        IP() / UDP(),
        IP() / ICMP(),
        IPv6() / ICMPv6EchoRequest(),
        IP() / IP() / TCP(),
        IPv6() / IPv6() / TCP(),
        IPv6(nh=59) / Raw(bytes(40)),
        IP(dst="127.0.0.1") / ICMP(type=3) / IP(src="127.0.0.1") / UDP(),
    ],
)
def test_what_is_not_ours_to_read_is_none(codec: Codec, packet: Packet) -> None:
    assert codec.decode(bytes(packet)) is None


@pytest.mark.parametrize("data", [b"\x00\x1d" + bytes(29), b"\xff" * 40])
def test_data_arrives_untouched_on_ports_that_scapy_has_a_layer_for(codec: Codec, data: bytes) -> None:
    assert DNS in TCP(bytes(TCP(dport=53) / Raw(b"\x00\x1d" + bytes(29))))
    seg = Segment(1, 2, ACK, 3, data=data)
    flow = FLOW4._replace(remote_port=53)
    assert codec.decode(codec.encode(flow, seg)) == (flow.reversed, seg)


# ICMP errors.


@pytest.mark.rfc("9293", "3.9.2.2", "MUST-54")
@pytest.mark.parametrize(("type_", "code", "mtu"), [(3, 4, 1300), (3, 1, 0), (3, 3, 0), (11, 0, 0), (12, 0, 0)])
@pytest.mark.parametrize("octets", [28, 40, 45])
def test_an_icmp_error_names_its_connection(codec: Codec, type_: int, code: int, mtu: int, octets: int) -> None:
    quoted = codec.encode(FLOW4, SEGMENTS["SYN-ACK"])[:octets]
    packet = IP(src="203.0.113.9", dst=FLOW4.local) / ICMP(type=type_, code=code, nexthopmtu=mtu) / Raw(quoted)
    assert codec.decode(bytes(packet)) == IcmpError("203.0.113.9", FLOW4, 2**32 - 1, 4, type_, code, mtu)


@pytest.mark.rfc("9293", "3.9.2.2")
def test_a_source_quench_is_recognized_so_that_it_can_be_discarded(codec: Codec) -> None:
    packet = build_error("203.0.113.9", 4, 0, codec.encode(FLOW4, SEGMENTS["SYN"]))
    assert codec.decode(packet) == IcmpError("203.0.113.9", FLOW4, 0, 4, 4, 0, 0)


@pytest.mark.rfc("9293", "3.9.2.2", "MUST-54")
@pytest.mark.parametrize(("type_", "code", "mtu"), [(1, 4, 0), (2, 0, 1280), (3, 0, 0), (4, 1, 0)])
def test_an_icmpv6_error_names_its_connection(codec: Codec, type_: int, code: int, mtu: int) -> None:
    packet = build_error("2001:db8::9", type_, code, codec.encode(FLOW6, SEGMENTS["data"]), mtu)
    assert codec.decode(packet) == IcmpError("2001:db8::9", FLOW6, 5, 6, type_, code, mtu)


def test_errors_and_what_they_quote_may_have_extension_headers(codec: Codec) -> None:
    quoted = IPv6(src=FLOW6.local, dst=FLOW6.remote) / IPv6ExtHdrDestOpt(nh=6) / Raw(tcp_of(FLOW6))
    whole = IPv6(src="2001:db8::9", dst=FLOW6.local) / ICMPv6PacketTooBig(mtu=1280) / Raw(bytes(quoted))
    octets = bytes(whole)
    with_options = octets[:4] + struct.pack("!HB", len(octets) - 40 + 8, 60) + octets[7:40]
    with_options += b"\x3a\x00\x01\x04" + bytes(4) + octets[40:]
    for packet in (octets, with_options):
        assert codec.decode(packet) == IcmpError("2001:db8::9", FLOW6, 5, 6, 2, 0, 1280)


def test_a_reassembled_packet_is_read(codec: Codec) -> None:
    seg = Segment(1, 2, ACK, 3, data=bytes(range(256)) * 10)
    for flow in (FLOW4, FLOW6):
        reassembler = Reassembler()
        *parts, last = fragment(codec.encode(flow, seg), 1280)
        assert [reassembler.add(part, 0.0) for part in parts] == [None] * len(parts)
        whole = reassembler.add(last, 0.0)
        assert whole is not None
        assert codec.decode(whole) == (flow.reversed, seg)


# The cheap look.


@pytest.mark.parametrize(
    ("packet", "seen"),
    [
        (IP() / TCP(sport=80, dport=61000), 61000),
        (IP(options=[Raw(b"\x01" * 8)]) / TCP(sport=80, dport=61000), 61000),
        (IPv6() / TCP(sport=80, dport=61000), 61000),
        (IP() / ICMP(), NO_PORT),
        (IPv6() / ICMPv6EchoRequest(), NO_PORT),
        (IPv6() / IPv6ExtHdrDestOpt() / TCP(sport=80), NO_PORT),
        (IP(flags="MF") / TCP(sport=80), NO_PORT),
        (IP(frag=5, proto=6) / Raw(bytes(30)), NO_PORT),
        (IP(proto=6) / Raw(bytes(3)), NO_PORT),
        (Raw(b""), NO_PORT),
        (Raw(bytes(100)), NO_PORT),
        (IP() / UDP(sport=80) / Raw(bytes(20)), NOT_FOR_US),
        (IPv6() / UDP(sport=80), NOT_FOR_US),
        (IPv6(nh=59) / Raw(bytes(20)), NOT_FOR_US),
    ],
)
def test_a_look_shows_the_port(packet: Packet, seen: int) -> None:
    assert port_of(bytes(packet)) == seen
