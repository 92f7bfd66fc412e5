"""IP headers as a receiver reads them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment, IPv6ExtHdrHopByHop, IPv6ExtHdrRouting
from scapy.packet import Raw

from usertcp.errors import MalformedPacket
from usertcp.ip.header import build, parse

V4 = {"src": "192.0.2.1", "dst": "198.51.100.7"}
V6 = {"src": "2001:db8::1", "dst": "2001:db8::ff:7"}


def test_ipv4_header_is_read() -> None:
    packet = bytes(IP(**V4) / TCP() / b"hello")
    header = parse(packet)
    assert (header.version, header.protocol, header.start, header.end) == (4, 6, 20, 45)
    assert header.addresses == ("192.0.2.1", "198.51.100.7")
    assert header.fragment is None


def test_padding_of_the_link_is_no_part_of_the_packet() -> None:
    assert parse(bytes(IP(**V4) / TCP()) + bytes(6)).end == 40
    assert parse(bytes(IPv6(**V6) / TCP()) + bytes(6)).end == 60


@pytest.mark.rfc("9293", "3.9.2", "MUST-50")
@pytest.mark.parametrize("options", [b"\x01" * 4, b"\x44\x04\x05\x00", b"\x5e\x00\xff\xff", bytes(range(200, 240))])
def test_ipv4_options_are_ignored_whatever_they_hold(options: bytes) -> None:
    packet = bytes(IP(**V4, options=[Raw(options)]) / TCP())
    header = parse(packet)
    assert (header.start, header.protocol) == (20 + len(options), 6)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"ihl": 4}, "lengths"),
        ({"ihl": 15}, "lengths"),
        ({"len": 19}, "lengths"),
        ({"len": 41}, "lengths"),
        ({"chksum": 1}, "checksum"),
        ({"version": 5}, "neither"),
        ({"version": 0}, "neither"),
    ],
)
def test_bad_ipv4_headers_are_malformed(changes: dict[str, int], reason: str) -> None:
    with pytest.raises(MalformedPacket, match=reason):
        parse(bytes(IP(**V4, **changes) / TCP()))


@pytest.mark.parametrize("packet", [b"", b"\x45", bytes(IP(**V4))[:19], bytes(IPv6(**V6))[:39]])
def test_headers_cut_short_are_malformed(packet: bytes) -> None:
    with pytest.raises(MalformedPacket):
        parse(packet)


def test_ipv6_extension_headers_are_walked() -> None:
    chain = IPv6ExtHdrHopByHop() / IPv6ExtHdrDestOpt() / IPv6ExtHdrRouting(segleft=0) / IPv6ExtHdrDestOpt()
    packet = bytes(IPv6(**V6) / chain / TCP() / b"hello")
    header = parse(packet)
    assert (header.protocol, header.start, header.end) == (6, 40 + 32, 40 + 32 + 25)


@pytest.mark.parametrize("number", [50, 51, 59, 17, 255])
def test_what_is_no_extension_header_is_the_payload(number: int) -> None:
    header = parse(bytes(IPv6(**V6) / IPv6ExtHdrDestOpt(nh=number) / Raw(b"whatever")))
    assert (header.protocol, header.start) == (number, 48)


@pytest.mark.parametrize(
    ("packet", "reason"),
    [
        (IPv6(**V6, plen=21) / TCP(), "does not fit"),
        (IPv6(**V6, nh=60) / Raw(b"\x06"), "cut short"),
        (IPv6(**V6, nh=60) / Raw(b"\x06\x01" + bytes(8)), "cut short"),
        (IPv6(**V6) / IPv6ExtHdrDestOpt() / IPv6ExtHdrHopByHop() / TCP(), "not the first"),
        (IPv6(**V6) / IPv6ExtHdrRouting(addresses=["2001:db8::9"], segleft=1) / TCP(), "segments left"),
        (IPv6(**V6, nh=60) / Raw(b"\x06\x00\x41\x00\x01\x02\x00\x00") / TCP(), "asks for the packet to be discarded"),
        (IPv6(**V6, nh=0) / Raw(b"\x06\x00\xc2\x04\x00\x01\x00\x00") / TCP(), "asks for the packet to be discarded"),
        (IPv6(**V6, nh=60) / Raw(b"\x06\x00\x01\x03\x00\x00\x00\x05") / TCP(), "option cut short"),
        (IPv6(**V6) / IPv6ExtHdrFragment() / IPv6ExtHdrFragment() / TCP(), "more than one"),
    ],
)
def test_bad_ipv6_headers_are_malformed(packet: IPv6, reason: str) -> None:
    with pytest.raises(MalformedPacket, match=reason):
        parse(bytes(packet))


def test_more_than_eight_extension_headers_are_malformed() -> None:
    assert parse(with_destination_options(8)).start == 40 + 8 * 8
    with pytest.raises(MalformedPacket, match="more than 8"):
        parse(with_destination_options(9))


def with_destination_options(count: int) -> bytes:
    packet = IPv6(**V6)
    for _ in range(count):
        packet /= IPv6ExtHdrDestOpt()
    return bytes(packet / TCP())


@given(st.binary(max_size=120))
def test_whatever_the_octets_only_malformed_packet_comes_out(octets: bytes) -> None:
    for packet in (octets, b"\x45" + octets, b"\x60" + octets):
        try:
            header = parse(packet)
        except MalformedPacket:
            continue
        assert 20 <= header.start <= header.end <= len(packet)


@pytest.mark.rfc("9293", "3.9.2", "MUST-49")
@pytest.mark.parametrize("ttl", [1, 64, 255])
def test_built_headers_are_what_scapy_builds(ttl: int) -> None:
    ipv4 = IP(**V4, ttl=ttl, id=7, proto=6) / Raw(b"payload")
    assert build("192.0.2.1", "198.51.100.7", 6, 7, ttl=ttl, df=False, identification=7) + b"payload" == bytes(ipv4)
    ipv4 = IP(**V4, ttl=ttl, id=0, flags="DF", proto=6) / Raw(b"payload")
    assert build("192.0.2.1", "198.51.100.7", 6, 7, ttl=ttl) + b"payload" == bytes(ipv4)
    ipv6 = IPv6(**V6, hlim=ttl, nh=6) / Raw(b"payload")
    assert build("2001:db8::1", "2001:db8::ff:7", 6, 7, ttl=ttl) + b"payload" == bytes(ipv6)
