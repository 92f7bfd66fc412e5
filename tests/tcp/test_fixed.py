"""A window that stays what it is, and controllers of one's own."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.tcp.bottleneck import BUFFERS, Bulk
from tests.tcp.builders import CONFIG, MSS, WINDOW
from tests.tcp.pairs import shaken, spans
from usertcp.tcp.config import Config
from usertcp.tcp.congestion.fixed import Fixed
from usertcp.tcp.segment import ACK


class Slow(Fixed):
    """Two segments, and what it was told."""

    made: tuple[int, int]

    def __init__(self, smss: int, initial_window: int) -> None:
        super().__init__(smss, 2 * smss)
        Slow.made = smss, initial_window


def test_a_fixed_window_stays_whatever_happens() -> None:
    fixed = Fixed(1000, 8000)
    fixed.on_rtt(1.0, 1.0, 1.0)
    fixed.on_ack(8000, 1.0)
    fixed.on_loss(8000, 1.0)
    fixed.on_recovered(8000, 1.0)
    fixed.on_rto(8000, 1.0, first=True)
    fixed.on_idle(9.0)
    assert fixed.cwnd == 8000


def test_so_many_octets_are_in_flight_before_and_after_a_timeout(iss: int, irs: int) -> None:
    bench = shaken(iss, irs, replace(CONFIG, congestion="fixed", initial_window=3 * MSS, frto=False))
    bench.send(bytes(20 * MSS))
    assert len(spans(bench)) == 3
    bench.advance(1.1)
    assert len(spans(bench)) == 3
    bench.arrives(ACK, 1, 1 + 3 * MSS)
    assert len(spans(bench)) == 3


def test_without_congestion_control_a_queue_stays_full() -> None:
    config = replace(BUFFERS, congestion="fixed", initial_window=250 * 1460)
    bulk = Bulk(config, rate=1000, queue=100, delay=0.025).run(2.0)
    assert bulk.path.dropped > 100
    assert bulk.cwnd_now * 1448 == 250 * 1460


def test_a_controller_of_ones_own_is_a_class_in_the_config(iss: int, irs: int) -> None:
    bench = shaken(iss, irs, replace(CONFIG, congestion=Slow))
    bench.send(bytes(WINDOW))
    assert len(spans(bench)) == 2
    assert Slow.made == (MSS, 10 * MSS)
    assert bench.tcp.status(bench.now).cwnd == 2 * MSS


def test_a_name_that_is_none_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="bbr, cubic, dctcp, fixed, reno"):
        Config(congestion="tahoe")
