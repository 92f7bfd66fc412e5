"""What acknowledgments say of the path: round-trip times and delivery rates."""

from __future__ import annotations

import pytest

from usertcp.tcp.congestion.delivery import Deliveries, Delivery

SEGMENT = 1000


def told(delivery: Delivery | None) -> Delivery:
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
    assert told(deliveries.on_ack(1000, 1000, 1.10)).rtt == pytest.approx(0.10)
    assert told(deliveries.on_ack(3000, 2000, 1.15)).rtt == pytest.approx(0.13)


@pytest.mark.rfc("6298", "3")
def test_no_rtt_while_it_may_be_of_a_retransmission() -> None:
    deliveries = Deliveries()
    end = flight(deliveries, 4, 1.0, 0.0)
    deliveries.on_resent(end)
    flight(deliveries, 1, 1.2, 0.0, end)
    assert told(deliveries.on_ack(end, 4000, 1.3)).rtt is None
    assert told(deliveries.on_ack(end + 1000, 1000, 1.4)).rtt == pytest.approx(0.2)


def test_the_rate_is_what_arrived_over_the_time_in_which_it_did() -> None:
    """Ten segments at once, through a bottleneck of a hundred per second."""
    deliveries = Deliveries()
    flight(deliveries, 10, 1.0, 0.0)
    for n in range(1, 11):
        delivery = told(deliveries.on_ack(n * SEGMENT, SEGMENT, 1.1 + n * 0.01))
    assert delivery.rate == pytest.approx(10 * SEGMENT / 0.2)
    end = flight(deliveries, 10, 1.2, 0.0, 10 * SEGMENT)
    deliveries.on_sent(end + SEGMENT, 1.2)
    for n in range(11, 21):
        delivery = told(deliveries.on_ack(n * SEGMENT, SEGMENT, 1.2 + (n - 10) * 0.01))
    assert delivery.rate == pytest.approx(10 * SEGMENT / 0.1)
    assert (delivery.delivered, delivery.delivered_before) == (20 * SEGMENT, 10 * SEGMENT)


def test_acknowledgments_that_come_in_a_lump_do_not_raise_it_beyond_the_rate_of_sending() -> None:
    deliveries = Deliveries()
    end = flight(deliveries, 20, 1.0, 0.01)
    deliveries.on_ack(10 * SEGMENT, 10 * SEGMENT, 1.2)
    assert told(deliveries.on_ack(end, 10 * SEGMENT, 1.2001)).rate == pytest.approx(20 * SEGMENT / 0.2, rel=0.06)


def test_after_a_pause_the_time_counts_anew() -> None:
    deliveries = Deliveries()
    flight(deliveries, 1, 1.0, 0.0)
    deliveries.on_ack(SEGMENT, SEGMENT, 1.1)
    flight(deliveries, 1, 9.0, 0.0, SEGMENT)
    assert told(deliveries.on_ack(2 * SEGMENT, SEGMENT, 9.1)).rate == pytest.approx(SEGMENT / 0.1)


def test_what_was_sent_while_the_sender_had_no_more_is_marked_until_it_has_arrived() -> None:
    deliveries = Deliveries()
    flight(deliveries, 2, 1.0, 0.0)
    deliveries.on_limited(2 * SEGMENT)
    flight(deliveries, 1, 1.05, 0.0, 2 * SEGMENT)
    assert not told(deliveries.on_ack(2 * SEGMENT, 2 * SEGMENT, 1.1)).limited
    assert told(deliveries.on_ack(3 * SEGMENT, SEGMENT, 1.15)).limited
    flight(deliveries, 1, 1.2, 0.0, 3 * SEGMENT)
    assert not told(deliveries.on_ack(4 * SEGMENT, SEGMENT, 1.3)).limited


def test_a_moment_has_no_rate_and_half_a_segment_says_nothing() -> None:
    deliveries = Deliveries()
    flight(deliveries, 2, 1.0, 0.0)
    assert told(deliveries.on_ack(1000, 1000, 1.0)).rate is None
    assert deliveries.on_ack(1500, 500, 1.1) is None
    assert told(deliveries.on_ack(2000, 500, 1.2)).delivered == 2000
