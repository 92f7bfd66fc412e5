"""ICMP errors and the segments they quote; Scapy makes the errors."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import (
    ICMPv6DestUnreach,
    ICMPv6EchoRequest,
    ICMPv6PacketTooBig,
    ICMPv6ParamProblem,
    ICMPv6TimeExceeded,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
)
from scapy.packet import Packet, Raw

from usertcp.errors import MalformedPacket
from usertcp.ip.icmp import build_error, parse_error

OURS4 = IP(src="192.0.2.1", dst="198.51.100.7", id=1) / TCP(sport=61000, dport=80, seq=0xFEDCBA98) / Raw(b"data" * 10)
OURS6 = IPv6(src="2001:db8::1", dst="2001:db8::7") / TCP(sport=61000, dport=80, seq=0xFEDCBA98) / Raw(b"data" * 10)


def error4(message: Packet, quoted: bytes = bytes(OURS4), **fields: object) -> bytes:
    return bytes(IP(**{"src": "203.0.113.9", "dst": "192.0.2.1", **fields}) / message / Raw(quoted))


def error6(message: Packet, quoted: bytes = bytes(OURS6)) -> bytes:
    return bytes(IPv6(src="2001:db8::9", dst="2001:db8::1") / message / Raw(quoted))


@pytest.mark.rfc("9293", "3.9.2.2", "MUST-54")
@pytest.mark.parametrize("octets", [28, 40, 80])
@pytest.mark.parametrize(("type_", "code"), [(3, 0), (3, 1), (3, 3), (3, 13), (4, 0), (11, 0), (11, 1), (12, 0)])
def test_an_icmp_error_names_the_segment_it_is_about(type_: int, code: int, octets: int) -> None:
    error = parse_error(error4(ICMP(type=type_, code=code), bytes(OURS4)[:octets]))
    assert error is not None
    assert (error.version, error.type, error.code, error.mtu) == (4, type_, code, 0)
    assert (error.reporter, error.seq) == ("203.0.113.9", 0xFEDCBA98)
    assert (error.source, error.source_port) == ("192.0.2.1", 61000)
    assert (error.destination, error.destination_port) == ("198.51.100.7", 80)


@pytest.mark.rfc("9293", "3.9.2.2", "MUST-54")
@pytest.mark.parametrize("octets", [48, 60, 100])
@pytest.mark.parametrize("message", [ICMPv6DestUnreach(code=4), ICMPv6TimeExceeded(code=0), ICMPv6ParamProblem(code=1)])
def test_an_icmpv6_error_names_the_segment_it_is_about(message: Packet, octets: int) -> None:
    error = parse_error(error6(message, bytes(OURS6)[:octets]))
    assert error is not None
    assert (error.version, error.type, error.code, error.mtu) == (6, message.type, message.code, 0)
    assert (error.reporter, error.seq) == ("2001:db8::9", 0xFEDCBA98)
    assert (error.source, error.source_port) == ("2001:db8::1", 61000)
    assert (error.destination, error.destination_port) == ("2001:db8::7", 80)


@pytest.mark.rfc("1191", "4")
def test_fragmentation_needed_brings_the_next_hop_mtu() -> None:
    error = parse_error(error4(ICMP(type=3, code=4, nexthopmtu=1400)))
    assert error is not None
    assert error.mtu == 1400


@pytest.mark.rfc("4443", "3.2")
def test_packet_too_big_brings_the_next_hop_mtu() -> None:
    error = parse_error(error6(ICMPv6PacketTooBig(mtu=70_000)))
    assert error is not None
    assert error.mtu == 70_000


def test_a_quoted_ipv6_packet_may_have_extension_headers() -> None:
    quoted = IPv6(src="2001:db8::1", dst="2001:db8::7") / IPv6ExtHdrDestOpt() / IPv6ExtHdrFragment(m=1) / OURS6[TCP]
    error = parse_error(error6(ICMPv6DestUnreach(), bytes(quoted)[:64]))
    assert error is not None
    assert error.seq == 0xFEDCBA98


def test_a_quoted_ipv4_packet_may_have_options() -> None:
    plain = bytes(OURS4)
    error = parse_error(error4(ICMP(type=3), b"\x46" + plain[1:20] + b"\x01" * 4 + plain[20:28]))
    assert error is not None
    assert (error.source_port, error.seq) == (61000, 0xFEDCBA98)


def test_what_routers_change_in_the_quoted_header_does_not_matter() -> None:
    quoted = bytearray(bytes(OURS4))
    quoted[8], quoted[10:12] = 1, b"\0\0"
    assert parse_error(error4(ICMP(type=11), bytes(quoted))) is not None


@pytest.mark.parametrize(
    "packet",
    [
        bytes(OURS4),
        bytes(OURS6),
        bytes(IP(dst="192.0.2.1") / ICMP()),
        bytes(IPv6(dst="2001:db8::1") / ICMPv6EchoRequest()),
        error4(ICMP(type=5, code=1, gw="192.0.2.254")),
        error4(ICMP(type=3), bytes(IP(src="192.0.2.1", dst="198.51.100.7") / UDP() / Raw(bytes(20)))),
        error4(ICMP(type=3), bytes(IP(src="192.0.2.1", dst="198.51.100.7", frag=9) / TCP())),
        error6(
            ICMPv6DestUnreach(), bytes(IPv6(src="2001:db8::1") / IPv6ExtHdrFragment(offset=9, nh=6) / Raw(bytes(20)))
        ),
        error4(ICMP(type=3), proto=58),
    ],
    ids=["tcp", "tcp6", "echo", "echo6", "redirect", "udp", "later fragment", "later fragment6", "icmpv6 in ipv4"],
)
def test_what_is_no_error_about_tcp_is_none(packet: bytes) -> None:
    assert parse_error(packet) is None


@pytest.mark.parametrize(
    ("packet", "reason"),
    [
        (error4(ICMP(type=3, chksum=1)), "checksum"),
        (error6(ICMPv6DestUnreach(cksum=1)), "checksum"),
        (bytes(IP(dst="192.0.2.1", proto=1) / Raw(b"\x03\x01\x00")), "cut short"),
        (error4(ICMP(type=3), b""), "no IP header"),
        (error4(ICMP(type=3), bytes(OURS4)[:19]), "no IP header"),
        (error4(ICMP(type=3), b"\x43" + bytes(OURS4)[1:]), "no IP header"),
        (error4(ICMP(type=3), bytes(OURS6)), "no IP header"),
        (error4(ICMP(type=3), bytes(OURS4)[:27]), "less than 8 octets"),
        (error6(ICMPv6DestUnreach(), bytes(OURS6)[:47]), "less than 8 octets"),
        (error4(ICMP(type=3), dst="192.0.2.2"), "did not send"),
        (error4(ICMP(type=3), flags="MF"), "a fragment"),
    ],
)
def test_bad_icmp_errors_are_malformed(packet: bytes, reason: str) -> None:
    with pytest.raises(MalformedPacket, match=reason):
        parse_error(packet)


@pytest.mark.parametrize(("type_", "code", "mtu"), [(3, 4, 1300), (3, 1, 0), (4, 0, 0), (11, 0, 0)])
def test_built_icmp_errors_are_read_by_scapy(type_: int, code: int, mtu: int) -> None:
    packet = build_error("203.0.113.9", type_, code, bytes(OURS4), mtu)
    dissected = IP(packet)
    assert (dissected.src, dissected.dst) == ("203.0.113.9", "192.0.2.1")
    assert (dissected[ICMP].type, dissected[ICMP].code) == (type_, code)
    assert dissected["TCP in ICMP"].seq == 0xFEDCBA98
    error = parse_error(packet)
    assert error is not None
    assert error.mtu == mtu


def test_built_icmpv6_errors_are_read_by_scapy() -> None:
    packet = build_error("2001:db8::9", 2, 0, bytes(OURS6), 1300)
    dissected = IPv6(packet)
    assert dissected[ICMPv6PacketTooBig].mtu == 1300
    assert dissected["TCP in ICMP"].seq == 0xFEDCBA98
    assert parse_error(packet) is not None


def test_built_errors_quote_no_more_than_they_may() -> None:
    assert len(build_error("203.0.113.9", 3, 1, bytes(OURS4 / Raw(bytes(3000))))) == 576
    assert len(build_error("2001:db8::9", 1, 0, bytes(OURS6 / Raw(bytes(3000))))) == 1280


@given(st.sampled_from([OURS4, OURS6]), st.integers(0, 4), st.binary(max_size=80))
@settings(max_examples=100, deadline=None)
def test_whatever_is_quoted_only_malformed_packet_comes_out(ours: Packet, octets: int, junk: bytes) -> None:
    quoted = bytes(ours)[: octets * 10] + junk
    packet = error4(ICMP(type=3), quoted) if ours is OURS4 else error6(ICMPv6DestUnreach(), quoted)
    try:
        error = parse_error(packet)
    except MalformedPacket:
        return
    assert error is None or error.tcp_at + 8 <= len(packet)
