import pytest
from hypothesis import given
from hypothesis import strategies as st

from usertcp.tcp.recovery.rtt import RttEstimator


def estimator(initial: float = 1.0, minimum: float = 0.0, maximum: float = 60.0) -> RttEstimator:
    return RttEstimator(initial, minimum, maximum, granularity=0.001)


@pytest.mark.rfc("6298", "2.1")
def test_before_the_first_sample_the_rto_is_the_initial_one() -> None:
    rtt = estimator(initial=1.0)
    assert (rtt.rto, rtt.srtt, rtt.rttvar) == (1.0, None, None)


@pytest.mark.rfc("6298", "2.2")
@pytest.mark.rfc("9293", "3.8.1", "MUST-18")
def test_first_sample() -> None:
    rtt = estimator()
    rtt.sample(0.2)
    assert (rtt.srtt, rtt.rttvar) == (0.2, 0.1)
    assert rtt.rto == pytest.approx(0.2 + 4 * 0.1)


@pytest.mark.rfc("6298", "2.3")
@pytest.mark.rfc("9293", "3.8.1", "MUST-18")
def test_later_samples_are_smoothed_rttvar_with_the_srtt_before_its_update() -> None:
    rtt = estimator()
    rtt.sample(0.2)
    rtt.sample(0.4)
    assert rtt.rttvar == pytest.approx(3 / 4 * 0.1 + 1 / 4 * abs(0.2 - 0.4))
    assert rtt.srtt == pytest.approx(7 / 8 * 0.2 + 1 / 8 * 0.4)
    assert rtt.rto == pytest.approx(0.225 + 4 * 0.125)


@pytest.mark.rfc("4015", "3.1", "step 11")
@pytest.mark.parametrize(("sample", "srtt", "rttvar"), [(0.2, 0.502, 0.15), (0.4, 0.502, 0.2), (0.9, 0.9, 0.45)])
def test_after_a_spurious_timeout_the_next_sample_counts_but_does_not_undercut_what_was_known(
    sample: float, srtt: float, rttvar: float
) -> None:
    rtt = estimator()
    rtt.after_spurious_timeout(0.5, 0.15)
    rtt.sample(sample)
    assert (rtt.srtt, rtt.rttvar) == pytest.approx((srtt, rttvar))


@pytest.mark.rfc("6298", "2.3")
def test_a_constant_rtt_leaves_at_least_a_tick_of_the_clock() -> None:
    rtt = estimator()
    for _ in range(200):
        rtt.sample(0.25)
    assert rtt.rto == pytest.approx(0.251)


@pytest.mark.rfc("6298", "2.4")
@pytest.mark.rfc("9293", "3.8.1", "MUST-18")
def test_rto_is_rounded_up_to_the_minimum() -> None:
    rtt = estimator(minimum=1.0)
    rtt.sample(0.01)
    assert rtt.rto == 1.0


@pytest.mark.rfc("6298", "2.5")
def test_rto_stays_below_the_maximum() -> None:
    rtt = estimator(maximum=60.0)
    rtt.sample(1000.0)
    assert rtt.rto == 60.0


@pytest.mark.rfc("6298", "5.5")
def test_back_off_doubles_up_to_the_maximum() -> None:
    rtt = estimator(initial=1.0, maximum=60.0)
    seen = []
    for _ in range(8):
        rtt.back_off()
        seen.append(rtt.rto)
    assert seen == [2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0]


@pytest.mark.rfc("6298", "5.5")
def test_back_off_starts_from_the_rounded_rto() -> None:
    rtt = estimator(minimum=1.0)
    rtt.sample(0.01)
    rtt.back_off()
    assert rtt.rto == 2.0


@pytest.mark.rfc("6298", "5")
def test_a_valid_sample_collapses_the_rto_after_back_off() -> None:
    rtt = estimator()
    rtt.sample(0.2)
    before = rtt.rto
    for _ in range(5):
        rtt.back_off()
    rtt.sample(0.2)
    assert rtt.rto < before


@pytest.mark.rfc("6298", "5.7")
@pytest.mark.parametrize("timeouts", [1, 2, 5])
def test_data_begin_with_3_seconds_if_the_syn_timed_out(timeouts: int) -> None:
    rtt = estimator(initial=1.0, minimum=1.0)
    for _ in range(timeouts):
        rtt.back_off()
    rtt.syn_was_retransmitted()
    assert rtt.rto == 3.0
    rtt.sample(0.1)
    assert rtt.rto == 1.0


@pytest.mark.rfc("6298", "5.7")
def test_an_initial_rto_of_3_seconds_or_more_is_not_replaced() -> None:
    rtt = estimator(initial=4.0)
    rtt.back_off()
    rtt.syn_was_retransmitted()
    assert rtt.rto == 8.0


@pytest.mark.rfc("7323", "appendix G")
def test_several_samples_per_round_trip_weigh_as_much_as_one() -> None:
    once, often = estimator(), estimator()
    for rtt in (once, often):
        rtt.sample(0.1)
    for _ in range(8):
        often.sample(0.3, expected_samples=8)
    once.sample(0.3)
    assert once.srtt == pytest.approx(0.125)
    assert often.srtt == pytest.approx(0.3 - 0.2 * (1 - 1 / 64) ** 8)
    assert often.rttvar is not None
    assert often.rttvar < 0.1


@given(
    samples=st.lists(st.floats(0, 100), min_size=1),
    minimum=st.floats(0.01, 1.0),
    expected_samples=st.integers(1, 50),
)
def test_srtt_stays_among_the_samples_and_the_rto_above_it(
    samples: list[float], minimum: float, expected_samples: int
) -> None:
    rtt = estimator(minimum=minimum, maximum=60.0)
    for sample in samples:
        rtt.sample(sample, expected_samples)
        assert rtt.srtt is not None
        assert min(samples) - 1e-9 <= rtt.srtt <= max(samples) + 1e-9
        assert minimum <= rtt.rto <= 60.0
        assert rtt.rto >= min(rtt.srtt, 60.0)
