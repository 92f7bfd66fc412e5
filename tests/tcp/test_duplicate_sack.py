"""What arrived twice is reported, and the report is read (RFC 2883)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.tcp.builders import CONFIG, Bench
from tests.tcp.pairs import shaken
from tests.tcp.sacks import SACK, at, in_flight, sacks
from usertcp.tcp.config import Config
from usertcp.tcp.options import Options
from usertcp.tcp.segment import ACK, FIN, SYN
from usertcp.tcp.sequence import unwrap


def receiver(iss: int, irs: int, config: Config = CONFIG) -> Bench:
    return shaken(iss, irs, config, SACK)


def reported(bench: Bench, seq: int, octets: int, flags: int = ACK) -> tuple[int, list[tuple[int, int]]]:
    """Text arrives; ACK and the SACK blocks that answer it, relative."""
    bench.arrives(flags, seq, 1, b"x" * octets)
    (seg,) = bench.take()

    def relative(number: int) -> int:
        return unwrap(number, bench.irs) - bench.irs

    return relative(seg.ack), [(relative(left), relative(right)) for left, right in seg.options.sack]


@pytest.mark.rfc("2883", "4.1")
def test_a_segment_that_came_before_is_reported_once(iss: int, irs: int) -> None:
    bench = receiver(iss, irs)
    assert reported(bench, 1, 500) == (501, [])
    assert reported(bench, 1, 500) == (501, [(1, 501)])
    assert reported(bench, 501, 10) == (511, [])


@pytest.mark.rfc("2883", "4.1")
def test_of_a_syn_that_comes_again_the_text_is_reported_from_where_it_begins(iss: int, irs: int) -> None:
    bench = receiver(iss, irs)
    reported(bench, 1, 500)
    assert reported(bench, 0, 500, SYN | ACK) == (501, [(1, 501)])


@pytest.mark.rfc("2883", "4.1")
def test_of_a_segment_that_is_new_in_part_the_old_part_is_reported(iss: int, irs: int) -> None:
    bench = receiver(iss, irs)
    reported(bench, 1, 500)
    assert reported(bench, 401, 200) == (601, [(401, 501)])


@pytest.mark.rfc("2883", "4.1")
def test_the_ranges_that_are_there_follow_the_report(iss: int, irs: int) -> None:
    bench = receiver(iss, irs)
    reported(bench, 1, 500)
    reported(bench, 1001, 500)
    assert reported(bench, 1, 500) == (501, [(1, 501), (1001, 1501)])


@pytest.mark.rfc("2883", "4.2")
def test_beyond_a_hole_the_range_around_it_follows_the_report(iss: int, irs: int) -> None:
    bench = receiver(iss, irs)
    reported(bench, 501, 1000)
    reported(bench, 2001, 500)
    assert reported(bench, 1001, 300) == (1, [(1001, 1301), (501, 1501), (2001, 2501)])


@pytest.mark.rfc("2883", "4.2")
def test_of_two_parts_that_came_before_the_first_is_reported(iss: int, irs: int) -> None:
    bench = receiver(iss, irs)
    reported(bench, 501, 100)
    reported(bench, 801, 100)
    assert reported(bench, 401, 600) == (1, [(501, 601), (401, 1001)])


@pytest.mark.rfc("2883", "4")
def test_a_fin_alone_that_comes_again_is_no_text_to_report(iss: int, irs: int) -> None:
    bench = receiver(iss, irs)
    reported(bench, 1, 5, ACK | FIN)
    assert reported(bench, 6, 0, ACK | FIN) == (7, [])


@pytest.mark.rfc("2883", "4")
@pytest.mark.parametrize("off", ["dsack", "sack"])
def test_it_is_not_reported_when_that_is_off(iss: int, irs: int, off: str) -> None:
    bench = receiver(iss, irs, replace(CONFIG, **{off: False}))  # type: ignore[arg-type]
    reported(bench, 1, 500)
    assert reported(bench, 1, 500) == (501, [])


@pytest.mark.rfc("2883", "4")
def test_reports_and_ranges_leave_room_for_timestamps(iss: int, irs: int) -> None:
    bench = shaken(iss, irs, CONFIG, Options(mss=1000, sack_permitted=True, timestamps=(7, 0)))
    for left in (501, 1001, 1501, 2001, 1001):
        bench.arrives(ACK, left, 1, b"x" * 100, options=Options(timestamps=(8, 0)))
    assert len(bench.take()[-1].options.sack) == 3


# The sender


@pytest.mark.rfc("2883", "5")
def test_a_report_below_the_acknowledgment_is_no_sack(iss: int, irs: int) -> None:
    bench = in_flight(iss, irs, 10)
    sacks(bench, 4)
    assert [sacks(bench, 4, (1, 2)) for _ in range(5)] == [[]] * 5
    assert not bench.tcp.status(bench.now).in_fast_recovery
    assert bench.tcp.status(bench.now).counters["segments that arrived twice"] == 5


@pytest.mark.rfc("2883", "5")
def test_a_report_within_the_second_block_counts_as_one(iss: int, irs: int) -> None:
    bench = in_flight(iss, irs, 10)
    sacks(bench, 0, (3, 4), (2, 5))
    assert bench.tcp.status(bench.now).counters["segments that arrived twice"] == 1
    sacks(bench, 0, (6, 7), (2, 5))
    assert bench.tcp.status(bench.now).counters["segments that arrived twice"] == 1


@pytest.mark.rfc("2883", "5")
def test_the_blocks_behind_a_report_are_taken(iss: int, irs: int) -> None:
    bench = in_flight(iss, irs, 10)
    sacks(bench, 2)
    bench.take()
    assert (at(2), 1000) in sacks(bench, 2, (0, 1), (3, 6))
