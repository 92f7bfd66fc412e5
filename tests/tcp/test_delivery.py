"""What acknowledgments say of the path: round-trip times and delivery rates."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.tcp.builders import CONFIG, MSS, WINDOW
from tests.tcp.pairs import shaken
from usertcp.tcp.congestion.delivery import Deliveries, Delivery
from usertcp.tcp.congestion.reno import Reno
from usertcp.tcp.segment import ACK

SEGMENT = 1000


def acknowledged(deliveries: Deliveries, una: int, now: float) -> Delivery:
    """Everything up to *una* is acknowledged, and nothing beyond is SACKed."""
    acked = una - deliveries.delivered
    deliveries.on_arrival(una, now)
    delivery = deliveries.on_ack(una, acked, now)
    assert delivery is not None
    return delivery


def flight(deliveries: Deliveries, count: int, start: float, gap: float, position: int = 0) -> int:
    """So many segments leave. The position after them."""
    for n in range(count):
        position += SEGMENT
        deliveries.on_sent(position, start + n * gap)
    return position


def test_every_acknowledgment_is_a_sample_of_the_rtt_of_its_last_segment() -> None:
    deliveries = Deliveries()
    flight(deliveries, 4, 1.0, 0.01)
    assert acknowledged(deliveries, 1000, 1.10).rtt == pytest.approx(0.10)
    assert acknowledged(deliveries, 3000, 1.15).rtt == pytest.approx(0.13)


@pytest.mark.rfc("6298", "3")
def test_no_rtt_while_it_may_be_of_a_retransmission() -> None:
    deliveries = Deliveries()
    end = flight(deliveries, 4, 1.0, 0.0)
    deliveries.on_resent(1000, end, 1.1)
    flight(deliveries, 1, 1.2, 0.0, end)
    assert acknowledged(deliveries, end, 1.3).rtt is None
    assert acknowledged(deliveries, end + 1000, 1.4).rtt == pytest.approx(0.2)


def test_the_rate_is_what_arrived_over_the_time_in_which_it_did() -> None:
    """Ten segments at once, through a bottleneck of a hundred per second."""
    deliveries = Deliveries()
    flight(deliveries, 10, 1.0, 0.0)
    for n in range(1, 11):
        delivery = acknowledged(deliveries, n * SEGMENT, 1.1 + n * 0.01)
    assert delivery.rate == pytest.approx(10 * SEGMENT / 0.2)
    end = flight(deliveries, 10, 1.2, 0.0, 10 * SEGMENT)
    deliveries.on_sent(end + SEGMENT, 1.2)
    for n in range(11, 21):
        delivery = acknowledged(deliveries, n * SEGMENT, 1.2 + (n - 10) * 0.01)
    assert delivery.rate == pytest.approx(10 * SEGMENT / 0.1)
    assert (delivery.delivered, delivery.delivered_before) == (20 * SEGMENT, 10 * SEGMENT)


def test_acknowledgments_that_come_in_a_lump_do_not_raise_it_beyond_the_rate_of_sending() -> None:
    deliveries = Deliveries()
    end = flight(deliveries, 20, 1.0, 0.01)
    acknowledged(deliveries, 10 * SEGMENT, 1.2)
    assert acknowledged(deliveries, end, 1.2001).rate == pytest.approx(20 * SEGMENT / 0.2, rel=0.06)


def test_after_a_pause_the_time_counts_anew() -> None:
    deliveries = Deliveries()
    flight(deliveries, 1, 1.0, 0.0)
    acknowledged(deliveries, SEGMENT, 1.1)
    flight(deliveries, 1, 9.0, 0.0, SEGMENT)
    assert acknowledged(deliveries, 2 * SEGMENT, 9.1).rate == pytest.approx(SEGMENT / 0.1)


def test_what_was_sent_while_the_sender_had_no_more_is_marked_until_it_has_arrived() -> None:
    deliveries = Deliveries()
    flight(deliveries, 2, 1.0, 0.0)
    deliveries.on_limited(2 * SEGMENT)
    flight(deliveries, 1, 1.05, 0.0, 2 * SEGMENT)
    assert not acknowledged(deliveries, 2 * SEGMENT, 1.1).limited
    assert acknowledged(deliveries, 3 * SEGMENT, 1.15).limited
    flight(deliveries, 1, 1.2, 0.0, 3 * SEGMENT)
    assert not acknowledged(deliveries, 4 * SEGMENT, 1.3).limited


def test_a_moment_has_no_rate_and_half_a_segment_says_nothing() -> None:
    deliveries = Deliveries()
    flight(deliveries, 2, 1.0, 0.0)
    assert acknowledged(deliveries, 1000, 1.0).rate is None
    deliveries.on_arrival(1500, 1.1)
    assert deliveries.on_ack(1500, 500, 1.1) is None
    assert acknowledged(deliveries, 2000, 1.2).delivered == 2000


def test_what_was_sacked_has_arrived_when_it_was() -> None:
    """The first of ten segments is lost. When it has come at last, nine others are acknowledged with it; they had come
    earlier, and do not make it look fast."""
    deliveries = Deliveries()
    end = flight(deliveries, 10, 1.0, 0.01)
    for n in range(1, 5):
        deliveries.on_arrival(n * SEGMENT, 1.1 + n * 0.01)
    deliveries.on_resent(SEGMENT, end, 1.14)
    for n in range(5, 10):
        deliveries.on_arrival(n * SEGMENT, 1.1 + n * 0.01)
    deliveries.on_sent(end + SEGMENT, 1.195)
    delivery = acknowledged(deliveries, end, 1.24)
    assert (delivery.delivered, delivery.delivered_before) == (10 * SEGMENT, 4 * SEGMENT)
    rate = acknowledged(deliveries, end + SEGMENT, 1.295).rate
    assert rate is not None
    assert rate < 2 * SEGMENT / 0.1


def test_a_retransmission_is_a_round_trip_too() -> None:
    deliveries = Deliveries()
    end = flight(deliveries, 4, 1.0, 0.0)
    acknowledged(deliveries, SEGMENT, 1.1)
    deliveries.on_resent(2 * SEGMENT, end, 1.2)
    deliveries.on_resent(3 * SEGMENT, end, 1.2)
    deliveries.on_resent(2 * SEGMENT, end, 1.4)
    assert acknowledged(deliveries, 2 * SEGMENT, 1.5).delivered_before == SEGMENT
    deliveries.on_resent(3 * SEGMENT, end, 1.5)
    delivery = acknowledged(deliveries, 3 * SEGMENT, 1.6)
    assert (delivery.delivered_before, delivery.rtt) == (2 * SEGMENT, None)


@pytest.mark.parametrize(("writes", "limited"), [([MSS, MSS], True), ([20 * MSS], False)])
def test_a_user_who_does_not_fill_the_window_is_what_limits_the_rate(
    iss: int, irs: int, writes: list[int], limited: bool
) -> None:
    """From the second segment on: when the first one left, nobody knew that no more would come."""
    samples: list[bool] = []

    class Listening(Reno):
        def on_delivery(self, delivery: Delivery, flight_size: int, now: float) -> None:
            samples.append(delivery.limited)

    bench = shaken(iss, irs, replace(CONFIG, congestion=Listening, initial_window=4 * MSS), wnd=WINDOW)
    for octets in writes:
        bench.send(bytes(octets))
    bench.arrives(ACK, 1, 1 + sum(len(seg.data) for seg in bench.take()))
    assert samples[-1] == limited
