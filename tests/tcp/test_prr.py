"""Proportional Rate Reduction (RFC 9937, of which RFC 6937 is the experimental form)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.tcp.builders import MSS
from tests.tcp.sacks import COUNTING, at, in_flight, sacks


@pytest.mark.rfc("6937", "3")
@pytest.mark.rfc("9937", "6.2")
def test_every_second_sack_lets_a_segment_out_when_the_window_is_halved(iss: int, irs: int) -> None:
    bench = in_flight(iss, irs, 20, text=60)
    flight = 20 + len(sacks(bench, 0, (1, 2))) + len(sacks(bench, 0, (1, 3)))
    out = [len(sacks(bench, 0, (1, right))) for right in range(4, flight + 1)]
    assert sum(out) == pytest.approx(10, abs=1)
    assert max(out) <= 2
    quiet = "".join(map(str, out)).split("1")
    assert max(map(len, quiet)) <= 3  # never silent for long


@pytest.mark.rfc("6675", "5", "step 4.2")
def test_without_it_half_a_window_is_silent(iss: int, irs: int) -> None:
    bench = in_flight(iss, irs, 20, text=60, config=replace(COUNTING, prr=False))
    flight = 20 + len(sacks(bench, 0, (1, 2))) + len(sacks(bench, 0, (1, 3)))
    out = [len(sacks(bench, 0, (1, right))) for right in range(4, flight + 1)]
    assert out[:8] == [1] + [0] * 7
    assert out[-8:] == [1] * 8


@pytest.mark.rfc("9937", "6.2", "PRR-CRB")
@pytest.mark.rfc("9937", "6.2", "PRR-SSRB")
@pytest.mark.rfc("6937", "3.1", "PRR-SSRB")
def test_when_most_is_lost_what_is_delivered_goes_out_and_one_more_while_repairing_goes_well(
    iss: int, irs: int
) -> None:
    bench = in_flight(iss, irs, 20, text=60)
    assert sacks(bench, 0, (17, 20)) == [(at(n), MSS) for n in range(3)]
    assert len(sacks(bench, 0, (16, 20))) == 1  # SND.UNA has not moved
    assert len(sacks(bench, 1, (16, 20))) == 2
    assert len(sacks(bench, 2, (16, 20))) == 2


@pytest.mark.rfc("9937", "6.2")
def test_an_acknowledgment_that_tells_of_nothing_delivered_lets_nothing_out(iss: int, irs: int) -> None:
    bench = in_flight(iss, irs, 20, text=60)
    sacks(bench, 0, (17, 20))
    assert [sacks(bench, 0, (17, 20)) for _ in range(3)] == [[], [], []]


@pytest.mark.rfc("9937", "6.2")
def test_when_recovery_ends_the_window_is_ssthresh_and_in_use(iss: int, irs: int) -> None:
    bench = in_flight(iss, irs, 20, text=60)
    for right in range(2, 23):  # the last two by limited transmit
        sacks(bench, 0, (1, right))
    sacks(bench, 22)
    status = bench.tcp.status(bench.now)
    assert not status.in_fast_recovery
    assert status.ssthresh == 10 * MSS
    assert 8 * MSS <= status.flight_size <= 11 * MSS
