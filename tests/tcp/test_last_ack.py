"""LAST-ACK: both have closed, the peer first; our FIN is not yet acknowledged (RFC 9293, 3.10)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.tcp.builders import CONFIG, Bench, close_wait, last_ack
from usertcp.errors import ConnectionAlreadyExists, ConnectionClosing, ConnectionReset, ConnectionTimedOut
from usertcp.tcp.segment import ACK, FIN, PSH, RST, SYN, URG
from usertcp.tcp.state import State

UNCHANGED = "<SEQ=2><ACK=2><CTL=ACK>"


@pytest.fixture
def bench(iss: int, irs: int) -> Bench:
    return last_ack(iss, irs)


def with_text(iss: int, irs: int) -> Bench:
    """Ten octets of ours are in flight, the FIN, at 11, with them."""
    bench = close_wait(iss, irs)
    bench.send(b"0123456789")
    bench.close()
    bench.take()
    assert bench.state is State.LAST_ACK
    return bench


# Calls


@pytest.mark.rfc("9293", "3.10.1")
def test_open_says_that_the_connection_already_exists(bench: Bench) -> None:
    with pytest.raises(ConnectionAlreadyExists):
        bench.open()


@pytest.mark.rfc("9293", "3.10.2")
def test_send_says_that_the_connection_is_closing(bench: Bench) -> None:
    with pytest.raises(ConnectionClosing):
        bench.send(b"text")


@pytest.mark.rfc("9293", "3.10.3")
def test_receive_says_that_there_is_no_more(bench: Bench) -> None:
    assert (bench.receive(), bench.tcp.at_eof) == (b"", True)


@pytest.mark.rfc("9293", "3.10.4")
def test_close_again_changes_nothing(bench: Bench) -> None:
    bench.close()
    assert (bench.state, bench.sent()) == (State.LAST_ACK, [])


@pytest.mark.rfc("9293", "3.10.5")
def test_abort_deletes_the_tcb_and_sends_nothing(bench: Bench) -> None:
    bench.abort()
    assert (bench.state, bench.sent()) == (State.CLOSED, [])
    bench.advance(1000)
    assert bench.sent() == []


@pytest.mark.rfc("9293", "3.10.6")
def test_status_says_last_ack(bench: Bench) -> None:
    assert bench.tcp.status(bench.now).state is State.LAST_ACK


# First, sequence number


@pytest.mark.rfc("9293", "3.10.7.4", "first")
@pytest.mark.parametrize("seq", [-100, 0, 4001, 9999])
@pytest.mark.parametrize("flags", [ACK, PSH | ACK, SYN | ACK])
def test_a_segment_outside_the_window_is_acknowledged_and_dropped(bench: Bench, seq: int, flags: int) -> None:
    bench.arrives(flags, seq, 2)
    assert (bench.state, bench.sent()) == (State.LAST_ACK, [UNCHANGED])


@pytest.mark.rfc("9293", "3.10.7.4", "eighth")
def test_the_fin_again_is_acknowledged_again(bench: Bench) -> None:
    bench.arrives(FIN | ACK, 1, 1)
    assert (bench.state, bench.sent()) == (State.LAST_ACK, [UNCHANGED])


# Second, RST


@pytest.mark.rfc("9293", "3.10.7.4", "second")
def test_a_reset_ends_the_connection_and_no_one_is_told(bench: Bench) -> None:
    bench.arrives(RST, 2)
    assert (bench.state, bench.sent(), bench.tcp.error) == (State.CLOSED, [], None)
    bench.advance(1000)
    assert bench.sent() == []


@pytest.mark.rfc("9293", "3.6", "MUST-12")
def test_a_reset_before_all_text_is_acknowledged_is_told(iss: int, irs: int) -> None:
    bench = with_text(iss, irs)
    bench.arrives(RST, 2)
    assert bench.state is State.CLOSED
    assert isinstance(bench.tcp.error, ConnectionReset)


@pytest.mark.rfc("5961", "3.2")
@pytest.mark.parametrize(("seq", "answer"), [(1, []), (3, [UNCHANGED]), (4000, [UNCHANGED]), (4001, [])])
def test_a_reset_elsewhere_is_challenged_in_the_window_and_dropped_outside(
    bench: Bench, seq: int, answer: list[str]
) -> None:
    bench.arrives(RST | ACK, seq, 2)
    assert (bench.state, bench.sent()) == (State.LAST_ACK, answer)


# Fourth, SYN


@pytest.mark.rfc("5961", "4.2")
@pytest.mark.parametrize("seq", [-100, 0, 1, 2, 4000, 4001])
def test_a_syn_is_challenged(bench: Bench, seq: int) -> None:
    bench.arrives(SYN, seq)
    assert (bench.state, bench.sent()) == (State.LAST_ACK, [UNCHANGED])


# Fifth, ACK


@pytest.mark.rfc("9293", "3.10.7.4", "fifth")
@pytest.mark.parametrize("flags", [0, FIN, PSH])
def test_a_segment_without_ack_is_dropped(bench: Bench, flags: int) -> None:
    bench.arrives(flags, 2)
    assert (bench.state, bench.sent()) == (State.LAST_ACK, [])


@pytest.mark.rfc("9293", "3.10.7.4", "fifth")
@pytest.mark.rfc("9293", "3.6", "MUST-12")
@pytest.mark.parametrize("flags", [ACK, PSH | ACK, FIN | ACK])
def test_ack_of_our_fin_ends_the_connection_normally(bench: Bench, flags: int) -> None:
    bench.arrives(flags, 2, 2, b"text")
    assert (bench.state, bench.sent(), bench.tcp.error) == (State.CLOSED, [], None)
    assert bench.tcp.all_acked
    bench.advance(1000)
    assert bench.sent() == []


@pytest.mark.rfc("9293", "3.10.7.4", "fifth")
@pytest.mark.parametrize("ack", [1, 5, 11])
def test_ack_of_text_before_our_fin_does_not(iss: int, irs: int, ack: int) -> None:
    bench = with_text(iss, irs)
    bench.arrives(ACK, 2, ack)
    assert (bench.state, bench.sent()) == (State.LAST_ACK, [])
    bench.arrives(ACK, 2, 12)
    assert bench.state is State.CLOSED


@pytest.mark.rfc("9293", "3.10.7.4", "fifth")
def test_ack_of_what_was_never_sent_is_answered_by_an_ack(bench: Bench) -> None:
    bench.arrives(ACK, 2, 3)
    assert (bench.state, bench.sent()) == (State.LAST_ACK, [UNCHANGED])


# Sixth to eighth


@pytest.mark.rfc("9293", "3.10.7.4", "seventh")
@pytest.mark.parametrize("flags", [ACK, PSH | ACK, URG | ACK, FIN | ACK])
def test_what_a_peer_sends_after_its_fin_is_ignored(bench: Bench, flags: int) -> None:
    bench.arrives(flags, 2, 1, b"text", up=4)
    assert (bench.state, bench.receive(), bench.tcp.at_eof) == (State.LAST_ACK, b"", True)
    assert bench.tcp.status(bench.now).rcv_nxt == (bench.irs + 2) % 2**32


# Timeouts


@pytest.mark.rfc("9293", "3.10.8")
def test_our_fin_is_sent_again_ever_more_slowly(bench: Bench) -> None:
    times = []
    for second in range(1, 32):
        bench.advance(1)
        times += [second] * len(sent := bench.sent())
        assert set(sent) <= {"<SEQ=1><ACK=2><CTL=FIN,ACK>"}
    assert times == [1, 3, 7, 15, 31]


@pytest.mark.rfc("9293", "3.10.8")
def test_a_peer_that_never_acknowledges_is_given_up(iss: int, irs: int) -> None:
    bench = last_ack(iss, irs, replace(CONFIG, user_timeout=20.0))
    bench.advance(19.9)
    assert bench.state is State.LAST_ACK
    bench.take()
    bench.advance(0.1)
    assert (bench.state, bench.sent()) == (State.CLOSED, [])
    assert isinstance(bench.tcp.error, ConnectionTimedOut)
