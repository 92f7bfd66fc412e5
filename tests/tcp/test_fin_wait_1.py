"""FIN-WAIT-1: our FIN is sent and not yet acknowledged (RFC 9293, 3.10)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.tcp.builders import CONFIG, MSS, Bench, established, fin_wait_1, syn_received_active
from usertcp.errors import (
    ConnectionAborted,
    ConnectionAlreadyExists,
    ConnectionClosing,
    ConnectionReset,
    ConnectionTimedOut,
)
from usertcp.tcp.segment import ACK, FIN, PSH, RST, SYN, URG
from usertcp.tcp.state import State

UNCHANGED = "<SEQ=2><ACK=1><CTL=ACK>"


@pytest.fixture
def bench(iss: int, irs: int) -> Bench:
    return fin_wait_1(iss, irs)


def with_text(iss: int, irs: int) -> Bench:
    """Ten octets of ours are in flight, the FIN, at 11, with them."""
    bench = established(iss, irs)
    bench.send(b"0123456789")
    bench.close()
    assert bench.sent()[-1] == "<SEQ=11><ACK=1><CTL=FIN,ACK>"
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
    assert bench.sent() == []


@pytest.mark.rfc("9293", "3.10.3")
def test_receive_still_works(bench: Bench) -> None:
    assert (bench.receive(), bench.tcp.at_eof) == (b"", False)
    bench.arrives(ACK, 1, 1, b"text")
    assert (bench.receive(), bench.tcp.at_eof) == (b"text", False)


@pytest.mark.rfc("9293", "3.10.4")
def test_a_second_close_sends_no_second_fin(bench: Bench) -> None:
    bench.close()
    assert (bench.state, bench.sent()) == (State.FIN_WAIT_1, [])


@pytest.mark.rfc("9293", "3.10.5")
def test_abort_sends_a_reset(bench: Bench) -> None:
    bench.abort()
    assert (bench.state, bench.sent()) == (State.CLOSED, ["<SEQ=2><CTL=RST>"])
    with pytest.raises(ConnectionAborted):
        bench.receive()
    bench.advance(1000)
    assert bench.sent() == []


@pytest.mark.rfc("9293", "3.10.6")
def test_status_says_fin_wait_1(bench: Bench) -> None:
    assert bench.tcp.status(bench.now).state is State.FIN_WAIT_1


# First, sequence number


@pytest.mark.rfc("9293", "3.10.7.4", "first")
@pytest.mark.parametrize("seq", [-100, 0, 4001, 9999])
@pytest.mark.parametrize("flags", [ACK, PSH | ACK, SYN | ACK])
def test_a_segment_outside_the_window_is_acknowledged_and_dropped(bench: Bench, seq: int, flags: int) -> None:
    bench.arrives(flags, seq, 2)
    assert (bench.state, bench.sent()) == (State.FIN_WAIT_1, [UNCHANGED])


# Second, RST


@pytest.mark.rfc("9293", "3.10.7.4", "second")
def test_a_reset_at_rcv_nxt_ends_the_connection(bench: Bench) -> None:
    bench.arrives(RST, 1)
    assert (bench.state, bench.sent()) == (State.CLOSED, [])
    with pytest.raises(ConnectionReset):
        bench.receive()
    bench.advance(1000)
    assert bench.sent() == []


@pytest.mark.rfc("5961", "3.2")
@pytest.mark.parametrize(("seq", "answer"), [(0, []), (2, [UNCHANGED]), (4000, [UNCHANGED]), (4001, [])])
def test_a_reset_elsewhere_is_challenged_in_the_window_and_dropped_outside(
    bench: Bench, seq: int, answer: list[str]
) -> None:
    bench.arrives(RST | ACK, seq, 2)
    assert (bench.state, bench.sent()) == (State.FIN_WAIT_1, answer)


@pytest.mark.rfc("9293", "3.5", "Figure 7")
def test_a_peer_that_has_not_heard_our_syn_gets_it_again(iss: int, irs: int) -> None:
    """CLOSE came before our SYN was acknowledged. A bare acknowledgment would mean nothing to the peer in SYN-SENT."""
    bench = syn_received_active(iss, irs)
    bench.close()
    assert (bench.state, bench.sent()) == (State.FIN_WAIT_1, ["<SEQ=1><ACK=1><CTL=FIN,ACK>"])
    bench.arrives(SYN, 0)
    assert bench.sent() == ["<SEQ=0><ACK=1><CTL=SYN,ACK>"]
    bench.arrives(ACK, 1, 2)
    assert bench.state is State.FIN_WAIT_2


# Fourth, SYN


@pytest.mark.rfc("5961", "4.2")
@pytest.mark.parametrize("seq", [-100, 0, 1, 2, 4000, 4001])
def test_a_syn_is_challenged(bench: Bench, seq: int) -> None:
    bench.arrives(SYN, seq)
    assert (bench.state, bench.sent()) == (State.FIN_WAIT_1, [UNCHANGED])


# Fifth, ACK


@pytest.mark.rfc("9293", "3.10.7.4", "fifth")
@pytest.mark.parametrize("flags", [0, FIN, PSH])
def test_a_segment_without_ack_is_dropped(bench: Bench, flags: int) -> None:
    bench.arrives(flags, 1, None, b"text")
    assert (bench.state, bench.sent(), bench.receive()) == (State.FIN_WAIT_1, [], b"")


@pytest.mark.rfc("9293", "3.10.7.4", "fifth")
def test_ack_of_our_fin_leads_to_fin_wait_2(bench: Bench) -> None:
    bench.arrives(ACK, 1, 2)
    assert (bench.state, bench.sent()) == (State.FIN_WAIT_2, [])
    assert bench.tcp.all_acked
    bench.advance(1000)
    assert bench.sent() == []


@pytest.mark.rfc("9293", "3.10.7.4", "fifth")
@pytest.mark.parametrize("ack", [1, 5, 11])
def test_ack_of_text_before_our_fin_does_not(iss: int, irs: int, ack: int) -> None:
    bench = with_text(iss, irs)
    bench.arrives(ACK, 1, ack)
    assert (bench.state, bench.tcp.all_acked) == (State.FIN_WAIT_1, False)
    bench.arrives(ACK, 1, 12)
    assert (bench.state, bench.tcp.all_acked) == (State.FIN_WAIT_2, True)


@pytest.mark.rfc("9293", "3.10.7.4", "fifth")
@pytest.mark.parametrize("ack", [3, 2**31 - 1])
def test_ack_of_what_was_never_sent_is_answered_by_an_ack(bench: Bench, ack: int) -> None:
    bench.arrives(ACK, 1, ack, b"text")
    assert (bench.state, bench.sent(), bench.receive()) == (State.FIN_WAIT_1, [UNCHANGED], b"")


# Sixth to seventh, text


@pytest.mark.rfc("9293", "3.10.7.4", "seventh")
@pytest.mark.parametrize("flags", [ACK, PSH | ACK, URG | ACK])
@pytest.mark.parametrize(("ack", "state"), [(1, State.FIN_WAIT_1), (2, State.FIN_WAIT_2)])
def test_text_is_taken_and_acknowledged(bench: Bench, flags: int, ack: int, state: State) -> None:
    bench.arrives(flags, 1, ack, b"text")
    assert (bench.state, bench.sent(), bench.receive()) == (state, ["<SEQ=2><ACK=5><CTL=ACK>"], b"text")


@pytest.mark.rfc("9293", "3.10.7.4", "SHLD-31")
def test_text_beyond_a_hole_is_kept(bench: Bench) -> None:
    bench.arrives(ACK, 3, 1, b"xt")
    bench.arrives(ACK, 1, 2, b"te")
    assert (bench.sent(), bench.receive()) == ([UNCHANGED, "<SEQ=2><ACK=5><CTL=ACK>"], b"text")


# Eighth, FIN


@pytest.mark.rfc("9293", "3.10.7.4", "eighth")
@pytest.mark.parametrize("data", [b"", b"text"])
def test_fin_without_the_ack_of_ours_leads_to_closing(bench: Bench, data: bytes) -> None:
    bench.arrives(FIN | ACK, 1, 1, data)
    assert (bench.state, bench.sent()) == (State.CLOSING, [f"<SEQ=2><ACK={2 + len(data)}><CTL=ACK>"])
    assert (bench.receive(), bench.tcp.at_eof) == (data, True)


@pytest.mark.rfc("9293", "3.10.7.4", "eighth")
@pytest.mark.rfc("9293", "3.3.2", "note 2")
@pytest.mark.parametrize("data", [b"", b"text"])
def test_fin_with_the_ack_of_ours_leads_to_time_wait(bench: Bench, data: bytes) -> None:
    bench.arrives(FIN | ACK, 1, 2, data)
    assert (bench.state, bench.sent()) == (State.TIME_WAIT, [f"<SEQ=2><ACK={2 + len(data)}><CTL=ACK>"])
    assert (bench.receive(), bench.tcp.at_eof) == (data, True)
    assert bench.tcp.status(bench.now).timers == {"time_wait": 60.0}


@pytest.mark.rfc("9293", "3.10.7.4", "eighth")
def test_fin_that_waits_for_text_takes_effect_after_the_ack_of_ours(bench: Bench) -> None:
    bench.arrives(FIN | ACK, 5, 2)
    assert (bench.state, bench.sent()) == (State.FIN_WAIT_2, [UNCHANGED])
    bench.arrives(ACK, 1, 2, b"text")
    assert (bench.state, bench.sent()) == (State.TIME_WAIT, ["<SEQ=2><ACK=6><CTL=ACK>"])


@pytest.mark.rfc("9293", "3.10.7.4", "eighth")
def test_fin_that_waits_for_text_takes_effect_before_the_ack_of_ours(bench: Bench) -> None:
    bench.arrives(FIN | ACK, 5, 1)
    assert (bench.state, bench.sent()) == (State.FIN_WAIT_1, [UNCHANGED])
    bench.arrives(ACK, 1, 1, b"text")
    assert (bench.state, bench.sent()) == (State.CLOSING, ["<SEQ=2><ACK=6><CTL=ACK>"])


# Timeouts


@pytest.mark.rfc("9293", "3.10.8")
@pytest.mark.rfc("9293", "3.6")
def test_a_lone_fin_is_sent_again_ever_more_slowly(bench: Bench) -> None:
    times = []
    for second in range(1, 32):
        bench.advance(1)
        times += [second] * len(sent := bench.sent())
        assert set(sent) <= {"<SEQ=1><ACK=1><CTL=FIN,ACK>"}
    assert times == [1, 3, 7, 15, 31]


@pytest.mark.rfc("9293", "3.6")
def test_text_and_fin_that_are_lost_come_again_together_or_not_at_all(iss: int, irs: int) -> None:
    bench = with_text(iss, irs)
    bench.advance(1.5)
    assert bench.sent() == ["<SEQ=1><ACK=1><CTL=FIN,ACK>0123456789"]


@pytest.mark.rfc("9293", "3.8.6.1", "MUST-36")
@pytest.mark.rfc("9293", "3.8.6.1", "MUST-37")
def test_a_fin_before_a_closed_window_probes_it_for_as_long_as_the_peer_answers(iss: int, irs: int) -> None:
    bench = established(iss, irs)
    bench.send(bytes(MSS))
    bench.arrives(ACK, 1, 1 + MSS, wnd=0)
    bench.close()
    bench.take()
    probes = 0
    for _ in range(1000):
        bench.advance(1)
        sent = bench.sent()
        assert set(sent) <= {"<SEQ=1001><ACK=1><CTL=FIN,ACK>"}
        probes += len(sent)
        for _ in sent:
            bench.arrives(ACK, 1, 1 + MSS, wnd=0)
    assert bench.state is State.FIN_WAIT_1
    assert probes > 10
    bench.arrives(ACK, 1, 2 + MSS, wnd=0)
    assert bench.state is State.FIN_WAIT_2


@pytest.mark.rfc("9293", "3.10.8")
def test_a_peer_that_never_acknowledges_is_given_up(iss: int, irs: int) -> None:
    bench = fin_wait_1(iss, irs, replace(CONFIG, user_timeout=20.0))
    bench.advance(19.9)
    assert bench.state is State.FIN_WAIT_1
    bench.advance(0.1)
    assert bench.state is State.CLOSED
    with pytest.raises(ConnectionTimedOut):
        bench.receive()
