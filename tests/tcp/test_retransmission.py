"""What is sent again, when, and for how long (RFC 6298; RFC 9293, 3.8.1 and 3.8.3)."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from tests.tcp import builders
from tests.tcp.builders import CONFIG, MSS, Bench, established
from tests.tcp.pairs import Build, shaken, spans
from usertcp.errors import ConnectionTimedOut
from usertcp.tcp.options import Options
from usertcp.tcp.segment import ACK, FIN, RST, SYN
from usertcp.tcp.state import State


def times_of_sending(bench: Bench, seconds: float) -> list[float]:
    """When something went out during the next *seconds*, counted from now."""
    begin, times = bench.now, []
    while (at := bench.tcp.deadline) <= begin + seconds:
        bench.advance(max(at - bench.now, 0.0))
        if bench.take():
            times.append(round(bench.now - begin, 3))
    bench.advance(begin + seconds - bench.now)
    return times


@pytest.mark.rfc("9293", "3.8.3", "MUST-22")
@pytest.mark.rfc("6298", "5.5")
def test_a_syn_is_repeated_with_exponential_backoff(iss: int, irs: int) -> None:
    bench = builders.syn_sent(iss, irs)
    assert times_of_sending(bench, 130.0) == [1, 3, 7, 15, 31, 63, 123]  # doubled up to rto_max, 60 s


@pytest.mark.rfc("9293", "3.8.3", "MUST-22")
def test_a_syn_ack_is_repeated_with_exponential_backoff(iss: int, irs: int) -> None:
    bench = builders.syn_received(iss, irs)
    bench.advance(7.5)
    assert bench.sent() == ["<SEQ=0><ACK=1><CTL=SYN,ACK>"] * 3


@pytest.mark.rfc("9293", "3.8.2", "MUST-19")
def test_text_is_repeated_with_exponential_backoff(iss: int, irs: int) -> None:
    bench = established(iss, irs)
    bench.send(b"text")
    assert bench.sent() == ["<SEQ=1><ACK=1><CTL=ACK>text"]
    bench.advance(7.5)
    assert bench.sent() == ["<SEQ=1><ACK=1><CTL=ACK>text"] * 3


@pytest.mark.rfc("9293", "3.8.1")
@pytest.mark.parametrize("build", [builders.fin_wait_1, builders.last_ack, builders.closing])
def test_a_lone_fin_is_repeated_until_acknowledged(iss: int, irs: int, build: Build) -> None:
    bench = build(iss, irs)
    bench.advance(3.5)
    assert [seg.flags & FIN for seg in bench.take()] == [FIN, FIN]
    bench.arrives(ACK, 2 if bench.state is not State.FIN_WAIT_1 else 1, 2)
    bench.advance(30.0)
    assert bench.take() == []


@pytest.mark.rfc("9293", "3.8.2", "MUST-19")
@pytest.mark.rfc("6298", "2.5")
def test_the_timeout_never_exceeds_its_maximum(iss: int, irs: int) -> None:
    bench = established(iss, irs, replace(CONFIG, r2=1e6, rto_max=60.0))
    bench.send(b"text")
    bench.take()
    times = times_of_sending(bench, 1000.0)
    gaps = [round(b - a, 3) for a, b in pairwise(times)]
    assert max(gaps) == 60.0
    assert gaps[-1] == 60.0


@pytest.mark.rfc("9293", "3.8.3", "SHLD-11")
def test_text_without_answer_is_given_up_after_r2_and_the_peer_is_told(iss: int, irs: int) -> None:
    bench = established(iss, irs, replace(CONFIG, r2=100.0))
    bench.send(b"text")
    bench.advance(99.9)
    assert bench.state is State.ESTABLISHED
    bench.take()
    bench.advance(0.2)
    assert bench.state is State.CLOSED
    assert bench.sent() == ["<SEQ=5><CTL=RST>"]
    assert isinstance(bench.tcp.error, ConnectionTimedOut)
    with pytest.raises(ConnectionTimedOut):
        bench.receive()


@pytest.mark.rfc("9293", "3.8.3", "SHLD-11")
def test_the_default_r2_is_at_least_100_seconds() -> None:
    assert type(CONFIG)().r2 >= 100.0


@pytest.mark.rfc("9293", "3.8.3", "MUST-23")
def test_a_syn_is_repeated_for_at_least_three_minutes(iss: int, irs: int) -> None:
    bench = builders.syn_sent(iss, irs)
    bench.advance(179.0)
    assert bench.state is State.SYN_SENT
    bench.take()
    bench.advance(2.0)
    assert (bench.state, bench.sent()) == (State.CLOSED, [])
    assert isinstance(bench.tcp.error, ConnectionTimedOut)


@pytest.mark.rfc("9293", "3.8.3", "MUST-21")
@pytest.mark.rfc("9293", "3.10.8")
@pytest.mark.parametrize("build", [builders.syn_sent, builders.syn_received, builders.established, builders.last_ack])
def test_the_user_timeout_replaces_r2(iss: int, irs: int, build: Build) -> None:
    bench = build(iss, irs, replace(CONFIG, user_timeout=5.0))
    if bench.state is State.ESTABLISHED:
        bench.send(b"text")
    bench.advance(4.9)
    assert bench.state is not State.CLOSED
    bench.advance(0.2)
    assert bench.state is State.CLOSED
    assert isinstance(bench.tcp.error, ConnectionTimedOut)


@pytest.mark.rfc("9293", "3.8.3", "SHLD-9")
@pytest.mark.rfc("9293", "3.8.3", "SHLD-10")
@pytest.mark.rfc("9293", "3.9.1.8", "MUST-47")
def test_after_r1_retransmissions_the_user_hears_of_trouble_and_the_connection_goes_on(iss: int, irs: int) -> None:
    bench = established(iss, irs)
    bench.send(b"text")
    bench.advance(3.5)
    assert bench.tcp.soft_error is None
    bench.advance(4.0)
    assert bench.tcp.soft_error is not None
    bench.arrives(ACK, 1, 5)
    assert (bench.state, bench.tcp.error) == (State.ESTABLISHED, None)


@pytest.mark.rfc("6298", "5.1")
def test_the_timer_starts_with_the_first_text_in_flight_and_not_again_with_the_next(iss: int, irs: int) -> None:
    bench = established(iss, irs, replace(CONFIG, nagle=False))
    bench.send(b"one")
    bench.advance(0.6)
    bench.send(b"two")
    bench.take()
    bench.advance(0.5)
    assert spans(bench)[0] == (1, 6)


@pytest.mark.rfc("6298", "5.2")
def test_the_timer_stops_when_all_is_acknowledged(iss: int, irs: int) -> None:
    bench = established(iss, irs)
    bench.send(b"text")
    bench.arrives(ACK, 1, 5)
    bench.take()
    bench.advance(1000.0)
    assert (bench.take(), bench.tcp.deadline) == ([], float("inf"))


@pytest.mark.rfc("6298", "5.3")
def test_an_ack_of_part_restarts_the_timer_and_does_not_kill_it(iss: int, irs: int) -> None:
    bench = established(iss, irs)
    bench.send(bytes(2 * MSS))
    bench.advance(0.6)
    bench.take()
    bench.arrives(ACK, 1, 1 + MSS)
    begin = bench.now
    rto = bench.tcp.status(begin).rto
    bench.advance(rto - 0.01)
    assert spans(bench) == []
    bench.advance(0.02)
    assert spans(bench) == [(1 + MSS, MSS)]


@pytest.mark.rfc("6298", "5.4")
def test_a_timeout_resends_the_earliest_segment_only(iss: int, irs: int) -> None:
    bench = established(iss, irs)
    bench.send(bytes(4 * MSS))
    bench.take()
    bench.advance(1.1)
    assert spans(bench) == [(1, MSS)]


@pytest.mark.rfc("6298", "5.6")
def test_the_timer_is_armed_again_after_each_timeout_and_after_recovery(iss: int, irs: int) -> None:
    bench = established(iss, irs)
    bench.send(b"lost")
    bench.advance(1.1)
    bench.arrives(ACK, 1, 5)
    bench.send(b"lost too")
    bench.take()
    bench.advance(2.1)
    assert spans(bench) == [(5, 8)]


@pytest.mark.rfc("6298", "5.7")
@pytest.mark.parametrize("passive", [False, True])
def test_after_a_repeated_syn_text_starts_with_three_seconds(iss: int, irs: int, passive: bool) -> None:
    bench = (builders.syn_received if passive else builders.syn_sent)(iss, irs)
    bench.advance(1.5)
    bench.arrives(*((ACK, 1, 1) if passive else (SYN | ACK, 0, 1)), options=Options(mss=MSS))
    bench.send(b"text")
    bench.take()
    bench.advance(2.9)
    assert spans(bench) == []
    bench.advance(0.2)
    assert spans(bench) == [(1, 4)]


@pytest.mark.rfc("6298", "3")
@pytest.mark.rfc("9293", "3.8.1", "MUST-18")
def test_karn_no_rtt_is_taken_of_what_was_sent_twice(iss: int, irs: int) -> None:
    bench = established(iss, irs)
    before = bench.tcp.status(bench.now)
    bench.send(b"text")
    bench.advance(1.5)
    bench.arrives(ACK, 1, 5)
    after = bench.tcp.status(bench.now)
    assert (after.srtt, after.rttvar) == (before.srtt, before.rttvar)
    assert after.rto == 2 * before.rto  # and the backed-off timeout stays until there is a sample


@pytest.mark.rfc("6298", "5")
def test_the_next_sample_ends_the_backing_off(iss: int, irs: int) -> None:
    bench = established(iss, irs)
    bench.send(b"text")
    bench.advance(1.5)
    bench.arrives(ACK, 1, 5)
    bench.send(b"more")
    bench.advance(0.1)
    bench.arrives(ACK, 1, 9)
    assert bench.tcp.status(bench.now).rto == 1.0


@pytest.mark.rfc("7323", "4.1")
def test_with_timestamps_what_was_sent_twice_is_measured_too(iss: int, irs: int) -> None:
    bench = shaken(iss, irs, options=Options(mss=MSS, timestamps=(7, 0)))
    bench.send(b"text")
    bench.advance(1.1)
    sent = bench.take()[-1].options.timestamps
    assert sent is not None
    bench.advance(0.3)
    bench.arrives(ACK, 1, 5, options=Options(timestamps=(8, sent[0])))
    srtt = bench.tcp.status(bench.now).srtt
    assert srtt is not None
    assert 0 < srtt < 0.5


@pytest.mark.rfc("6298", "3")
@pytest.mark.rfc("7323", "4.1")
@pytest.mark.parametrize("passive", [False, True])
@pytest.mark.parametrize(("nth", "srtt"), [(0, None), (1, 0.5)])
def test_but_of_a_syn_only_the_answer_to_the_last_one(
    iss: int, irs: int, passive: bool, nth: int, srtt: float | None
) -> None:
    """With the first timestamp it may be late, or repeat an answer that was lost: then it would be our timeout."""
    bench = (builders.listen if passive else builders.closed)(iss, irs)
    if passive:
        bench.arrives(SYN, 0, options=Options(mss=MSS, timestamps=(7, 0)))
    else:
        bench.open()
    bench.advance(1.5)
    syns = bench.take()
    assert len(syns) == 2
    options = Options(mss=MSS, timestamps=(8, (syns[nth].options.timestamps or (0, 0))[0]))
    bench.arrives(*((ACK, 1, 1) if passive else (SYN | ACK, 0, 1)), options=options)
    assert bench.state is State.ESTABLISHED
    assert bench.tcp.status(bench.now).srtt == (None if srtt is None else pytest.approx(srtt))


@pytest.mark.rfc("9293", "3.4", "SND.NXT")
def test_snd_nxt_never_goes_back_not_in_acknowledgments(iss: int, irs: int) -> None:
    bench = established(iss, irs)
    bench.send(bytes(3 * MSS))
    bench.advance(1.1)
    bench.take()
    bench.arrives(ACK, 1, 1, b"peer")
    assert bench.sent() == [f"<SEQ={1 + 3 * MSS}><ACK=5><CTL=ACK>"]


@pytest.mark.rfc("9293", "3.4", "SND.NXT")
def test_snd_nxt_never_goes_back_not_in_the_reset_either(iss: int, irs: int) -> None:
    bench = established(iss, irs)
    bench.send(bytes(3 * MSS))
    bench.advance(1.1)
    bench.take()
    bench.abort()
    assert bench.sent() == [f"<SEQ={1 + 3 * MSS}><CTL=RST>"]


def test_an_ack_of_everything_after_a_timeout_is_taken_and_nothing_is_sent_again(iss: int, irs: int) -> None:
    bench = established(iss, irs)
    bench.send(bytes(4 * MSS))
    bench.advance(1.1)
    bench.take()
    bench.arrives(ACK, 1, 1 + 4 * MSS)
    bench.advance(100.0)
    assert (bench.take(), bench.tcp.all_acked) == ([], True)


@pytest.mark.rfc("9293", "3.7.4")
def test_small_segments_are_joined_when_repeated(iss: int, irs: int) -> None:
    bench = established(iss, irs, replace(CONFIG, nagle=False))
    for part in (b"one", b"two", b"six"):
        bench.send(part)
    bench.take()
    bench.advance(1.1)
    assert bench.sent() == ["<SEQ=1><ACK=1><CTL=ACK>onetwosix"]


@pytest.mark.rfc("6298", "5", "5.4")
def test_text_and_fin_are_repeated_together(iss: int, irs: int) -> None:
    bench = established(iss, irs)
    bench.send(b"last")
    bench.close()
    bench.take()
    bench.advance(1.1)
    assert bench.sent() == ["<SEQ=1><ACK=1><CTL=FIN,ACK>last"]


@pytest.mark.rfc("9293", "3.8.1")
def test_a_repeated_segment_acknowledges_what_has_arrived_meanwhile(iss: int, irs: int) -> None:
    bench = established(iss, irs)
    bench.send(b"text")
    bench.arrives(ACK, 1, 1, b"peer")
    bench.take()
    bench.advance(1.1)
    assert bench.sent() == ["<SEQ=1><ACK=5><CTL=ACK>text"]


def test_a_reset_ends_all_repeating(iss: int, irs: int) -> None:
    bench = established(iss, irs)
    bench.send(b"text")
    bench.arrives(RST, 1)
    bench.take()
    bench.advance(1000.0)
    assert bench.take() == []
