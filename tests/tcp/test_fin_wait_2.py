"""FIN-WAIT-2: our FIN is acknowledged, the peer's still to come (RFC 9293, 3.10)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.tcp.builders import CONFIG, MSS, Bench, established, fin_wait_1, fin_wait_2
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
    return fin_wait_2(iss, irs)


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
@pytest.mark.rfc("9293", "3.6")
def test_receive_works_for_as_long_as_the_peer_sends(bench: Bench) -> None:
    position, read = 1, b""
    for _ in range(100):
        bench.advance(100)
        bench.arrives(ACK, position, 2, bytes(MSS))
        position += MSS
        read += bench.receive()
    assert (bench.state, len(read)) == (State.FIN_WAIT_2, 100 * MSS)


@pytest.mark.rfc("9293", "3.10.4")
def test_close_again_is_ok_and_sends_no_second_fin(bench: Bench) -> None:
    bench.close()
    assert (bench.state, bench.sent()) == (State.FIN_WAIT_2, [])


@pytest.mark.rfc("9293", "3.10.5")
def test_abort_sends_a_reset(bench: Bench) -> None:
    bench.abort()
    assert (bench.state, bench.sent()) == (State.CLOSED, ["<SEQ=2><CTL=RST>"])
    with pytest.raises(ConnectionAborted):
        bench.receive()


@pytest.mark.rfc("9293", "3.10.6")
def test_status_says_fin_wait_2(bench: Bench) -> None:
    assert bench.tcp.status(bench.now).state is State.FIN_WAIT_2


# First, sequence number


@pytest.mark.rfc("9293", "3.10.7.4", "first")
@pytest.mark.parametrize("seq", [-100, 0, 4001, 9999])
@pytest.mark.parametrize("flags", [ACK, PSH | ACK, SYN | ACK])
def test_a_segment_outside_the_window_is_acknowledged_and_dropped(bench: Bench, seq: int, flags: int) -> None:
    bench.arrives(flags, seq, 2)
    assert (bench.state, bench.sent()) == (State.FIN_WAIT_2, [UNCHANGED])


# Second, RST


@pytest.mark.rfc("9293", "3.10.7.4", "second")
def test_a_reset_at_rcv_nxt_ends_the_connection(bench: Bench) -> None:
    bench.arrives(RST, 1)
    assert (bench.state, bench.sent()) == (State.CLOSED, [])
    with pytest.raises(ConnectionReset):
        bench.receive()


@pytest.mark.rfc("5961", "3.2")
@pytest.mark.parametrize(("seq", "answer"), [(0, []), (2, [UNCHANGED]), (4000, [UNCHANGED]), (4001, [])])
def test_a_reset_elsewhere_is_challenged_in_the_window_and_dropped_outside(
    bench: Bench, seq: int, answer: list[str]
) -> None:
    bench.arrives(RST | ACK, seq, 2)
    assert (bench.state, bench.sent()) == (State.FIN_WAIT_2, answer)


# Fourth, SYN


@pytest.mark.rfc("5961", "4.2")
@pytest.mark.parametrize("seq", [-100, 0, 1, 2, 4000, 4001])
def test_a_syn_is_challenged(bench: Bench, seq: int) -> None:
    bench.arrives(SYN, seq)
    assert (bench.state, bench.sent()) == (State.FIN_WAIT_2, [UNCHANGED])


# Fifth, ACK


@pytest.mark.rfc("9293", "3.10.7.4", "fifth")
@pytest.mark.parametrize("flags", [0, FIN, PSH])
def test_a_segment_without_ack_is_dropped(bench: Bench, flags: int) -> None:
    bench.arrives(flags, 1, None, b"text")
    assert (bench.state, bench.sent(), bench.receive()) == (State.FIN_WAIT_2, [], b"")


@pytest.mark.rfc("9293", "3.10.7.4", "fifth")
@pytest.mark.parametrize("ack", [1, 2])
def test_the_same_acknowledgment_again_changes_nothing(bench: Bench, ack: int) -> None:
    for _ in range(5):
        bench.arrives(ACK, 1, ack)
    assert (bench.state, bench.sent(), bench.tcp.all_acked) == (State.FIN_WAIT_2, [], True)


@pytest.mark.rfc("9293", "3.10.7.4", "fifth")
def test_ack_of_what_was_never_sent_is_answered_by_an_ack(bench: Bench) -> None:
    bench.arrives(FIN | ACK, 1, 3, b"text")
    assert (bench.state, bench.sent(), bench.receive()) == (State.FIN_WAIT_2, [UNCHANGED], b"")


# Seventh, text


@pytest.mark.rfc("9293", "3.10.7.4", "seventh")
@pytest.mark.parametrize("flags", [ACK, PSH | ACK, URG | ACK])
def test_text_is_taken_and_acknowledged(bench: Bench, flags: int) -> None:
    bench.arrives(flags, 1, 2, b"text")
    assert (bench.sent(), bench.receive()) == (["<SEQ=2><ACK=5><CTL=ACK>"], b"text")


def test_the_window_goes_on_opening(bench: Bench) -> None:
    bench.arrives(ACK, 1, 2, bytes(4000))
    assert [seg.wnd for seg in bench.take()] == [0]
    bench.receive()
    assert [seg.wnd for seg in bench.take()] == [4000]


# Eighth, FIN


@pytest.mark.rfc("9293", "3.10.7.4", "eighth")
@pytest.mark.parametrize("data", [b"", b"text"])
def test_fin_leads_to_time_wait(bench: Bench, data: bytes) -> None:
    bench.arrives(FIN | ACK, 1, 2, data)
    assert (bench.state, bench.sent()) == (State.TIME_WAIT, [f"<SEQ=2><ACK={2 + len(data)}><CTL=ACK>"])
    assert (bench.receive(), bench.tcp.at_eof) == (data, True)
    assert bench.tcp.status(bench.now).timers == {"time_wait": 60.0}


@pytest.mark.rfc("9293", "3.10.7.4", "eighth")
def test_fin_ahead_of_text_waits_for_it(bench: Bench) -> None:
    bench.arrives(FIN | ACK, 5, 2)
    assert (bench.state, bench.sent()) == (State.FIN_WAIT_2, [UNCHANGED])
    bench.arrives(ACK, 1, 2, b"text")
    assert (bench.state, bench.sent()) == (State.TIME_WAIT, ["<SEQ=2><ACK=6><CTL=ACK>"])


# Timeouts


def test_the_peer_may_take_as_long_as_it_likes(bench: Bench) -> None:
    bench.advance(10 * 365 * 86400.0)
    assert (bench.state, bench.sent()) == (State.FIN_WAIT_2, [])


def test_the_config_may_set_a_limit(iss: int, irs: int) -> None:
    bench = fin_wait_2(iss, irs, replace(CONFIG, fin_wait_2_timeout=10.0))
    bench.advance(9.9)
    assert bench.state is State.FIN_WAIT_2
    bench.advance(0.1)
    assert (bench.state, bench.sent()) == (State.CLOSED, ["<SEQ=2><CTL=RST>"])
    with pytest.raises(ConnectionTimedOut):
        bench.receive()


def test_the_limit_does_not_end_time_wait(iss: int, irs: int) -> None:
    bench = fin_wait_2(iss, irs, replace(CONFIG, fin_wait_2_timeout=10.0))
    bench.arrives(FIN | ACK, 1, 2)
    bench.advance(59)
    assert bench.state is State.TIME_WAIT


@pytest.mark.rfc("9293", "3.6.1")
@pytest.mark.parametrize("earlier", [established, fin_wait_1, fin_wait_2])
def test_a_user_who_will_not_read_does_not_wait_for_ever(iss: int, irs: int, earlier: type[Bench]) -> None:
    bench = earlier(iss, irs)
    bench.close(receive=False)
    if bench.state is State.FIN_WAIT_1:
        bench.arrives(ACK, 1, 2)
    assert bench.state is State.FIN_WAIT_2
    bench.advance(2 * CONFIG.msl)
    assert bench.state is State.CLOSED
