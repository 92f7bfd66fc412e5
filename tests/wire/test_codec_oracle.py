"""Scapy as the oracle of the struct codec, and junk for both: any segment, any mutation, any octets."""

from __future__ import annotations

from socket import AF_INET, AF_INET6, inet_ntop
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP
from scapy.layers.inet6 import IPv6
from scapy.packet import Raw

from usertcp.errors import MalformedPacket
from usertcp.ip.checksum import checksum, pseudo_header
from usertcp.ip.icmp import build_error
from usertcp.tcp.options import EcnFeedback, Options, Signature
from usertcp.tcp.segment import Flow, Segment
from usertcp.wire.fast import FastCodec
from usertcp.wire.look import port_of
from usertcp.wire.scapy import ScapyCodec

SCAPY, FAST = ScapyCodec(), FastCodec()

port = st.integers(0, 2**16 - 1)
octet = st.integers(0, 255)
word = st.integers(0, 2**32 - 1) | st.sampled_from([0, 1, 2**31, 2**32 - 1])
addresses = st.tuples(st.ip_addresses(v=4), st.ip_addresses(v=4)) | st.tuples(
    st.ip_addresses(v=6), st.ip_addresses(v=6)
)


@st.composite
def flows(draw: st.DrawFn) -> Flow:
    local, remote = draw(addresses)
    family = AF_INET if local.version == 4 else AF_INET6
    return Flow(inet_ntop(family, local.packed), draw(port), inet_ntop(family, remote.packed), draw(port))


KNOWN = (8, 19, 28, 29, 34, 172, 174)
unknown = st.lists(
    st.tuples(st.integers(6, 255).filter(lambda kind: kind not in KNOWN), st.binary(max_size=6)),
    max_size=2,
).map(tuple)
options = (
    st.builds(
        Options,
        mss=st.none() | port,
        window_scale=st.none() | st.integers(0, 255),
        sack_permitted=st.booleans(),
        timestamps=st.none() | st.tuples(word, word),
        user_timeout=st.none() | st.integers(1, 32767) | st.integers(547, 32767).map(lambda minutes: minutes * 60),
        unknown=unknown,
    )
    | st.builds(
        Options,
        timestamps=st.none() | st.tuples(word, word),
        sack=st.lists(st.tuples(word, word), max_size=2).map(tuple),
        accurate_ecn=st.none()
        | st.builds(EcnFeedback, st.integers(0, 1), st.lists(st.integers(0, 2**24 - 1), max_size=2).map(tuple)),
    )
    | st.builds(
        Options,
        timestamps=st.none() | st.tuples(word, word),
        sack=st.lists(st.tuples(word, word), max_size=3).map(tuple),
    )
    | st.builds(
        Options,
        timestamps=st.none() | st.tuples(word, word),
        signature=st.builds(Signature, st.binary(min_size=16, max_size=16))
        | st.builds(Signature, st.binary(max_size=20), st.tuples(octet, octet)),
    )
)
options |= st.builds(
    Options,
    mss=st.none() | port,
    timestamps=st.none() | st.tuples(word, word),
    fast_open=st.sampled_from([0, 4, 6, 8, 16]).flatmap(lambda size: st.binary(min_size=size, max_size=size)),
)
segments = st.builds(
    Segment,
    seq=word,
    ack=word,
    flags=st.integers(0, 511),
    wnd=port,
    options=options,
    data=st.binary(max_size=70),
    up=port,
    traffic_class=st.integers(0, 255),
)


@given(flows(), segments)
@settings(max_examples=150, deadline=None)
def test_any_segment_survives_either_codec_and_both_write_the_same(flow: Flow, seg: Segment) -> None:
    packet = FAST.encode(flow, seg)
    assert packet == SCAPY.encode(flow, seg)
    assert FAST.decode(packet) == SCAPY.decode(packet) == (flow.reversed, seg)


@given(flows(), segments)
@settings(max_examples=50, deadline=None)
def test_scapy_reads_what_we_meant(flow: Flow, seg: Segment) -> None:
    packet = FAST.encode(flow, seg)
    network = IPv6(packet) if ":" in flow.local else IP(packet)
    tcp = network[TCP]
    assert (network.src, tcp.sport, network.dst, tcp.dport) == flow
    assert (tcp.seq, tcp.ack, tcp.flags, tcp.window, tcp.urgptr) == (seg.seq, seg.ack, seg.flags, seg.wnd, seg.up)
    named = dict(tcp.options)
    assert named.get("MSS") == seg.options.mss
    assert named.get("WScale") == seg.options.window_scale
    assert named.get("Timestamp") == seg.options.timestamps
    assert ("SAckOK" in named) == seg.options.sack_permitted
    assert bytes(tcp.payload) == seg.data


