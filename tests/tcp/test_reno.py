import pytest

from usertcp.tcp.congestion import CONTROLLERS, CongestionControl
from usertcp.tcp.congestion.reno import Reno

SMSS = 1000
NOW = 1.0


def in_avoidance(segments: int) -> Reno:
    """Out of recovery, cwnd and ssthresh at so many segments."""
    reno = Reno(SMSS, initial_window=10 * SMSS)
    reno.on_loss(2 * segments * SMSS, NOW)
    reno.on_recovered(segments * SMSS, NOW)
    assert (reno.cwnd, reno.ssthresh) == (segments * SMSS, segments * SMSS)
    return reno


def test_reno_is_a_controller_by_name() -> None:
    controller: CongestionControl = CONTROLLERS["reno"](SMSS, 4 * SMSS)
    assert (controller.smss, controller.cwnd) == (SMSS, 4 * SMSS)


@pytest.mark.rfc("5681", "3.1")
def test_first_slow_start_is_bounded_by_no_threshold_that_a_window_could_reach() -> None:
    assert Reno(SMSS, 10 * SMSS).ssthresh >= 65535 << 14


@pytest.mark.rfc("5681", "3.1", "equation 2")
def test_slow_start_doubles_in_a_round_trip_when_every_segment_is_acknowledged() -> None:
    reno = Reno(SMSS, initial_window=10 * SMSS)
    for _ in range(10):
        reno.on_ack(SMSS, NOW)
    assert reno.cwnd == 20 * SMSS


@pytest.mark.rfc("5681", "3.1", "equation 2")
def test_slow_start_grows_by_one_segment_at_most_per_ack() -> None:
    reno = Reno(SMSS, initial_window=10 * SMSS)
    reno.on_ack(2 * SMSS, NOW)
    assert reno.cwnd == 11 * SMSS


@pytest.mark.rfc("5681", "3.1", "equation 2")
def test_dividing_an_ack_gains_nothing_in_slow_start() -> None:
    whole, divided = Reno(SMSS, 10 * SMSS), Reno(SMSS, 10 * SMSS)
    whole.on_ack(SMSS, NOW)
    for _ in range(100):
        divided.on_ack(SMSS // 100, NOW)
    assert divided.cwnd == whole.cwnd


@pytest.mark.rfc("5681", "3.1")
def test_congestion_avoidance_adds_one_segment_per_window_of_octets() -> None:
    reno = in_avoidance(segments=10)
    for _ in range(9):
        reno.on_ack(SMSS, NOW)
        assert reno.cwnd == 10 * SMSS
    reno.on_ack(SMSS, NOW)
    assert reno.cwnd == 11 * SMSS
    for _ in range(11):
        reno.on_ack(SMSS, NOW)
    assert reno.cwnd == 12 * SMSS


@pytest.mark.rfc("5681", "3.1")
@pytest.mark.parametrize("octets_per_ack", [1, 10, 500, 2000, 5000])
def test_congestion_avoidance_counts_octets_not_acks(octets_per_ack: int) -> None:
    reno = in_avoidance(segments=10)
    for _ in range(10 * SMSS // octets_per_ack):
        reno.on_ack(octets_per_ack, NOW)
    assert reno.cwnd == 11 * SMSS


@pytest.mark.rfc("5681", "3.1", "equation 4")
def test_loss_halves_what_is_in_flight_not_cwnd() -> None:
    reno = Reno(SMSS, initial_window=10 * SMSS)
    reno.on_loss(6 * SMSS, NOW)
    assert (reno.ssthresh, reno.cwnd) == (3 * SMSS, 3 * SMSS)


@pytest.mark.rfc("5681", "3.1", "equation 4")
def test_ssthresh_is_two_segments_at_least() -> None:
    reno = Reno(SMSS, initial_window=10 * SMSS)
    reno.on_loss(SMSS, NOW)
    assert reno.ssthresh == 2 * SMSS
    reno.on_rto(0, NOW, first=True)
    assert reno.ssthresh == 2 * SMSS


@pytest.mark.rfc("6582", "3.2", "step 3")
@pytest.mark.parametrize(
    ("flight", "cwnd"),
    [(0, 2 * SMSS), (SMSS // 2, 2 * SMSS), (2 * SMSS, 3 * SMSS), (4 * SMSS, 5 * SMSS), (9 * SMSS, 5 * SMSS)],
)
def test_recovery_ends_without_a_burst(flight: int, cwnd: int) -> None:
    reno = Reno(SMSS, initial_window=10 * SMSS)
    reno.on_loss(10 * SMSS, NOW)
    reno.on_recovered(flight, NOW)
    assert (reno.cwnd, reno.ssthresh) == (cwnd, 5 * SMSS)


@pytest.mark.rfc("5681", "3.1")
def test_timeout_falls_to_one_segment_and_slow_starts_to_half_of_the_flight() -> None:
    reno = Reno(SMSS, initial_window=10 * SMSS)
    reno.on_rto(8 * SMSS, NOW, first=True)
    assert (reno.cwnd, reno.ssthresh) == (SMSS, 4 * SMSS)
    for _ in range(3):
        reno.on_ack(SMSS, NOW)
    assert reno.cwnd == 4 * SMSS
    for _ in range(3):
        reno.on_ack(SMSS, NOW)
    assert reno.cwnd == 4 * SMSS
    reno.on_ack(SMSS, NOW)
    assert reno.cwnd == 5 * SMSS


@pytest.mark.rfc("5681", "3.1")
def test_a_second_timeout_of_the_same_segment_leaves_ssthresh() -> None:
    reno = Reno(SMSS, initial_window=10 * SMSS)
    reno.on_rto(8 * SMSS, NOW, first=True)
    reno.on_rto(2 * SMSS, NOW, first=False)
    assert (reno.cwnd, reno.ssthresh) == (SMSS, 4 * SMSS)


@pytest.mark.rfc("5681", "4.1")
def test_after_idling_cwnd_is_the_restart_window_at_most() -> None:
    reno = Reno(SMSS, initial_window=4 * SMSS)
    for _ in range(20):
        reno.on_ack(SMSS, NOW)
    before = reno.ssthresh
    reno.on_idle(NOW)
    assert (reno.cwnd, reno.ssthresh) == (4 * SMSS, before)
    reno.on_rto(4 * SMSS, NOW, first=True)
    reno.on_idle(NOW)
    assert reno.cwnd == SMSS


def test_octets_counted_before_a_reduction_do_not_count_after_it() -> None:
    reno = in_avoidance(segments=10)
    reno.on_ack(9 * SMSS, NOW)
    reno.on_loss(10 * SMSS, NOW)
    reno.on_recovered(5 * SMSS, NOW)
    reno.on_ack(4 * SMSS, NOW)
    assert reno.cwnd == 5 * SMSS


def test_a_changed_segment_size_counts_from_the_next_event_on() -> None:
    reno = Reno(SMSS, initial_window=10 * SMSS)
    reno.smss = 500
    reno.on_ack(2000, NOW)
    assert reno.cwnd == 10_500
    reno.on_rto(800, NOW, first=True)
    assert (reno.cwnd, reno.ssthresh) == (500, 1000)
