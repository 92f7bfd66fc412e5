"""A closed window, the peer's and ours (RFC 9293, 3.8.6.1 and 3.10.7.4)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.tcp.builders import CONFIG, MSS, Bench, established
from tests.tcp.pairs import shaken, spans
from usertcp.errors import ConnectionReset, ConnectionTimedOut
from usertcp.tcp.segment import ACK, FIN, RST, URG
from usertcp.tcp.state import State


def shut_out(iss: int, irs: int) -> Bench:
    """The peer's window is closed, and the user has sent text."""
    bench = established(iss, irs)
    bench.arrives(ACK, 1, 1, wnd=0)
    bench.send(bytes(3000))
    assert bench.take() == []
    return bench


def shut(iss: int, irs: int) -> Bench:
    """Our window is closed: the user has not read 4000 octets."""
    bench = established(iss, irs)
    for n in range(4):
        bench.arrives(ACK, 1 + n * MSS, 1, bytes(MSS))
    assert bench.take()[-1].wnd == 0
    return bench


# The peer's


@pytest.mark.rfc("9293", "3.8.6.1", "MUST-36")
@pytest.mark.rfc("9293", "3.8.6.1", "SHLD-29")
def test_the_first_probe_goes_out_after_one_timeout_with_one_octet(iss: int, irs: int) -> None:
    bench = shut_out(iss, irs)
    bench.advance(0.99)
    assert bench.take() == []
    bench.advance(0.02)
    assert spans(bench) == [(1, 1)]


@pytest.mark.rfc("9293", "3.8.6.2.1", "MUST-38")
def test_a_window_that_opens_a_little_after_a_probe_is_not_filled_at_once(iss: int, irs: int) -> None:
    """The octet of the probe is to be sent again, but no silly segment with it."""
    bench = shut_out(iss, irs)
    bench.advance(1.01)
    assert spans(bench) == [(1, 1)]
    bench.arrives(ACK, 1, 1, wnd=50)
    assert spans(bench) == []
    bench.advance(0.51)
    assert spans(bench) == [(1, 50)]
    bench.arrives(ACK, 1, 51, wnd=MSS)
    assert spans(bench) == [(51, MSS)]


@pytest.mark.rfc("9293", "3.8.6.1", "SHLD-29")
def test_so_it_does_when_a_narrow_window_closes(iss: int, irs: int) -> None:
    bench = established(iss, irs)
    bench.arrives(ACK, 1, 1, wnd=10)
    bench.send(bytes(500))
    bench.advance(0.3)
    bench.arrives(ACK, 1, 1, wnd=0)
    bench.advance(0.99)
    assert bench.take() == []
    bench.advance(0.02)
    assert spans(bench) == [(1, 1)]


@pytest.mark.rfc("9293", "3.8.6.1", "SHLD-30")
def test_probes_come_at_doubled_intervals_and_repeat_the_same_octet(iss: int, irs: int) -> None:
    bench = shut_out(iss, irs)
    begin, times = bench.now, []
    while bench.now < begin + 200:
        bench.advance(max(bench.tcp.deadline - bench.now, 0.0))
        if sent := spans(bench):
            assert sent == [(1, 1)]
            times.append(round(bench.now - begin))
            bench.arrives(ACK, 1, 1, wnd=0)
    assert times == [1, 3, 7, 15, 31, 63, 123, 183, 243]


@pytest.mark.rfc("9293", "3.8.6.1", "MUST-37")
def test_as_long_as_probes_are_answered_the_connection_stays_open(iss: int, irs: int) -> None:
    bench = shut_out(iss, irs)
    for _ in range(500):
        bench.advance(max(bench.tcp.deadline - bench.now, 0.0))
        if bench.take():
            bench.arrives(ACK, 1, 1, wnd=0)
    assert bench.now > 10_000
    assert (bench.state, bench.tcp.error) == (State.ESTABLISHED, None)


@pytest.mark.rfc("9293", "3.8.3", "SHLD-11")
def test_when_they_are_not_it_is_given_up_after_r2(iss: int, irs: int) -> None:
    bench = shut_out(iss, irs)
    bench.advance(101.0)
    assert isinstance(bench.tcp.error, ConnectionTimedOut)


@pytest.mark.rfc("9293", "3.8.6", "MUST-35")
def test_when_the_window_opens_text_flows_at_once_from_where_it_stopped(iss: int, irs: int) -> None:
    bench = shut_out(iss, irs)
    bench.advance(3.5)
    bench.take()
    bench.arrives(ACK, 1, 1, wnd=5000)
    assert spans(bench) == [(1, MSS), (1 + MSS, MSS), (1 + 2 * MSS, MSS)]


