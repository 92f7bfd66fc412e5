"""CLOSE-WAIT: the peer has closed, the user not yet (RFC 9293, 3.10)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.tcp.builders import CONFIG, MSS, WINDOW, Bench, close_wait, established
from usertcp.errors import (
    ConnectionAborted,
    ConnectionAlreadyExists,
    ConnectionClosing,
    ConnectionReset,
    ConnectionTimedOut,
)
from usertcp.tcp.segment import ACK, FIN, PSH, RST, SYN, URG
from usertcp.tcp.state import State

UNCHANGED = "<SEQ=1><ACK=2><CTL=ACK>"


@pytest.fixture
def bench(iss: int, irs: int) -> Bench:
    return close_wait(iss, irs)


# Calls


@pytest.mark.rfc("9293", "3.10.1")
def test_open_says_that_the_connection_already_exists(bench: Bench) -> None:
    with pytest.raises(ConnectionAlreadyExists):
        bench.open()


@pytest.mark.rfc("9293", "3.10.2")
@pytest.mark.rfc("9293", "3.6")
def test_send_goes_on_for_as_long_as_the_user_likes(bench: Bench) -> None:
    sent = 0
    for _ in range(50):
        bench.advance(1000)
        bench.send(bytes(MSS))
        sent += sum(len(seg.data) for seg in bench.take())
        bench.arrives(ACK, 2, 1 + sent)
    assert (bench.state, sent) == (State.CLOSE_WAIT, 50 * MSS)


@pytest.mark.rfc("9293", "3.10.2")
def test_text_carries_the_acknowledgment_of_the_fin(bench: Bench) -> None:
    bench.send(b"text")
    assert bench.sent() == ["<SEQ=1><ACK=2><CTL=ACK>text"]


@pytest.mark.rfc("9293", "3.10.3")
def test_receive_gives_what_is_at_hand_and_then_the_end(iss: int, irs: int) -> None:
    bench = established(iss, irs)
    bench.arrives(FIN | ACK, 1, 1, b"text")
    assert not bench.tcp.at_eof
    assert [bench.receive(3), bench.receive(3)] == [b"tex", b"t"]
    assert bench.tcp.at_eof
    assert bench.receive() == b""


@pytest.mark.rfc("9293", "3.10.4")
def test_close_sends_a_fin_and_leads_to_last_ack(bench: Bench) -> None:
    bench.close()
    assert (bench.state, bench.sent()) == (State.LAST_ACK, ["<SEQ=1><ACK=2><CTL=FIN,ACK>"])


@pytest.mark.rfc("9293", "3.10.4")
def test_close_waits_with_the_fin_until_all_text_is_sent(bench: Bench) -> None:
    bench.send(bytes(WINDOW + 500))
    bench.take()
    bench.close()
    assert bench.sent() == []
    with pytest.raises(ConnectionClosing):
        bench.send(b"more")
    bench.arrives(ACK, 2, 1 + WINDOW)
    [last] = bench.take()
    assert (bench.state, last.flags & FIN, len(last.data)) == (State.LAST_ACK, FIN, 500)
    bench.arrives(ACK, 2, 1 + WINDOW + 501)
    assert bench.state is State.CLOSED


@pytest.mark.rfc("9293", "3.10.5")
def test_abort_sends_a_reset(bench: Bench) -> None:
    bench.send(b"text")
    bench.take()
    bench.abort()
    assert (bench.state, bench.sent()) == (State.CLOSED, ["<SEQ=5><CTL=RST>"])
    with pytest.raises(ConnectionAborted):
        bench.send(b"more")


@pytest.mark.rfc("9293", "3.10.6")
def test_status_says_close_wait(bench: Bench) -> None:
    assert bench.tcp.status(bench.now).state is State.CLOSE_WAIT


# First, sequence number


@pytest.mark.rfc("9293", "3.10.7.4", "first")
@pytest.mark.parametrize("seq", [-100, 0, 4001, 9999])
@pytest.mark.parametrize("flags", [ACK, PSH | ACK, SYN | ACK])
def test_a_segment_outside_the_window_is_acknowledged_and_dropped(bench: Bench, seq: int, flags: int) -> None:
    bench.arrives(flags, seq, 1)
    assert (bench.state, bench.sent()) == (State.CLOSE_WAIT, [UNCHANGED])


@pytest.mark.rfc("9293", "3.10.7.4", "first")
@pytest.mark.rfc("9293", "3.10.7.4", "eighth")
def test_the_fin_again_is_acknowledged_again(bench: Bench) -> None:
    bench.arrives(FIN | ACK, 1, 1)
    assert (bench.state, bench.sent()) == (State.CLOSE_WAIT, [UNCHANGED])


# Second, RST


@pytest.mark.rfc("9293", "3.10.7.4", "second")
def test_a_reset_at_rcv_nxt_ends_the_connection(bench: Bench) -> None:
    bench.arrives(RST, 2)
    assert (bench.state, bench.sent()) == (State.CLOSED, [])
    with pytest.raises(ConnectionReset):
        bench.send(b"text")
    with pytest.raises(ConnectionReset):
        bench.receive()


@pytest.mark.rfc("5961", "3.2")
@pytest.mark.parametrize(("seq", "answer"), [(1, []), (3, [UNCHANGED]), (4000, [UNCHANGED]), (4001, [])])
def test_a_reset_elsewhere_is_challenged_in_the_window_and_dropped_outside(
    bench: Bench, seq: int, answer: list[str]
) -> None:
    bench.arrives(RST | ACK, seq, 1)
    assert (bench.state, bench.sent()) == (State.CLOSE_WAIT, answer)


# Fourth, SYN


@pytest.mark.rfc("5961", "4.2")
@pytest.mark.parametrize("seq", [-100, 0, 1, 2, 4000, 4001])
def test_a_syn_is_challenged(bench: Bench, seq: int) -> None:
    bench.arrives(SYN, seq)
    assert (bench.state, bench.sent()) == (State.CLOSE_WAIT, [UNCHANGED])


# Fifth, ACK


@pytest.mark.rfc("9293", "3.10.7.4", "fifth")
@pytest.mark.parametrize("flags", [0, FIN, PSH])
def test_a_segment_without_ack_is_dropped(bench: Bench, flags: int) -> None:
    bench.send(b"text")
    bench.take()
    bench.arrives(flags, 2)
    assert (bench.state, bench.sent(), bench.tcp.all_acked) == (State.CLOSE_WAIT, [], False)


@pytest.mark.rfc("9293", "3.10.7.4", "fifth")
def test_acknowledgments_and_windows_are_taken_as_in_established(bench: Bench) -> None:
    bench.send(b"text")
    bench.take()
    bench.arrives(ACK, 2, 5, wnd=77)
    assert (bench.sent(), bench.tcp.all_acked) == ([], True)
    assert bench.tcp.status(bench.now).snd_wnd == 77
    bench.arrives(ACK, 2, 6)
    assert bench.sent() == ["<SEQ=5><ACK=2><CTL=ACK>"]


# Sixth to eighth


@pytest.mark.rfc("9293", "3.10.7.4", "seventh")
@pytest.mark.parametrize("flags", [ACK, PSH | ACK, URG | ACK, FIN | ACK])
def test_what_a_peer_sends_after_its_fin_is_ignored(bench: Bench, flags: int) -> None:
    bench.arrives(flags, 2, 1, b"text", up=4)
    assert (bench.state, bench.receive(), bench.tcp.at_eof) == (State.CLOSE_WAIT, b"", True)
    assert bench.tcp.status(bench.now).rcv_nxt == (bench.irs + 2) % 2**32


# Timeouts


@pytest.mark.rfc("9293", "3.10.8")
def test_lost_text_is_sent_again(bench: Bench) -> None:
    bench.send(b"text")
    bench.take()
    bench.advance(1.5)
    assert bench.sent() == ["<SEQ=1><ACK=2><CTL=ACK>text"]


@pytest.mark.rfc("9293", "3.10.8")
def test_a_peer_that_never_acknowledges_is_given_up(iss: int, irs: int) -> None:
    bench = close_wait(iss, irs, replace(CONFIG, user_timeout=20.0))
    bench.advance(1000)
    bench.send(b"text")
    bench.advance(19.9)
    assert bench.state is State.CLOSE_WAIT
    bench.advance(0.1)
    assert bench.state is State.CLOSED
    with pytest.raises(ConnectionTimedOut):
        bench.send(b"more")


def test_the_user_may_take_as_long_as_it_likes(bench: Bench) -> None:
    bench.advance(10 * 365 * 86400.0)
    assert (bench.state, bench.sent()) == (State.CLOSE_WAIT, [])
