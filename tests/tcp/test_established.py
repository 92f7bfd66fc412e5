"""ESTABLISHED: the state for data transfer (RFC 9293, 3.10)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.tcp.builders import CONFIG, MSS, WINDOW, Bench, established, established_passive, syn_sent
from usertcp.errors import (
    ConnectionAborted,
    ConnectionAlreadyExists,
    ConnectionClosing,
    ConnectionReset,
    ConnectionTimedOut,
)
from usertcp.tcp.config import Config
from usertcp.tcp.options import NO_OPTIONS, Options
from usertcp.tcp.segment import ACK, FIN, PSH, RST, SYN, URG
from usertcp.tcp.state import State

Build = Callable[[int, int, Config], Bench]
UNCHANGED = "<SEQ=1><ACK=1><CTL=ACK>"


@pytest.fixture(params=[established, established_passive], ids=["active", "passive"])
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
def test_send_segmentizes_the_text_with_a_piggybacked_acknowledgment(bench: Bench) -> None:
    bench.arrives(ACK, 1, 1, b"question")
    bench.take()
    text = bytes(97 + n % 26 for n in range(2 * MSS))
    assert bench.send(text) == 2 * MSS
    assert bench.sent() == [
        f"<SEQ=1><ACK=9><CTL=ACK>{text[:MSS].decode()}",
        f"<SEQ=1001><ACK=9><CTL=ACK>{text[MSS:].decode()}",
    ]


@pytest.mark.rfc("9293", "3.9.1.2", "MUST-61")
def test_the_last_segment_of_what_is_buffered_is_pushed(bench: Bench) -> None:
    bench.send(bytes(2 * MSS))
    assert [seg.flags for seg in bench.take()] == [ACK, PSH | ACK]


@pytest.mark.rfc("9293", "3.10.2")
def test_send_takes_what_there_is_room_for(iss: int, irs: int, build: Build) -> None:
    bench = build(iss, irs, replace(CONFIG, send_buffer=10))
    assert [bench.send(b"12345678"), bench.send(b"12345678"), bench.send(b"1")] == [8, 2, 0]
    assert not bench.tcp.writable
    bench.arrives(ACK, 1, 9)
    assert bench.tcp.writable
    assert bench.send(b"123456789") == 8


@pytest.mark.rfc("9293", "3.10.3")
def test_receive_takes_what_has_arrived_in_order_and_no_more_than_asked_for(bench: Bench) -> None:
    bench.arrives(ACK, 1, 1, b"abcdef")
    assert bench.tcp.readable
    assert [bench.receive(4), bench.receive(4), bench.receive(4)] == [b"abcd", b"ef", b""]
    assert not bench.tcp.readable
    assert not bench.tcp.at_eof


@pytest.mark.rfc("9293", "3.10.4")
def test_close_sends_a_fin(bench: Bench) -> None:
    bench.close()
    assert (bench.state, bench.sent()) == (State.FIN_WAIT_1, ["<SEQ=1><ACK=1><CTL=FIN,ACK>"])


@pytest.mark.rfc("9293", "3.10.4")
def test_close_waits_with_the_fin_until_all_text_is_sent_but_enters_fin_wait_1_at_once(bench: Bench) -> None:
    bench.send(bytes(WINDOW + 500))
    bench.take()
    bench.close()
    assert (bench.state, bench.sent()) == (State.FIN_WAIT_1, [])
    bench.arrives(ACK, 1, 1 + WINDOW)
    [last] = bench.take()
    assert (last.flags & FIN, len(last.data)) == (FIN, 500)


@pytest.mark.rfc("9293", "3.10.5")
def test_abort_sends_a_reset_and_forgets_what_was_queued(bench: Bench) -> None:
    bench.send(bytes(WINDOW + 500))
    bench.take()
    bench.abort()
    assert (bench.state, bench.sent()) == (State.CLOSED, [f"<SEQ={1 + WINDOW}><CTL=RST>"])
    with pytest.raises(ConnectionAborted):
        bench.receive()
    with pytest.raises(ConnectionAborted):
        bench.send(b"more")
    bench.abort()
    bench.advance(1000)
    assert bench.sent() == []


@pytest.mark.rfc("9293", "3.10.6")
def test_status_says_established(bench: Bench) -> None:
    status = bench.tcp.status(bench.now)
    assert (status.state, status.snd_wnd, status.rcv_wnd) == (State.ESTABLISHED, WINDOW, 4000)


# First, sequence number


@pytest.mark.rfc("9293", "3.10.7.4", "first")
@pytest.mark.parametrize(
    ("seq", "data"), [(-3, b"text"), (-99, b""), (0, b"x"), (4001, b""), (4001, b"x"), (9999, b"")]
)
@pytest.mark.parametrize("flags", [ACK, FIN | ACK, SYN | ACK, PSH | URG | ACK])
def test_a_segment_outside_the_window_is_acknowledged_and_dropped(
    iss: int, irs: int, flags: int, seq: int, data: bytes
) -> None:
    bench = established(iss, irs)
    seq -= 2 if seq <= 0 and flags & (SYN | FIN) else 0
    bench.arrives(flags, seq, 1, data)
    assert (bench.state, bench.sent(), bench.receive()) == (State.ESTABLISHED, [UNCHANGED], b"")


@pytest.mark.rfc("9293", "3.10.7.4", "first")
def test_of_text_that_begins_before_the_window_only_the_new_part_is_taken(bench: Bench) -> None:
    bench.arrives(ACK, 1, 1, b"abc")
    bench.take()
    bench.arrives(ACK, 1, 1, b"ABCdef")
    assert (bench.sent(), bench.receive()) == (["<SEQ=1><ACK=7><CTL=ACK>"], b"abcdef")


@pytest.mark.rfc("9293", "3.10.7.4", "first")
def test_of_text_that_ends_beyond_the_window_only_the_part_in_it_is_taken(bench: Bench) -> None:
    bench.arrives(ACK, 1, 1, bytes(5000))
    assert (bench.sent(), len(bench.receive())) == (["<SEQ=1><ACK=4001><CTL=ACK>"], 4000)


@pytest.mark.rfc("9293", "3.10.7.4", "first")
def test_a_fin_beyond_the_window_is_cut_off_with_the_text_before_it(bench: Bench) -> None:
    bench.arrives(FIN | ACK, 1, 1, bytes(4000))
    assert (bench.state, bench.sent()) == (State.ESTABLISHED, ["<SEQ=1><ACK=4001><CTL=ACK>"])
    bench.receive()
    bench.take()
    bench.arrives(FIN | ACK, 4001, 1)
    assert (bench.state, bench.sent()) == (State.CLOSE_WAIT, ["<SEQ=1><ACK=4002><CTL=ACK>"])


@pytest.mark.rfc("9293", "3.10.7.4", "first")
def test_ack_and_reset_are_valid_before_a_closed_window_and_text_is_not(bench: Bench) -> None:
    bench.send(b"text")
    bench.arrives(ACK, 1, 1, bytes(4000))
    bench.take()
    bench.arrives(ACK, 4001, 5, b"x", wnd=77)
    assert bench.sent() == ["<SEQ=5><ACK=4001><CTL=ACK>"]
    assert bench.tcp.all_acked
    assert bench.tcp.status(bench.now).snd_wnd == 77
    bench.arrives(RST, 4001)
    assert bench.state is State.CLOSED


@pytest.mark.rfc("9293", "3.10.7.4", "MUST-58")
@pytest.mark.rfc("9293", "3.10.7.4", "MUST-59")
def test_segments_that_arrive_together_are_acknowledged_together(bench: Bench, irs: int, iss: int) -> None:
    sender = established(irs, iss)
    for _ in range(4):
        sender.send(bytes(MSS))
    bench.deliver(*sender.take())
    assert bench.sent() == ["<SEQ=1><ACK=4001><CTL=ACK>"]


@pytest.mark.rfc("9293", "3.10.7.4", "SHLD-31")
def test_text_beyond_a_hole_is_kept_and_acknowledged_when_the_hole_is_filled(bench: Bench) -> None:
    bench.arrives(ACK, 4, 1, b"def")
    assert (bench.sent(), bench.receive()) == ([UNCHANGED], b"")
    bench.arrives(ACK, 1, 1, b"abc")
    assert (bench.sent(), bench.receive()) == (["<SEQ=1><ACK=7><CTL=ACK>"], b"abcdef")


def test_an_acknowledgment_is_never_acknowledged(bench: Bench) -> None:
    """Not even one that overtook text: two ends that both lost something would acknowledge each other for ever."""
    for seq in (1, 2, 100, 4000):
        bench.arrives(ACK, seq, 1)
    assert bench.sent() == []


# Second, RST


@pytest.mark.rfc("9293", "3.10.7.4", "second")
@pytest.mark.rfc("9293", "3.5.3", "SHLD-2")
@pytest.mark.parametrize("flags", [RST, RST | ACK, RST | PSH, RST | FIN, RST | SYN])
@pytest.mark.parametrize("data", [b"", b"diagnosis"])
def test_a_reset_at_rcv_nxt_ends_the_connection(iss: int, irs: int, flags: int, data: bytes) -> None:
    bench = established(iss, irs)
    bench.send(b"text")
    bench.take()
    bench.arrives(flags, 1, 1 if flags & ACK else None, data)
    assert (bench.state, bench.sent()) == (State.CLOSED, [])
    with pytest.raises(ConnectionReset):
        bench.receive()
    with pytest.raises(ConnectionReset):
        bench.send(b"more")
    bench.advance(1000)
    assert bench.sent() == []


def test_text_that_came_before_the_reset_can_still_be_read(bench: Bench) -> None:
    bench.arrives(ACK, 1, 1, b"text")
    bench.arrives(RST, 5)
    assert bench.receive() == b"text"
    with pytest.raises(ConnectionReset):
        bench.receive()


@pytest.mark.rfc("5961", "3.2")
def test_a_reset_elsewhere_in_the_window_is_challenged_and_an_honest_peer_can_answer(bench: Bench) -> None:
    for seq in (2, 1000, 4000):
        bench.arrives(RST, seq)
        assert (bench.state, bench.sent()) == (State.ESTABLISHED, [UNCHANGED])
    bench.arrives(RST, 1)
    assert bench.state is State.CLOSED


@pytest.mark.rfc("5961", "3.2")
@pytest.mark.parametrize(("seq", "data"), [(-100, b""), (0, b""), (0, b"text"), (4001, b""), (9999, b"")])
def test_a_reset_outside_the_window_is_silently_dropped(bench: Bench, seq: int, data: bytes) -> None:
    bench.arrives(RST | ACK, seq, 1, data)
    assert (bench.state, bench.sent()) == (State.ESTABLISHED, [])


# Fourth, SYN


@pytest.mark.rfc("5961", "4.2")
@pytest.mark.parametrize("seq", [-100, 0, 1, 2, 4000, 4001])
@pytest.mark.parametrize("flags", [SYN, SYN | ACK, SYN | FIN | ACK])
def test_a_syn_is_challenged_whatever_its_sequence_number(bench: Bench, flags: int, seq: int) -> None:
    bench.arrives(flags, seq, 1 if flags & ACK else None)
    assert (bench.state, bench.sent()) == (State.ESTABLISHED, [UNCHANGED])


@pytest.mark.rfc("5961", "7")
def test_challenges_are_limited_and_the_limit_ends_with_the_second(bench: Bench) -> None:
    for _ in range(100):
        bench.arrives(SYN, 1)
    assert len(bench.take()) == CONFIG.challenge_acks_per_second
    bench.advance(1)
    bench.arrives(SYN, 1)
    assert bench.sent() == [UNCHANGED]


@pytest.mark.rfc("9293", "3.5.1", "Figure 9")
@pytest.mark.parametrize("options", [NO_OPTIONS, Options(mss=MSS), Options(mss=MSS, timestamps=(1, 0))])
@pytest.mark.parametrize("config", [CONFIG, Config(timestamps=False)])
def test_a_peer_that_lost_its_memory_is_found_out(iss: int, irs: int, options: Options, config: Config) -> None:
    """Its SYN is challenged, it answers the challenge by a reset, and its next SYN finds nothing in its way."""
    bench = syn_sent(iss, irs, config)
    bench.arrives(SYN | ACK, 0, 1, options=Options(mss=MSS, timestamps=(1000, 0) if config.timestamps else None))
    bench.take()
    bench.arrives(SYN, 123_456_789, options=options)
    [challenge] = bench.sent()
    assert challenge == UNCHANGED
    bench.arrives(RST, 1)
    assert bench.state is State.CLOSED


# Fifth, ACK


@pytest.mark.rfc("9293", "3.10.7.4", "fifth")
@pytest.mark.parametrize("flags", [0, PSH, FIN, URG])
def test_a_segment_without_ack_is_dropped(bench: Bench, flags: int) -> None:
    bench.arrives(flags, 1, None, b"text")
    assert (bench.state, bench.sent(), bench.receive()) == (State.ESTABLISHED, [], b"")


@pytest.mark.rfc("9293", "3.10.7.4", "fifth")
def test_what_is_acknowledged_is_not_sent_again(bench: Bench) -> None:
    bench.send(bytes(2 * MSS))
    bench.take()
    bench.arrives(ACK, 1, 1 + MSS)
    assert not bench.tcp.all_acked
    bench.advance(1.5)
    assert [(seg.seq, len(seg.data)) for seg in bench.take()] == [((bench.iss + 1 + MSS) % 2**32, MSS)]
    bench.arrives(ACK, 1, 1 + 2 * MSS)
    assert bench.tcp.all_acked
    bench.advance(1000)
    assert bench.take() == []


@pytest.mark.rfc("9293", "3.10.7.4", "fifth")
def test_of_a_segment_acknowledged_in_part_the_rest_is_sent_again(bench: Bench) -> None:
    bench.send(b"0123456789")
    bench.take()
    bench.arrives(ACK, 1, 5)
    bench.advance(1.5)
    assert bench.sent() == ["<SEQ=5><ACK=1><CTL=ACK>456789"]


@pytest.mark.rfc("9293", "3.10.7.4", "fifth")
@pytest.mark.parametrize("ack", [1, 5, 11])
def test_an_old_acknowledgment_does_no_harm_and_its_text_is_taken(bench: Bench, ack: int) -> None:
    bench.send(b"0123456789")
    bench.arrives(ACK, 1, 11)
    bench.take()
    bench.arrives(ACK, 1, ack, b"text")
    assert (bench.sent(), bench.receive()) == (["<SEQ=11><ACK=5><CTL=ACK>"], b"text")
    assert bench.tcp.all_acked


@pytest.mark.rfc("9293", "3.10.7.4", "fifth")
@pytest.mark.rfc("9293", "3.5.2", "group 3")
@pytest.mark.parametrize("ack", [12, 13, 5000, 2**31 - 1])
def test_ack_of_what_was_never_sent_is_answered_by_an_ack_and_its_text_dropped(bench: Bench, ack: int) -> None:
    bench.send(b"0123456789")
    bench.take()
    bench.arrives(ACK, 1, ack, b"text")
    assert (bench.state, bench.sent(), bench.receive()) == (State.ESTABLISHED, ["<SEQ=11><ACK=1><CTL=ACK>"], b"")
    assert not bench.tcp.all_acked


@pytest.mark.rfc("5961", "5.2")
@pytest.mark.rfc("9293", "3.10.7.4", "MAY-12")
def test_ack_older_than_the_largest_window_is_answered_by_an_ack_and_its_text_dropped(bench: Bench) -> None:
    bench.arrives(ACK, 1, 1 - WINDOW - 1, b"text")
    assert (bench.sent(), bench.receive()) == ([UNCHANGED], b"")
    bench.arrives(ACK, 1, 1 - WINDOW, b"text")
    assert (bench.sent(), bench.receive()) == (["<SEQ=1><ACK=5><CTL=ACK>"], b"text")


def window(bench: Bench) -> int:
    return bench.tcp.status(bench.now).snd_wnd


@pytest.mark.rfc("9293", "3.10.7.4", "fifth")
@pytest.mark.parametrize("wnd", [0, 100, 60000])
def test_the_window_is_updated_by_an_ack_that_acknowledges_nothing_new(bench: Bench, wnd: int) -> None:
    bench.arrives(ACK, 1, 1, wnd=wnd)
    assert window(bench) == wnd


@pytest.mark.rfc("9293", "3.10.7.4", "fifth")
def test_the_window_is_not_updated_by_a_segment_that_was_overtaken(bench: Bench) -> None:
    bench.send(b"0123456789")
    bench.arrives(ACK, 3, 6, b"cd", wnd=3000)
    bench.arrives(ACK, 1, 6, b"ab", wnd=111)
    assert window(bench) == 3000
    bench.arrives(ACK, 5, 5, wnd=222)
    assert window(bench) == 3000
    bench.arrives(ACK, 5, 6, wnd=4000)
    assert window(bench) == 4000
    bench.arrives(ACK, 5, 5, wnd=333)
    assert window(bench) == 4000


@pytest.mark.rfc("9293", "3.1", "MUST-1")
@pytest.mark.parametrize("wnd", [32767, 32768, 65535])
def test_the_largest_windows_are_no_negative_ones(iss: int, irs: int, wnd: int) -> None:
    bench = established(iss, irs, replace(CONFIG, initial_window=100 * MSS))
    bench.arrives(ACK, 1, 1, wnd=wnd)
    bench.send(bytes(100 * MSS))
    assert sum(len(seg.data) for seg in bench.take()) == wnd // MSS * MSS


@pytest.mark.rfc("9293", "3.8.6", "MUST-34")
@pytest.mark.rfc("9293", "3.8.6", "SHLD-15")
def test_a_peer_that_shrinks_its_window_gets_nothing_beyond_it_until_it_opens(bench: Bench) -> None:
    bench.send(bytes(6 * MSS))
    assert len(bench.take()) == 5
    bench.arrives(ACK, 1, 1 + MSS, wnd=MSS)
    assert bench.take() == []
    bench.arrives(ACK, 1, 1 + 5 * MSS, wnd=MSS)
    assert [len(seg.data) for seg in bench.take()] == [MSS]


# Sixth, URG


@pytest.mark.rfc("9293", "3.10.7.4", "sixth")
@pytest.mark.parametrize("pointer", [0, 4, 5, 65535])
def test_urgent_text_is_read_like_any_other(bench: Bench, pointer: int) -> None:
    bench.arrives(URG | ACK, 1, 1, b"text", up=pointer)
    assert (bench.sent(), bench.receive()) == (["<SEQ=1><ACK=5><CTL=ACK>"], b"text")


# Seventh, text


@pytest.mark.rfc("9293", "3.10.7.4", "seventh")
@pytest.mark.parametrize("flags", [0, PSH])
def test_text_is_taken_and_acknowledged(bench: Bench, flags: int) -> None:
    bench.arrives(ACK | flags, 1, 1, b"text")
    assert (bench.sent(), bench.receive()) == (["<SEQ=1><ACK=5><CTL=ACK>"], b"text")


@pytest.mark.rfc("9293", "3.10.7.4", "seventh")
def test_the_acknowledgment_of_text_rides_on_text_that_is_due_anyhow(bench: Bench, iss: int, irs: int) -> None:
    bench.send(b"first")
    bench.send(b"second")
    bench.take()
    bench.arrives(ACK, 1, 6, b"answer")
    assert bench.sent() == ["<SEQ=6><ACK=7><CTL=ACK>second"]


@pytest.mark.rfc("9293", "3.10.7.4", "seventh")
@pytest.mark.rfc("9293", "3.8.6", "SHLD-14")
def test_the_right_edge_of_the_window_never_goes_back(bench: Bench) -> None:
    position, edge = 1, bench.edge
    for size in (1, 700, 3, 900, 1, 1, 500):
        bench.arrives(ACK, position, 1, bytes(size))
        position += size
        assert bench.edge >= edge
        edge = bench.edge
        bench.receive(size // 2)
        assert bench.edge >= edge
        edge = bench.edge


@pytest.mark.rfc("9293", "3.10.3")
@pytest.mark.rfc("9293", "3.8.6.2.2", "MUST-39")
def test_a_closed_window_opens_by_itself_when_the_user_has_read(bench: Bench) -> None:
    bench.arrives(ACK, 1, 1, bytes(4000))
    [full] = bench.take()
    assert full.wnd == 0
    bench.receive(MSS - 1)
    assert bench.take() == []
    bench.receive(1)
    [update] = bench.take()
    assert update.wnd == MSS


@pytest.mark.rfc("9293", "3.6.1", "MAY-1")
@pytest.mark.rfc("9293", "3.6.1", "SHLD-3")
def test_text_for_a_user_who_has_closed_both_directions_is_answered_by_a_reset(bench: Bench) -> None:
    bench.close(receive=False)
    bench.take()
    bench.arrives(ACK, 1, 2, b"text")
    assert (bench.state, bench.sent()) == (State.CLOSED, ["<SEQ=2><CTL=RST>"])
    assert isinstance(bench.tcp.error, ConnectionAborted)


@pytest.mark.rfc("9293", "3.6.1", "SHLD-3")
def test_closing_both_directions_with_text_unread_is_an_abort(bench: Bench) -> None:
    bench.arrives(ACK, 1, 1, b"text")
    bench.take()
    bench.close(receive=False)
    assert (bench.state, bench.sent()) == (State.CLOSED, ["<SEQ=1><CTL=RST>"])


# Eighth, FIN


@pytest.mark.rfc("9293", "3.10.7.4", "eighth")
@pytest.mark.parametrize("data", [b"", b"text"])
def test_fin_is_acknowledged_told_to_the_user_and_leads_to_close_wait(bench: Bench, data: bytes) -> None:
    bench.arrives(FIN | ACK, 1, 1, data)
    assert (bench.state, bench.sent()) == (State.CLOSE_WAIT, [f"<SEQ=1><ACK={2 + len(data)}><CTL=ACK>"])
    assert bench.tcp.readable
    assert bench.receive() == data
    assert bench.tcp.at_eof


@pytest.mark.rfc("9293", "3.10.7.4", "eighth")
def test_fin_ahead_of_text_takes_effect_when_the_text_has_come(bench: Bench) -> None:
    bench.arrives(FIN | ACK, 5, 1)
    assert (bench.state, bench.sent()) == (State.ESTABLISHED, [UNCHANGED])
    bench.arrives(ACK, 1, 1, b"te")
    assert (bench.state, bench.sent()) == (State.ESTABLISHED, ["<SEQ=1><ACK=3><CTL=ACK>"])
    bench.arrives(ACK, 3, 1, b"xt")
    assert (bench.state, bench.sent()) == (State.CLOSE_WAIT, ["<SEQ=1><ACK=6><CTL=ACK>"])
    assert (bench.receive(), bench.tcp.at_eof) == (b"text", True)


def test_text_beyond_the_fin_is_not_taken(bench: Bench) -> None:
    bench.arrives(FIN | ACK, 1, 1, b"text")
    bench.arrives(ACK, 6, 1, b"more")
    assert (bench.state, bench.receive(), bench.tcp.at_eof) == (State.CLOSE_WAIT, b"text", True)


def test_text_beyond_a_fin_that_still_waits_is_not_taken(bench: Bench) -> None:
    bench.arrives(FIN | ACK, 3, 1, b"xt")
    bench.arrives(ACK, 6, 1, b"more")
    bench.arrives(ACK, 1, 1, b"te")
    assert (bench.state, bench.receive(), bench.tcp.at_eof) == (State.CLOSE_WAIT, b"text", True)


# Timeouts


@pytest.mark.rfc("9293", "3.10.8")
@pytest.mark.rfc("6298", "5.5")
def test_text_is_sent_again_ever_more_slowly(iss: int, irs: int) -> None:
    bench = established(iss, irs)
    bench.send(b"text")
    times = []
    for second in range(32):
        times += [second] * len(sent := bench.sent())
        assert set(sent) <= {"<SEQ=1><ACK=1><CTL=ACK>text"}
        bench.advance(1)
    assert times == [0, 1, 3, 7, 15, 31]


@pytest.mark.rfc("9293", "3.8.3", "SHLD-11")
@pytest.mark.rfc("9293", "3.8.3", "R2")
def test_without_any_acknowledgment_the_connection_is_given_up_after_r2(bench: Bench) -> None:
    bench.send(b"text")
    bench.advance(99.9)
    assert bench.state is State.ESTABLISHED
    bench.take()
    bench.advance(0.1)
    assert (bench.state, bench.sent()) == (State.CLOSED, ["<SEQ=5><CTL=RST>"])
    with pytest.raises(ConnectionTimedOut):
        bench.receive()
    bench.advance(1000)
    assert bench.sent() == []


@pytest.mark.rfc("9293", "3.10.8")
def test_the_user_timeout_counts_from_the_last_progress(iss: int, irs: int, build: Build) -> None:
    bench = build(iss, irs, replace(CONFIG, user_timeout=10.0))
    bench.send(b"0123456789")
    bench.advance(9)
    bench.arrives(ACK, 1, 6)
    bench.advance(9)
    assert bench.state is State.ESTABLISHED
    bench.advance(1)
    assert bench.state is State.CLOSED
    assert isinstance(bench.tcp.error, ConnectionTimedOut)


def test_a_connection_without_anything_to_do_lasts_for_ever(bench: Bench) -> None:
    bench.advance(10 * 365 * 86400.0)
    assert (bench.state, bench.sent()) == (State.ESTABLISHED, [])


def test_send_is_refused_after_close(bench: Bench) -> None:
    bench.close()
    with pytest.raises(ConnectionClosing):
        bench.send(b"text")
