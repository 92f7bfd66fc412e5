"""SYN-SENT: our SYN waits for an answer (RFC 9293, 3.10.7.3)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.tcp.builders import CONFIG, MSS, closed, established, syn_sent
from usertcp.errors import (
    ConnectionAborted,
    ConnectionAlreadyExists,
    ConnectionDoesNotExist,
    ConnectionRefused,
    ConnectionTimedOut,
)
from usertcp.tcp.config import Config
from usertcp.tcp.options import Options
from usertcp.tcp.segment import ACK, FIN, PSH, RST, SYN, URG
from usertcp.tcp.state import State

# Calls


@pytest.mark.rfc("9293", "3.10.1")
def test_open_says_that_the_connection_already_exists(iss: int, irs: int) -> None:
    with pytest.raises(ConnectionAlreadyExists):
        syn_sent(iss, irs).open()


@pytest.mark.rfc("9293", "3.10.2")
def test_text_is_queued_and_goes_out_with_the_ack_of_the_syn(iss: int, irs: int) -> None:
    bench = syn_sent(iss, irs)
    assert bench.send(b"text") == 4
    assert bench.sent() == []
    bench.arrives(SYN | ACK, 0, 1)
    assert bench.sent() == ["<SEQ=1><ACK=1><CTL=ACK>text"]


@pytest.mark.rfc("9293", "3.10.2")
def test_text_is_taken_as_long_as_there_is_room_to_queue_it(iss: int, irs: int) -> None:
    bench = syn_sent(iss, irs, replace(CONFIG, send_buffer=6))
    assert [bench.send(b"text"), bench.send(b"text"), bench.send(b"text")] == [4, 2, 0]
    assert not bench.tcp.writable


@pytest.mark.rfc("9293", "3.9.1.2", "MAY-16")
@pytest.mark.rfc("9293", "3.9.1.2", "SHLD-27")
def test_text_of_several_sends_goes_out_in_one_segment(iss: int, irs: int) -> None:
    bench = syn_sent(iss, irs)
    for text in (b"one ", b"two ", b"three"):
        bench.send(text)
    bench.arrives(SYN | ACK, 0, 1)
    assert [(seg.flags, seg.data) for seg in bench.take()] == [(PSH | ACK, b"one two three")]


@pytest.mark.rfc("9293", "3.10.3")
def test_receive_waits(iss: int, irs: int) -> None:
    bench = syn_sent(iss, irs)
    assert (bench.receive(), bench.tcp.readable, bench.tcp.at_eof) == (b"", False, False)


@pytest.mark.rfc("9293", "3.10.4")
def test_close_deletes_the_tcb_and_sends_nothing(iss: int, irs: int) -> None:
    bench = syn_sent(iss, irs)
    bench.send(b"text")
    bench.close()
    assert (bench.state, bench.sent()) == (State.CLOSED, [])
    with pytest.raises(ConnectionDoesNotExist):
        bench.send(b"more")
    bench.advance(1000)
    assert bench.sent() == []


@pytest.mark.rfc("9293", "3.10.5")
def test_abort_deletes_the_tcb_sends_nothing_and_tells_the_user(iss: int, irs: int) -> None:
    bench = syn_sent(iss, irs)
    bench.abort()
    assert (bench.state, bench.sent()) == (State.CLOSED, [])
    with pytest.raises(ConnectionAborted):
        bench.send(b"text")
    with pytest.raises(ConnectionAborted):
        bench.receive()


@pytest.mark.rfc("9293", "3.10.6")
def test_status_says_syn_sent(iss: int, irs: int) -> None:
    bench = syn_sent(iss, irs)
    assert bench.tcp.status(bench.now).state is State.SYN_SENT


# Segments


@pytest.mark.rfc("9293", "3.10.7.3", "first")
@pytest.mark.rfc("9293", "3.5.2", "group 2")
@pytest.mark.parametrize("flags", [ACK, SYN | ACK, FIN | ACK, PSH | ACK])
@pytest.mark.parametrize("ack", [-(2**31) + 1, -1, 0, 2, 3, 2**31 - 1])
def test_ack_of_what_was_never_sent_is_answered_by_a_reset(iss: int, irs: int, flags: int, ack: int) -> None:
    bench = syn_sent(iss, irs)
    bench.arrives(flags, 0, ack, b"text")
    assert (bench.state, bench.sent()) == (State.SYN_SENT, [f"<SEQ={ack}><CTL=RST>"])


@pytest.mark.rfc("9293", "3.10.7.3", "first")
@pytest.mark.parametrize("ack", [-1, 0, 2, 3])
def test_a_reset_with_such_an_ack_is_dropped(iss: int, irs: int, ack: int) -> None:
    bench = syn_sent(iss, irs)
    bench.arrives(RST | ACK, 0, ack)
    assert (bench.state, bench.sent()) == (State.SYN_SENT, [])


@pytest.mark.rfc("9293", "3.10.7.3", "second")
@pytest.mark.parametrize("flags", [RST | ACK, RST | ACK | SYN, RST | ACK | FIN])
def test_a_reset_that_acknowledges_our_syn_ends_the_connection(iss: int, irs: int, flags: int) -> None:
    bench = syn_sent(iss, irs)
    bench.send(b"text")
    bench.arrives(flags, 77, 1)
    assert (bench.state, bench.sent()) == (State.CLOSED, [])
    assert isinstance(bench.tcp.error, ConnectionRefused)
    with pytest.raises(ConnectionRefused):
        bench.receive()
    with pytest.raises(ConnectionRefused):
        bench.send(b"more")
    bench.advance(1000)
    assert bench.sent() == []


@pytest.mark.rfc("9293", "3.10.7.3", "second")
@pytest.mark.parametrize("flags", [RST, RST | SYN, RST | FIN])
def test_a_reset_without_ack_is_dropped(iss: int, irs: int, flags: int) -> None:
    bench = syn_sent(iss, irs)
    bench.arrives(flags, 0)
    assert (bench.state, bench.sent()) == (State.SYN_SENT, [])


@pytest.mark.rfc("9293", "3.10.7.3", "fourth")
def test_syn_ack_establishes_the_connection(iss: int, irs: int) -> None:
    bench = syn_sent(iss, irs)
    bench.arrives(SYN | ACK, 0, 1)
    assert (bench.state, bench.sent()) == (State.ESTABLISHED, ["<SEQ=1><ACK=1><CTL=ACK>"])
    status = bench.tcp.status(bench.now)
    assert (status.irs, status.rcv_nxt) == (irs, (irs + 1) % 2**32)
    assert status.snd_una == status.snd_nxt == (iss + 1) % 2**32


@pytest.mark.rfc("9293", "3.10.7.3", "fourth")
def test_an_acknowledged_syn_is_not_sent_again(iss: int, irs: int) -> None:
    bench = syn_sent(iss, irs)
    bench.arrives(SYN | ACK, 0, 1)
    bench.take()
    bench.advance(1000)
    assert (bench.state, bench.sent()) == (State.ESTABLISHED, [])


@pytest.mark.rfc("9293", "3.10.7.3", "fourth")
@pytest.mark.parametrize("flags", [0, PSH, URG])
def test_text_with_the_syn_ack_is_processed_and_acknowledged_with_it(iss: int, irs: int, flags: int) -> None:
    bench = syn_sent(iss, irs)
    bench.arrives(SYN | ACK | flags, 0, 1, b"text")
    assert (bench.state, bench.sent()) == (State.ESTABLISHED, ["<SEQ=1><ACK=5><CTL=ACK>"])
    assert bench.receive() == b"text"


@pytest.mark.rfc("9293", "3.10.7.3", "fourth")
def test_fin_with_the_syn_ack_is_processed(iss: int, irs: int) -> None:
    bench = syn_sent(iss, irs)
    bench.arrives(SYN | FIN | ACK, 0, 1, b"text")
    assert (bench.state, bench.sent()) == (State.CLOSE_WAIT, ["<SEQ=1><ACK=6><CTL=ACK>"])
    assert (bench.receive(), bench.tcp.at_eof) == (b"text", True)


@pytest.mark.rfc("9293", "3.10.7.3", "fourth")
@pytest.mark.rfc("9293", "3.5", "MUST-10")
def test_syn_alone_means_a_simultaneous_open(iss: int, irs: int) -> None:
    bench = syn_sent(iss, irs)
    bench.arrives(SYN, 0)
    assert (bench.state, bench.sent()) == (State.SYN_RECEIVED, ["<SEQ=0><ACK=1><CTL=SYN,ACK>"])


@pytest.mark.rfc("9293", "3.10.7.3", "fourth")
@pytest.mark.parametrize("flags", [SYN, SYN | FIN])
def test_what_comes_with_a_syn_alone_waits_for_established(iss: int, irs: int, flags: int) -> None:
    bench = syn_sent(iss, irs)
    bench.arrives(flags, 0, None, b"text")
    assert (bench.receive(), bench.sent()) == (b"", ["<SEQ=0><ACK=1><CTL=SYN,ACK>"])
    bench.arrives(ACK, 1, 1)
    assert bench.state is (State.CLOSE_WAIT if flags & FIN else State.ESTABLISHED)
    assert bench.sent() == [f"<SEQ=1><ACK={6 if flags & FIN else 5}><CTL=ACK>"]
    assert bench.receive() == b"text"


@pytest.mark.rfc("9293", "3.10.7.3", "fourth")
@pytest.mark.parametrize("flags", [SYN, SYN | ACK])
def test_the_window_of_a_syn_is_the_first_send_window_and_never_scaled(iss: int, irs: int, flags: int) -> None:
    bench = syn_sent(iss, irs)
    bench.arrives(flags, 0, 1 if flags & ACK else None, wnd=3000, options=Options(mss=MSS, window_scale=7))
    status = bench.tcp.status(bench.now)
    assert (status.snd_wnd, status.snd_scale) == (3000, 7)


@pytest.mark.rfc("9293", "3.10.7.3", "fifth")
@pytest.mark.parametrize("flags", [0, FIN, PSH, URG])
@pytest.mark.parametrize("ack", [0, ACK])
def test_a_segment_with_neither_syn_nor_rst_is_dropped(iss: int, irs: int, flags: int, ack: int) -> None:
    bench = syn_sent(iss, irs)
    bench.arrives(flags | ack, 0, 1 if ack else None, b"text")
    assert (bench.state, bench.sent(), bench.receive()) == (State.SYN_SENT, [], b"")


# What the SYN says


@pytest.mark.rfc("9293", "3.7.1", "SHLD-5")
def test_syn_carries_what_we_can_do(iss: int, irs: int) -> None:
    bench = closed(iss, irs, Config())
    bench.open()
    [syn] = bench.take()
    assert (syn.options.mss, syn.options.window_scale, syn.options.sack_permitted) == (MSS, 6, True)
    assert syn.options.timestamps is not None
    assert syn.options.timestamps[1] == 0
    assert syn.wnd == 65535


def test_syn_carries_nothing_that_is_switched_off(iss: int, irs: int) -> None:
    bench = closed(iss, irs, Config(window_scaling=False, timestamps=False, sack=False, mss=500))
    bench.open()
    [syn] = bench.take()
    assert syn.options == Options(mss=500)


@pytest.mark.rfc("9293", "3.7.1", "MAY-3")
def test_the_mss_is_said_even_if_it_is_the_default(iss: int, irs: int) -> None:
    bench = closed(iss, irs, Config(mss=536))
    bench.open()
    [syn] = bench.take()
    assert syn.options.mss == 536


# Timeouts


@pytest.mark.rfc("6298", "5")
@pytest.mark.rfc("9293", "3.8.3", "MUST-23")
def test_syn_is_sent_again_ever_more_slowly_for_at_least_3_minutes(iss: int, irs: int) -> None:
    bench = syn_sent(iss, irs)
    times = []
    for second in range(1, 180):
        bench.advance(1)
        times += [second] * len(sent := bench.sent())
        assert set(sent) <= {"<SEQ=0><CTL=SYN>"}
    assert times == [1, 3, 7, 15, 31, 63, 123]
    assert bench.state is State.SYN_SENT
    bench.advance(1)
    assert (bench.state, bench.sent()) == (State.CLOSED, [])
    with pytest.raises(ConnectionTimedOut):
        bench.receive()


@pytest.mark.rfc("9293", "3.10.8")
@pytest.mark.rfc("9293", "3.8.3", "MUST-21")
def test_user_timeout_ends_the_attempt(iss: int, irs: int) -> None:
    bench = syn_sent(iss, irs, replace(CONFIG, user_timeout=5.0))
    bench.advance(4.9)
    assert bench.state is State.SYN_SENT
    bench.take()
    bench.advance(0.1)
    assert (bench.state, bench.sent()) == (State.CLOSED, [])
    assert isinstance(bench.tcp.error, ConnectionTimedOut)


@pytest.mark.rfc("9293", "3.8.3", "SHLD-9")
def test_after_r1_retransmissions_the_user_can_see_that_there_is_trouble(iss: int, irs: int) -> None:
    bench = syn_sent(iss, irs, replace(CONFIG, r1=3))
    bench.advance(6.9)
    assert bench.tcp.soft_error is None
    bench.advance(0.2)
    assert bench.tcp.soft_error is not None
    assert bench.state is State.SYN_SENT


@pytest.mark.rfc("6298", "3")
def test_the_handshake_is_the_first_rtt_sample(iss: int, irs: int) -> None:
    bench = syn_sent(iss, irs)
    bench.advance(0.25)
    bench.arrives(SYN | ACK, 0, 1)
    assert bench.tcp.status(bench.now).srtt == pytest.approx(0.25)


@pytest.mark.rfc("6298", "3")
@pytest.mark.rfc("6298", "5.7")
@pytest.mark.rfc("5681", "3.1")
@pytest.mark.rfc("9293", "3.8.1", "MUST-18")
def test_a_syn_that_was_sent_twice_gives_no_sample_3_seconds_and_one_segment(iss: int, irs: int) -> None:
    bench = syn_sent(iss, irs)
    bench.advance(1.5)
    bench.arrives(SYN | ACK, 0, 1, options=Options(mss=MSS))
    status = bench.tcp.status(bench.now)
    assert (status.srtt, status.rto, status.cwnd) == (None, 3.0, MSS)
    bench.take()
    bench.send(bytes(2 * MSS))
    assert len(bench.take()) == 1


def test_a_syn_that_was_sent_once_leaves_a_full_initial_window(iss: int, irs: int) -> None:
    bench = established(iss, irs)
    assert bench.tcp.status(bench.now).cwnd == 10 * MSS
