"""The congestion window grows only while it is what limits the sender (RFC 7661; RFC 9438, 5.8)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.tcp.builders import CONFIG, MSS, Bench
from tests.tcp.pairs import shaken
from usertcp.tcp.segment import ACK

SEVEN = replace(CONFIG, initial_window=7 * MSS)


def exchange(bench: Bench, start: int, octets: int, wnd: int = 60_000) -> int:
    """Send, and have all of it acknowledged, two segments at a time. The window afterwards, in segments."""
    bench.send(bytes(octets))
    for n in range(2 * MSS, octets + 2 * MSS, 2 * MSS):
        bench.arrives(ACK, 1, 1 + start + min(n, octets), wnd=wnd)
    return bench.tcp.status(bench.now).cwnd // MSS


@pytest.mark.rfc("7661", "4.3")
@pytest.mark.rfc("9438", "5.8")
@pytest.mark.parametrize("congestion", ["reno", "cubic"])
def test_a_window_that_is_not_used_does_not_grow(iss: int, irs: int, congestion: str) -> None:
    bench = shaken(iss, irs, replace(SEVEN, congestion=congestion), wnd=60_000)
    assert [exchange(bench, n * 3 * MSS, 3 * MSS) for n in range(20)] == [7] * 20


@pytest.mark.rfc("7661", "4.3")
def test_one_that_is_used_grows_until_all_that_was_in_it_is_acknowledged(iss: int, irs: int) -> None:
    bench = shaken(iss, irs, SEVEN, wnd=60_000)
    assert exchange(bench, 0, 7 * MSS) == 11
    assert exchange(bench, 7 * MSS, 7 * MSS) == 11


@pytest.mark.rfc("7661", "4.3")
def test_less_than_a_segment_left_is_in_use(iss: int, irs: int) -> None:
    bench = shaken(iss, irs, replace(SEVEN, nagle=False), wnd=60_000)
    assert exchange(bench, 0, 6 * MSS + 1) > 7


@pytest.mark.rfc("7661", "4.3")
def test_the_window_of_the_peer_is_no_reason_to_grow(iss: int, irs: int) -> None:
    bench = shaken(iss, irs, SEVEN, wnd=4 * MSS)
    assert exchange(bench, 0, 20 * MSS, wnd=4 * MSS) == 7


@pytest.mark.rfc("5681", "3.1")
def test_after_a_timeout_it_grows_by_what_is_sent_again(iss: int, irs: int) -> None:
    bench = shaken(iss, irs, SEVEN, wnd=60_000)
    bench.send(bytes(6 * MSS))
    bench.advance(1.1)
    assert bench.tcp.status(bench.now).cwnd == MSS
    for n in range(1, 3):
        bench.arrives(ACK, 1, 1 + n * MSS, wnd=60_000)
    assert bench.tcp.status(bench.now).cwnd == 3 * MSS


def test_it_may_be_left_out_and_bursts_be_seen(iss: int, irs: int) -> None:
    bench = shaken(iss, irs, replace(SEVEN, cwnd_validation=False), wnd=60_000)
    assert exchange(bench, 0, 4 * MSS) == 9
