"""The model of a path: when what comes out."""

from __future__ import annotations

import pytest

from usertcp.ip.checksum import checksum
from usertcp.ip.header import parse
from usertcp.link.path import Path
from usertcp.tcp.segment import CE, ECT0, ECT1, NOT_ECT, SYN, Flow, Segment
from usertcp.wire.fast import FastCodec

PACKET = bytes(range(125))  # 1,000 bits


def times(path: Path, *sent: float) -> list[float]:
    return [time for now in sent for time, _ in path.carry(PACKET, now).arrivals]


def test_a_perfect_path_delivers_at_once() -> None:
    assert Path().carry(PACKET, 5.0) == ([(5.0, PACKET)], [])


def test_a_packet_larger_than_the_mtu_vanishes() -> None:
    path = Path(mtu=124)
    assert path.carry(PACKET, 0) == ([], [("dropped", "larger than 124 octets")])
    assert path.carry(PACKET[1:], 0).arrivals == [(0, PACKET[1:])]


def test_delay_is_added_to_each_packet() -> None:
    assert times(Path(delay=0.25), 0, 1, 1) == [0.25, 1.25, 1.25]


def test_packets_wait_for_the_transmitter() -> None:
    assert times(Path(rate=1000, delay=0.5), 0, 0, 0, 10) == [1.5, 2.5, 3.5, 11.5]


def test_a_packet_for_which_the_queue_has_no_room_is_dropped() -> None:
    path = Path(rate=1000, queue_packets=2)
    assert times(path, 0, 0, 0) == [1, 2, 3]  # One is being transmitted, two wait.
    assert path.carry(PACKET, 0) == ([], [("dropped", "queue full")])
    assert times(path, 1) == [4]


def test_the_queue_can_be_limited_in_octets() -> None:
    path = Path(rate=1000, queue_octets=200)
    assert times(path, 0, 0) == [1, 2]
    assert path.carry(PACKET, 0).deeds == [("dropped", "queue full")]
    assert path.carry(PACKET[:75], 0).arrivals == [(2.6, PACKET[:75])]
    assert times(path, 2.5) == [pytest.approx(3.6)]


def test_a_full_queue_is_no_queue() -> None:
    path = Path(rate=1000, queue_packets=0)
    assert times(path, 0, 0.5, 1) == [1, 2]


@pytest.mark.parametrize(
    ("kind", "deed"),
    [("loss", "dropped"), ("reordering", "delayed"), ("duplication", "duplicated"), ("corruption", "corrupted")],
)
def test_misfortune_is_as_frequent_as_asked(kind: str, deed: str) -> None:
    path = Path(**{kind: 0.1, "seed": 3})
    deeds = [path.carry(PACKET, 0).deeds for _ in range(5000)]
    assert {each[0][0] for each in deeds if each} == {deed}
    assert 400 < sum(map(bool, deeds)) < 600


def test_a_reordered_packet_is_overtaken() -> None:
    path = Path(reordering=0.5, reordering_delay=0.01, delay=1, seed=1)
    assert sorted(set(times(path, *[0] * 20))) == [1, 1.01]


def test_a_duplicate_arrives_with_its_original() -> None:
    assert Path(duplication=1).carry(PACKET, 7).arrivals == [(7, PACKET), (7, PACKET)]


def test_corruption_flips_one_bit() -> None:
    path = Path(corruption=1, seed=5)
    for _ in range(200):
        [(_, octets)] = path.carry(PACKET, 0).arrivals
        assert (int.from_bytes(octets, "big") ^ int.from_bytes(PACKET, "big")).bit_count() == 1


@pytest.mark.parametrize(("version", "addresses"), [(0x45, range(12, 20)), (0x60, range(8, 40))])
def test_corruption_of_an_unfinished_packet_hits_what_its_checksum_covers(version: int, addresses: range) -> None:
    packet = bytes([version]) + PACKET
    path = Path(corruption=1, seed=5)
    hit = set()
    for _ in range(500):
        [(_, octets)] = path.carry(packet, 0, unfinished_checksum=True).arrivals
        hit |= {index for index, (new, old) in enumerate(zip(octets, packet, strict=True)) if new != old}
    assert hit == set(addresses)


def test_equal_paths_do_the_same() -> None:
    path = Path(rate=1e6, loss=0.1, reordering=0.1, duplication=0.1, corruption=0.1, seed=11)
    again = Path(rate=1e6, loss=0.1, reordering=0.1, duplication=0.1, corruption=0.1, seed=11)
    other = path.another()
    assert path == again != other
    runs = [[each.carry(PACKET, now / 100) for now in range(500)] for each in (path, again, other)]
    assert runs[0] == runs[1] != runs[2]


@pytest.mark.parametrize("wrong", [{"loss": 1.5}, {"corruption": -0.1}, {"rate": 0}, {"delay": -1}])
def test_impossible_paths_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"must be|are 0 to 1"):
        Path(**wrong)


FLOWS = [Flow("192.0.2.1", 1, "192.0.2.2", 2), Flow("2001:db8::1", 1, "2001:db8::2", 2)]


def packet(flow: Flow, codepoint: int, port: int = 1) -> bytes:
    flow = flow._replace(local_port=port)
    return FastCodec().encode(flow, Segment(5, 6, SYN, 7, data=bytes(65), traffic_class=0x48 | codepoint))


@pytest.mark.rfc("3168", "5")
@pytest.mark.parametrize("flow", FLOWS, ids=["4", "6"])
@pytest.mark.parametrize(("codepoint", "after"), [(NOT_ECT, NOT_ECT), (ECT0, CE), (ECT1, CE), (CE, CE)])
def test_a_long_queue_marks_what_may_be_marked(flow: Flow, codepoint: int, after: int) -> None:
    """And leaves the rest of the packet, which is valid, alone."""
    path = Path(rate=1000, mark_packets=1)
    sent = packet(flow, codepoint)
    came = [path.carry(sent, 0) for _ in range(3)]
    assert [passage.arrivals[0][1] for passage in came[:2]] == [sent, sent]  # One is transmitted, one waits.
    assert came[2].deeds == ([("marked", "CE")] if after != codepoint else [])
    octets = came[2].arrivals[0][1]
    assert parse(octets).traffic_class == 0x48 | after
    assert FastCodec().decode(octets) is not None
    assert octets == packet(flow, after)


@pytest.mark.rfc("1624", "3")
def test_the_ipv4_checksum_is_right_after_marking_whatever_it_was() -> None:
    path = Path(rate=1000, queue_packets=1 << 17, mark_octets=0)
    path.carry(packet(FLOWS[0], ECT0), 0)
    template = packet(FLOWS[0], ECT0)
    for identification in range(65536):
        head, rest = template[:4] + identification.to_bytes(2, "big") + template[6:10], template[12:]
        sent = head + checksum(head + rest[:8]).to_bytes(2, "big") + rest
        octets = path.carry(sent, 0).arrivals[0][1]
        assert octets[1] & 3 == CE
        assert checksum(octets[:20]) == 0


def test_marking_counts_octets_if_asked() -> None:
    path = Path(rate=1000, mark_octets=300)
    sent = packet(FLOWS[0], ECT0)
    assert [bool(path.carry(sent, 0).deeds) for _ in range(5)] == [len(sent) * n > 300 for n in range(5)]


@pytest.mark.parametrize("octets", [b"", b"\x45", bytes(10), b"\x60" + bytes(3), bytes(range(125))])
def test_what_is_no_packet_is_not_marked(octets: bytes) -> None:
    path = Path(rate=1000, mark_packets=0)
    path.carry(octets, 0)
    assert path.carry(octets, 0).deeds == []
