"""SYN-RECEIVED: both have sent a SYN, ours is not yet acknowledged (RFC 9293, 3.10.7.4)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.tcp.builders import CONFIG, MSS, Bench, syn_received, syn_received_active, syn_sent
from usertcp.errors import (
    ConnectionAborted,
    ConnectionAlreadyExists,
    ConnectionClosing,
    ConnectionRefused,
    ConnectionTimedOut,
)
from usertcp.tcp.config import Config
from usertcp.tcp.options import Options
from usertcp.tcp.segment import ACK, FIN, PSH, RST, SYN
from usertcp.tcp.state import State

Build = Callable[[int, int, Config], Bench]


@pytest.fixture(params=[syn_received, syn_received_active], ids=["passive", "active"])
def build(request: pytest.FixtureRequest) -> Build:
    builder: Build = request.param
    return builder


@pytest.fixture
def bench(iss: int, irs: int, build: Build) -> Bench:
    return build(iss, irs, CONFIG)


# Calls


@pytest.mark.rfc("9293", "3.10.1")
def test_open_says_that_the_connection_already_exists(bench: Bench) -> None:
    with pytest.raises(ConnectionAlreadyExists):
        bench.open()


@pytest.mark.rfc("9293", "3.10.2")
def test_text_is_queued_until_established(bench: Bench) -> None:
    assert bench.send(b"text") == 4
    assert bench.sent() == []
    bench.arrives(ACK, 1, 1)
    assert bench.sent() == ["<SEQ=1><ACK=1><CTL=ACK>text"]


@pytest.mark.rfc("9293", "3.10.3")
def test_receive_waits(bench: Bench) -> None:
    assert (bench.receive(), bench.tcp.readable, bench.tcp.at_eof) == (b"", False, False)


@pytest.mark.rfc("9293", "3.10.4")
def test_close_with_nothing_to_send_sends_fin(bench: Bench) -> None:
    bench.close()
    assert (bench.state, bench.sent()) == (State.FIN_WAIT_1, ["<SEQ=1><ACK=1><CTL=FIN,ACK>"])
    with pytest.raises(ConnectionClosing):
        bench.send(b"text")
    bench.arrives(ACK, 1, 2)
    assert (bench.state, bench.sent()) == (State.FIN_WAIT_2, [])


@pytest.mark.rfc("9293", "3.10.4")
def test_after_such_a_close_the_syn_can_still_be_acknowledged_alone(bench: Bench) -> None:
    bench.close()
    bench.take()
    bench.arrives(ACK, 1, 1)
    assert (bench.state, bench.sent()) == (State.FIN_WAIT_1, [])
    bench.arrives(ACK, 1, 2)
    assert bench.state is State.FIN_WAIT_2


@pytest.mark.rfc("9293", "3.10.4")
def test_close_after_text_is_queued_until_established(bench: Bench) -> None:
    bench.send(b"text")
    bench.close()
    assert (bench.state, bench.sent()) == (State.SYN_RECEIVED, [])
    with pytest.raises(ConnectionClosing):
        bench.send(b"more")
    bench.arrives(ACK, 1, 1)
    assert (bench.state, bench.sent()) == (State.FIN_WAIT_1, ["<SEQ=1><ACK=1><CTL=FIN,ACK>text"])


@pytest.mark.rfc("9293", "3.10.5")
def test_abort_sends_a_reset_and_flushes_everything(bench: Bench) -> None:
    bench.send(b"text")
    bench.abort()
    assert (bench.state, bench.sent()) == (State.CLOSED, ["<SEQ=1><CTL=RST>"])
    with pytest.raises(ConnectionAborted):
        bench.receive()
    bench.advance(1000)
    assert bench.sent() == []


@pytest.mark.rfc("9293", "3.10.6")
def test_status_says_syn_received(bench: Bench) -> None:
    assert bench.tcp.status(bench.now).state is State.SYN_RECEIVED


# First, sequence number


@pytest.mark.rfc("9293", "3.10.7.4", "first")
@pytest.mark.parametrize("seq", [-1000, -1, 4001, 5000])
def test_a_segment_outside_the_window_is_acknowledged_and_dropped(bench: Bench, seq: int) -> None:
    bench.arrives(ACK, seq, 1, b"x")
    assert (bench.state, bench.sent(), bench.receive()) == (State.SYN_RECEIVED, ["<SEQ=1><ACK=1><CTL=ACK>"], b"")


@pytest.mark.rfc("9293", "3.10.7.4", "first")
@pytest.mark.parametrize("flags", [SYN, SYN | FIN, SYN | PSH])
@pytest.mark.parametrize("data", [b"", b"text"])
def test_the_same_syn_again_is_answered_by_the_same_syn_ack(bench: Bench, flags: int, data: bytes) -> None:
    """It says that our SYN,ACK was lost; an ACK without SYN would tell a peer in SYN-SENT nothing."""
    bench.arrives(flags, 0, None, data)
    assert (bench.state, bench.sent()) == (State.SYN_RECEIVED, ["<SEQ=0><ACK=1><CTL=SYN,ACK>"])


@pytest.mark.rfc("9293", "3.5", "Figure 7")
@pytest.mark.rfc("9293", "3.5", "MUST-10")
def test_in_a_simultaneous_open_the_syn_ack_of_the_peer_establishes(iss: int, irs: int) -> None:
    bench = syn_received_active(iss, irs)
    bench.arrives(SYN | ACK, 0, 1)
    assert bench.state is State.ESTABLISHED


@pytest.mark.rfc("9293", "3.5", "Figure 7")
@pytest.mark.rfc("9293", "3.5", "MUST-10")
def test_two_of_us_can_open_simultaneously_and_talk(iss: int, irs: int) -> None:
    a, b = syn_sent(iss, irs), syn_sent(irs, iss)
    a.arrives(SYN, 0, options=Options(mss=MSS))
    b.arrives(SYN, 0, options=Options(mss=MSS))
    for _ in range(4):
        for one, other in ((a, b), (b, a)):
            other.deliver(*one.take())
    assert (a.state, b.state) == (State.ESTABLISHED, State.ESTABLISHED)
    assert a.take() == b.take() == []


# Second, RST


@pytest.mark.rfc("9293", "3.10.7.4", "second")
@pytest.mark.rfc("9293", "3.5", "MUST-11")
def test_a_reset_returns_a_passive_open_to_listen_without_telling_the_user(iss: int, irs: int) -> None:
    bench = syn_received(iss, irs)
    bench.arrives(RST, 1)
    assert (bench.state, bench.sent(), bench.tcp.error) == (State.LISTEN, [], None)
    bench.advance(1000)
    assert bench.sent() == []


@pytest.mark.rfc("9293", "3.10.7.4", "second")
@pytest.mark.rfc("9293", "3.5", "MUST-11")
def test_a_reset_refuses_an_active_open(iss: int, irs: int) -> None:
    bench = syn_received_active(iss, irs)
    bench.arrives(RST, 1)
    assert (bench.state, bench.sent()) == (State.CLOSED, [])
    with pytest.raises(ConnectionRefused):
        bench.receive()
    bench.advance(1000)
    assert bench.sent() == []


@pytest.mark.rfc("5961", "3.2")
@pytest.mark.parametrize("seq", [2, 100, 4000])
def test_a_reset_elsewhere_in_the_window_is_challenged(bench: Bench, seq: int) -> None:
    bench.arrives(RST, seq)
    assert (bench.state, bench.sent()) == (State.SYN_RECEIVED, ["<SEQ=1><ACK=1><CTL=ACK>"])


@pytest.mark.rfc("9293", "3.10.7.4", "second")
@pytest.mark.parametrize("seq", [-1, 0, 4001])
def test_a_reset_outside_the_window_is_silently_dropped(bench: Bench, seq: int) -> None:
    bench.arrives(RST | ACK, seq, 1)
    assert (bench.state, bench.sent()) == (State.SYN_RECEIVED, [])


# Fourth, SYN


@pytest.mark.rfc("9293", "3.10.7.4", "fourth")
@pytest.mark.parametrize("seq", [1, 50, 4000])
def test_another_syn_in_the_window_returns_a_passive_open_to_listen(iss: int, irs: int, seq: int) -> None:
    bench = syn_received(iss, irs)
    bench.arrives(SYN, seq)
    assert (bench.state, bench.sent(), bench.tcp.error) == (State.LISTEN, [], None)


@pytest.mark.rfc("5961", "4.2")
@pytest.mark.parametrize("seq", [-500, 1, 50, 4000, 4001])
def test_another_syn_challenges_the_peer_of_an_active_open(iss: int, irs: int, seq: int) -> None:
    bench = syn_received_active(iss, irs)
    bench.arrives(SYN, seq)
    assert (bench.state, bench.sent()) == (State.SYN_RECEIVED, ["<SEQ=1><ACK=1><CTL=ACK>"])


# Fifth, ACK


@pytest.mark.rfc("9293", "3.10.7.4", "fifth")
@pytest.mark.parametrize("flags", [0, FIN, PSH])
def test_a_segment_without_ack_is_dropped(bench: Bench, flags: int) -> None:
    bench.arrives(flags, 1, None, b"text")
    assert (bench.state, bench.sent(), bench.receive()) == (State.SYN_RECEIVED, [], b"")


@pytest.mark.rfc("9293", "3.10.7.4", "fifth")
def test_ack_of_our_syn_establishes_the_connection_and_sets_the_send_window(bench: Bench) -> None:
    bench.arrives(ACK, 1, 1, wnd=1234)
    assert (bench.state, bench.sent()) == (State.ESTABLISHED, [])
    assert bench.tcp.status(bench.now).snd_wnd == 1234
    bench.advance(1000)
    assert bench.sent() == []


@pytest.mark.rfc("9293", "3.10.7.4", "fifth")
@pytest.mark.rfc("9293", "3.5.2", "group 2")
@pytest.mark.parametrize("ack", [-6000, -1, 0, 2, 2**31 - 1])
def test_any_other_ack_is_answered_by_a_reset_and_changes_nothing(bench: Bench, ack: int) -> None:
    bench.arrives(ACK, 1, ack, b"text")
    assert (bench.state, bench.sent(), bench.receive()) == (State.SYN_RECEIVED, [f"<SEQ={ack}><CTL=RST>"], b"")
    bench.arrives(ACK, 1, 1)
    assert bench.state is State.ESTABLISHED


# Seventh and eighth, with the ACK of our SYN


@pytest.mark.rfc("9293", "3.10.7.4", "seventh")
def test_text_with_the_ack_of_our_syn_is_taken(bench: Bench) -> None:
    bench.arrives(ACK, 1, 1, b"text")
    assert (bench.state, bench.sent()) == (State.ESTABLISHED, ["<SEQ=1><ACK=5><CTL=ACK>"])
    assert bench.receive() == b"text"


@pytest.mark.rfc("9293", "3.10.7.4", "SHLD-31")
def test_text_that_overtook_the_ack_of_our_syn_acknowledges_it_too(bench: Bench) -> None:
    bench.arrives(ACK, 5, 1, b"more")
    assert (bench.state, bench.sent()) == (State.ESTABLISHED, ["<SEQ=1><ACK=1><CTL=ACK>"])
    bench.arrives(ACK, 1, 1, b"text")
    assert (bench.sent(), bench.receive()) == (["<SEQ=1><ACK=9><CTL=ACK>"], b"textmore")


@pytest.mark.rfc("9293", "3.10.7.4", "eighth")
def test_fin_with_the_ack_of_our_syn_leads_to_close_wait(bench: Bench) -> None:
    bench.arrives(FIN | ACK, 1, 1, b"text")
    assert (bench.state, bench.sent()) == (State.CLOSE_WAIT, ["<SEQ=1><ACK=6><CTL=ACK>"])
    assert (bench.receive(), bench.tcp.at_eof) == (b"text", True)


# Timeouts


@pytest.mark.rfc("9293", "3.10.8")
@pytest.mark.rfc("6298", "5")
def test_syn_ack_is_sent_again_ever_more_slowly(bench: Bench) -> None:
    times = []
    for second in range(1, 16):
        bench.advance(1)
        times += [second] * len(sent := bench.sent())
        assert set(sent) <= {"<SEQ=0><ACK=1><CTL=SYN,ACK>"}
    assert times == [1, 3, 7, 15]


@pytest.mark.rfc("9293", "3.10.8")
def test_the_connection_is_given_up_when_the_user_timeout_expires(iss: int, irs: int, build: Build) -> None:
    bench = build(iss, irs, replace(CONFIG, user_timeout=10.0))
    bench.advance(9.9)
    assert bench.state is State.SYN_RECEIVED
    bench.advance(0.1)
    assert bench.state is State.CLOSED
    assert isinstance(bench.tcp.error, ConnectionTimedOut)


@pytest.mark.rfc("6298", "5.7")
def test_a_syn_ack_that_was_sent_twice_leaves_3_seconds_and_one_segment(bench: Bench) -> None:
    bench.advance(1.5)
    bench.arrives(ACK, 1, 1)
    status = bench.tcp.status(bench.now)
    assert (status.srtt, status.rto, status.cwnd) == (None, 3.0, MSS)