@pytest.mark.rfc("9293", "3.8.6", "MUST-35")
def test_a_probe_that_the_peer_takes_moves_on(iss: int, irs: int) -> None:
    bench = shut_out(iss, irs)
    bench.advance(1.1)
    bench.take()
    bench.arrives(ACK, 1, 2, wnd=0)
    bench.advance(2.1)
    assert spans(bench) == [(2, 1)]


@pytest.mark.rfc("6298", "3")
def test_karn_holds_for_a_probe_that_was_repeated(iss: int, irs: int) -> None:
    bench = shut_out(iss, irs)
    for _ in range(6):
        bench.advance(max(bench.tcp.deadline - bench.now, 0.0))
        bench.arrives(ACK, 1, 1, wnd=0)
    bench.arrives(ACK, 1, 2, wnd=0)
    assert bench.tcp.status(bench.now).rto == 1.0


@pytest.mark.rfc("9293", "3.8.6.1", "MUST-36")
def test_a_window_that_closes_on_text_in_flight_is_probed_and_the_timer_lives(iss: int, irs: int) -> None:
    bench = established(iss, irs)
    bench.send(bytes(3000))
    bench.arrives(ACK, 1, 1001, wnd=0)
    bench.take()
    bench.advance(10.0)
    assert set(spans(bench)) == {(1001, 1)}
    bench.arrives(ACK, 1, 1001, wnd=5000)
    assert spans(bench)[0] == (1001, MSS)


@pytest.mark.rfc("9293", "3.8.6.1", "SHLD-29")
@pytest.mark.rfc("9293", "3.8.6.1", "SHLD-30")
def test_the_first_probe_is_not_later_for_text_being_in_flight_when_the_window_closes(iss: int, irs: int) -> None:
    """The retransmission timer runs then, and may send nothing else when it expires."""
    bench = established(iss, irs)
    bench.send(bytes(3000))
    bench.take()
    begin, times = bench.now, []
    bench.arrives(ACK, 1, 1, wnd=0)
    while len(times) < 4:
        bench.advance(bench.tcp.deadline - bench.now)
        if sent := spans(bench):
            assert sent == [(1, 1)]
            times.append(round(bench.now - begin))
            bench.arrives(ACK, 1, 1, wnd=0)
    assert times == [1, 3, 7, 15]
    bench.arrives(ACK, 1, 1)
    assert spans(bench)[0] == (1, MSS)


@pytest.mark.rfc("9293", "3.8.6.1", "MUST-36")
def test_a_fin_is_probed_into_a_closed_window(iss: int, irs: int) -> None:
    bench = established(iss, irs)
    bench.arrives(ACK, 1, 1, wnd=0)
    bench.close()
    assert bench.take() == []
    bench.advance(1.1)
    assert bench.sent() == ["<SEQ=1><ACK=1><CTL=FIN,ACK>"]
    bench.arrives(ACK, 1, 2, wnd=0)
    assert bench.state is State.FIN_WAIT_2


def test_text_before_the_fin_is_probed_first(iss: int, irs: int) -> None:
    bench = shaken(iss, irs, wnd=0)
    bench.send(b"ab")
    bench.close()
    bench.advance(1.1)
    assert bench.sent() == ["<SEQ=1><ACK=1><CTL=ACK>a"]
    bench.arrives(ACK, 1, 2, wnd=5000)
    assert bench.sent() == ["<SEQ=2><ACK=1><CTL=FIN,ACK>b"]


def test_while_we_probe_our_acknowledgments_stay_where_the_peer_takes_them(iss: int, irs: int) -> None:
    """It has not taken the probe's octet; a SEQ behind it would lie outside its window."""
    bench = shut_out(iss, irs)
    bench.advance(1.1)
    bench.take()
    bench.arrives(ACK, 1, 1, b"text", wnd=0)
    assert bench.sent() == ["<SEQ=1><ACK=5><CTL=ACK>"]


# Ours


@pytest.mark.rfc("9293", "3.4", "zero window")
def test_an_ack_is_processed_while_our_window_is_closed(iss: int, irs: int) -> None:
    bench = shut(iss, irs)
    bench.send(b"text")
    bench.take()
    bench.arrives(ACK, 4001, 5)
    assert bench.tcp.all_acked


@pytest.mark.rfc("9293", "3.4", "zero window")
@pytest.mark.rfc("9293", "3.10.7.4", "first")
def test_the_ack_of_a_probe_is_processed_and_its_octet_is_not_taken(iss: int, irs: int) -> None:
    bench = shut(iss, irs)
    bench.send(b"text")
    bench.take()
    bench.arrives(ACK, 4001, 5, b"p")
    assert bench.tcp.all_acked
    assert bench.sent() == ["<SEQ=5><ACK=4001><CTL=ACK>"]
    assert len(bench.receive(9999)) == 4000