def outcome(codec: ScapyCodec | FastCodec, packet: bytes, unfinished: bool) -> Any:
    """What a codec makes of a packet; anything but MalformedPacket gets through and fails the test."""
    try:
        return codec.decode(packet, unfinished_checksum=unfinished)
    except MalformedPacket as error:
        return str(error)


def assert_same(packet: bytes, unfinished: bool = False) -> None:
    assert outcome(SCAPY, packet, unfinished) == outcome(FAST, packet, unfinished)
    port_of(packet)


def with_good_checksums(packet: bytearray) -> bytes:
    """Mutated headers get past the checksums, to whatever lies behind."""
    version, end = packet[0] >> 4, len(packet)
    if version == 4:
        start = min((packet[0] & 15) * 4, end)
        packet[10:12] = b"\0\0"
        packet[10:12] = checksum(bytes(packet[:start])).to_bytes(2, "big")
        end = min(end, packet[2] << 8 | packet[3])
        source, destination, protocol = bytes(packet[12:16]), bytes(packet[16:20]), packet[9]
    else:
        start, protocol = 40, packet[6]
        end = min(end, 40 + (packet[4] << 8 | packet[5]))
        source, destination = bytes(packet[8:24]), bytes(packet[24:40])
    at = start + (16 if protocol == 6 else 2)
    if at + 2 <= end:
        packet[at : at + 2] = b"\0\0"
        pseudo = 0 if protocol == 1 else pseudo_header(source, destination, protocol, end - start)
        packet[at : at + 2] = checksum(bytes(packet[start:end]), pseudo).to_bytes(2, "big")
    return bytes(packet)


V4, V6 = Flow("192.0.2.1", 1, "192.0.2.2", 2), Flow("2001:db8::1", 1, "2001:db8::2", 2)
SEG = Segment(1, 2, 0x12, 3, Options(mss=1, window_scale=2, sack_permitted=True, timestamps=(3, 4)), b"some data")
PACKETS = [FAST.encode(flow, SEG) for flow in (V4, V6)] + [
    FAST.encode(V4, Segment(1, 2, 16, 3, Options(sack=((4, 5),))))
]
PACKETS += [build_error("192.0.2.9", 3, code, PACKETS[0]) for code in (1, 4)]
PACKETS += [build_error("2001:db8::9", type_, 0, PACKETS[1]) for type_ in (1, 2, 3, 4)]
PACKETS += [bytes(IP(src=V4.local, dst=V4.remote, proto=6, options=[Raw(bytes(8))]) / Raw(PACKETS[0][20:]))]
PACKETS += [
    bytes(IPv6(src=V6.local, dst=V6.remote, nh=kind) / Raw(b"\x06" + bytes(7)) / Raw(PACKETS[1][40:]))
    for kind in (0, 43, 44, 60)
]


@given(
    st.sampled_from(PACKETS), st.lists(st.tuples(st.integers(0, 79), st.integers(0, 255)), max_size=4), st.booleans()
)
@settings(max_examples=400, deadline=None)
def test_mutated_packets_fare_alike_and_only_malformed_packet_comes_out(
    packet: bytes, changes: list[tuple[int, int]], unfinished: bool
) -> None:
    mutated = bytearray(packet)
    for at, octet in changes:
        mutated[at % len(mutated)] = octet
    assert_same(bytes(mutated), unfinished)
    assert_same(with_good_checksums(mutated), unfinished)


@given(st.sampled_from(PACKETS), st.integers(0, 120), st.binary(max_size=40))
@settings(max_examples=200, deadline=None)
def test_packets_cut_and_continued_with_junk_fare_alike(packet: bytes, cut: int, junk: bytes) -> None:
    spliced = packet[:cut] + junk
    assert_same(spliced)
    if len(spliced) >= 40:
        if spliced[0] >> 4 == 4:
            assert_same(with_good_checksums(bytearray(spliced[:2] + len(spliced).to_bytes(2, "big") + spliced[4:])))
        else:
            length = (len(spliced) - 40).to_bytes(2, "big")
            assert_same(with_good_checksums(bytearray(spliced[:4] + length + spliced[6:])))


@given(st.binary(max_size=100))
@settings(max_examples=100, deadline=None)
def test_random_octets_fare_alike(octets: bytes) -> None:
    for packet in (octets, b"\x45" + octets, b"\x60" + octets):
        assert_same(packet)
        if len(packet) >= 40:
            assert_same(with_good_checksums(bytearray(packet)))


@given(st.binary(max_size=40), st.binary(max_size=20))
@settings(max_examples=200, deadline=None)
def test_any_list_of_options_fares_alike(options: bytes, data: bytes) -> None:
    options += bytes(-len(options) % 4)
    packet = bytearray(FAST.encode(V4, Segment(1, 2, 16, 3, data=options + data)))
    packet[32] = (20 + len(options)) << 2
    assert_same(with_good_checksums(packet))
