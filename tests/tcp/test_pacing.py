"""Segments leave at a rate, by the one deadline that a connection has."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from tests.tcp.bottleneck import BUFFERS, Bulk
from tests.tcp.builders import CONFIG, MSS, Bench, syn_sent
from tests.tcp.pairs import MSS_ONLY, shaken, spans
from usertcp.tcp.config import Config
from usertcp.tcp.congestion.fixed import Fixed
from usertcp.tcp.segment import ACK, FIN, SYN


class Hundredth(Fixed):
    """A segment every 10 ms, and a window of eight."""

    def __init__(self, smss: int, initial_window: int) -> None:
        super().__init__(smss, 8 * smss)
        self.pacing_rate = 100.0 * smss


class Trickle(Fixed):
    """A segment every three seconds."""

    def __init__(self, smss: int, initial_window: int) -> None:
        super().__init__(smss, 8 * smss)
        self.pacing_rate = smss / 3


def departures(bench: Bench, seconds: float) -> list[int]:
    """When segments with text leave, in milliseconds from now."""
    started, times = bench.now, []
    times += [0] * len(spans(bench))
    while bench.now < started + seconds - 1e-9:
        bench.advance(min(max(bench.tcp.deadline - bench.now, 1e-4), started + seconds - bench.now))
        times += [round((bench.now - started) * 1000)] * len(spans(bench))
    return times


def established_after(iss: int, irs: int, rtt: float, config: Config) -> Bench:
    """The handshake has measured the round trip."""
    bench = syn_sent(iss, irs, config)
    bench.advance(rtt)
    bench.arrives(SYN | ACK, 0, 1, options=MSS_ONLY, wnd=60_000)
    bench.take()
    return bench


def test_a_controller_with_a_rate_sends_by_it(iss: int, irs: int) -> None:
    bench = shaken(iss, irs, replace(CONFIG, congestion=Hundredth), wnd=60_000)
    bench.send(bytes(5 * MSS))
    assert departures(bench, 0.1) == [0, 5, 15, 25, 35]  # as if the first were late


def test_its_window_holds_nonetheless(iss: int, irs: int) -> None:
    bench = shaken(iss, irs, replace(CONFIG, congestion=Hundredth), wnd=60_000)
    bench.send(bytes(20 * MSS))
    assert len(departures(bench, 0.5)) == 8


def test_by_default_a_window_leaves_at_once(iss: int, irs: int) -> None:
    bench = established_after(iss, irs, 0.1, CONFIG)
    bench.send(bytes(20 * MSS))
    assert departures(bench, 0.1) == [0] * 10


@pytest.mark.parametrize("congestion", ["reno", "cubic", "fixed"])
def test_a_window_is_spread_over_half_a_round_trip_in_slow_start(iss: int, irs: int, congestion: str) -> None:
    """Of a fixed window as well as in congestion avoidance over 1/1.2 of one."""
    bench = established_after(iss, irs, 0.1, replace(CONFIG, pacing=True, congestion=congestion))
    bench.send(bytes(20 * MSS))
    times = departures(bench, 0.099)
    assert len(times) == 10
    assert times[-1] == pytest.approx(1000 * 0.1 / (1.2 if congestion == "fixed" else 2.0) * 8.5 / 10, abs=1)
    assert len(set(times)) == 10


def test_without_an_rtt_there_is_no_rate(iss: int, irs: int) -> None:
    bench = shaken(iss, irs, replace(CONFIG, pacing=True), wnd=60_000)
    bench.send(bytes(20 * MSS))
    assert departures(bench, 0.1) == [0] * 10


def test_a_timer_that_is_late_does_not_lower_the_rate(iss: int, irs: int) -> None:
    bench = shaken(iss, irs, replace(CONFIG, congestion=Hundredth), wnd=60_000)
    bench.send(bytes(7 * MSS))
    bench.take()
    late: list[float] = []
    while len(late) < 6:
        bench.now = bench.tcp.deadline + 0.0049
        bench.tcp.timeouts(bench.now)
        bench.deliver()
        late += [bench.now] * len(spans(bench))
    assert late[-1] - late[0] == pytest.approx(0.05)


def test_what_waits_is_the_pacing_timers_business_not_the_persist_timers(iss: int, irs: int) -> None:
    bench = shaken(iss, irs, replace(CONFIG, congestion=Trickle), wnd=60_000)
    bench.send(bytes(2 * MSS))
    bench.take()
    bench.arrives(ACK, 1, 1 + MSS, wnd=60_000)
    timers = bench.tcp.status(bench.now).timers
    assert timers["pacing"] == pytest.approx(1.5)
    assert "persist" not in timers
    assert departures(bench, 2.4) == [1500]


@pytest.mark.rfc("9293", "3.8.6.1")
def test_a_window_that_closes_meanwhile_is_probed(iss: int, irs: int) -> None:
    bench = shaken(iss, irs, replace(CONFIG, congestion=Trickle), wnd=60_000)
    bench.send(bytes(2 * MSS))
    bench.take()
    bench.arrives(ACK, 1, 1 + MSS, wnd=0)
    bench.advance(5.0)
    assert (1 + MSS, 1) in spans(bench)


def test_a_retransmission_is_the_next_to_leave(iss: int, irs: int) -> None:
    bench = shaken(iss, irs, replace(CONFIG, congestion=Hundredth), wnd=60_000)
    bench.send(bytes(8 * MSS))
    bench.advance(0.04)
    assert len(spans(bench)) == 5
    for _ in range(3):
        bench.arrives(ACK, 1, 1, wnd=60_000)
    assert spans(bench) == []
    bench.advance(0.016)
    assert spans(bench) == [(1, MSS), (1 + 5 * MSS, MSS)]


@pytest.mark.rfc("6298", "5.4")
def test_after_a_timeout_what_is_lost_leaves_by_the_rate_too(iss: int, irs: int) -> None:
    bench = shaken(iss, irs, replace(CONFIG, congestion=Hundredth, frto=False), wnd=60_000)
    bench.send(bytes(8 * MSS))
    bench.advance(0.9)
    bench.take()
    assert departures(bench, 0.2) == [100, 105, 115, 125, 135, 145, 155, 165]


def test_a_fin_follows_the_last_octet_that_waited(iss: int, irs: int) -> None:
    bench = shaken(iss, irs, replace(CONFIG, congestion=Hundredth), wnd=60_000)
    bench.send(bytes(3 * MSS))
    bench.close()
    bench.advance(0.05)
    sent = bench.take()
    assert [bool(seg.flags & FIN) for seg in sent] == [False, False, True]


def test_paced_the_same_transfer_needs_less_of_a_queue() -> None:
    """Slow start sends two segments for each ACK: without pacing half of a window waits at the bottleneck."""
    paced, burst = (
        Bulk(replace(BUFFERS, pacing=pacing), rate=2000, queue=1000, delay=0.05).run(0.45) for pacing in (True, False)
    )
    assert paced.path.most_waiting < 0.6 * burst.path.most_waiting
    assert paced.received > 0.7 * burst.received


def test_paced_a_transfer_fills_the_path() -> None:
    bulk = Bulk(replace(BUFFERS, pacing=True, congestion="cubic"), rate=1000, queue=500, delay=0.025).run(3.0)
    assert bulk.received > 0.9 * 3.0 * 1000 * 1448 - 100 * 1448
    gaps = [b - a for a, b in pairwise(bulk.sent)]
    assert sum(gap > 0.0001 for gap in gaps) > 0.85 * len(gaps)