@pytest.mark.rfc("9293", "3.4", "MUST-66")
def test_a_reset_is_processed_while_our_window_is_closed(iss: int, irs: int) -> None:
    bench = shut(iss, irs)
    bench.arrives(RST, 4001)
    assert bench.state is State.CLOSED
    assert isinstance(bench.tcp.error, ConnectionReset)


@pytest.mark.rfc("9293", "3.4", "MUST-66")
@pytest.mark.parametrize("text", [b"", b"text"])
def test_so_is_one_with_urg(iss: int, irs: int, text: bytes) -> None:
    bench = shut(iss, irs)
    bench.send(b"text")
    bench.arrives(ACK | URG, 4001, 5, text, up=10)
    assert bench.tcp.all_acked
    assert bench.tcp.urgent == 4000 + 10


@pytest.mark.rfc("9293", "3.8.6.1", "MAY-8")
@pytest.mark.rfc("9293", "3.8.6.1", "MUST-37")
def test_every_probe_is_answered_however_many_challenges_were_spent(iss: int, irs: int) -> None:
    bench = shut(iss, irs)
    for _ in range(100):
        bench.arrives(RST, 4001 + 100)
        bench.arrives(ACK, 9000, 1)
    bench.take()
    for _ in range(50):
        bench.arrives(ACK, 4001, 1, b"p")
        assert bench.sent() == ["<SEQ=1><ACK=4001><CTL=ACK>"]


@pytest.mark.rfc("9293", "3.8.6.1", "MAY-8")
def test_a_probe_without_text_left_of_the_window_is_answered_too(iss: int, irs: int) -> None:
    """Linux probes so: SEQ is the last octet that we have acknowledged."""
    bench = shut(iss, irs)
    for _ in range(50):
        bench.arrives(ACK, 4000, 1)
        assert bench.sent() == ["<SEQ=1><ACK=4001><CTL=ACK>"]


def test_a_fin_into_our_closed_window_is_not_taken_and_comes_again(iss: int, irs: int) -> None:
    bench = shut(iss, irs)
    bench.arrives(FIN | ACK, 4001, 1)
    assert (bench.state, bench.sent()) == (State.ESTABLISHED, ["<SEQ=1><ACK=4001><CTL=ACK>"])
    bench.receive(4000)
    bench.arrives(FIN | ACK, 4001, 1)
    assert (bench.state, bench.tcp.at_eof) == (State.CLOSE_WAIT, True)


# Both


@pytest.mark.rfc("9293", "3.8.6", "MUST-35")
def test_both_ends_may_probe_and_both_get_on(iss: int, irs: int) -> None:
    bench = shut(iss, irs)
    bench.arrives(ACK, 4001, 1, wnd=0)
    bench.send(bytes(2000))
    bench.advance(1.1)
    assert spans(bench) == [(1, 1)]
    bench.arrives(ACK, 4001, 1, b"p", wnd=0)
    assert bench.sent() == ["<SEQ=1><ACK=4001><CTL=ACK>"]
    bench.receive(4000)
    assert bench.sent() == ["<SEQ=1><ACK=4001><CTL=ACK>"]
    bench.arrives(ACK, 4001, 1, b"p", wnd=5000)
    assert spans(bench)[:2] == [(1, MSS), (1 + MSS, MSS)]


@pytest.mark.rfc("9293", "3.10.7.4", "special allowance")
def test_two_that_have_each_taken_the_others_probe_believe_the_ack(iss: int, irs: int) -> None:
    """The peer does not know that we have its octet, as we do not know that it has ours; so its SEQ is one short."""
    bench = shut(iss, irs)
    bench.arrives(ACK, 4001, 1, wnd=0)
    bench.send(bytes(2000))
    bench.advance(1.1)
    bench.receive(4000)
    bench.arrives(ACK, 4001, 1, b"p", wnd=0)
    bench.take()
    bench.arrives(ACK, 4001, 2, wnd=5000)
    assert spans(bench)[0] == (2, MSS)


def test_a_stale_probe_does_not_follow_an_open_window(iss: int, irs: int) -> None:
    bench = shut_out(iss, irs)
    bench.now = bench.tcp.deadline
    bench.tcp.timeouts(bench.now)
    bench.arrives(ACK, 1, 1, wnd=60_000)
    assert sum(octets for _, octets in spans(bench)) == 3000
    bench.arrives(ACK, 1, 3001, wnd=60_000)
    bench.advance(100.0)
    assert bench.take() == []


@pytest.mark.rfc("9293", "3.8.6.1")
def test_a_user_timeout_bounds_the_wait_for_answers_to_probes(iss: int, irs: int) -> None:
    bench = established(iss, irs, replace(CONFIG, user_timeout=5.0))
    bench.arrives(ACK, 1, 1, wnd=0)
    bench.send(b"text")
    bench.advance(5.1)
    assert isinstance(bench.tcp.error, ConnectionTimedOut)
