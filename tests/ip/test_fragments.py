"""Fragments: cut on request, put together in any order, refused when they do not add up."""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP, defragment
from scapy.layers.inet6 import IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment, IPv6ExtHdrRouting, defragment6
from scapy.packet import Raw

from usertcp.errors import MalformedPacket
from usertcp.ip.fragments import Reassembler, fragment
from usertcp.ip.header import parse

V4 = {"src": "192.0.2.1", "dst": "198.51.100.7"}
V6 = {"src": "2001:db8::1", "dst": "2001:db8::ff:7"}
DATA = bytes(range(256)) * 5


def ipv4(data: bytes = DATA, **fields: object) -> bytes:
    return bytes(IP(**V4, **{"id": 0, "flags": "DF", **fields}) / TCP(sport=1, dport=2) / data)


def ipv6(data: bytes = DATA, before: object = None) -> bytes:
    network = IPv6(**V6) / before if before else IPv6(**V6)
    return bytes(network / TCP(sport=1, dport=2) / data)


def piece4(offset: int, data: bytes, *, more: bool, identification: int = 7, **fields: object) -> bytes:
    """One IPv4 fragment; *offset* in octets."""
    flags = "MF" if more else ""
    return bytes(IP(**{**V4, **fields}, id=identification, flags=flags, frag=offset // 8, proto=6) / Raw(data))


def piece6(offset: int, data: bytes, *, more: bool, identification: int = 7) -> bytes:
    """One IPv6 fragment; *offset* in octets."""
    return bytes(IPv6(**V6) / IPv6ExtHdrFragment(nh=6, id=identification, offset=offset // 8, m=more) / Raw(data))


Piece = Callable[..., bytes]
PIECE = pytest.mark.parametrize("piece", [piece4, piece6], ids=["ipv4", "ipv6"])


def payload(packet: bytes) -> bytes:
    header = parse(packet)
    return packet[header.start : header.end]


def without_identification(packet: bytes) -> bytes:
    """An IPv4 packet as it was before it had to be fragmented: no identification, DF. An IPv6 one as it is."""
    if packet[0] >> 4 == 6:
        return packet
    edited = IP(packet)
    edited.id, edited.flags, edited.chksum = 0, "DF", None
    return bytes(edited)


# Cutting.


@pytest.mark.parametrize("packet", [ipv4(), ipv6()], ids=["ipv4", "ipv6"])
def test_a_packet_that_fits_stays_as_it_is(packet: bytes) -> None:
    assert fragment(packet + bytes(6), 1500) == [packet]


@pytest.mark.parametrize("mtu", [68, 576, 1280, 1339])
def test_no_fragment_exceeds_the_mtu_and_all_but_the_last_are_full(mtu: int) -> None:
    for packet in (ipv4(), ipv6()):
        pieces = fragment(packet, mtu)
        assert len(pieces) > 1 or len(packet) <= mtu
        assert all(mtu - 8 < len(piece) <= mtu for piece in pieces[:-1])


def test_ipv4_fragments_clear_dont_fragment_and_have_an_identification() -> None:
    pieces = [IP(piece) for piece in fragment(ipv4(), 576)]
    assert [str(piece.flags) for piece in pieces] == ["MF", "MF", ""]
    assert [piece.frag * 8 for piece in pieces] == [0, 552, 1104]
    assert len({piece.id for piece in pieces}) == 1
    assert pieces[0].id != 0


def test_an_identification_that_the_packet_has_is_kept() -> None:
    assert {IP(piece).id for piece in fragment(ipv4(id=0x1234, flags=0), 576)} == {0x1234}


def test_packets_of_other_content_get_other_identifications() -> None:
    assert IP(fragment(ipv4(), 576)[0]).id != IP(fragment(ipv4(DATA[1:] + b"x"), 576)[0]).id
    first, second = (IPv6(fragment(ipv6(data), 1280)[0]).id for data in (DATA, DATA[1:] + b"x"))
    assert first != second


def test_scapy_puts_our_fragments_together() -> None:
    (whole,) = defragment([IP(piece) for piece in fragment(ipv4(), 576)])
    assert bytes(whole[TCP]) == payload(ipv4())
    pieces = [IPv6(piece) for piece in fragment(ipv6(), 400)]
    assert bytes(defragment6(pieces)[TCP]) == payload(ipv6())


def test_ipv4_options_go_with_later_fragments_only_if_they_have_the_copied_flag() -> None:
    options = b"\x01\x94\x04\x00\x00\x44\x04\x05\x00\x00\x00\x00"  # NOP, router alert (copied), timestamp (not), end
    packet = bytes(IP(**V4, proto=6, options=[Raw(options)]) / Raw(bytes(64)))
    first, second, *_ = fragment(packet, 68)
    assert first[20 : parse(first).start] == options
    assert second[20 : parse(second).start] == b"\x94\x04\x00\x00"


def test_ipv6_headers_for_routers_on_the_way_go_with_every_fragment() -> None:
    packet = ipv6(before=IPv6ExtHdrDestOpt() / IPv6ExtHdrRouting(segleft=0) / IPv6ExtHdrDestOpt())
    for piece in fragment(packet, 576):
        dissected = IPv6(piece)
        assert dissected.nh == 60
        assert isinstance(dissected.payload.payload, IPv6ExtHdrRouting)
        assert isinstance(dissected.payload.payload.payload, IPv6ExtHdrFragment)
        assert dissected[IPv6ExtHdrFragment].nh == 60
    assert reassemble(fragment(packet, 576)) == packet


def test_fragments_of_fragments_make_the_same_datagram() -> None:
    for packet in (ipv4(), ipv6()):
        pieces = [smaller for piece in fragment(packet, 576) for smaller in fragment(piece, 120)]
        Random(3).shuffle(pieces)
        assert without_identification(reassemble(pieces) or b"") == without_identification(packet)


def test_an_mtu_without_room_for_data_is_the_callers_mistake() -> None:
    for packet in (ipv4(), ipv6()):
        with pytest.raises(ValueError, match="MTU"):
            fragment(packet, 27)


def test_a_fragment_past_the_end_of_any_datagram_is_not_cut_further() -> None:
    with pytest.raises(MalformedPacket, match="65535"):
        fragment(piece4(65528, bytes(1000), more=False), 576)


# Putting together.


def reassemble(pieces: list[bytes]) -> bytes | None:
    """What comes of the last piece; nothing may come of those before it."""
    reassembler = Reassembler()
    assert [reassembler.add(piece, 0.0) for piece in pieces[:-1]] == [None] * (len(pieces) - 1)
    return reassembler.add(pieces[-1], 0.0)


@pytest.mark.parametrize("packet", [ipv4(), ipv6(), bytes(IP(**V4, proto=17) / Raw(b"datagram"))])
def test_what_is_no_fragment_comes_back_as_it_is(packet: bytes) -> None:
    assert Reassembler().add(packet, 0.0) is packet


@pytest.mark.rfc("791", "3.2")
@pytest.mark.parametrize("order", list(permutations(range(4))))
def test_fragments_make_their_datagram_in_any_order(order: tuple[int, ...]) -> None:
    for packet in (ipv4(), ipv6()):
        pieces = fragment(packet, 400)
        assert len(pieces) == 4
        whole = reassemble([pieces[index] for index in order])
        assert whole is not None
        assert without_identification(whole) == without_identification(packet)
        assert not IP(whole).flags.MF or packet[0] >> 4 == 6


def with_ecn(packet: bytes, codepoint: int) -> bytes:
    if packet[0] >> 4 == 6:
        return packet[:1] + bytes([packet[1] | codepoint << 4]) + packet[2:]
    edited = IP(packet)
    edited.tos, edited.chksum = codepoint, None
    return bytes(edited)


@pytest.mark.rfc("3168", "5.3")
@pytest.mark.parametrize(("first", "second", "whole"), [(2, 2, 2), (2, 3, 3), (3, 2, 3), (3, 1, 3), (0, 0, 0)])
@PIECE
def test_a_mark_on_one_fragment_is_one_on_the_datagram(piece: Piece, first: int, second: int, whole: int) -> None:
    pieces = piece(0, DATA[:64], more=True), piece(64, b"x", more=False)
    packet = reassemble([with_ecn(each, ecn) for each, ecn in zip(pieces, (first, second), strict=True)])
    assert packet is not None
    assert (parse(packet).traffic_class & 3, payload(packet)) == (whole, DATA[:64] + b"x")


@pytest.mark.rfc("3168", "5.3")
@PIECE
def test_a_mark_beside_a_fragment_that_may_have_none_is_a_forgery(piece: Piece) -> None:
    first, second = piece(0, DATA[:64], more=True), piece(64, b"x", more=False)
    with pytest.raises(MalformedPacket, match="ECN"):
        reassemble([with_ecn(first, 3), second])


@PIECE
def test_duplicates_of_fragments_do_no_harm(piece: Piece) -> None:
    first, second, third = (
        piece(0, DATA[:64], more=True),
        piece(64, DATA[64:128], more=True),
        piece(128, b"x", more=False),
    )
    whole = reassemble([third, first, first, third, first, second])
    assert whole is not None
    assert payload(whole) == DATA[:128] + b"x"


def test_datagrams_are_told_apart_by_addresses_protocol_and_identification() -> None:
    reassembler = Reassembler()
    for other in ({"src": "192.0.2.2"}, {"dst": "192.0.2.2"}, {"identification": 8}):
        assert reassembler.add(piece4(0, DATA[:64], more=True), 0.0) is None
        assert reassembler.add(piece4(64, b"x", more=False, **other), 0.0) is None
    udp = bytes(IP(**V4, id=7, flags="MF", proto=17) / Raw(DATA[:64]))
    assert reassembler.add(udp, 0.0) is None
    assert reassembler.counters()["reassembled"] == 0


def test_a_new_datagram_may_have_the_name_of_one_that_was_completed() -> None:
    reassembler = Reassembler()
    for data in (b"old", b"new"):
        reassembler.add(piece4(64, data, more=False), 0.0)
        whole = reassembler.add(piece4(0, DATA[:64], more=True), 0.0)
        assert whole is not None
        assert payload(whole) == DATA[:64] + data


@pytest.mark.rfc("6946", "4")
def test_an_atomic_fragment_is_a_datagram_of_its_own() -> None:
    reassembler = Reassembler()
    assert reassembler.add(piece6(0, DATA[:64], more=True), 0.0) is None
    whole = reassembler.add(piece6(0, b"y" * 30, more=False), 0.0)
    assert whole == bytes(IPv6(**V6, nh=6) / Raw(b"y" * 30))
    whole = reassembler.add(piece6(64, b"x", more=False), 0.0)
    assert whole is not None
    assert payload(whole) == DATA[:64] + b"x"


def test_padding_of_the_link_is_not_taken_for_data() -> None:
    whole = reassemble([piece4(0, DATA[:64], more=True), piece4(64, b"x", more=False) + bytes(25)])
    assert whole is not None
    assert payload(whole) == DATA[:64] + b"x"


# Refusing.

OVERLAPS = {
    "begins in another": [(0, 64, True), (56, 64, True)],
    "reaches into another": [(64, 64, True), (0, 72, True)],
    "lies inside another (teardrop)": [(0, 64, True), (24, 8, False)],
    "covers another": [(24, 8, True), (0, 64, True)],
    "same place, other data": [(0, 64, True), (0, 64, True)],
    "same place, shorter": [(0, 64, True), (0, 32, True)],
}


@pytest.mark.rfc("5722", "4")
@PIECE
@pytest.mark.parametrize("spans", list(OVERLAPS.values()), ids=list(OVERLAPS))
def test_overlapping_fragments_refuse_their_datagram_altogether(
    piece: Piece, spans: list[tuple[int, int, bool]]
) -> None:
    (at, length, more), (overlap_at, overlap_length, overlap_more) = spans
    reassembler = Reassembler()
    assert reassembler.add(piece(at, b"a" * length, more=more), 0.0) is None
    with pytest.raises(MalformedPacket, match="overlapping"):
        reassembler.add(piece(overlap_at, b"b" * overlap_length, more=overlap_more), 0.0)
    with pytest.raises(MalformedPacket, match="was refused"):
        reassembler.add(piece(200, b"c", more=False), 0.0)
    assert reassembler.counters()["fragments_refused"] == 2
    assert reassembler.counters()["octets_pending"] == 0


def test_the_name_of_a_refused_datagram_is_free_again_after_its_time() -> None:
    reassembler = Reassembler()
    reassembler.add(piece4(0, b"a" * 64, more=True), 0.0)
    with pytest.raises(MalformedPacket, match="overlapping"):
        reassembler.add(piece4(8, b"b" * 64, more=True), 10.0)
    assert reassembler.add(piece4(0, b"a" * 64, more=True), 30.0) is None
    assert reassembler.add(piece4(64, b"b", more=False), 31.0) is not None


@PIECE
@pytest.mark.parametrize(
    "spans",
    [
        [(128, 8, False), (64, 8, False)],
        [(64, 8, False), (128, 8, False)],
        [(64, 8, False), (128, 8, True)],
        [(128, 8, True), (64, 8, False)],
    ],
)
def test_fragments_that_disagree_about_the_end_refuse_their_datagram(
    piece: Piece, spans: list[tuple[int, int, bool]]
) -> None:
    reassembler = Reassembler()
    (at, length, more), (then, then_length, then_more) = spans
    reassembler.add(piece(at, bytes(length), more=more), 0.0)
    with pytest.raises(MalformedPacket, match="disagree about the end"):
        reassembler.add(piece(then, bytes(then_length), more=then_more), 0.0)


@PIECE
@pytest.mark.parametrize(
    ("at", "length", "more", "reason"),
    [
        (0, 7, True, "multiple of 8"),
        (8, 9, True, "multiple of 8"),
        (8, 0, False, "without data"),
        (8, 0, True, "without data"),
        (65528, 8, False, "past 65535"),
        (65528, 8, True, "past 65535"),
        (65000, 1000, False, "past 65535"),
    ],
)
def test_fragments_of_no_possible_datagram_are_refused(
    piece: Piece, at: int, length: int, more: bool, reason: str
) -> None:
    reassembler = Reassembler()
    with pytest.raises(MalformedPacket, match=reason):
        reassembler.add(piece(at, bytes(length), more=more), 0.0)
    assert reassembler.counters()["reassemblies_pending"] == 0


@pytest.mark.rfc("8200", "4.5")
def test_the_first_ipv6_fragment_holds_the_whole_header_chain() -> None:
    with pytest.raises(MalformedPacket, match="whole header chain"):
        Reassembler().add(piece6(0, bytes(16), more=True), 0.0)
    options_only = bytes(IPv6(**V6) / IPv6ExtHdrFragment(nh=60, m=1) / Raw(b"\x06\x01\x01\x04" + bytes(4)))
    with pytest.raises(MalformedPacket, match="cut short"):
        Reassembler().add(options_only, 0.0)


def test_the_longest_datagram_there_is_comes_together() -> None:
    for packet, mtu in ((ipv4(bytes(65535 - 40)), 1500), (ipv6(bytes(65535 - 20)), 1280)):
        assert without_identification(reassemble(fragment(packet, mtu)) or b"") == packet


def test_headers_of_the_first_fragment_that_make_the_datagram_too_long_refuse_it() -> None:
    reassembler = Reassembler()
    assert reassembler.add(piece4(32_752, bytes(32_760), more=False), 0.0) is None
    with pytest.raises(MalformedPacket, match="more than 65535"):
        reassembler.add(piece4(0, bytes(32_752), more=True, options=[Raw(b"\x01" * 40)]), 0.0)


# Bounds.


@pytest.mark.rfc("791", "3.2")
@pytest.mark.parametrize(("piece", "seconds"), [(piece4, 30.0), (piece6, 60.0)], ids=["ipv4", "ipv6"])
def test_fragments_are_forgotten_when_the_missing_ones_do_not_come_in_time(piece: Piece, seconds: float) -> None:
    reassembler = Reassembler()
    reassembler.add(piece(0, bytes(64), more=True), 100.0)
    reassembler.add(piece(128, bytes(64), more=True), 100.0 + seconds - 0.1)  # Later ones do not prolong the wait.
    assert reassembler.add(piece(64, bytes(64), more=True, identification=8), 100.0 + seconds) is None
    assert reassembler.counters()["reassemblies_timed_out"] == 1
    assert reassembler.counters()["octets_pending"] == 64


def test_many_datagrams_push_out_the_oldest() -> None:
    reassembler = Reassembler(max_datagrams=10)
    for identification in range(25):
        reassembler.add(piece4(0, bytes(64), more=True, identification=identification), 0.0)
    counters = reassembler.counters()
    assert (counters["reassemblies_pending"], counters["reassemblies_evicted"]) == (10, 15)
    assert reassembler.add(piece4(64, b"x", more=False, identification=24), 0.0) is not None
    assert reassembler.add(piece4(64, b"x", more=False, identification=3), 0.0) is None


def test_a_datagram_in_the_making_is_not_pushed_out_by_its_own_fragments() -> None:
    reassembler = Reassembler(max_datagrams=1)
    pieces = fragment(ipv4(), 400)
    assert [reassembler.add(piece, 0.0) is not None for piece in pieces] == [False, False, False, True]


def test_octets_held_are_bounded_however_many_fragments_come() -> None:
    reassembler = Reassembler(max_octets=100_000)
    for identification in range(30):
        for at in range(0, 60_000, 20_000):
            reassembler.add(piece4(at, bytes(20_000), more=True, identification=identification), 0.0)
            assert reassembler.counters()["octets_pending"] <= 100_000


def test_tiny_fragments_without_end_refuse_their_datagram() -> None:
    reassembler = Reassembler()
    for index in range(256):
        reassembler.add(piece4(16 * index, bytes(8), more=True), 0.0)
    with pytest.raises(MalformedPacket, match="more than 256"):
        reassembler.add(piece4(16 * 256, bytes(8), more=True), 0.0)
    assert reassembler.counters()["octets_pending"] == 0


# Anything.


@given(
    size=st.integers(1, 3000), mtu=st.integers(68, 1500), seed=st.integers(), repeat=st.booleans(), family=st.booleans()
)
@settings(max_examples=40, deadline=None)
def test_any_datagram_survives_any_mtu_and_order(size: int, mtu: int, seed: int, repeat: bool, family: bool) -> None:
    random = Random(seed)
    packet = (ipv4 if family else ipv6)(random.randbytes(size))
    pieces = fragment(packet, mtu if family else mtu + 20)
    random.shuffle(pieces)
    last = pieces.pop()
    if repeat and pieces:
        pieces += random.choices(pieces, k=3)
    assert without_identification(reassemble([*pieces, last]) or b"") == packet


@given(st.lists(st.tuples(st.integers(0, 20), st.binary(max_size=64), st.booleans(), st.booleans()), max_size=20))
@settings(max_examples=60, deadline=None)
def test_whatever_the_fragments_they_make_nothing_that_was_not_sent(
    parts: list[tuple[int, bytes, bool, bool]],
) -> None:
    for piece in (piece4, piece6):
        reassembler = Reassembler()
        sent: set[tuple[int, int]] = set()
        for at, data, more, pad in parts:
            octets = data + bytes(-len(data) % 8 if pad else 0)
            sent |= set(enumerate(octets, at * 8))
            try:
                whole = reassembler.add(piece(at * 8, octets, more=more), 0.0)
            except MalformedPacket:
                continue
            assert whole is None or set(enumerate(payload(whole))) <= sent


@given(st.sampled_from(fragment(ipv4(), 576) + fragment(ipv6(), 576)), st.data())
@settings(max_examples=100, deadline=None)
def test_whatever_the_octets_only_malformed_packet_comes_out(packet: bytes, data: st.DataObject) -> None:
    octets = bytearray(packet)
    for _ in range(data.draw(st.integers(0, 4))):
        octets[data.draw(st.integers(0, 80))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(octets)))
    reassembler = Reassembler()
    for mutated in (bytes(octets), bytes(octets[:cut]), packet):
        try:
            reassembler.add(mutated, 0.0)
        except MalformedPacket:
            continue
    assert reassembler.counters()["reassemblies_pending"] <= 3
